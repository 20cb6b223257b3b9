//! What an outsider without a key finds on both listeners: every route of the API's own description, methods nobody has, and
//! addresses that others leave open.

use reqwest::Method;

use crate::{
    daemon::{LIMA, Setup},
    platform::Platform,
    rest::client,
};

/// What needs no key: nothing here tells of documents or people.
const OPEN: [&str; 6] = ["/healthz", "/readyz", "/metrics", "/api/openapi.json", "/api/docs", "/api/docs/estilo.css"];

/// Where scanners look.
const TRIED: [&str; 14] = [
    "/api/v1/despachos",
    "/api/v1/admin/api-keys",
    "/metrics",
    "/readyz",
    "/api/docs",
    "/ingresar",
    "/entrada",
    "/componente-proxy/rest/pide/ping",
    "/control.sock",
    "/.git/config",
    "/.env",
    "/actuator/env",
    "/server-status",
    "/anexos/../../etc/passwd",
];

#[tokio::test]
async fn without_a_key_every_route_of_the_api_is_closed_but_those_that_are_open_to_all() {
    let (_platform, daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    let anonymous = daemons[0].anonymous();
    let described = anonymous.get("/api/openapi.json").await.expect(200);
    let mut tried = 0;
    for (path, operations) in described["paths"].as_object().unwrap() {
        let asked = path.replace("{id}", "019ac0de-7a10-7000-8000-5f1d2c3b4a59").replace(['{', '}'], "");
        for method in operations.as_object().unwrap().keys() {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
            if !["GET", "POST", "DELETE", "PUT", "PATCH"].contains(&method.as_str()) {
                continue;
            }
            let reply = anonymous.send(anonymous.request(method.clone(), &asked)).await.unwrap();
            let expected = if OPEN.contains(&path.as_str()) { 200 } else { 401 };
            assert_eq!(reply.status, expected, "{method} {path}");
            assert_eq!(reply.headers["x-content-type-options"], "nosniff", "{method} {path}");
            assert!(reply.headers.contains_key("cache-control"), "{method} {path}");
            for header in ["server", "x-powered-by", "access-control-allow-origin"] {
                assert!(!reply.headers.contains_key(header), "{method} {path}: {header}");
            }
            if expected == 401 {
                assert!(reply.headers.contains_key("www-authenticate"), "{method} {path}");
                assert_eq!(reply.problem().1, "clave_requerida", "{method} {path}");
            }
            tried += 1;
        }
        for method in ["TRACE", "OPTIONS", "PROPFIND"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let reply = anonymous.send(anonymous.request(method.clone(), &asked)).await.unwrap();
            assert!([401, 405].contains(&reply.status), "{method} {path}: {}", reply.status);
        }
    }
    assert!(tried > 50, "the whole description was tried: {tried}");
}

#[tokio::test]
async fn the_platforms_side_has_nothing_but_the_component_and_annexes() {
    let (_platform, daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    let base = format!("http://{}", daemons[0].soap_address());
    for path in TRIED {
        let answer = client().get(format!("{base}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        assert!(!answer.headers().contains_key("server"), "{path}");
    }
    for method in ["PUT", "DELETE", "TRACE", "OPTIONS", "PROPFIND"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = client().request(method.clone(), daemons[0].soap_url()).send().await.unwrap();
        assert_eq!(answer.status(), 405, "{method}");
    }
}
