//! Cargos made and signed here.

use std::{collections::HashMap, sync::Arc};

use super::world::*;
use crate::{
    domain::{Contenido, Desenlace, EmisionCargo, EstadoRecepcion, Id, Recepcion, validation::Rigor},
    exchange::{Actor, Emisor, Emisores, Exchange, ExchangeError, NuevaRespuesta},
    signing::{
        samples::{self, Tsa},
        timestamp::{Client, Timestamper, Transport},
    },
    store::Listing,
};

const OFICIO: &[u8] = include_bytes!("../../../fixtures/oficio.pdf");

fn issuing(world: &World, modo: EmisionCargo, sellador: Option<Arc<dyn Timestamper>>) -> Exchange {
    let emisor = Emisor { modo, identidad: Some(Arc::new(samples::agente())), logo: None };
    let por_ruc = HashMap::from([(ruc(NUESTRA), emisor)]);
    world.exchange.clone().with_emisores(Emisores { por_ruc, sellador })
}

async fn arrived(world: &World, pdf: &[u8]) -> Id {
    world.receive(&arrival("0000000019"), pdf).await;
    let listing = Listing { entidad: ruc(NUESTRA), estado: None, after: None, limit: 1 };
    world.exchange.store().recepciones(listing).await.unwrap().items[0].id
}

fn without_pdf(desenlace: Desenlace) -> NuevaRespuesta {
    NuevaRespuesta { contenido: Contenido::Ausente, ..respuesta(desenlace) }
}

async fn answer(exchange: &Exchange, id: Id, desenlace: Desenlace) -> Result<Recepcion, ExchangeError> {
    exchange.responder(&Actor::local(), None, id, &without_pdf(desenlace), None).await
}

async fn cargo_bytes(exchange: &Exchange, recepcion: &Recepcion) -> Vec<u8> {
    let sha256 = recepcion.cargo.as_ref().unwrap().documento.as_ref().unwrap().sha256.clone();
    let mut reader = exchange.store().open_document(&sha256).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next().await.unwrap() {
        bytes.extend_from_slice(&piece);
    }
    bytes
}

async fn last_detail(exchange: &Exchange, id: Id) -> String {
    let facts = exchange.store().facts_of(id).await.unwrap();
    facts.last().unwrap().fact.detalle.clone().unwrap()
}

#[tokio::test]
async fn a_cargo_is_made_signed_and_delivered_and_the_same_answer_again_changes_nothing() {
    for modo in [EmisionCargo::Generado, EmisionCargo::Sellado] {
        for desenlace in [Desenlace::Recepcionado, Desenlace::Observado] {
            let world = World::new().await;
            let exchange = issuing(&world, modo, None);
            let id = arrived(&world, OFICIO).await;
            let done = answer(&exchange, id, desenlace).await.unwrap();
            let bytes = cargo_bytes(&exchange, &done).await;
            assert_eq!(bytes.starts_with(OFICIO), modo == EmisionCargo::Sellado);
            assert!(memchr::memmem::find(&bytes, b"/SubFilter /ETSI.CAdES.detached").is_some());
            let detail = last_detail(&exchange, id).await;
            let signed = "Cargo firmado aquí por AGENTE AUTOMATIZADO 20900000015 soft (PAdES B-B)";
            assert!(detail.ends_with(signed), "{detail}");

            world.advance(std::time::Duration::from_secs(60));
            let again = answer(&exchange, id, desenlace).await.unwrap();
            assert_eq!((again.version, again.cargo), (done.version, done.cargo));
            assert_eq!(world.run_due().await, 1, "one delivery");
            let other = match desenlace {
                Desenlace::Recepcionado => Desenlace::Observado,
                Desenlace::Observado => Desenlace::Recepcionado,
            };
            assert!(matches!(answer(&exchange, id, other).await, Err(ExchangeError::Estado(_))));
        }
    }
}

