//! `consultarTramiteResponse`: somebody asks what became of a document we received.

use super::{Reply, log};
use crate::{
    contract::{Operation, tramite},
    domain::Consulta,
    exchange::{ConsultaRespondida, Exchange},
    soap::DocumentSource,
};

pub(super) async fn answer(exchange: &Exchange, consulta: Consulta) -> Reply {
    let ConsultaRespondida { respuesta, documento } = exchange.responder_consulta(&consulta).await;
    log(Operation::Consultar, consulta.cuo.as_deref(), &respuesta.respuesta);
    let message = tramite::respuesta_consulta(&respuesta, documento.as_ref().map(|pdf| pdf.bytes()));
    Reply { message, document: documento.map(|pdf| Box::new(pdf) as Box<dyn DocumentSource>) }
}
