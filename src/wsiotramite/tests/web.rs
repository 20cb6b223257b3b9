//! What browsers, toolkits and probes see.

use super::*;

#[tokio::test]
async fn the_description_holds_the_address_the_caller_used() {
    let world = world();
    for path in ["/wsiotramite/Tramite?wsdl", "/wsiotramite/Tramite?WSDL"] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "text/xml; charset=utf-8");
        assert!(answer.text().contains("location=\"http://x.gob.pe:8080/wsiotramite/Tramite\""));
    }
    let published = world_with(InFlight::new(1000), Some("https://mesa.gob.pe/"));
    let answer = published.get("/wsiotramite/Tramite?wsdl").await;
    assert!(answer.text().contains("location=\"https://mesa.gob.pe/wsiotramite/Tramite\""));
}

#[tokio::test]
async fn a_host_that_is_none_is_refused() {
    let world = world();
    let uri = "/wsiotramite/Tramite?wsdl";
    for host in ["x\"/><script>", "a b", ""] {
        let request = Request::builder().uri(uri).header("host", host).body(Body::empty()).unwrap();
        assert_eq!(world.send(request).await.status, 400, "{host}");
    }
    assert_eq!(world.send(Request::builder().uri(uri).body(Body::empty()).unwrap()).await.status, 400);
}

#[tokio::test]
async fn people_get_a_page_and_probes_a_word() {
    let world = world();
    let page = world.get("/wsiotramite/Tramite").await;
    assert_eq!(
        (page.status.as_u16(), page.headers["content-type"].as_bytes()),
        (405, &b"text/html; charset=utf-8"[..])
    );
    assert!(page.text().contains("?wsdl"));
    assert_eq!(world.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn nothing_else_answers_here() {
    let world = world();
    for path in ["/", "/api/v1/despachos", "/wsiotramite", "/wsiotramite/Tramite/x", "/metrics"] {
        let answer = world.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, "Aquí no hay nada.\n"), "{path}");
    }
    for method in [Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
        let request = Request::builder().method(method.clone()).uri(PATH).body(Body::empty()).unwrap();
        let answer = world.send(request).await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.headers["allow"], "GET,HEAD,POST");
    }
}
