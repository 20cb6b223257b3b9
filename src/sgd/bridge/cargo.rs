//! Cargos that mesa de partes issues through the SGD. The answer comes when the cargo is on record: delivering it until the
//! sender's side accepts it is ours.

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};

use super::{
    Bridge, Caller, Received,
    answer::{self, Failure},
    body::Body,
    send::refusal,
};
use crate::{
    domain::{Contenido, Desenlace, EstadoRecepcion, Recepcion},
    exchange::{ExchangeError, NuevaRespuesta},
    sgd::rest::intake::Place,
};

const CARGO: Place = Place { member: &["bcarstd"], part: "", annexes: None };

const DONE: &str = "0000";
const SYNCHRONISED: &str = "0001";
const NOT_POSSIBLE: &str = "E001";
const REFUSED: &str = "E002";
const OBSERVATION: &str = "EV01";

pub async fn accept(State(bridge): State<Bridge>, caller: Caller, request: Request) -> Response {
    handle(&bridge, &caller, request, Desenlace::Recepcionado).await.unwrap_or_else(Failure::into_response)
}

pub async fn object(State(bridge): State<Bridge>, caller: Caller, request: Request) -> Response {
    handle(&bridge, &caller, request, Desenlace::Observado).await.unwrap_or_else(Failure::into_response)
}

async fn handle(bridge: &Bridge, caller: &Caller, request: Request, desenlace: Desenlace) -> Result<Response, Failure> {
    let Received { members, contenido, pdf } = bridge.receive(request, &CARGO).await?;
    let body = Body::new(members);
    let observacion = body.text("vobs").filter(|text| !text.trim().is_empty());
    match desenlace {
        Desenlace::Recepcionado if body.has("vobs") => {
            return Err(Failure::new(OBSERVATION, "El campo vobs no debe ser enviado"));
        }
        Desenlace::Observado if observacion.is_none() => {
            return Err(Failure::new(OBSERVATION, "El campo vobs no debe ser vacío"));
        }
        _ => {}
    }
    let numero = body.text("vnumregstd").unwrap_or_default().trim().to_owned();
    let recepcion = filed(bridge, caller, &numero).await?;
    let respuesta = NuevaRespuesta {
        desenlace,
        numero_registro: Some(numero.clone()),
        anio_registro: None,
        fecha_registro: None,
        unidad: body.text("vuniorgstd"),
        usuario: body.text("vusuregstd"),
        observacion,
        contenido: if body.has("bcarstd") { contenido } else { Contenido::Ausente },
    };
    let issued =
        bridge.exchange().responder(&caller.actor(), Some(caller.entidad()), recepcion.id, &respuesta, pdf).await;
    let pending = recepcion.estado == EstadoRecepcion::Pendiente;
    match issued {
        Ok(_) if pending => Ok(answer::done(DONE, "RECEPCION DE CARGO EXITOSO")),
        // The same cargo, by a caller that may never have heard the answer.
        Ok(_) => Ok(answer::done(SYNCHRONISED, "RECEPCION DE CARGO EXITOSO (sincronizado)")),
        Err(ExchangeError::Estado(_)) if !pending => Err(already(&numero)),
        Err(error @ ExchangeError::Estado(_)) => Err(Failure::new(NOT_POSSIBLE, Failure::from(error).error)),
        Err(error @ (ExchangeError::Defectos(_) | ExchangeError::Firmas(_))) => {
            if pending {
                Err(Failure { estado: REFUSED, ..refusal(error) })
            } else {
                Err(already(&numero))
            }
        }
        Err(error) => Err(error.into()),
    }
}

fn already(numero: &str) -> Failure {
    Failure::new(
        NOT_POSSIBLE,
        format!("El cargo de recepción del documento {numero} ya se envió a la entidad remitente"),
    )
}

/// The document that was filed under a number: the one that waits for its cargo, else the last.
pub async fn filed(bridge: &Bridge, caller: &Caller, numero: &str) -> Result<Recepcion, Failure> {
    let mut found = bridge.filed_as(caller, numero).await?;
    let waiting = |recepcion: &Recepcion| recepcion.estado == EstadoRecepcion::Pendiente;
    if found.iter().filter(|one| waiting(one)).count() > 1 {
        let what =
            format!("Hay varios documentos sin responder con el número {numero}: no se sabe de cuál es el cargo");
        return Err(Failure::new(NOT_POSSIBLE, what));
    }
    if found.is_empty() {
        return Err(Failure::new(NOT_POSSIBLE, format!("El documento {numero} no se encuentra registrado")));
    }
    let at = found.iter().position(waiting);
    Ok(found.swap_remove(at.unwrap_or(0)))
}
