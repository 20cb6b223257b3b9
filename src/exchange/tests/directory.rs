//! The platform's directory, and what it decides about a send.

use std::{sync::atomic::Ordering, time::Duration};

use super::world::*;
use crate::{
    domain::{EstadoDespacho, Falla},
    exchange::{Actor, ExchangeError, NuevoDespacho, PlatformError},
    store::{Job, JobKind},
};

const OTRO_MAS: &str = "20131312955";

#[tokio::test]
async fn an_entity_that_vanished_from_the_list_is_marked_and_comes_back() {
    let world = World::new().await;
    let listed = |rucs: &[&str]| *world.platform.listed.lock().unwrap() = Some(rucs.iter().map(|r| ruc(r)).collect());
    listed(&[OTRA, OTRO_MAS]);
    world.exchange.actualizar_directorio(&Actor::local()).await.unwrap();
    listed(&[OTRA]);
    let (first, gone) = (world.exchange.now(), ruc(OTRO_MAS));
    world.exchange.actualizar_directorio(&Actor::local()).await.unwrap();
    world.advance(Duration::from_secs(86_400));
    let marked = world.exchange.actualizar_directorio(&Actor::local()).await.unwrap();
    assert_eq!(marked.ausentes.get(&gone), Some(&first), "since it was first missed");
    assert!(marked.entidades.iter().any(|e| e.ruc == gone), "and not forgotten");
    assert!(marked.vigente(&ruc(OTRA)) && !marked.vigente(&gone));
    listed(&[OTRA, OTRO_MAS]);
    let back = world.exchange.actualizar_directorio(&Actor::local()).await.unwrap();
    assert!(back.vigente(&gone) && back.ausentes.is_empty());
}

#[tokio::test]
async fn an_empty_list_is_a_failure_and_the_known_one_stays() {
    let world = World::new().await;
    let known = world.exchange.actualizar_directorio(&Actor::local()).await.unwrap();
    *world.platform.listed.lock().unwrap() = Some(Vec::new());
    let refused = world.exchange.actualizar_directorio(&Actor::local()).await;
    assert!(matches!(refused, Err(ExchangeError::Platform(PlatformError { falla: Falla::RespuestaVacia, .. }))));
    assert_eq!(world.exchange.directorio().await.unwrap().as_deref(), Some(&known));
}

#[tokio::test]
async fn a_receiver_the_directory_does_not_list_is_validated_before_anything_is_sent() {
    let world = World::new().await;
    world.platform.validations.lock().unwrap().push_back(Ok(false));
    let id = world.dispatch().await;
    world.run_due().await;
    let refused = world.despacho(id).await;
    assert_eq!((refused.estado, refused.falla), (EstadoDespacho::Fallido, Some(Falla::ReceptoraNoRegistrada)));
    assert!(refused.ultimo_error.unwrap().contains("nada se envió"));
    assert_eq!(world.platform.calls(), [format!("validar {OTRA}")], "not even a CUO was taken");
    // A person tries again once the entity is registered.
    world.exchange.reintentar_despacho(&Actor::local(), None, id).await.unwrap();
    world.run_due().await;
    let sent = world.despacho(id).await;
    assert_eq!((sent.estado, sent.falla), (EstadoDespacho::Enviado, None));
}

#[tokio::test]
async fn a_platform_that_cannot_validate_keeps_the_document_waiting() {
    let world = World::new().await;
    let unreachable = PlatformError::new(Falla::SinConexion, "rechazada");
    world.platform.validations.lock().unwrap().push_back(Err(unreachable));
    let id = world.dispatch().await;
    world.run_due().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Pendiente, "nothing is refused");
    let job = world.exchange.store().job(Job::id_for(JobKind::Despachar, id)).await.unwrap().unwrap();
    assert_eq!(job.falla, Some(Falla::SinConexion));
    world.run_next().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado);
}

#[tokio::test]
async fn a_listed_receiver_is_not_asked_about() {
    let world = World::new().await;
    world.exchange.actualizar_directorio(&Actor::local()).await.unwrap();
    world.dispatch().await;
    world.run_due().await;
    assert_eq!(world.platform.calls(), ["cuo", "recepcionar 0000000001"]);
}

#[tokio::test]
async fn nothing_is_sent_to_oneself() {
    let world = World::new().await;
    let pdf = world.stage(b"%PDF-1.7 x").await;
    let own = NuevoDespacho { destinos: vec![NUESTRA.into()], ..nuevo() };
    let refused = world.exchange.despachar(&Actor::local(), &ruc(NUESTRA), &own, Some(pdf), None).await;
    let Err(ExchangeError::Defectos(found)) = refused else { panic!("it is refused") };
    assert_eq!((found[0].campo, found[0].motivo.codigo()), ("destino", "no_valido"));
    assert!(found[0].texto.contains("la misma entidad que remite"));
}

#[tokio::test]
async fn a_directory_service_that_is_down_holds_up_only_what_needs_it() {
    let world = World::new().await;
    let down = || Err(PlatformError::new(Falla::TiempoAgotado, "sin respuesta"));
    world.platform.validations.lock().unwrap().extend((0..20).map(|_| down()));
    world.dispatch().await;
    for _ in 0..8 {
        assert!(world.run_next().await);
    }
    assert_eq!(world.exchange.health().allowance(world.exchange.now()).total, None, "the platform itself works");
}

#[tokio::test]
async fn a_category_that_comes_back_empty_loses_none_of_its_entities() {
    let world = World::new().await;
    *world.platform.listed.lock().unwrap() = Some(vec![ruc(OTRO_MAS)]);
    world.exchange.actualizar_directorio(&Actor::local()).await.unwrap();
    *world.platform.listed.lock().unwrap() = Some(vec![ruc(OTRA)]);
    world.platform.shifted.store(1, Ordering::SeqCst);
    let fetched = world.exchange.actualizar_directorio(&Actor::local()).await.unwrap();
    assert!(fetched.vigente(&ruc(OTRO_MAS)) && fetched.vigente(&ruc(OTRA)));
    assert!(fetched.ausentes.is_empty());
}

#[tokio::test]
async fn a_list_fetched_without_its_document_types_is_kept_with_the_known_ones() {
    let world = World::new().await;
    let known = world.exchange.actualizar_directorio(&Actor::local()).await.unwrap();
    world.platform.no_types.store(true, Ordering::SeqCst);
    *world.platform.listed.lock().unwrap() = Some(vec![ruc(OTRA), ruc(OTRO_MAS)]);
    let fetched = world.exchange.actualizar_directorio(&Actor::local()).await.unwrap();
    assert!(fetched.vigente(&ruc(OTRO_MAS)));
    assert_eq!(fetched.tipos_documento, known.tipos_documento);
}
