//! Asks the receiver for the state of a document that was sent. What it tells is taken: its cargo closes the despacho.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::{
    Bridge, Caller, Parted,
    answer::{self, Failure},
    local::{milliseconds, open},
};
use crate::{
    domain::{Cargo, Despacho, cargo::Respuesta},
    exchange::ExchangeError,
};

const NOT_FOUND: &str = "E001";
const NOT_SYNCHRONISED: &str = "0001";

pub async fn ask(
    State(bridge): State<Bridge>,
    caller: Caller,
    Parted((ruc, numero, _)): Parted<(String, String, String)>,
) -> Response {
    consult(&bridge, &caller, ruc.trim(), numero.trim()).await.unwrap_or_else(Failure::into_response)
}

async fn consult(bridge: &Bridge, caller: &Caller, ruc: &str, numero: &str) -> Result<Response, Failure> {
    let despacho = sent_to(bridge, caller, ruc, numero).await?;
    let asked = bridge.exchange().consultar(Some(caller.entidad()), despacho.id).await;
    let (told, despacho) = match asked {
        Ok((told, after)) if told.codigo() == "0000" => (told, after),
        // What it said once stands, also where it cannot be asked now.
        Ok(_) | Err(ExchangeError::Platform(_)) if despacho.cargo.is_some() => {
            (Respuesta::nueva("0000", "DATOS ENCONTRADOS"), despacho)
        }
        Ok((told, _)) => {
            let said = match told.descripcion() {
                "" => "La entidad receptora no respondió con claridad",
                said => said,
            };
            return Err(Failure::new(NOT_SYNCHRONISED, said));
        }
        Err(error) => return Err(Failure::new(NOT_SYNCHRONISED, Failure::from(error).error)),
    };
    let documento = despacho.cargo.as_ref().and_then(|cargo| cargo.documento.as_ref());
    let pdf = open(bridge, despacho.purga.as_deref(), documento).await?;
    Ok(answer::with_document(state(&told, despacho.cargo.as_ref()), "bcarstd", pdf))
}

/// The despacho under a number; where it went to several entities, the one to `ruc`.
async fn sent_to(bridge: &Bridge, caller: &Caller, ruc: &str, numero: &str) -> Result<Despacho, Failure> {
    let mut found = bridge.sent_as(caller, numero).await?;
    if found.is_empty() {
        return Err(Failure::new(NOT_FOUND, "Documento no encontrado"));
    }
    let at = found.iter().position(|despacho| despacho.destino.as_str() == ruc);
    Ok(found.swap_remove(at.unwrap_or(0)))
}

/// What the receiver tells, but for the cargo's PDF: `P` until it answered.
fn state(told: &Respuesta, cargo: Option<&Cargo>) -> Map<String, Value> {
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| data.insert(name.to_owned(), value);
    put("vcodres", json!(told.codigo()));
    put("vdesres", json!(told.descripcion()));
    put("vnumregstd", json!(cargo.and_then(|cargo| cargo.numero_registro.as_deref())));
    put("vanioregstd", json!(cargo.and_then(|cargo| cargo.anio_registro.as_deref())));
    put("vuniorgstd", json!(cargo.and_then(|cargo| cargo.unidad.as_deref())));
    put("dfecregstd", json!(cargo.and_then(|cargo| milliseconds(cargo.fecha_registro))));
    put("vusuregstd", json!(cargo.and_then(|cargo| cargo.usuario.as_deref())));
    put("vobs", json!(cargo.and_then(|cargo| cargo.observacion.as_deref())));
    put("cflgest", json!(cargo.map_or("P", |cargo| cargo.desenlace.letra())));
    data
}
