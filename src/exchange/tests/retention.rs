//! What is kept, what is purged when its time comes, and what remains of it.

use std::time::Duration;

use super::world::{NUESTRA, OTRA, World, arrival, cargo, respuesta, ruc, told};
use crate::{
    domain::{Consulta, Cuo, Desenlace, EstadoDespacho, Id, cargo::Respuesta},
    exchange::{
        Actor, ExchangeError,
        retention::{Corrida, Politica},
    },
    store::{Record, StoreError},
};

const DAY: Duration = Duration::from_secs(86_400);
const PDF: &[u8] = b"%PDF-1.7 recibido";

async fn world(despachos: Option<u32>, recepciones: Option<u32>) -> World {
    let mut world = World::new().await;
    let days = |days: Option<u32>| days.map(|days| DAY * days);
    let politica = Politica { despachos: days(despachos), recepciones: days(recepciones), cada: DAY };
    world.exchange = world.exchange.clone().with_retention(politica);
    world
}

async fn purge(world: &World) -> Corrida {
    world.exchange.purgar(&Actor::local(), None, None, None).await.unwrap()
}

/// A document of ours that was sent and received.
async fn sent(world: &World) -> Id {
    let id = world.dispatch().await;
    world.run_due().await;
    world.collect(&cargo("1", "R"), b"%PDF-1.7 c").await;
    id
}

/// A document that arrived and whose cargo was delivered.
async fn received(world: &World) -> Id {
    world.receive(&arrival("0000000077"), PDF).await;
    let found = world.exchange.store().recepciones_by_cuo(&ruc(NUESTRA), &Cuo::parse("0000000077").unwrap()).await;
    let id = found.unwrap()[0].id;
    let pdf = world.stage(b"%PDF-1.7 cargo firmado").await;
    let answer = respuesta(Desenlace::Recepcionado);
    world.exchange.responder(&Actor::local(), None, id, &answer, Some(pdf)).await.unwrap();
    world.run_due().await;
    id
}

#[tokio::test]
async fn an_exchange_is_purged_when_its_time_has_come_and_leaves_hashes_and_no_names() {
    let world = world(Some(365), Some(365)).await;
    let (despacho, recepcion) = (sent(&world).await, received(&world).await);
    let before = world.despacho(despacho).await;
    world.advance(DAY * 364);
    assert_eq!(purge(&world).await.intercambios, 0, "a day before");
    world.advance(DAY * 2);
    let plan = world.exchange.planear_purga(None, None).await.unwrap();
    assert_eq!((plan.despachos.purgables, plan.recepciones.purgables, plan.siguiente), (1, 1, None));
    let done = purge(&world).await;
    assert_eq!((done.intercambios, done.siguiente), (2, None));
    assert_eq!(done.documentos, plan.despachos.documentos + plan.recepciones.documentos);
    assert_eq!(done.bytes, plan.despachos.bytes + plan.recepciones.bytes);

    let after = world.despacho(despacho).await;
    let purga = after.purga.as_deref().unwrap();
    assert_eq!(purga.corrida, done.id);
    assert_eq!(purga.terminado_en, before.actualizado_en);
    assert!(purga.borro(&before.documento.sha256));
    assert!(purga.borro(&before.cargo.as_ref().unwrap().documento.as_ref().unwrap().sha256));
    assert_eq!(
        (after.estado, after.cuo.clone(), &after.numero_registro),
        (before.estado, before.cuo, &before.numero_registro)
    );
    assert_eq!(after.documento.sha256, before.documento.sha256);
    let left = serde_json::to_string(&after).unwrap();
    for name in ["jperez", "40633367", "ANA", "JEFA", "Señal", "oficio.pdf"] {
        assert!(!left.contains(name), "{name} in {left}");
    }
    let gone = world.exchange.store().open_document(&before.documento.sha256).await.err().unwrap();
    assert!(matches!(gone, StoreError::Purged { .. }));
    for (id, told) in [(despacho, "despacho.purgado"), (recepcion, "recepcion.purgada")] {
        assert_eq!(world.history(id).await.last().unwrap(), told);
    }
    assert_eq!(purge(&world).await.intercambios, 0, "once");
    let certificate = after.certificado().unwrap();
    for part in ["CERTIFICADO DE PURGA", "retention.despachos: 365 días", before.documento.sha256.as_str()] {
        assert!(certificate.contains(part), "{certificate}");
    }
    let verified = world.exchange.store().verify().await.unwrap();
    assert_eq!((verified.damage, verified.purged > 3), (vec![], true));
}

