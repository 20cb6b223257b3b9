//! What once was told to nobody: a receiver that denies what it accepted, a CUO given again and again, a consulta that speaks
//! of another document, and a correction that went to several.

use std::{sync::atomic::Ordering, time::Duration};

use super::world::*;
use crate::{
    domain::{EstadoDespacho, Falla, Id},
    exchange::{Actor, ExchangeError, NuevoDespacho, PlatformError},
    store::{Job, JobKind},
};

fn numbered(numero: &str) -> NuevoDespacho {
    NuevoDespacho { numero_registro: Some(numero.into()), ..nuevo() }
}

async fn alerts(world: &World, id: Id) -> Vec<String> {
    let facts = world.exchange.store().facts_of(id).await.unwrap();
    facts.into_iter().filter(|at| at.fact.tipo == "alerta").filter_map(|at| at.fact.detalle).collect()
}

#[tokio::test]
async fn a_receiver_that_denies_what_it_accepted_is_told_of_once_and_nothing_is_sent_again() {
    let world = World::new().await;
    let id = world.dispatch().await;
    world.run_due().await;
    let job = Job::id_for(JobKind::PreguntarCargo, id);
    for (asked, told_of) in [(1, 0), (2, 1), (3, 1)] {
        // By default a consulta finds nothing.
        world.advance(Duration::from_secs(24 * 3600));
        world.run_due().await;
        assert_eq!(alerts(&world, id).await.len(), told_of, "after {asked}");
    }
    let shown = world.exchange.trabajo(None, job).await.unwrap();
    assert_eq!(shown.job.falla, Some(Falla::NegadoTrasAceptar));
    for part in ["lo había aceptado", "Llame a su mesa de partes", "se le preguntará por el cargo"] {
        assert!(shown.explicacion.contains(part), "«{part}» in: {}", shown.explicacion);
    }
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado);
    assert_eq!(world.platform.calls().iter().filter(|call| call.starts_with("recepcionar")).count(), 1);
    world.platform.consultas.lock().unwrap().push_back(Ok(told("0000", "P")));
    world.advance(Duration::from_secs(24 * 3600));
    world.run_due().await;
    let now_is = world.exchange.trabajo(None, job).await.unwrap().job;
    assert_eq!(now_is.falla, Some(Falla::SinCargo), "it found it again");
}

#[tokio::test]
async fn a_platform_that_gives_the_same_cuo_again_and_again_ends_the_despacho_with_the_reason() {
    let world = World::new().await;
    world.dispatch().await;
    world.run_due().await;
    world.platform.again.store(3, Ordering::SeqCst);
    let id = world.dispatch_as(numbered("2")).await;
    while world.run_next().await {}
    let ended = world.despacho(id).await;
    assert_eq!((ended.estado, ended.falla), (EstadoDespacho::Fallido, Some(Falla::CuoRepetido)));
    assert_eq!((ended.cuo, ended.intentos), (None, 0), "nothing was sent under it");
    world.platform.again.store(2, Ordering::SeqCst);
    world.exchange.reintentar_despacho(&Actor::local(), None, id).await.unwrap();
    while world.run_next().await {}
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado, "a person's retry counts anew");
}

#[tokio::test]
async fn a_consulta_that_was_registered_before_our_document_existed_is_not_believed() {
    let world = World::new().await;
    world.platform.sends.lock().unwrap().push_back(Err(unclear("sin respuesta")));
    let id = world.dispatch().await;
    world.run_due().await;
    *world.platform.registered.lock().unwrap() = Some("2026-11-12T09:00:00");
    let other = || Ok(Told { codigo: "0000", estado: "R", pdf: Some(b"%PDF-1.7 de otro".to_vec()) });
    for _ in 0..2 {
        world.platform.consultas.lock().unwrap().push_back(other());
        assert!(world.run_next().await);
    }
    let doubted = world.despacho(id).await;
    assert_eq!((doubted.estado, doubted.cargo), (EstadoDespacho::PorConfirmar, None));
    let told = alerts(&world, id).await;
    assert!(told.len() == 1 && told[0].contains("12/11/2026 09:00") && told[0].contains("otro documento"), "{told:?}");
    world.platform.consultas.lock().unwrap().push_back(other());
    let asked = world.exchange.consultar(None, id).await;
    let ajena = |error: &PlatformError| error.falla == Falla::RespuestaAjena;
    assert!(matches!(&asked, Err(ExchangeError::Platform(error)) if ajena(error)), "{asked:?}");
    // Midnight of the same day is a date without a time.
    *world.platform.registered.lock().unwrap() = Some("2026-11-20T00:00:00");
    world.platform.consultas.lock().unwrap().push_back(other());
    assert!(world.run_next().await);
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Recepcionado);
}

#[tokio::test]
async fn a_date_that_stands_for_none_does_not_make_an_answer_another_documents() {
    for none in ["0001-01-01T00:00:00", "1900-01-01T00:00:00", "1970-01-01T00:00:00-05:00"] {
        let world = World::new().await;
        world.platform.sends.lock().unwrap().push_back(Err(unclear("sin respuesta")));
        let id = world.dispatch().await;
        world.run_due().await;
        *world.platform.registered.lock().unwrap() = Some(none);
        world.platform.consultas.lock().unwrap().push_back(Ok(Told { codigo: "0000", estado: "P", pdf: None }));
        assert!(world.run_next().await);
        assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado, "{none}");
    }
}

#[tokio::test]
async fn a_correction_for_several_is_the_one_for_the_entity_that_observed() {
    let world = World::new().await;
    let id = world.observed().await;
    let third = "20131312955";
    let stated = NuevoDespacho {
        destinos: vec![third.into(), OTRA.into()],
        referencia: Some("0000000001".into()),
        ..numbered("2")
    };
    let pdf = world.stage(b"%PDF-1.7 oficio").await;
    let made = world.exchange.despachar(&Actor::local(), &ruc(NUESTRA), &stated, Some(pdf), None).await.unwrap();
    let [elsewhere, correction] = &made[..] else { panic!("{made:?}") };
    assert_eq!(world.despacho(id).await.subsanado_por, Some(correction.id));
    let run = async |subject: Id| {
        let job = world.exchange.store().job(Job::id_for(JobKind::Despachar, subject)).await.unwrap().unwrap();
        world.exchange.run_job(job).await;
        assert_eq!(world.despacho(subject).await.estado, EstadoDespacho::Enviado);
    };
    run(elsewhere.id).await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Observado, "the one who observed has nothing yet");
    run(correction.id).await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Subsanado);
}
