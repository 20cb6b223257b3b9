//! Every row of CONTRACT §6's table.

use super::*;
use crate::soap::conversation::{Conversacion, Sentido};

const STORED: &str = "El documento N° CUO 0000000019 se encuentra a disposición para la recepción formal de la entidad \
    destinataria MUNICIPALIDAD DISTRITAL DE EJEMPLO en los horarios de atención de su Mesa de Partes.";

fn said(code: &str, text: &str) -> (String, String) {
    (code.to_owned(), text.to_owned())
}

#[tokio::test]
async fn a_new_document_is_stored_whole_and_answered_0000() {
    for size in [5_000, LARGE] {
        let world = world();
        assert_eq!(world.recepcionar(&documento(), &pdf(size)).await, said("0000", STORED));
        let stored = &world.arrivals(CUO).await[0];
        assert_eq!(stored.asunto, "Año \"fiscal\" & <otros>");
        assert_eq!(stored.documento.bytes, size as u64);
        assert!(world.document(&stored.documento.sha256).await == pdf(size));
        assert_eq!(world.on_disk().0, 0, "nothing is left where documents are taken in");
    }
}

#[tokio::test]
async fn a_repeated_document_is_answered_the_same_and_stored_once() {
    let world = world();
    for _ in 0..3 {
        assert_eq!(world.recepcionar(&documento(), &pdf(LARGE)).await, said("0000", STORED));
    }
    assert_eq!(world.arrivals(CUO).await.len(), 1);
    assert_eq!(world.on_disk(), (0, 1, world.on_disk().2));
}

#[tokio::test]
async fn the_same_cuo_with_other_content_is_refused() {
    let world = world();
    world.recepcionar(&documento(), &pdf(5000)).await;
    let another = Tramite { asunto: Some("Otro".into()), ..documento() };
    assert_eq!(world.recepcionar(&another, &pdf(5000)).await, said("0003", "CUO no valido"));
    assert_eq!(world.recepcionar(&documento(), &pdf(5001)).await, said("0003", "CUO no valido"));
    assert_eq!(world.arrivals(CUO).await.len(), 1);
}

#[tokio::test]
async fn a_wrong_field_is_answered_0003_with_its_sentence_and_nothing_is_kept() {
    let world = world();
    let before = world.on_disk();
    let stranger = Tramite { ruc_receptor: Some("20131312955".into()), ..documento() };
    let expected = said("0003", "RUC de entidad receptora no se encuentra registrada");
    assert_eq!(world.recepcionar(&stranger, &pdf(LARGE)).await, expected);
    let no_cuo = Tramite { cuo: None, ..documento() };
    assert_eq!(world.recepcionar(&no_cuo, &pdf(LARGE)).await, said("0003", "CUO no especificado"));
    for (text, sentence) in [
        (String::new(), "No existe Documento PDF Principal"),
        ("¡esto no!".into(), "El Documento Principal debe estar codificado en Base64"),
        (base64(base64(pdf(LARGE))).replace('A', "*"), "El Documento Principal debe estar codificado en Base64"),
        (base64(base64(vec![b'x'; LARGE])), "El Documento Principal no es un archivo PDF válido"),
        (base64(vec![0xff; 5000]), "El Documento Principal debe estar codificado en Base64"),
        (base64(base64(pdf(DOCUMENT_MAX as usize + 1))), "El Documento principal excede el tamaño permitido"),
    ] {
        let whole = wire(tramite::recepcionar(&documento(), Some(0)).message, &[]).await;
        let whole = String::from_utf8(whole).unwrap().replace("<bpdfdoc>", &format!("<bpdfdoc>{text}"));
        let answer = world.xml(whole).await;
        assert_eq!(answer.respuesta(Operation::Recepcionar).await, said("0003", sentence));
    }
    assert_eq!(world.arrivals(CUO).await, []);
    assert_eq!(world.on_disk(), before);
}