#[tokio::test]
async fn the_same_answer_many_times_at_once_issues_one_cargo() {
    let world = World::new().await;
    let exchange = issuing(&world, EmisionCargo::Generado, None);
    let id = arrived(&world, OFICIO).await;
    let all = futures_util::future::join_all((0..6).map(|_| answer(&exchange, id, Desenlace::Recepcionado))).await;
    let digests: std::collections::BTreeSet<_> =
        all.into_iter().map(|done| done.unwrap().cargo.unwrap().documento.unwrap().sha256).collect();
    assert_eq!(digests.len(), 1);
    assert_eq!(world.run_due().await, 1, "one delivery");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_stamps_the_cargo_and_one_that_fails_stops_nothing() {
    struct Down;
    impl Transport for Down {
        fn exchange(&self, _: &[u8]) -> Result<Vec<u8>, String> {
            Err("tsa.ejemplo.pe no respondió a tiempo".into())
        }
    }
    let client = |transport: Box<dyn Transport>| -> Arc<dyn Timestamper> {
        Arc::new(Client::new(transport, None, Box::new(|| [9; 16])))
    };
    for (transport, said) in [
        (Box::new(Tsa::new()) as Box<dyn Transport>, "(PAdES B-T)"),
        (Box::new(Down), "tsa.ejemplo.pe no respondió a tiempo"),
    ] {
        let world = World::new().await;
        let exchange = issuing(&world, EmisionCargo::Generado, Some(client(transport)));
        let id = arrived(&world, OFICIO).await;
        let done = answer(&exchange, id, Desenlace::Recepcionado).await.unwrap();
        assert_eq!(done.estado, EstadoRecepcion::Recepcionado);
        let detail = last_detail(&exchange, id).await;
        assert!(detail.ends_with(said), "{detail}");
    }
}

#[tokio::test]
async fn a_cargo_that_is_given_is_used_as_it_is_whatever_the_configuration() {
    let world = World::new().await;
    let exchange = issuing(&world, EmisionCargo::Generado, None);
    let id = arrived(&world, OFICIO).await;
    let pdf = world.stage(b"%PDF-1.7 given").await;
    let given = respuesta(Desenlace::Recepcionado);
    let done = exchange.responder(&Actor::local(), None, id, &given, Some(pdf)).await.unwrap();
    assert_eq!(cargo_bytes(&exchange, &done).await, b"%PDF-1.7 given");
}

#[tokio::test]
async fn what_cannot_be_made_here_is_refused_with_its_reason_and_stays_pending() {
    let world = World::with(Rigor::Lenient).await;
    let id = arrived(&world, b"%PDF-1.7 x").await;
    let given = issuing(&world, EmisionCargo::Dado, None);
    let nobody = world.exchange.clone();
    for exchange in [&given, &nobody] {
        let mut nameless = without_pdf(Desenlace::Recepcionado);
        nameless.usuario = None;
        let refused = exchange.responder(&Actor::local(), None, id, &nameless, None).await;
        let Err(ExchangeError::Defectos(found)) = refused else { panic!("{refused:?}") };
        // All that is wrong at once.
        let fields: Vec<_> = found.iter().map(|d| d.campo).collect();
        assert_eq!(fields, ["usuario", "cargo.contenido"]);
        assert_eq!(found[1].texto, "Falta el PDF firmado del cargo: esta entidad da los suyos ya firmados");
    }
    // A stamp on what only looks like a PDF.
    let refused = answer(&issuing(&world, EmisionCargo::Sellado, None), id, Desenlace::Recepcionado).await;
    assert!(
        matches!(&refused, Err(ExchangeError::SinCargo(why)) if why.starts_with("no se pudo hacer el cargo")),
        "{refused:?}"
    );
    // An identity past its time.
    let exchange = issuing(&world, EmisionCargo::Generado, None);
    world.advance(std::time::Duration::from_secs(30 * 366 * 24 * 3600));
    let refused = answer(&exchange, id, Desenlace::Recepcionado).await;
    assert!(
        matches!(&refused, Err(ExchangeError::SinCargo(why)) if why.contains("venció el 31/12/2050")),
        "{refused:?}"
    );
    assert_eq!(world.recepcion(id).await.estado, EstadoRecepcion::Pendiente);
}
