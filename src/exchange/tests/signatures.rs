//! What goes out and what comes in is examined; only what goes out can be refused for it.

use std::collections::HashMap;

use super::world::*;
use crate::{
    domain::firmas::{Exigencia, Veredicto},
    exchange::{
        Actor, ExchangeError,
        examine::{Demands, Examiner},
    },
    signing::trust::Trust,
    store::Listing,
};

const SIGNED: &[u8] = include_bytes!("../../../fixtures/oficio.pdf");

fn demanding(world: &mut World, salida: Exigencia) {
    let demands = HashMap::from([(ruc(NUESTRA), Demands { salida, cargo: Exigencia::RequireSignature })]);
    world.exchange = world.exchange.clone().with_examiner(Examiner::new(Trust::default(), demands));
}

#[tokio::test]
async fn an_unsigned_document_does_not_go_out_where_signatures_are_demanded() {
    let mut world = World::new().await;
    demanding(&mut world, Exigencia::RequireSignature);
    let pdf = world.stage(b"%PDF-1.7 x").await;
    let sent = world.exchange.despachar(&Actor::local(), &ruc(NUESTRA), &nuevo(), Some(pdf), None).await;
    let Err(ExchangeError::Firmas(why)) = sent else { panic!("accepted") };
    assert!(why.contains("exige"), "{why}");
    let listing = Listing { entidad: ruc(NUESTRA), estado: None, after: None, limit: 10 };
    assert!(world.exchange.store().despachos(listing).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_signed_document_goes_out_with_its_report() {
    let mut world = World::new().await;
    demanding(&mut world, Exigencia::RequireSignature);
    let pdf = world.stage(SIGNED).await;
    let sent = world.exchange.despachar(&Actor::local(), &ruc(NUESTRA), &nuevo(), Some(pdf), None).await.unwrap();
    let stored = world.despacho(sent[0].id).await;
    let report = stored.documento.firmas.expect("a report");
    assert_eq!((report.veredicto, report.firmas.len()), (Veredicto::Integro, 1), "{}", report.texto());
}

#[tokio::test]
async fn what_arrives_is_kept_and_flagged_whatever_its_signatures() {
    let mut world = World::new().await;
    demanding(&mut world, Exigencia::RequireTrusted);
    assert_eq!(world.receive(&arrival("0000000019"), b"%PDF-1.7 x").await.0, "0000");
    let listing = Listing { entidad: ruc(NUESTRA), estado: None, after: None, limit: 10 };
    let stored = world.exchange.store().recepciones(listing).await.unwrap().items.remove(0);
    let report = stored.documento.firmas.expect("a report");
    assert_eq!(report.veredicto, Veredicto::NoComprobable);
    assert!(report.tiene("pdf_danado"), "{}", report.texto());
}
