//! Documents that arrive, and questions about them: the rows of CONTRACT §6.

use super::world::*;
use crate::{
    domain::{Consulta, Contenido, Desenlace, EstadoRecepcion, validation::Rigor},
    exchange::Actor,
    store::{Cursor, Listing},
};

const GUARDADO: &str = "El documento N° CUO 0000000019 se encuentra a disposición para la recepción formal de la entidad \
                        destinataria NUESTRA ENTIDAD en los horarios de atención de su Mesa de Partes.";

async fn only(world: &World) -> crate::domain::Recepcion {
    let listing = Listing { entidad: ruc(NUESTRA), estado: None, after: None, limit: 10 };
    let mut page = world.exchange.store().recepciones(listing).await.unwrap();
    assert_eq!(page.items.len(), 1, "stored once");
    page.items.remove(0)
}

fn answer(code: &str, text: &str) -> (String, String) {
    (code.into(), text.into())
}

#[tokio::test]
async fn a_new_document_is_stored_whole_and_answered_0000() {
    let world = World::new().await;
    let tramite = arrival("0000000019");
    assert_eq!(world.receive(&tramite, b"%PDF-1.7 x").await, answer("0000", GUARDADO));
    let stored = only(&world).await;
    assert_eq!((stored.estado, stored.asunto.as_str()), (EstadoRecepcion::Pendiente, "Asunto"));
    assert_eq!(stored.fecha_presentacion.to_string(), "2026-11-20");
    assert_eq!(world.bytes(&stored.documento).await, b"%PDF-1.7 x");
    assert_eq!(world.history(stored.id).await, ["recepcion.recibida"]);
}

#[tokio::test]
async fn the_same_cuo_again_with_the_same_content_is_answered_0000_and_stored_once() {
    let world = World::new().await;
    for cuo in ["0000000019", "0000000019", "19"] {
        assert_eq!(world.receive(&arrival(cuo), b"%PDF-1.7 x").await, answer("0000", GUARDADO));
    }
    only(&world).await;
}

#[tokio::test]
async fn the_same_cuo_with_other_content_is_answered_0003() {
    let world = World::new().await;
    world.receive(&arrival("0000000019"), b"%PDF-1.7 x").await;
    let mut other = arrival("0000000019");
    assert_eq!(world.receive(&other, b"%PDF-1.7 y").await, answer("0003", "CUO no valido"));
    other.asunto = Some("Otro".into());
    assert_eq!(world.receive(&other, b"%PDF-1.7 x").await, answer("0003", "CUO no valido"));
    only(&world).await;
}

#[tokio::test]
async fn the_same_document_arriving_many_times_at_once_is_stored_once() {
    let world = World::new().await;
    let tramite = arrival("0000000019");
    let all = futures_util::future::join_all((0..20).map(|_| world.receive(&tramite, b"%PDF-1.7 x"))).await;
    assert!(all.iter().all(|a| a.0 == "0000"), "{all:?}");
    only(&world).await;
}

#[tokio::test]
async fn what_makes_a_document_useless_refuses_it_and_leaves_nothing() {
    let world = World::new().await;
    type Change = fn(&mut crate::domain::Tramite);
    let cases: [(Change, &str); 5] = [
        (|t| t.cuo = None, "CUO no especificado"),
        (|t| t.ruc_receptor = Some(OTRA.into()), "RUC de entidad receptora no se encuentra registrada"),
        (|t| t.ruc_remitente = None, "RUC de la entidad remitente no especificado"),
        (|t| t.contenido = Contenido::NoPdf, "El Documento Principal no es un archivo PDF válido"),
        (|t| t.contenido = Contenido::Ausente, "No existe Documento PDF Principal"),
    ];
    for (change, text) in cases {
        let mut tramite = arrival("0000000019");
        change(&mut tramite);
        assert_eq!(in_words(&world.exchange.recibir(&tramite, None, None).await), answer("0003", text));
    }
    assert!(world.exchange.store().facts(Cursor::default(), None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_document_with_lesser_defects_is_kept_and_flagged_or_refused_when_strict() {
    let mut tramite = arrival("0000000019");
    tramite.asunto = Some("x".repeat(501));
    tramite.numero_identidad = Some("123456789".into());
    let lenient = World::new().await;
    assert_eq!(lenient.receive(&tramite, b"%PDF-1.7 x").await.0, "0000");
    let kept = only(&lenient).await;
    assert_eq!(kept.asunto.len(), 501);
    assert_eq!(kept.advertencias.len(), 2);
    let strict = World::with(Rigor::Strict).await;
    assert_eq!(strict.receive(&tramite, b"%PDF-1.7 x").await.0, "0003");
}

async fn ask(world: &World, cuo: &str) -> crate::exchange::ConsultaRespondida {
    let consulta = Consulta { cuo: Some(cuo.into()), ..Consulta::default() };
    world.exchange.responder_consulta(&consulta).await
}

#[tokio::test]
async fn a_consulta_tells_the_state_and_brings_the_cargo() {
    let world = World::new().await;
    let unknown = ask(&world, "0000000019").await;
    assert_eq!(in_words(&unknown.respuesta.respuesta), answer("0001", "DATOS NO ENCONTRADOS"));
    world.receive(&arrival("0000000019"), b"%PDF-1.7 x").await;
    let pending = ask(&world, "19").await.respuesta;
    assert_eq!(in_words(&pending.respuesta), answer("0000", "DATOS ENCONTRADOS"));
    assert_eq!((pending.cargo.estado.as_deref(), pending.cargo.numero_registro), (Some("P"), None));

    let id = only(&world).await.id;
    let pdf = world.stage(b"%PDF-1.7 cargo").await;
    let answered = respuesta(Desenlace::Observado);
    world.exchange.responder(&Actor::local(), None, id, &answered, Some(pdf)).await.unwrap();
    let told = ask(&world, "0000000019").await;
    let cargo = &told.respuesta.cargo;
    assert_eq!(cargo.estado.as_deref(), Some("O"));
    assert_eq!(cargo.observacion.as_deref(), Some("Falta la firma"));
    assert_eq!(cargo.numero_registro.as_deref(), Some("1234"));
    assert_eq!(cargo.fecha_registro.as_deref(), Some("2026-11-20T10:00:00-05:00"));
    let mut pdf = told.documento.unwrap();
    assert_eq!(pdf.next().await.unwrap().unwrap().as_ref(), b"%PDF-1.7 cargo");
}