#[tokio::test]
async fn a_document_encoded_once_is_accepted_and_counted() {
    let world = world();
    let whole = wire(tramite::recepcionar(&documento(), Some(0)).message, &[]).await;
    let once = base64(pdf(5000));
    let whole = String::from_utf8(whole).unwrap().replace("<bpdfdoc>", &format!("<bpdfdoc>{once}"));
    assert_eq!(world.xml(whole).await.respuesta(Operation::Recepcionar).await, said("0000", STORED));
    assert!(world.document(&world.arrivals(CUO).await[0].documento.sha256).await == pdf(5000));
    assert!(world.tolerated("encoded_once"));
}

#[tokio::test]
async fn a_cargo_for_a_sent_document_is_stored_and_closes_it() {
    for sucesos in [vec![World::begun()], vec![World::begun(), Suceso::Aceptado]] {
        let world = world();
        let despacho = world.despacho(sucesos).await;
        let answered = world.cargo(&su_cargo(), &pdf(LARGE)).await;
        assert_eq!(answered, said("0000", "RECEPCION DE CARGO EXITOSO"));
        let now = world.exchange.store().despacho(despacho.id).await.unwrap().unwrap();
        assert_eq!(now.estado.letra(), "R");
        let cargo = now.cargo.unwrap();
        assert_eq!((cargo.desenlace, cargo.numero_registro.as_deref()), (Desenlace::Recepcionado, Some("2026-000777")));
        assert!(world.document(&cargo.documento.unwrap().sha256).await == pdf(LARGE));
    }
}

#[tokio::test]
async fn a_cargo_that_comes_again_is_known_and_another_one_is_refused() {
    let world = world();
    world.despacho(vec![World::begun(), Suceso::Aceptado]).await;
    let observed = CargoTramite { estado: Some("O".into()), observacion: Some("Falta el anexo".into()), ..su_cargo() };
    world.cargo(&observed, &pdf(2000)).await;
    let on_disk = world.on_disk();
    let known = "EL CARGO YA SE ENCUENTRA REGISTRADO";
    assert_eq!(world.cargo(&observed, &pdf(2000)).await, said("0000", known));
    assert_eq!(world.cargo(&observed, &pdf(LARGE)).await, said("0002", known));
    assert_eq!(world.cargo(&su_cargo(), &pdf(2000)).await, said("0002", known));
    assert_eq!(world.on_disk(), on_disk);
}

#[tokio::test]
async fn a_cargo_nobody_waits_for_is_not_registered() {
    let world = world();
    assert_eq!(world.cargo(&su_cargo(), &pdf(LARGE)).await, said("-1", "NO SE PUDO REGISTRAR EL CARGO"));
    world.despacho(vec![Suceso::Anulado]).await;
    assert_eq!(world.cargo(&su_cargo(), &pdf(LARGE)).await, said("-1", "NO SE PUDO REGISTRAR EL CARGO"));
    assert_eq!((world.on_disk().0, world.on_disk().1), (0, 0));
}

#[tokio::test]
async fn a_wrong_field_of_a_cargo_is_answered_0003() {
    let world = world();
    world.despacho(vec![World::begun()]).await;
    let stateless = CargoTramite { estado: None, ..su_cargo() };
    assert_eq!(world.cargo(&stateless, &pdf(900)).await, said("0003", "Código de Estado no especificado"));
    let odd = CargoTramite { estado: Some("X".into()), ..su_cargo() };
    assert_eq!(world.cargo(&odd, &pdf(900)).await, said("0003", "Código de Estado inválido"));
    let expected = said("0003", "El Documento de registro de tramite no es un archivo PDF valido");
    assert_eq!(world.cargo(&su_cargo(), b"no es un PDF, pero es largo").await, expected);
}

#[tokio::test]
async fn a_question_is_answered_with_the_state_and_the_cargo() {
    let world = world();
    let (unknown, _) = world.consultar(CUO).await;
    assert_eq!(unknown.respuesta, Respuesta::nueva("0001", "DATOS NO ENCONTRADOS"));
    world.recepcionar(&documento(), &pdf(5000)).await;
    let (pending, pdf_of_pending) = world.consultar("19").await;
    assert_eq!(pending.respuesta, Respuesta::nueva("0000", "DATOS ENCONTRADOS"));
    assert_eq!((pending.cargo.estado.as_deref(), pending.cargo.contenido), (Some("P"), Contenido::Ausente));
    assert!(pdf_of_pending.is_empty());
    answer_arrival(&world, &pdf(LARGE)).await;
    let (answered, cargo) = world.consultar(CUO).await;
    assert_eq!(answered.cargo.estado.as_deref(), Some("R"));
    assert_eq!(answered.cargo.numero_registro.as_deref(), Some("EXP-1"));
    assert!(cargo == pdf(LARGE));
}

