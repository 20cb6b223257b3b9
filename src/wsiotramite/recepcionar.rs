//! `recepcionarTramiteResponse`: a document arrives.

use super::{Reply, log, own_fault, staged};
use crate::{
    contract::{Operation, tramite},
    domain::Tramite,
    exchange::{Exchange, Testigo},
    soap::capture::Sobre,
    store::BlobWriter,
};

pub(super) async fn answer(exchange: &Exchange, stated: &Tramite, sink: BlobWriter, heard: Option<Sobre>) -> Reply {
    let documento = match staged(stated.contenido, sink).await {
        Ok(documento) => documento,
        Err(error) => return own_fault(Operation::Recepcionar, Some(&error)),
    };
    let answered = |respuesta: &_| Sobre::from(&tramite::respuesta(Operation::Recepcionar, respuesta));
    let testigo = heard.map(|peticion| Testigo { peticion, respuesta: &answered });
    let respuesta = exchange.recibir(stated, documento, testigo).await;
    log(Operation::Recepcionar, stated.cuo.as_deref(), &respuesta);
    tramite::respuesta(Operation::Recepcionar, &respuesta).into()
}