#[tokio::test]
async fn what_has_not_ended_is_held_or_has_no_rule_is_left_alone_and_counted() {
    let world = world(Some(30), None).await;
    let (held, open) = (sent(&world).await, world.stuck_send());
    world.exchange.bloquear(&Actor::local(), None, held, "Proceso 12-2026").await.unwrap();
    let mut second = super::world::nuevo();
    second.numero_registro = Some("2026-000124".into());
    let open = {
        drop(open);
        world.dispatch_as(second).await
    };
    let received = received(&world).await;
    world.advance(DAY * 400);
    let plan = world.exchange.planear_purga(None, None).await.unwrap();
    assert_eq!((plan.despachos.bloqueados, plan.despachos.no_terminados, plan.despachos.purgables), (1, 1, 0));
    assert_eq!((plan.recepciones.sin_plazo, plan.recepciones.purgables), (1, 0));
    assert_eq!(purge(&world).await.intercambios, 0);
    world.exchange.desbloquear(&Actor::local(), None, held, "Archivado").await.unwrap();
    assert_eq!(purge(&world).await.intercambios, 1, "a hold does not make it younger");
    assert!(world.despacho(open).await.purga.is_none());
    assert!(world.recepcion(received).await.purga.is_none());
    let late = world.exchange.bloquear(&Actor::local(), None, held, "x").await;
    assert!(matches!(late, Err(ExchangeError::Estado(why)) if why.contains("Ya fue purgado")));
}

#[tokio::test]
async fn an_entity_purges_its_own_and_a_document_passed_on_stays_for_who_still_has_it() {
    let world = world(Some(365), Some(30)).await;
    let received = received(&world).await;
    let mut on = super::world::nuevo();
    on.contenido = crate::domain::Contenido::Ausente;
    let passed = world.exchange.derivar(&Actor::local(), None, received, &on, None).await.unwrap()[0].clone();
    world.advance(DAY * 40);
    assert_eq!(world.exchange.purgar(&Actor::local(), Some(&ruc(OTRA)), None, None).await.unwrap().intercambios, 0);
    assert_eq!(purge(&world).await.intercambios, 1);
    let purged = world.recepcion(received).await;
    let main = &purged.purga.as_deref().unwrap().documentos[0];
    assert!(main.compartido && main.sha256 == passed.documento.sha256);
    assert_eq!(world.bytes(&passed.documento).await, PDF);
    let again = world.exchange.derivar(&Actor::local(), None, received, &on, None).await;
    assert!(matches!(again, Err(ExchangeError::Estado(why)) if why.contains("purgado")));
}

#[tokio::test]
async fn annexes_go_with_their_document_and_a_late_word_about_them_keeps_nothing() {
    let mut world = world(Some(30), None).await;
    world.exchange = world.exchange.clone().with_anexos(Some("https://entidad.gob.pe"));
    let with_annex = |numero: &str, annex| crate::exchange::NuevoDespacho {
        numero_registro: Some(numero.into()),
        anexos: vec![Some("plano.dwg".into())],
        archivos: vec![annex],
        ..super::world::nuevo()
    };
    let annex = world.stage(b"un plano").await;
    let id = world.dispatch_as(with_annex("1", annex.clone())).await;
    world.run_due().await;
    world.collect(&cargo("1", "R"), b"%PDF-1.7 c").await;
    let before = world.despacho(id).await;
    world.advance(DAY * 31);
    assert_eq!(purge(&world).await.intercambios, 1);
    assert!(world.despacho(id).await.purga.unwrap().borro(&annex.sha256));
    assert!(world.exchange.store().named(&annex.sha256).await.unwrap().is_none());
    // Somebody had begun to download it.
    world.exchange.anexo_descargado(&before, 1, None).await.unwrap();
    let again = world.dispatch_as(with_annex("2", annex.clone())).await;
    let named = world.exchange.store().named(&annex.sha256).await.unwrap().unwrap();
    assert_eq!((named.by, named.bytes), (vec![again], 8));
}

#[tokio::test]
async fn a_failed_one_that_may_have_arrived_stays_until_its_receiver_said_that_it_does_not_have_it() {
    let world = world(Some(30), None).await;
    world
        .platform
        .sends
        .lock()
        .unwrap()
        .push_back(Ok(Respuesta::nueva("0003", "asunto de documento excede el tamaño permitido")));
    let refused = world.dispatch().await;
    world.run_due().await;
    let failed = world.despacho(refused).await;
    assert_eq!((failed.estado, failed.intentos), (EstadoDespacho::Fallido, 1));
    // One that never began cannot have arrived.
    let mut second = super::world::nuevo();
    second.numero_registro = Some("2026-000125".into());
    let withdrawn = world.dispatch_as(second).await;
    world.exchange.retirar(&Actor::local(), None, withdrawn, "ya no").await.unwrap();
    world.advance(DAY * 40);
    assert_eq!(purge(&world).await.intercambios, 1);
    assert!(world.despacho(withdrawn).await.purga.is_some() && world.despacho(refused).await.purga.is_none());
    let plan = world.exchange.planear_purga(None, None).await.unwrap();
    assert_eq!(plan.despachos.no_terminados, 1);
    // Had it arrived, its cargo would be taken even now. Its receiver says that it did not.
    world.platform.consultas.lock().unwrap().push_back(Ok(told("0001", "")));
    world.exchange.consultar(None, refused).await.unwrap();
    assert_eq!(world.history(refused).await.last().unwrap(), "despacho.no_llego");
    assert_eq!(purge(&world).await.intercambios, 1);
}

