//! `cargoResponse`: the cargo of a document of ours arrives.

use super::{Reply, log, own_fault, staged};
use crate::{
    contract::{Operation, tramite},
    domain::CargoTramite,
    exchange::Exchange,
    store::BlobWriter,
};

pub(super) async fn answer(exchange: &Exchange, stated: &CargoTramite, sink: BlobWriter) -> Reply {
    let documento = match staged(stated.contenido, sink).await {
        Ok(documento) => documento,
        Err(error) => return own_fault(Operation::Cargo, Some(&error)),
    };
    let respuesta = exchange.recibir_cargo(stated, documento).await;
    log(Operation::Cargo, stated.cuo.as_deref(), &respuesta);
    tramite::respuesta(Operation::Cargo, &respuesta).into()
}
