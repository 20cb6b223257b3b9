//! The feed as a stream.

use axum::body::BodyDataStream;
use futures_util::StreamExt;

use super::*;

struct Following(BodyDataStream);

impl Following {
    /// The next piece that is not a sign of life.
    async fn next(&mut self) -> Option<String> {
        while let Some(piece) = self.0.next().await {
            let text = String::from_utf8(piece.unwrap().to_vec()).unwrap();
            if !text.starts_with(':') {
                return Some(text);
            }
        }
        None
    }

    async fn events(&mut self) -> Vec<Event> {
        let text = self.next().await.unwrap();
        text.split_terminator("\n\n").map(Event::read).collect()
    }
}

struct Event {
    id: String,
    kind: String,
    data: Value,
}

impl Event {
    fn read(text: &str) -> Self {
        let line = |name: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            found.unwrap_or_else(|| panic!("{name} in {text}")).to_owned()
        };
        Self { id: line("id"), kind: line("event"), data: serde_json::from_str(&line("data")).unwrap() }
    }
}

impl World {
    async fn follow(&self, key: &str, query: &str, last_seen: Option<&str>) -> Result<Following, Answer> {
        let mut request = request(Method::GET, &format!("/api/v1/eventos{query}"), key, &Value::Null);
        request.headers_mut().insert("accept", "text/event-stream".parse().unwrap());
        if let Some(id) = last_seen {
            request.headers_mut().insert("last-event-id", id.parse().unwrap());
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        if parts.status != 200 {
            let body = to_bytes(body, 10_000).await.unwrap().to_vec();
            return Err(Answer { status: parts.status, headers: parts.headers, body });
        }
        assert_eq!(parts.headers["content-type"], "text/event-stream; charset=utf-8");
        let mut following = Following(body.into_data_stream());
        assert_eq!(following.next().await.unwrap(), "retry: 3000\n\n");
        Ok(following)
    }
}

#[tokio::test]
async fn a_stream_tells_what_was_then_what_happens_and_goes_on_after_a_cut() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    world.post(&key, "/api/v1/despachos", &despacho("N-1", &pdf(2000))).await;
    let mut following = world.follow(&key, "", None).await.ok().unwrap();
    let past = following.events().await;
    assert_eq!(past.iter().map(|e| e.kind.as_str()).collect::<Vec<_>>(), ["clave.creada", "despacho.registrado"]);
    assert_eq!(past[1].data["cursor"], past[1].id.as_str());

    let id = world.arrival("60").await;
    let now = following.events().await;
    assert_eq!((now.len(), now[0].kind.as_str(), &now[0].data["sujeto"]), (1, "recepcion.recibida", &json!(id)));
    drop(following);

    world.arrival("61").await;
    // Where it was, and not where its address began.
    let mut again = world.follow(&key, "?desde=0.0", Some(&now[0].id)).await.ok().unwrap();
    let missed = again.events().await;
    assert_eq!((missed.len(), missed[0].data["cuo"].as_str()), (1, Some("61")));
    let gone = world.follow(&key, "", Some("99.0-00000001")).await.err().unwrap();
    assert_eq!(gone.code(), "parametro_no_valido");
}

#[tokio::test]
async fn who_wants_only_what_comes_hears_nothing_of_the_past_nor_of_others() {
    let world = world();
    let (of_a, of_b) = (world.key(Rol::Sgd, Some(RUC_A)).await, world.key(Rol::Sgd, Some(RUC_B)).await);
    world.arrival("62").await;
    let mut a = world.follow(&of_a, "?desde=ahora", None).await.ok().unwrap();
    let mut b = world.follow(&of_b, "?desde=ahora", None).await.ok().unwrap();
    let first = world.get(&of_a, "/api/v1/eventos?desde=ahora").await.json();
    world.arrival("63").await;
    world.post(&of_b, "/api/v1/despachos", &despacho("B-1", &pdf(2000))).await;
    assert_eq!(a.events().await[0].data["cuo"], "63");
    assert_eq!(b.events().await[0].data["entidad"], RUC_B);
    let page = world.get(&of_a, &format!("/api/v1/eventos?desde={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!(page.json()["items"].as_array().unwrap().len(), 1);
    let other = world.follow(&of_b, &format!("?entidad={RUC_A}"), None).await.err().unwrap();
    assert_eq!(other.code(), "entidad_no_permitida");
}

#[tokio::test]
async fn a_stream_ends_when_the_daemon_stops_and_gives_its_place_back() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let mut all = Vec::new();
    for _ in 0..stream::STREAMS_PER_KEY_MAX {
        all.push(world.follow(&key, "?desde=ahora", None).await.ok().unwrap());
    }
    let refused = world.follow(&key, "", None).await.err().unwrap();
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "demasiadas_peticiones"));
    assert!(refused.headers.contains_key("retry-after"));
    let other = world.key(Rol::Sgd, Some(RUC_B)).await;
    assert!(world.follow(&other, "", None).await.is_ok(), "the places of one key are not those of another");
    all.pop();
    all.push(world.follow(&key, "?desde=ahora", None).await.ok().unwrap());
    world.stop.cancel();
    for mut following in all {
        assert_eq!(following.next().await, None);
    }
}

#[tokio::test]
async fn a_stream_whose_key_was_revoked_ends_with_its_next_sign_of_life() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let id = world.exchange.claves().await.unwrap()[0].id;
    let began = tokio::time::Instant::now();
    let mut following = world.follow(&key, "?desde=ahora", None).await.ok().unwrap();
    // The clock goes on by itself while the store's own thread works: at least so long, and perhaps more.
    tokio::time::pause();
    let alive = following.0.next().await.unwrap().unwrap();
    assert_eq!(&alive[..], b": latido\n\n");
    assert!(began.elapsed().as_secs() >= 15, "{:?}", began.elapsed());
    world.exchange.revocar_clave(&Actor::local(), id).await.unwrap();
    // The revocation itself may still be told: it is news like any other.
    let mut left = 5;
    while let Some(told) = following.next().await {
        assert!(told.starts_with(": latido") || told.contains("event: clave.revocada"), "{told}");
        left -= 1;
        assert!(left > 0, "it goes on");
    }
}