#[tokio::test]
async fn what_facts_told_of_an_exchange_before_its_purge_is_not_told_any_more() {
    let world = world(Some(30), Some(30)).await;
    let (gone, stays) = (sent(&world).await, received(&world).await);
    world.exchange.bloquear(&Actor::local(), None, stays, "Proceso 12").await.unwrap();
    world.exchange.bloquear(&Actor::local(), None, gone, "Proceso de Juan").await.unwrap();
    world.exchange.desbloquear(&Actor::local(), None, gone, "Archivado").await.unwrap();
    let words = async |id| {
        let facts = world.exchange.store().facts_of(id).await.unwrap();
        let told = world.exchange.se_cuentan(&facts).await.unwrap();
        let told = facts.iter().zip(told).filter(|(at, told)| *told && at.fact.detalle.is_some());
        told.map(|(at, _)| at.fact.tipo.clone()).collect::<Vec<_>>()
    };
    let before = words(gone).await;
    assert!(before.contains(&"despacho.bloqueado".to_owned()), "{before:?}");
    let others = words(stays).await;
    world.advance(DAY * 40);
    assert_eq!(purge(&world).await.intercambios, 1);
    assert_eq!(words(gone).await, ["despacho.purgado"]);
    assert_eq!(words(stays).await, others);
    assert!(others.contains(&"recepcion.bloqueada".to_owned()), "{others:?}");
}

#[tokio::test]
async fn an_entity_pages_through_its_own_and_learns_no_others_id() {
    let world = world(Some(30), Some(30)).await;
    let ids = [sent(&world).await, received(&world).await];
    world.advance(DAY * 40);
    assert_eq!(purge(&world).await.intercambios, 2);
    let page = async |of, after| {
        let page = world.exchange.purgados(Some(&ruc(of)), after, 1).await.unwrap();
        (page.items.iter().map(Record::id).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(page(OTRA, None).await, (vec![], None), "nothing, and no cursor of ours");
    assert_eq!(page(NUESTRA, None).await, (vec![ids[0]], Some(ids[0])));
    assert_eq!(page(NUESTRA, Some(ids[0])).await, (vec![ids[1]], None));
}

#[tokio::test]
async fn the_other_side_is_answered_as_before_about_what_was_purged() {
    let world = world(Some(30), Some(30)).await;
    sent(&world).await;
    received(&world).await;
    world.advance(DAY * 31);
    assert_eq!(purge(&world).await.intercambios, 2);
    let repeated = world.receive(&arrival("0000000077"), PDF).await;
    assert_eq!(repeated.0, "0000");
    assert_eq!(world.receive(&arrival("0000000077"), b"%PDF-1.7 otro").await.0, "0003");
    let repeated = world.collect(&cargo("1", "R"), b"%PDF-1.7 c").await;
    assert_eq!((repeated.0.as_str(), repeated.1.as_str()), ("0000", "EL CARGO YA SE ENCUENTRA REGISTRADO"));
    assert_eq!(world.collect(&cargo("1", "R"), b"%PDF-1.7 otro").await.0, "0002");
    let consulta = Consulta { cuo: Some("0000000077".into()), ..Consulta::default() };
    let told = world.exchange.responder_consulta(&consulta).await;
    assert_eq!(told.respuesta.respuesta.codigo(), "0000");
    assert_eq!((told.respuesta.cargo.estado.as_deref(), told.documento.is_none()), (Some("R"), true));
    // What came with the repetitions is not kept.
    let verified = world.exchange.store().verify().await.unwrap();
    assert_eq!(verified.damage, Vec::<String>::new());
}

#[tokio::test]
async fn the_daemon_purges_at_its_hours_in_parts() {
    let world = world(None, Some(30)).await;
    for n in 0..70 {
        let cuo = format!("{:010}", 100 + n);
        world.receive(&arrival(&cuo), format!("%PDF-1.7 {n}").as_bytes()).await;
        let found = world.exchange.store().recepciones_by_cuo(&ruc(NUESTRA), &Cuo::parse(&cuo).unwrap()).await.unwrap();
        let pdf = world.stage(format!("%PDF-1.7 cargo {n}").as_bytes()).await;
        let answer = respuesta(Desenlace::Recepcionado);
        world.exchange.responder(&Actor::local(), None, found[0].id, &answer, Some(pdf)).await.unwrap();
    }
    while world.run_due().await > 0 {}
    world.advance(DAY * 31);
    let first = purge(&world).await;
    assert_eq!(first.intercambios, 64);
    assert!(first.siguiente.is_some());
    let rest = world.exchange.purgar(&Actor::local(), None, Some(first.id), first.siguiente).await.unwrap();
    assert_eq!((rest.id, rest.intercambios, rest.siguiente), (first.id, 6, None));
    let purged = world.exchange.purgados(None, None, 100).await.unwrap();
    assert_eq!(purged.items.iter().filter_map(Record::purga).filter(|p| p.corrida == first.id).count(), 70);
}
