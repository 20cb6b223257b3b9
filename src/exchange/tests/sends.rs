//! CONTRACT §7: sending without loss and without duplicates.

use std::time::Duration;

use super::world::*;
use crate::{
    domain::{EstadoDespacho, Falla, cargo::Respuesta},
    exchange::PlatformError,
};

/// How many times a document left.
fn sends(world: &World) -> usize {
    world.platform.calls().iter().filter(|c| c.starts_with("recepcionar")).count()
}

#[tokio::test]
async fn a_document_goes_out_and_is_enviado() {
    let world = World::new().await;
    let id = world.dispatch().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Pendiente);
    assert_eq!(world.run_due().await, 1);
    let sent = world.despacho(id).await;
    assert_eq!((sent.estado, sent.cuo.unwrap().as_str()), (EstadoDespacho::Enviado, "0000000001"));
    assert_eq!(
        world.history(id).await,
        ["despacho.registrado", "despacho.cuo_asignado", "despacho.envio_iniciado", "despacho.enviado"]
    );
    assert_eq!(world.run_due().await, 0, "nothing is due");
}

#[tokio::test]
async fn cuo_and_beginning_are_on_record_before_the_send() {
    let world = World::new().await;
    let id = world.dispatch().await;
    let store = world.exchange.store().clone();
    let (tell, told) = tokio::sync::oneshot::channel();
    *world.platform.during_send.lock().unwrap() = Some(Box::new(move |cuo| {
        Box::pin(async move {
            let on_record = store.despacho(id).await.unwrap().unwrap();
            tell.send((on_record.estado, on_record.cuo.unwrap().as_str() == cuo)).unwrap();
        })
    }));
    world.run_due().await;
    assert_eq!(told.await.unwrap(), (EstadoDespacho::Enviando, true));
}

#[tokio::test]
async fn after_any_unclear_end_it_asks_and_does_not_send_again() {
    let ends: Vec<Answer> = vec![
        Err(unclear("se agotó el tiempo")),
        Ok(Respuesta::default()),
        Ok(Respuesta::nueva("", "")),
        Ok(Respuesta::nueva("-1", "error")),
        Ok(Respuesta::nueva("9999", "¿?")),
        Ok(Respuesta::nueva("0001", "no")),
    ];
    for end in ends {
        let world = World::new().await;
        world.platform.sends.lock().unwrap().push_back(end.clone());
        world.platform.consultas.lock().unwrap().push_back(Ok(told("0000", "P")));
        let id = world.dispatch().await;
        world.run_due().await;
        let unclear = world.despacho(id).await;
        assert_eq!(unclear.estado, EstadoDespacho::PorConfirmar, "{end:?}");
        assert!(unclear.ultimo_error.is_some());
        assert_eq!(world.run_due().await, 0, "it waits before it asks");
        world.run_next().await;
        assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado);
        assert_eq!(world.platform.calls(), ["cuo", "recepcionar 0000000001", "consultar 0000000001"], "{end:?}");
    }
}

#[tokio::test]
async fn a_clear_not_found_sends_again_with_the_same_cuo() {
    let world = World::new().await;
    world.platform.sends.lock().unwrap().push_back(Err(unclear("conexión cortada")));
    let id = world.dispatch().await;
    world.run_due().await;
    world.run_next().await;
    let sent = world.despacho(id).await;
    assert_eq!((sent.estado, sent.intentos), (EstadoDespacho::Enviado, 2));
    assert_eq!(
        world.platform.calls(),
        ["cuo", "recepcionar 0000000001", "consultar 0000000001", "recepcionar 0000000001"]
    );
}

#[tokio::test]
async fn an_unclear_consulta_waits_and_asks_again_never_sending() {
    let world = World::new().await;
    world.platform.sends.lock().unwrap().push_back(Ok(Respuesta::nueva("-1", "error")));
    let answers = [Err(unclear("HTML")), Ok(told("-1", "")), Ok(told("", "")), Ok(told("0000", "E"))];
    world.platform.consultas.lock().unwrap().extend(answers);
    let id = world.dispatch().await;
    world.run_due().await;
    for _ in 0..4 {
        assert_eq!(world.despacho(id).await.estado, EstadoDespacho::PorConfirmar);
        assert!(world.run_next().await);
    }
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado);
    assert_eq!(sends(&world), 1);
}

