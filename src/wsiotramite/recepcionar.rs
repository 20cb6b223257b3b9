//! `recepcionarTramiteResponse`: a document arrives.

use super::{Reply, log, own_fault, staged};
use crate::{
    contract::{Operation, tramite},
    domain::Tramite,
    exchange::Exchange,
    store::BlobWriter,
};

pub(super) async fn answer(exchange: &Exchange, stated: &Tramite, sink: BlobWriter) -> Reply {
    let documento = match staged(stated.contenido, sink).await {
        Ok(documento) => documento,
        Err(error) => return own_fault(Operation::Recepcionar, Some(&error)),
    };
    let respuesta = exchange.recibir(stated, documento).await;
    log(Operation::Recepcionar, stated.cuo.as_deref(), &respuesta);
    tramite::respuesta(Operation::Recepcionar, &respuesta).into()
}
