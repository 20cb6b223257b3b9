//! The pages as a stranger meets them.

use axum::body::to_bytes;
use http::Request;
use tower::ServiceExt;

use super::*;
use crate::exchange::{
    NuevoDespacho,
    tests::world::{OTRA, World, nuevo},
};

struct Visitor {
    world: World,
    router: Router,
    token: String,
    id: crate::domain::Id,
}

impl Visitor {
    async fn new() -> Self {
        let mut world = World::new().await;
        world.exchange = world.exchange.clone().with_anexos(Some("https://entidad.gob.pe"));
        let nuevo = NuevoDespacho {
            anexos: vec![Some("plano <b>.dwg".into()), Some("año.xlsx".into())],
            archivos: vec![world.stage(b"un plano").await, world.stage(&vec![7; 400_000]).await],
            ..nuevo()
        };
        let id = world.dispatch_as(nuevo).await;
        world.run_due().await;
        let url = world.despacho(id).await.url_anexos.unwrap();
        let token = url.rsplit('/').next().unwrap().to_owned();
        let router =
            router(Annexes::new(world.exchange.clone(), &config::Anexos { lookup: true, ..config::Anexos::default() }));
        Self { world, router, token, id }
    }

    async fn get(&self, path: &str) -> (u16, http::HeaderMap, Vec<u8>) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status.as_u16(), parts.headers, to_bytes(body, 1_000_000).await.unwrap().to_vec())
    }

    async fn page(&self, path: &str) -> (u16, String) {
        let (status, headers, body) = self.get(path).await;
        assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
        assert_eq!(headers["cache-control"], "no-store");
        (status, String::from_utf8(body).unwrap())
    }
}

#[tokio::test]
async fn a_page_lists_the_annexes_and_each_is_downloaded_whole_and_put_on_record_once() {
    let visitor = Visitor::new().await;
    let (status, page) = visitor.page(&format!("/anexos/{}", visitor.token)).await;
    assert_eq!(status, 200);
    let digest = ring::digest::digest(&ring::digest::SHA256, b"un plano");
    let digest = crate::domain::Sha256::from_digest(digest.as_ref()).to_string();
    for shown in [
        "plano &lt;b&gt;.dwg",
        "8 bytes",
        &digest,
        "391 KiB",
        "CUO <strong>0000000001",
        "NUESTRA ENTIDAD",
        "19/05/2027",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let of_record = async || {
        let facts = visitor.world.history(visitor.id).await;
        facts.iter().filter(|tipo| *tipo == "despacho.anexo_descargado").count()
    };
    let request = Request::head(format!("/anexos/{}/2", visitor.token)).body(Body::empty()).unwrap();
    assert_eq!(visitor.router.clone().oneshot(request).await.unwrap().status(), 200);
    assert_eq!(of_record().await, 0, "nobody downloads with HEAD");
    for _ in 0..2 {
        let (status, headers, body) = visitor.get(&format!("/anexos/{}/2", visitor.token)).await;
        assert_eq!((status, body.len()), (200, 400_000));
        assert_eq!(headers["content-type"], "application/octet-stream");
        assert!(headers["content-disposition"].to_str().unwrap().starts_with("attachment; filename=\"a_o.xlsx\""));
        assert_eq!(headers["content-security-policy"], "sandbox; default-src 'none'");
    }
    assert_eq!(of_record().await, 1);
    for n in ["0", "3", "x", "-1", "99999999999999999999"] {
        assert_eq!(visitor.get(&format!("/anexos/{}/{n}", visitor.token)).await.0, 404, "{n}");
    }
    assert_eq!(visitor.get(&format!("/anexos/{}/1", "0".repeat(64))).await.0, 404);
}

#[tokio::test]
async fn a_document_is_found_by_what_only_who_has_it_knows_and_nobody_finds_one_by_trying() {
    let visitor = Visitor::new().await;
    let (status, page) = visitor.page("/anexos").await;
    assert!(status == 200 && page.contains("<form method=\"get\""), "{page}");
    let despacho = visitor.world.despacho(visitor.id).await;
    let fecha = crate::domain::lima::en_lima(despacho.fecha_documento).date();
    let numero: String = despacho.numero_documento.replace(' ', "%20").to_lowercase();
    let asked = |cuo, numero: &str, fecha| format!("/anexos?cuo={cuo}&ruc={OTRA}&numero={numero}&fecha={fecha}");
    let (status, headers, _) = visitor.get(&asked(1, &numero, fecha)).await;
    let location = format!("/anexos/{}", visitor.token);
    assert_eq!((status, headers["location"].to_str().unwrap()), (303, location.as_str()));
    // Without the CUO, the number or the date all answers are the same.
    let (status, none) = visitor.page(&asked(2, &numero, fecha)).await;
    assert_eq!(status, 404);
    for wrong in [asked(1, "otro", fecha), asked(1, "", fecha), asked(1, &numero, fecha.tomorrow().unwrap())] {
        assert_eq!(visitor.page(&wrong).await, (404, none.clone()), "{wrong}");
    }
    assert_eq!(visitor.page(&format!("/anexos?cuo=1&ruc={OTRA}")).await.0, 400);
    let (status, page) = visitor.page("/anexos?cuo=%3Cb%3E12345678901&ruc=1").await;
    assert!(status == 400 && !page.contains("<b>"), "{page}");
    for _ in 0..4 {
        visitor.page(&asked(3, &numero, fecha)).await;
    }
    let (status, headers, _) = visitor.get(&asked(1, &numero, fecha)).await;
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (429, "60"));
}

#[tokio::test]
async fn there_is_no_form_unless_the_configuration_says_so() {
    let visitor = Visitor::new().await;
    let without = router(Annexes::new(visitor.world.exchange.clone(), &config::Anexos::default()));
    for path in ["/anexos".to_owned(), format!("/anexos?cuo=1&ruc={OTRA}&numero=1&fecha=2026-11-20")] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(without.clone().oneshot(request).await.unwrap().status(), 404);
    }
}

#[tokio::test]
async fn after_their_time_annexes_are_gone_and_that_is_said() {
    let visitor = Visitor::new().await;
    visitor.world.advance(Duration::from_secs(181 * 24 * 3600));
    for path in [format!("/anexos/{}", visitor.token), format!("/anexos/{}/1", visitor.token)] {
        let (status, page) = visitor.page(&path).await;
        assert!(status == 410 && page.contains("El plazo"), "{status} {page}");
    }
}
