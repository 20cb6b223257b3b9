//! What people decide: withdraw, ask, correct, pass on, try again, give up.

use std::time::Duration;

use super::world::*;
use crate::{
    domain::{Desenlace, EstadoDespacho, Falla, cargo::Respuesta},
    exchange::{Actor, ExchangeError, NuevoDespacho, PlatformError, Situacion, worker::TRIES_MIN},
    store::{Job, JobKind, Listing},
};

#[tokio::test]
async fn what_was_not_begun_can_be_withdrawn_and_is_never_sent() {
    let world = World::new().await;
    let id = world.dispatch().await;
    let withdrawn = world.exchange.anular(&Actor::local(), None, id, Some("duplicado")).await.unwrap();
    assert_eq!(withdrawn.estado, EstadoDespacho::Anulado);
    assert_eq!(world.run_due().await, 0);
    assert_eq!(world.history(id).await, ["despacho.registrado", "despacho.anulado"]);
    let other = world.dispatch_as(NuevoDespacho { numero_registro: Some("2".into()), ..nuevo() }).await;
    world.run_due().await;
    let late = world.exchange.anular(&Actor::local(), None, other, None).await;
    assert!(matches!(late, Err(ExchangeError::Estado(_))));
}

#[tokio::test]
async fn asking_now_brings_the_cargo() {
    let world = World::new().await;
    let id = world.dispatch().await;
    assert!(matches!(world.exchange.consultar(None, id).await, Err(ExchangeError::Estado(_))), "no CUO yet");
    world.run_due().await;
    let answered = Told { codigo: "0000", estado: "R", pdf: Some(b"%PDF-1.7 c".to_vec()) };
    world.platform.consultas.lock().unwrap().push_back(Ok(answered));
    let (told, despacho) = world.exchange.consultar(None, id).await.unwrap();
    assert_eq!((told.codigo(), despacho.estado), ("0000", EstadoDespacho::Recepcionado));
    assert!(world.exchange.store().jobs(None, 9).await.unwrap().items.is_empty(), "nothing is left to ask");
}

#[tokio::test]
async fn what_a_person_was_told_on_asking_is_on_record_in_their_name() {
    let world = World::new().await;
    let id = world.dispatch().await;
    world.run_due().await;
    world.platform.consultas.lock().unwrap().push_back(Ok(told("0000", "P")));
    let said = world.exchange.preguntar(&Actor::local(), None, id).await.unwrap();
    assert_eq!(said, "Respondió que lo tiene y sigue sin cargo");
    let facts = world.exchange.store().facts_of(id).await.unwrap();
    let last = &facts.last().unwrap().fact;
    assert_eq!((last.tipo.as_str(), last.actor.as_str()), ("despacho.consultado", "local"));
    assert_eq!(last.detalle.as_deref(), Some(said.as_str()));
}

#[tokio::test]
async fn a_cargo_that_never_comes_is_asked_for_on_its_schedule_for_a_month() {
    let world = World::new().await;
    let id = world.dispatch().await;
    world.run_due().await;
    let job = Job::id_for(JobKind::PreguntarCargo, id);
    let mut asked = Vec::new();
    let sent = world.exchange.now();
    for _ in 0..60 {
        world.platform.consultas.lock().unwrap().push_back(Ok(told("0000", "P")));
        let Some(found) = world.exchange.store().job(job).await.unwrap().filter(|j| j.muerto_en.is_none()) else {
            break;
        };
        let wait = found.proximo_en.duration_since(world.exchange.now());
        world.advance(Duration::try_from(wait).unwrap());
        asked.push((world.exchange.now().as_second() - sent.as_second()) / 3600);
        world.run_due().await;
    }
    assert_eq!(asked[..6], [1, 3, 7, 15, 39, 63]);
    assert!((29 * 24..=30 * 24).contains(asked.last().unwrap()), "{asked:?}");
    assert_eq!(world.history(id).await.last().unwrap(), "alerta");
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado, "its cargo may still come");
    assert_eq!(world.collect(&cargo("1", "R"), b"%PDF-1.7 c").await.0, "0000");
}

/// A machine that was off, or whose clock was set far ahead, is older than the time there is without having tried.
#[tokio::test]
async fn what_grew_old_without_being_tried_is_tried_some_times_before_it_is_given_up() {
    let world = World::new().await;
    let id = world.dispatch().await;
    let job = Job::id_for(JobKind::Despachar, id);
    world.advance(Duration::from_secs(60 * 24 * 3600));
    for tries in 1..=TRIES_MIN {
        let alive = world.exchange.store().job(job).await.unwrap().unwrap();
        assert!(alive.muerto_en.is_none(), "given up after {} attempts", tries - 1);
        world.platform.sends.lock().unwrap().push_back(Err(PlatformError::new(Falla::SinConexion, "rechazada")));
        assert!(world.run_next().await);
    }
    assert!(world.exchange.store().job(job).await.unwrap().unwrap().muerto_en.is_some());
}

#[tokio::test]
async fn only_an_observed_document_is_corrected_and_the_new_one_goes_to_the_same_entity() {
    let world = World::new().await;
    let id = world.dispatch().await;
    let fresh = NuevoDespacho { numero_registro: Some("2".into()), destinos: vec![], ..nuevo() };
    let pdf = world.stage(b"%PDF-1.7 new").await;
    let correct = || world.exchange.subsanar(&ACTOR, None, id, &fresh, Some(pdf.clone()), None);
    static ACTOR: std::sync::LazyLock<Actor> = std::sync::LazyLock::new(Actor::local);
    assert!(matches!(correct().await, Err(ExchangeError::Estado(_))));
    world.run_due().await;
    world.collect(&cargo("1", "O"), b"%PDF-1.7 c").await;
    let made = correct().await.unwrap();
    assert_eq!((made.destino.as_str(), made.cuo_referencia.unwrap().as_str()), (OTRA, "0000000001"));
    world.run_due().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Subsanado);
}

