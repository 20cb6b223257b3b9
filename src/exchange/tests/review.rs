//! What a hostile review found, so that it stays mended.

use std::time::Duration;

use super::world::*;
use crate::{
    domain::{Desenlace, EstadoDespacho, Id, Sha256},
    exchange::{Actor, ExchangeError, Idempotency, NuevoDespacho},
    store::{Job, JobKind, Listing},
};

async fn received(world: &World, cuo: &str) -> Id {
    let listing = Listing { entidad: ruc(NUESTRA), estado: None, after: None, limit: 1 };
    assert_eq!(world.receive(&arrival(cuo), b"%PDF-1.7 x").await.0, "0000");
    world.exchange.store().recepciones(listing).await.unwrap().items[0].id
}

#[tokio::test]
async fn a_send_under_way_is_neither_retried_nor_discarded() {
    let world = World::new().await;
    let id = world.stuck_send().await;
    let (actor, job) = (Actor::local(), Job::id_for(JobKind::Despachar, id));
    let refused = |result: Result<(), ExchangeError>| matches!(result, Err(ExchangeError::Estado(_)));
    assert!(refused(world.exchange.reintentar_despacho(&actor, None, id).await.map(drop)));
    assert!(refused(world.exchange.reintentar_trabajo(&actor, None, job, "x").await.map(drop)));
    assert!(refused(world.exchange.descartar_trabajo(&actor, None, job, "x").await));
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviando);
}

#[tokio::test]
async fn not_found_proves_nothing_while_the_send_may_still_be_open() {
    let world = World::new().await;
    let id = world.stuck_send().await;
    // Its lease ran out, but a send of this process may last as long as an attempt, and the platform a little longer.
    let policy = world.exchange.settings().retry.clone();
    world.advance(policy.attempt + policy.ask_after - Duration::from_secs(1));
    world
        .exchange
        .run_job(world.exchange.store().job(Job::id_for(JobKind::Despachar, id)).await.unwrap().unwrap())
        .await;
    assert_eq!(world.platform.calls(), ["cuo", "recepcionar 0000000001"], "it did not even ask");
    world.advance(Duration::from_secs(2));
    world.run_due().await;
    assert_eq!(world.platform.calls().len(), 4, "asked, not found, sent again");
}

#[tokio::test]
async fn retrying_an_unclear_send_does_not_shorten_the_wait_before_asking() {
    let world = World::new().await;
    world.platform.sends.lock().unwrap().push_back(Err(unclear("tiempo agotado")));
    let id = world.dispatch().await;
    world.run_due().await;
    world.exchange.reintentar_despacho(&Actor::local(), None, id).await.unwrap();
    assert_eq!(world.run_due().await, 1);
    assert_eq!(world.platform.calls().len(), 2, "not asked yet");
    world.run_next().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado);
}

#[tokio::test]
async fn a_document_whose_reference_is_no_cuo_can_be_answered() {
    let world = World::new().await;
    let mut tramite = arrival("19");
    tramite.cuo_referencia = Some("N/A - sin referencia".into());
    assert_eq!(world.receive(&tramite, b"%PDF-1.7 x").await.0, "0000");
    let listing = Listing { entidad: ruc(NUESTRA), estado: None, after: None, limit: 1 };
    let arrived = world.exchange.store().recepciones(listing).await.unwrap().items.remove(0);
    assert_eq!(arrived.cuo_referencia.as_deref(), Some("N/A - sin referencia"), "kept whole");
    let pdf = world.stage(b"%PDF-1.7 c").await;
    let answer = respuesta(Desenlace::Recepcionado);
    world.exchange.responder(&Actor::local(), None, arrived.id, &answer, Some(pdf)).await.unwrap();
    world.run_due().await;
    assert!(world.recepcion(arrived.id).await.cargo_entregado_en.is_some());
}

