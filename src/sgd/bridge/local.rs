//! What is on record here: documents sent and received, and their cargos, each with its PDF in base64. Times are
//! milliseconds since 1970, as the existing bridge writes them.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    Bridge, Caller, Parted,
    answer::{self, Failure},
    directory::name_of,
};
use crate::{
    domain::{Anexo, Cargo, Despacho, Documento, Recepcion, conservacion::Purga, lima},
    http::download::not_purged,
    store::BlobReader,
};

const NOT_FOUND: &str = "E001";

type Asked = Parted<(String, String)>;

pub async fn sent(State(bridge): State<Bridge>, caller: Caller, Parted((numero, _)): Asked) -> Response {
    let answered = async {
        let despacho = despacho(&bridge, &caller, &numero).await?;
        let nombre = name_of(&bridge, &despacho.destino).await?;
        let propia = bridge.exchange().propia(&despacho.entidad).map(|own| own.nombre);
        let pdf = open(&bridge, despacho.purga.as_deref(), Some(&despacho.documento)).await?;
        Ok(answer::with_document(document_sent(&despacho, nombre, propia), "bpdfdoc", pdf))
    };
    answered.await.unwrap_or_else(Failure::into_response)
}

pub async fn received(State(bridge): State<Bridge>, caller: Caller, Parted((numero, _)): Asked) -> Response {
    let answered = async {
        let recepcion = recepcion(&bridge, &caller, &numero).await?;
        let pdf = open(&bridge, recepcion.purga.as_deref(), Some(&recepcion.documento)).await?;
        Ok(answer::with_document(document_received(&recepcion), "bpdfdoc", pdf))
    };
    answered.await.unwrap_or_else(Failure::into_response)
}

pub async fn cargo_of_sent(State(bridge): State<Bridge>, caller: Caller, Parted((numero, _)): Asked) -> Response {
    let answered = async {
        let despacho = despacho(&bridge, &caller, &numero).await?;
        let cargo = despacho.cargo.as_ref();
        let pdf = open(&bridge, despacho.purga.as_deref(), cargo.and_then(|cargo| cargo.documento.as_ref())).await?;
        let mut data = Map::new();
        data.insert("vnumregstdrec".into(), json!(cargo.and_then(|cargo| cargo.numero_registro.as_deref())));
        data.insert("vanioregstdrec".into(), json!(cargo.and_then(|cargo| cargo.anio_registro.as_deref())));
        data.insert("dfecregstdrec".into(), json!(cargo.and_then(|cargo| milliseconds(cargo.fecha_registro))));
        data.insert("vuniorgstdrec".into(), json!(cargo.and_then(|cargo| cargo.unidad.as_deref())));
        data.insert("vusuregstdrec".into(), json!(cargo.and_then(|cargo| cargo.usuario.as_deref())));
        data.insert("cflgest".into(), json!(despacho.estado.letra()));
        data.insert("vobs".into(), json!(cargo.and_then(|cargo| cargo.observacion.as_deref())));
        Ok(answer::with_document(data, "bcarstdrec", pdf))
    };
    answered.await.unwrap_or_else(Failure::into_response)
}

pub async fn cargo_of_received(State(bridge): State<Bridge>, caller: Caller, Parted((numero, _)): Asked) -> Response {
    let answered = async {
        let recepcion = recepcion(&bridge, &caller, &numero).await?;
        let documento = recepcion.cargo.as_ref().and_then(|cargo| cargo.documento.as_ref());
        let pdf = open(&bridge, recepcion.purga.as_deref(), documento).await?;
        Ok(answer::with_document(cargo_received(&recepcion, recepcion.cargo.as_ref()), "bcarstd", pdf))
    };
    answered.await.unwrap_or_else(Failure::into_response)
}

async fn despacho(bridge: &Bridge, caller: &Caller, numero: &str) -> Result<Despacho, Failure> {
    bridge.sent_as(caller, numero).await?.into_iter().next().ok_or_else(not_found)
}

async fn recepcion(bridge: &Bridge, caller: &Caller, numero: &str) -> Result<Recepcion, Failure> {
    bridge.filed_as(caller, numero).await?.into_iter().next().ok_or_else(not_found)
}

fn not_found() -> Failure {
    Failure::new(NOT_FOUND, "registro no encontrado")
}