async fn answer_arrival(world: &World, cargo: &[u8]) {
    let id = world.arrivals(CUO).await[0].id;
    let some = |text: &str| Some(text.to_owned());
    let respuesta = NuevaRespuesta {
        desenlace: Desenlace::Recepcionado,
        numero_registro: some("EXP-1"),
        anio_registro: None,
        fecha_registro: None,
        unidad: some("OTD"),
        usuario: some("Ana"),
        observacion: None,
        contenido: Contenido::Pdf { una_vez: true },
    };
    let mut writer = world.exchange.stage();
    writer.write(cargo).await.unwrap();
    let staged = writer.finish().await.unwrap();
    world.exchange.responder(&Actor::local(), None, id, &respuesta, Some(staged)).await.unwrap();
}

#[tokio::test]
async fn our_own_fault_is_answered_minus_one_with_a_sentence_that_tells_no_internals() {
    let world = world();
    // Documents cannot be taken in any more: small ones still can, large ones need the folder.
    fs::remove_dir(world.folder.path().join("incoming")).unwrap();
    let (code, text) = world.recepcionar(&documento(), &pdf(LARGE)).await;
    assert_eq!(code, "-1");
    assert!(text.len() > 20 && !text.contains('/') && !text.contains("os error"), "{text}");
    world.exchange.store().close().await.unwrap();
    assert_eq!(world.recepcionar(&documento(), &pdf(500)).await.0, "-1");
    assert_eq!(world.cargo(&su_cargo(), &pdf(500)).await.0, "-1");
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

/// The messages that the last fact about an exchange names, each written again.
async fn on_the_wire(world: &World, id: crate::domain::Id) -> Vec<Vec<u8>> {
    let facts = world.exchange.store().facts_of(id).await.unwrap();
    let [sobres] = &facts.last().unwrap().fact.sobres[..] else { panic!("{facts:?}") };
    let kept: Conversacion = serde_json::from_slice(&world.document(sobres).await).unwrap();
    assert_eq!(kept.sentido, Sentido::Recibida);
    let mut all = Vec::new();
    for message in kept.mensajes() {
        let pdf = match &message.documento {
            Some(sha256) => world.document(sha256).await,
            None => Vec::new(),
        };
        let (mut out, size) = (Vec::new(), pdf.len() as u64);
        message.rehacer(size, &mut |take| take(&pdf), &mut |piece| out.extend_from_slice(piece)).unwrap();
        all.push(out);
    }
    all
}

#[tokio::test]
async fn a_document_and_a_cargo_are_kept_with_what_was_on_the_wire() {
    for size in [3000, LARGE] {
        let world = world();
        let request = wire(tramite::recepcionar(&documento(), Some(size as u64)).message, &pdf(size)).await;
        // Lines of 76 characters, as some toolkits write them, and a space behind the end.
        let mut text = String::from_utf8(request).unwrap();
        let from = text.find("<bpdfdoc>").unwrap() + "<bpdfdoc>".len();
        (0..text[from..].find('<').unwrap() / 76).rev().for_each(|n| text.insert_str(from + (n + 1) * 76, "&#xd;\n"));
        text.push('\n');
        let answer = world.xml(text.clone()).await;
        let id = world.arrivals(CUO).await[0].id;
        assert!(on_the_wire(&world, id).await == [text.into_bytes(), answer.body], "{size} bytes");
    }
    let world = world();
    let despacho = world.despacho(vec![World::begun(), Suceso::Aceptado]).await;
    let request = wire(tramite::cargo(&su_cargo(), Some(2000)).message, &pdf(2000)).await;
    let answer = world.xml(request.clone()).await;
    assert!(on_the_wire(&world, despacho.id).await == [request, answer.body]);
}