#[tokio::test]
async fn a_corrected_document_is_not_corrected_again_and_a_correction_goes_to_one_entity() {
    let world = World::new().await;
    let id = world.observed().await;
    let (actor, pdf) = (Actor::local(), world.stage(b"%PDF-1.7 new").await);
    let stated = |numero: &str| NuevoDespacho { numero_registro: Some(numero.into()), destinos: vec![], ..nuevo() };
    let key = |text: &str| Idempotency { key: text.into(), huella: Sha256::from_digest(&[1; 32]) };
    let several = NuevoDespacho { destinos: vec![OTRA.into(), "11111111111".into()], ..stated("9") };
    let refused = world.exchange.subsanar(&actor, None, id, &several, Some(pdf.clone()), None).await;
    assert!(matches!(refused, Err(ExchangeError::Defectos(d)) if d[0].campo == "destinos"));
    let first =
        world.exchange.subsanar(&actor, None, id, &stated("2"), Some(pdf.clone()), Some(&key("a"))).await.unwrap();
    world.run_due().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Subsanado);
    let again =
        world.exchange.subsanar(&actor, None, id, &stated("2"), Some(pdf.clone()), Some(&key("a"))).await.unwrap();
    assert_eq!(again.id, first.id, "the same request gives the same result");
    let other = world.exchange.subsanar(&actor, None, id, &stated("3"), Some(pdf), Some(&key("b"))).await;
    assert!(matches!(other, Err(ExchangeError::YaSubsanado { id }) if id == first.id));
}

#[tokio::test]
async fn of_two_corrections_only_one_is_under_way_and_another_follows_one_that_failed() {
    let world = World::new().await;
    let id = world.observed().await;
    let (actor, pdf) = (Actor::local(), world.stage(b"%PDF-1.7 new").await);
    let stated = |numero: &str| NuevoDespacho { numero_registro: Some(numero.into()), destinos: vec![], ..nuevo() };
    let first = world.exchange.subsanar(&actor, None, id, &stated("2"), Some(pdf.clone()), None).await.unwrap();
    assert_eq!(world.despacho(id).await.subsanado_por, Some(first.id));
    let second = world.exchange.subsanar(&actor, None, id, &stated("3"), Some(pdf.clone()), None).await;
    assert!(matches!(second, Err(ExchangeError::SubsanacionEnCurso { id }) if id == first.id));
    world.exchange.anular(&actor, None, first.id, None).await.unwrap();
    let third = world.exchange.subsanar(&actor, None, id, &stated("4"), Some(pdf), None).await.unwrap();
    world.run_due().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Subsanado);
    assert_eq!(world.despacho(third.id).await.estado, EstadoDespacho::Enviado);
    assert_eq!(world.history(id).await[4..].len(), 4, "{:?}", world.history(id).await);
}

#[tokio::test]
async fn our_cargo_goes_out_with_a_year_and_a_date_that_can_be() {
    let world = World::new().await;
    let id = received(&world, "19").await;
    for (anio, fecha, campo) in
        [(Some("año 20267"), None, "anio_registro"), (None, Some("2099-01-01"), "fecha_registro")]
    {
        let mut wrong = respuesta(Desenlace::Recepcionado);
        (wrong.anio_registro, wrong.fecha_registro) = (anio.map(str::to_owned), fecha.map(str::to_owned));
        let pdf = world.stage(b"%PDF-1.7 c").await;
        let refused = world.exchange.responder(&Actor::local(), None, id, &wrong, Some(pdf)).await;
        assert!(matches!(refused, Err(ExchangeError::Defectos(d)) if d[0].campo == campo), "{campo}");
    }
}

#[tokio::test]
async fn an_outcome_told_without_its_pdf_is_recorded_and_the_cargo_asked_for_still() {
    let world = World::new().await;
    let id = world.dispatch().await;
    world.run_due().await;
    world.platform.consultas.lock().unwrap().push_back(Ok(told("0000", "R")));
    world.advance(Duration::from_secs(3601));
    world.run_due().await;
    let known = world.despacho(id).await;
    assert_eq!((known.estado, known.cargo.unwrap().documento), (EstadoDespacho::Recepcionado, None));
    let whole = Told { codigo: "0000", estado: "R", pdf: Some(b"%PDF-1.7 c".to_vec()) };
    world.platform.consultas.lock().unwrap().push_back(Ok(whole));
    world.advance(Duration::from_secs(48 * 3600));
    world.run_due().await;
    let complete = world.despacho(id).await;
    assert!(complete.cargo.unwrap().documento.is_some());
    assert!(world.exchange.store().jobs(None, 9).await.unwrap().items.is_empty(), "nothing is left to ask");
}

