//! A service whose data were put back from a copy.

use super::world::*;
use crate::{
    domain::EstadoDespacho,
    exchange::{NuevoDespacho, reconcile::Conciliado},
    store::JobKind,
};

#[tokio::test]
async fn what_may_have_been_sent_since_the_copy_is_held_and_the_rest_is_asked_about() {
    let world = World::new().await;
    let numbered = |number: &str| NuevoDespacho { numero_registro: Some(number.into()), ..nuevo() };
    let stuck = world.stuck_send().await;
    let sent = world.dispatch_as(numbered("2026-000776")).await;
    world.run_due().await;
    assert_eq!(world.despacho(sent).await.estado, EstadoDespacho::Enviado);
    let waiting = world.dispatch_as(numbered("2026-000777")).await;
    let at = world.exchange.now();
    let done = world.exchange.conciliar("copia-1", at).await.unwrap();
    assert_eq!(done, Conciliado { retenidos: 1, por_preguntar: 1 });
    let job = world.exchange.trabajo(None, waiting).await.unwrap().job;
    assert_eq!((job.kind, job.muerto_en.is_some()), (JobKind::Despachar, true));
    assert!(job.ultimo_error.unwrap().contains("pudo enviarse después"));
    let asked = world.exchange.trabajo(None, sent).await.unwrap().job;
    assert_eq!((asked.kind, asked.proximo_en), (JobKind::PreguntarCargo, world.exchange.now()));
    // Its record says that a send began: the worker asks before it sends.
    let begun = world.exchange.trabajo(None, stuck).await.unwrap().job;
    assert!(begun.muerto_en.is_none());
    assert_eq!(world.exchange.conciliar("copia-1", at).await.unwrap().retenidos, 0, "once more changes nothing");
}