/// A document as it is stored, unless it was purged of its exchange: another exchange may have the same bytes still.
pub async fn open(
    bridge: &Bridge,
    purga: Option<&Purga>,
    documento: Option<&Documento>,
) -> Result<Option<BlobReader>, Failure> {
    match documento {
        Some(documento) => {
            not_purged(purga)?;
            Ok(Some(bridge.exchange().store().open_document(&documento.sha256).await?))
        }
        None => Ok(None),
    }
}

pub fn milliseconds(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_millisecond)
}

fn annexes(anexos: &[Anexo]) -> Value {
    match anexos {
        [] => Value::Null,
        some => some.iter().map(|anexo| json!({ "vnomdoc": anexo.nombre })).collect(),
    }
}

fn document_sent(d: &Despacho, nombre_destino: Option<String>, nombre_propio: Option<String>) -> Map<String, Value> {
    let members = json!({
        "vnumregstd": d.numero_registro,
        "vanioregstd": lima::en_lima(d.creado_en).year().to_string(),
        "vrucentrec": d.destino,
        "vnomentrec": nombre_destino,
        "ctipdociderem": d.remitente.tipo_documento,
        "vnumdociderem": d.remitente.numero_documento,
        "vcoduniorgrem": d.codigo_unidad_remitente,
        "vuniorgrem": d.unidad_remitente,
        "vusureg": d.usuario,
        "vcuo": d.cuo,
        "vcuoref": d.cuo_referencia,
        "cflgest": d.estado.letra(),
        "vnomentemi": nombre_propio,
        "ccodtipdoc": d.tipo_documento,
        "vnumdoc": d.numero_documento,
        "dfecdoc": d.fecha_documento.as_millisecond(),
        "vuniorgdst": d.destinatario.unidad,
        "vnomdst": d.destinatario.nombre,
        "vnomcardst": d.destinatario.cargo,
        "vasu": d.asunto,
        "snumanx": d.anexos.len(),
        "snumfol": d.folios,
        "vurldocanx": d.url_anexos,
        "lstDocAnexo": annexes(&d.anexos),
        "vnomdoc": d.documento.nombre,
    });
    object(members)
}

fn document_received(r: &Recepcion) -> Map<String, Value> {
    let members = json!({
        "vnumregstd": r.numero_registro,
        "vrucentrem": r.remitente.ruc,
        "vuniorgrem": r.remitente.unidad,
        "ctipdociderem": r.remitente.tipo_documento,
        "vnumdociderem": r.remitente.numero_documento,
        "vcuo": r.cuo,
        "vcuoref": r.cuo_referencia,
        "cflgest": r.estado.letra(),
        "vnomentemi": r.remitente.nombre,
        "ccodtipdoc": r.tipo_documento,
        "vnumdoc": r.numero_documento,
        "dfecdoc": milliseconds(r.fecha_documento),
        "vuniorgdst": r.destinatario.unidad,
        "vnomdst": r.destinatario.nombre,
        "vnomcardst": r.destinatario.cargo,
        "vasu": r.asunto,
        "snumanx": r.anexos.len(),
        "snumfol": r.folios.unwrap_or_default(),
        "vurldocanx": r.url_anexos,
        "lstDocAnexo": annexes(&r.anexos),
        "vnomdoc": r.documento.nombre,
    });
    object(members)
}

fn cargo_received(r: &Recepcion, cargo: Option<&Cargo>) -> Map<String, Value> {
    let members = json!({
        "vnumregstd": r.numero_registro,
        "vanioregstd": r.anio_registro,
        "vuniorgstd": cargo.and_then(|cargo| cargo.unidad.as_deref()),
        // It does not travel and is not kept.
        "ccoduniorgstd": null,
        "dfecregstd": cargo.and_then(|cargo| milliseconds(cargo.fecha_registro)),
        "vusuregstd": cargo.and_then(|cargo| cargo.usuario.as_deref()),
        "cflgest": r.estado.letra(),
        "vobs": cargo.and_then(|cargo| cargo.observacion.as_deref()),
        "vcuo": r.cuo,
        "vcuoref": r.cuo_referencia,
    });
    object(members)
}

fn object(members: Value) -> Map<String, Value> {
    match members {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
