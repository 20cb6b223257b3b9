//! `cargoResponse`: the cargo of a document of ours arrives.

use super::{Reply, log, own_fault, staged};
use crate::{
    contract::{Operation, tramite},
    domain::CargoTramite,
    exchange::{Exchange, Testigo},
    soap::capture::Sobre,
    store::BlobWriter,
};

pub(super) async fn answer(
    exchange: &Exchange,
    stated: &CargoTramite,
    sink: BlobWriter,
    heard: Option<Sobre>,
) -> Reply {
    let documento = match staged(stated.contenido, sink).await {
        Ok(documento) => documento,
        Err(error) => return own_fault(Operation::Cargo, Some(&error)),
    };
    let answered = |respuesta: &_| Sobre::from(&tramite::respuesta(Operation::Cargo, respuesta));
    let testigo = heard.map(|peticion| Testigo { peticion, respuesta: &answered });
    let respuesta = exchange.recibir_cargo(stated, documento, testigo).await;
    log(Operation::Cargo, stated.cuo.as_deref(), &respuesta);
    tramite::respuesta(Operation::Cargo, &respuesta).into()
}