#[tokio::test]
async fn a_job_is_found_by_the_id_of_its_document_too() {
    let world = World::new().await;
    let id = world.dispatch().await;
    assert_eq!(world.exchange.trabajo(None, id).await.unwrap().job.sujeto, id);
}

#[tokio::test]
async fn a_date_that_is_none_is_told_from_one_that_is_missing() {
    let world = World::new().await;
    let pdf = world.stage(b"%PDF-1.7 x").await;
    let wrong = NuevoDespacho { fecha_documento: Some("21/11/2026".into()), ..nuevo() };
    let refused = world.exchange.despachar(&Actor::local(), &ruc(NUESTRA), &wrong, Some(pdf), None).await;
    assert!(matches!(refused, Err(ExchangeError::Defectos(d)) if d[0].motivo.codigo() == "no_valido"));
}

#[tokio::test]
async fn a_delivery_discarded_while_it_is_tried_does_not_come_back() {
    let world = World::new().await;
    let id = received(&world, "19").await;
    let pdf = world.stage(b"%PDF-1.7 c").await;
    let answer = respuesta(Desenlace::Recepcionado);
    world.exchange.responder(&Actor::local(), None, id, &answer, Some(pdf)).await.unwrap();
    let (job, exchange) = (Job::id_for(JobKind::EntregarCargo, id), world.exchange.clone());
    *world.platform.during_cargo.lock().unwrap() = Some(Box::new(move |_| {
        Box::pin(async move {
            exchange.descartar_trabajo(&Actor::local(), None, job, "se entregó en papel").await.unwrap();
        })
    }));
    world.platform.cargos.lock().unwrap().push_back(Err(unclear("tiempo agotado")));
    world.run_due().await;
    assert!(world.exchange.store().job(job).await.unwrap().is_none(), "a person ended it");
    world.advance(Duration::from_secs(24 * 3600));
    assert_eq!(world.run_due().await, 0);
}

#[tokio::test]
async fn a_job_retried_by_a_person_while_it_is_tried_is_not_begun_twice_and_is_tried_again_at_once() {
    let world = World::new().await;
    let id = received(&world, "19").await;
    let pdf = world.stage(b"%PDF-1.7 c").await;
    let answer = respuesta(Desenlace::Recepcionado);
    world.exchange.responder(&Actor::local(), None, id, &answer, Some(pdf)).await.unwrap();
    let (job, exchange) = (Job::id_for(JobKind::EntregarCargo, id), world.exchange.clone());
    let claim = world.claim();
    *world.platform.during_cargo.lock().unwrap() = Some(Box::new(move |_| {
        Box::pin(async move {
            exchange.reintentar_trabajo(&Actor::local(), None, job, "ya atienden").await.unwrap();
            assert!(exchange.store().claim_jobs(&claim).await.unwrap().jobs.is_empty(), "it is under way");
        })
    }));
    world.platform.cargos.lock().unwrap().push_back(Err(unclear("tiempo agotado")));
    world.advance(Duration::from_millis(1));
    world.run_due().await;
    assert_eq!(world.run_due().await, 1, "what the person asked for stands");
    assert!(world.recepcion(id).await.cargo_entregado_en.is_some());
}

#[tokio::test]
async fn a_second_correction_is_refused_also_when_it_names_the_observed_one_by_reference() {
    let world = World::new().await;
    let observed = world.dispatch().await;
    world.run_due().await;
    world.collect(&cargo("0000000001", "O"), b"%PDF-1.7 c").await;
    let correction = |numero: &str| NuevoDespacho {
        numero_registro: Some(numero.into()),
        referencia: Some("0000000001".into()),
        ..nuevo()
    };
    let first = world.dispatch_as(correction("2")).await;
    assert_eq!(world.despacho(observed).await.subsanado_por, Some(first));
    let pdf = world.stage(b"%PDF-1.7 oficio").await;
    let second = world.exchange.despachar(&Actor::local(), &ruc(NUESTRA), &correction("3"), Some(pdf), None).await;
    assert!(matches!(second, Err(ExchangeError::SubsanacionEnCurso { id }) if id == first));
}
