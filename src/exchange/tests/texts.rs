//! Texts that the catalogue does not know are counted and kept; a rule explains them and changes nothing that is sent.

use std::sync::Arc;

use super::world::*;
use crate::{
    domain::{
        EstadoDespacho, Falla,
        cargo::Respuesta,
        respuestas::{Operacion, Regla},
    },
    exchange::Exchange,
    store::{Job, JobKind},
};

fn ruled(world: &World, texto: &str, falla: Falla) -> Exchange {
    world.exchange.clone().with_rules(vec![Regla::nueva(texto, None, Some(falla)).unwrap()])
}

#[tokio::test]
async fn an_unknown_text_is_counted_told_and_survives_a_restart() {
    let world = World::new().await;
    for n in 0..3 {
        let said = Respuesta::nueva("-1", format!("Expediente {n} bloqueado"));
        world.exchange.entendida(Operacion::Recepcionar, &ruc(OTRA), &said);
    }
    let counted = |textos: Vec<crate::exchange::TextoListado>| -> Vec<(String, u64, Falla)> {
        textos.into_iter().map(|t| (t.texto, t.visto.veces, t.falla)).collect()
    };
    let expected = vec![("Expediente # bloqueado".to_owned(), 3, Falla::ErrorDeLaReceptora)];
    assert_eq!(counted(world.exchange.textos().await.unwrap()), expected, "before it is stored");
    world.exchange.store_texts(false).await;
    assert_eq!(counted(world.exchange.textos().await.unwrap()), expected, "counted once");
    // Another process on the same store knows nothing but what is stored.
    let fresh = ruled(&world, "expediente # bloqueado", Falla::Ocupada);
    let told = counted(fresh.textos().await.unwrap());
    assert_eq!(told, [("Expediente # bloqueado".to_owned(), 3, Falla::Ocupada)], "explained as the rule says");
}

#[tokio::test]
async fn the_same_text_again_is_stored_within_the_hour_and_a_new_one_within_half_a_minute() {
    let world = World::new().await;
    let stored = async || world.exchange.store().textos().await.unwrap().unwrap_or_default();
    let meets = |text: &str| {
        world.exchange.entendida(Operacion::Cargo, &ruc(OTRA), &Respuesta::nueva("9", text));
    };
    let seconds = std::time::Duration::from_secs;
    meets("uno");
    world.exchange.store_texts(false).await;
    assert_eq!(stored().await.version, 1);
    for wait in [31, 3000] {
        meets("uno");
        world.advance(seconds(wait));
        world.exchange.store_texts(false).await;
        assert_eq!(stored().await.version, 1, "a count alone waits");
    }
    meets("dos");
    world.exchange.store_texts(false).await;
    let now_is = stored().await;
    assert_eq!((now_is.version, now_is.textos.vistos["uno"].veces), (2, 3));
    world.exchange.store_texts(true).await;
    assert_eq!(stored().await.version, 2, "nothing is left");
}

#[tokio::test]
async fn a_rule_changes_the_explanation_and_nothing_that_is_sent() {
    let said = || Ok(Respuesta::nueva("-1", "Reenvíe el documento con otro asunto"));
    let mut calls = Vec::new();
    for falla in [None, Some(Falla::CampoNoValido), Some(Falla::Ocupada)] {
        let mut world = World::new().await;
        if let Some(falla) = falla {
            world.exchange = ruled(&world, "reenvíe*otro asunto", falla);
        }
        world.platform.sends.lock().unwrap().push_back(said());
        world.platform.consultas.lock().unwrap().push_back(Ok(told("0000", "P")));
        let id = world.dispatch().await;
        world.run_due().await;
        let job = world.exchange.store().job(Job::id_for(JobKind::Despachar, id)).await.unwrap().unwrap();
        assert_eq!(job.falla, Some(falla.unwrap_or(Falla::ErrorDeLaReceptora)));
        assert_eq!(world.despacho(id).await.estado, EstadoDespacho::PorConfirmar, "whatever the rule says");
        assert!(world.run_next().await);
        assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado);
        calls.push(Arc::clone(&world.platform).calls());
    }
    assert!(calls.iter().all(|other| *other == calls[0]), "{calls:?}");
}

#[tokio::test]
async fn a_rule_never_makes_another_cuo_be_asked_for() {
    let mut world = World::new().await;
    world.exchange = ruled(&world, "*duplicado*", Falla::ReceptoraNoRegistrada);
    world.platform.sends.lock().unwrap().push_back(Ok(Respuesta::nueva("0003", "Trámite duplicado")));
    let id = world.dispatch().await;
    world.run_due().await;
    let ended = world.despacho(id).await;
    assert_eq!((ended.estado, ended.falla), (EstadoDespacho::Fallido, Some(Falla::ReceptoraNoRegistrada)));
    assert_eq!(world.platform.calls(), ["cuo", "recepcionar 0000000001"]);
}