#[tokio::test]
async fn a_received_document_is_passed_on_with_its_own_pdf() {
    let world = World::new().await;
    world.receive(&arrival("19"), b"%PDF-1.7 received").await;
    let listing = Listing { entidad: ruc(NUESTRA), estado: None, after: None, limit: 1 };
    let received = world.exchange.store().recepciones(listing).await.unwrap().items.remove(0);
    let onward = NuevoDespacho { asunto: None, numero_documento: None, nombre_documento: None, ..nuevo() };
    let made = world.exchange.derivar(&Actor::local(), None, received.id, &onward, None).await.unwrap();
    assert_eq!((made[0].asunto.as_str(), made[0].numero_documento.as_str()), ("Asunto", "OFICIO 9"));
    assert_eq!(made[0].documento.sha256, received.documento.sha256);
    world.run_due().await;
    assert_eq!(world.despacho(made[0].id).await.estado, EstadoDespacho::Enviado);
}

#[tokio::test]
async fn what_fails_for_days_stops_is_kept_and_goes_on_when_a_person_says_so() {
    let world = World::new().await;
    world.platform.sends.lock().unwrap().push_back(Ok(Respuesta::nueva("-1", "Servicio caído")));
    world.platform.consultas.lock().unwrap().extend((0..999).map(|_| Err(unclear("nadie contesta"))));
    let id = world.dispatch().await;
    while world.run_next().await {}
    let days = (world.exchange.now().as_second() - world.despacho(id).await.creado_en.as_second()) / 86_400;
    assert_eq!(days, 5);
    let job = Job::id_for(JobKind::Despachar, id);
    let stopped = world.exchange.trabajo(None, job).await.unwrap();
    assert_eq!((stopped.situacion(), stopped.job.falla), (Situacion::Detenido, Some(Falla::TiempoAgotado)));
    assert!(stopped.explicacion.contains(&format!("chasqui queue retry {job} --reason")), "{}", stopped.explicacion);
    assert_eq!(world.history(id).await.last().unwrap(), "alerta");
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::PorConfirmar, "kept as it was");

    world.platform.consultas.lock().unwrap().clear();
    world.platform.consultas.lock().unwrap().push_back(Ok(told("0000", "P")));
    let again = world.exchange.reintentar_trabajo(&Actor::local(), None, job, "ya atienden").await.unwrap();
    assert_ne!(again.situacion(), Situacion::Detenido);
    world.run_due().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado);
}

#[tokio::test]
async fn a_discarded_job_ends_its_despacho_with_the_reason() {
    let world = World::new().await;
    let id = world.dispatch().await;
    let job = Job::id_for(JobKind::Despachar, id);
    world.exchange.descartar_trabajo(&Actor::local(), None, job, "se entregó en papel").await.unwrap();
    let ended = world.despacho(id).await;
    assert_eq!(ended.estado, EstadoDespacho::Fallido);
    assert!(ended.ultimo_error.unwrap().contains("se entregó en papel"));
    for asked in [job, id] {
        let ExchangeError::Terminado(what) = world.exchange.trabajo(None, asked).await.unwrap_err() else { panic!() };
        assert_eq!(
            what,
            "Se abandonó el 20/11/2026 10:00, desde la línea de órdenes, por este motivo: «se entregó en papel». Ahora el \
             despacho está fallido"
        );
    }
    let another = world.exchange.trabajo(Some(&ruc(OTRA)), job).await;
    assert!(matches!(another, Err(ExchangeError::NoExiste)), "another entity's does not exist");
    assert_eq!(world.run_due().await, 0);
    world.exchange.reintentar_despacho(&Actor::local(), None, id).await.unwrap();
    world.run_due().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado, "a person may change their mind");
}

#[tokio::test]
async fn jobs_are_listed_for_their_entity_only() {
    let world = World::new().await;
    for n in 0..5 {
        world.dispatch_as(NuevoDespacho { numero_registro: Some(n.to_string()), ..nuevo() }).await;
    }
    let (first, next) = world.exchange.trabajos(Some(&ruc(NUESTRA)), None, 3).await.unwrap();
    let (second, end) = world.exchange.trabajos(Some(&ruc(NUESTRA)), next, 3).await.unwrap();
    assert_eq!((first.len(), second.len(), end), (3, 2, None));
    assert!(world.exchange.trabajos(Some(&ruc(OTRA)), None, 3).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn a_waiting_job_explains_itself() {
    let world = World::new().await;
    world.platform.sends.lock().unwrap().push_back(Ok(Respuesta::default()));
    let id = world.dispatch().await;
    world.run_due().await;
    let shown = world.exchange.trabajo(None, Job::id_for(JobKind::Despachar, id)).await.unwrap();
    let (text, camino) = (shown.explicacion, shown.camino.unwrap());
    assert_eq!((camino.envios, camino.consultas, camino.por_confirmar), (1, 0, true));
    for part in [OTRA, "Tras un intento", "null o vacío", "se preguntará si llegó", "20/11/2026 10:00"] {
        assert!(text.contains(part), "«{part}» in: {text}");
    }
    let received = world.exchange.responder(&Actor::local(), None, id, &respuesta(Desenlace::Observado), None).await;
    assert!(matches!(received, Err(ExchangeError::NoExiste)), "a despacho is no recepcion");
}
