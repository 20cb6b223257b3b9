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
    let sent = world.dispatch().await;
    assert_eq!(world.run_due().await, 1);
    assert_eq!(world.despacho(sent).await.estado, EstadoDespacho::Enviado);
    let stuck = world.stuck_send().await;
    let waiting = world.dispatch_as(NuevoDespacho { numero_registro: "2026-000777".into(), ..nuevo() }).await;
    let at = world.exchange.now();
    let done = world.exchange.conciliar("copia-1", at).await.unwrap();
    assert_eq!(done, Conciliado { retenidos: 1, por_preguntar: 1 });
    let before = world.platform.calls();
    while world.run_next().await {
        if world.platform.calls().len() > before.len() + 8 {
            break;
        }
    }
    let calls = world.platform.calls();
    let since = &calls[before.len()..];
    // The one that was on its way is asked about before anything is sent, and the one that had not begun is let lie.
    let stuck_cuo = world.despacho(stuck).await.cuo.unwrap().to_string();
    let first_of = |cuo: &str| since.iter().find(|call| call.ends_with(cuo)).cloned();
    assert_eq!(first_of(&stuck_cuo), Some(format!("consultar {stuck_cuo}")), "{since:?}");
    assert_eq!(world.despacho(waiting).await.estado, EstadoDespacho::Pendiente);
    let job = world.exchange.trabajo(None, waiting).await.unwrap();
    assert_eq!((job.job.kind, job.job.muerto_en.is_some()), (JobKind::Despachar, true));
    assert!(job.job.ultimo_error.unwrap().contains("pudo enviarse después"));
    // Once more changes nothing.
    assert_eq!(world.exchange.conciliar("copia-1", at).await.unwrap().retenidos, 0);
}