#[tokio::test]
async fn a_consulta_that_tells_the_outcome_brings_the_cargo() {
    let world = World::new().await;
    world.platform.sends.lock().unwrap().push_back(Err(unclear("tiempo agotado")));
    let answered = Told { codigo: "0000", estado: "R", pdf: Some(b"%PDF-1.7 cargo".to_vec()) };
    world.platform.consultas.lock().unwrap().push_back(Ok(answered));
    let id = world.dispatch().await;
    world.run_due().await;
    world.run_next().await;
    let closed = world.despacho(id).await;
    assert_eq!(closed.estado, EstadoDespacho::Recepcionado);
    let cargo = closed.cargo.unwrap();
    assert_eq!(cargo.numero_registro.as_deref(), Some("77"));
    assert_eq!(world.bytes(&cargo.documento.unwrap()).await, b"%PDF-1.7 cargo");
    assert!(!world.run_next().await);
}

#[tokio::test]
async fn a_refused_cuo_is_replaced_and_kept_in_the_history() {
    let world = World::new().await;
    world.platform.sends.lock().unwrap().push_back(Ok(Respuesta::nueva("0003", "CUO no valido")));
    let id = world.dispatch().await;
    world.run_due().await;
    world.run_next().await;
    let sent = world.despacho(id).await;
    assert_eq!((sent.estado, sent.cuo.unwrap().as_str()), (EstadoDespacho::Enviado, "0000000002"));
    assert_eq!(sent.cuos_anteriores[0].as_str(), "0000000001");
    assert_eq!(world.platform.calls(), ["cuo", "recepcionar 0000000001", "cuo", "recepcionar 0000000002"]);
}

#[tokio::test]
async fn a_cuo_refused_after_an_unclear_send_is_asked_about_before_a_new_one_is_taken() {
    let world = World::new().await;
    let ends = [Err(unclear("tiempo agotado")), Ok(Respuesta::nueva("0003", "CUO no válido"))];
    world.platform.sends.lock().unwrap().extend(ends);
    world.platform.consultas.lock().unwrap().extend([Ok(told("0001", "")), Ok(told("0000", "P"))]);
    let id = world.dispatch().await;
    world.run_due().await;
    world.run_next().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado, "the first send had arrived after all");
    assert_eq!(sends(&world), 2);
    assert_eq!(world.platform.calls().iter().filter(|c| *c == "cuo").count(), 1);
}

#[tokio::test]
async fn a_platform_that_refuses_every_cuo_ends_in_fallido() {
    let world = World::new().await;
    world.platform.sends.lock().unwrap().extend((0..9).map(|_| Ok(Respuesta::nueva("0003", "CUO no valido"))));
    let id = world.dispatch().await;
    while world.run_next().await {}
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Fallido);
    assert_eq!(sends(&world), 3);
}

#[tokio::test]
async fn a_refused_field_is_fallido_with_the_platforms_words() {
    let world = World::new().await;
    let refusal = Respuesta::nueva("0003", "RUC de entidad receptora no se encuentra registrada");
    world.platform.sends.lock().unwrap().push_back(Ok(refusal));
    let id = world.dispatch().await;
    world.run_due().await;
    let failed = world.despacho(id).await;
    assert_eq!(failed.estado, EstadoDespacho::Fallido);
    assert!(failed.ultimo_error.unwrap().contains("no se encuentra registrada"));
    assert!(!world.run_next().await);
}

#[tokio::test]
async fn a_connection_that_was_never_made_sends_again_without_asking() {
    let world = World::new().await;
    let refused = PlatformError::new(Falla::SinConexion, "rechazada");
    world.platform.sends.lock().unwrap().push_back(Err(refused));
    let id = world.dispatch().await;
    world.run_due().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Pendiente);
    world.run_next().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado);
    assert_eq!(world.platform.calls(), ["cuo", "recepcionar 0000000001", "recepcionar 0000000001"]);
}

#[tokio::test]
async fn a_cargo_that_comes_while_the_send_is_under_way_closes_it() {
    let world = World::new().await;
    let id = world.dispatch().await;
    let exchange = world.exchange.clone();
    *world.platform.during_send.lock().unwrap() = Some(Box::new(move |cuo| {
        Box::pin(async move {
            let mut writer = exchange.stage();
            writer.write(b"%PDF-1.7 cargo").await.unwrap();
            let pdf = writer.finish().await.unwrap();
            let answer = exchange.recibir_cargo(&cargo(&cuo, "R"), Some(pdf), None).await;
            assert_eq!(answer.codigo(), "0000");
        })
    }));
    world.platform.sends.lock().unwrap().push_back(Err(unclear("conexión cortada")));
    world.run_due().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Recepcionado);
    while world.run_next().await {}
    assert_eq!(sends(&world), 1, "nothing was sent again");
}

#[tokio::test]
async fn a_send_that_a_crash_interrupted_is_asked_about() {
    let world = World::new().await;
    let id = world.stuck_send().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviando);
    world.platform.consultas.lock().unwrap().push_back(Ok(told("0000", "P")));
    world.advance(Duration::from_secs(3600)); // the lease runs out
    world.run_due().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado);
    assert_eq!(sends(&world), 1);
}
