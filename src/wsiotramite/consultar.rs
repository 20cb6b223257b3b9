//! `consultarTramiteResponse`: somebody asks what became of a document we received.

use super::{Reply, log};
use crate::{
    contract::{self, Operation, tramite},
    domain::Consulta,
    exchange::{ConsultaRespondida, Exchange},
    soap::DocumentSource,
};

pub(super) async fn answer(exchange: &Exchange, asked: contract::Consulta) -> Reply {
    let contract::Consulta { ruc_remitente, ruc_receptor, cuo } = asked;
    let consulta = Consulta { ruc_remitente, ruc_receptor, cuo };
    let ConsultaRespondida { respuesta, documento } = exchange.responder_consulta(&consulta).await;
    log(Operation::Consultar, consulta.cuo.as_deref(), &respuesta.respuesta);
    let message = tramite::respuesta_consulta(&respuesta, documento.as_ref().map(|pdf| pdf.bytes()));
    Reply { message, document: documento.map(|pdf| Box::new(pdf) as Box<dyn DocumentSource>) }
}
