use super::*;
use crate::exchange::health::Outcome;

async fn three_despachos(world: &World) -> (String, Vec<String>) {
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let mut ids = Vec::new();
    for n in 1..=3 {
        let made = world.post(&key, "/api/v1/despachos", &despacho(&format!("N-{n}"), &pdf(2000))).await;
        ids.push(made.json()["id"].as_str().unwrap().to_owned());
    }
    (key, ids)
}

#[tokio::test]
async fn lists_go_on_where_the_page_before_ended() {
    let world = world();
    let (key, ids) = three_despachos(&world).await;
    let (mut seen, mut path) = (Vec::new(), "/api/v1/despachos?limit=2".to_owned());
    loop {
        let page = world.get(&key, &path).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/despachos?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    seen.sort();
    let mut ids = ids;
    ids.sort();
    assert_eq!(seen, ids);
    let none = world.get(&key, "/api/v1/despachos?estado=enviado").await.json();
    assert_eq!(none, json!({"items": [], "next_cursor": null}));
    assert_eq!(world.get(&key, "/api/v1/despachos?estado=X").await.code(), "parametro_no_valido");
    assert_eq!(world.get(&key, "/api/v1/despachos?estados=enviado").await.code(), "parametro_no_valido");
    assert_eq!(world.get(&key, "/api/v1/recepciones").await.json()["items"], json!([]));
}

#[tokio::test]
async fn records_are_found_by_their_cuo() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let id = world.arrival("0000000019").await;
    for cuo in ["19", "0000000019"] {
        let found = world.get(&key, &format!("/api/v1/recepciones?cuo={cuo}")).await.json();
        assert_eq!(found["items"][0]["id"], id.as_str());
    }
    assert_eq!(world.get(&key, "/api/v1/recepciones?cuo=20").await.json()["items"], json!([]));
    assert_eq!(world.get(&key, "/api/v1/despachos?cuo=..").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_document_comes_as_a_file_that_no_browser_runs() {
    let world = world();
    let (key, ids) = three_despachos(&world).await;
    let path = format!("/api/v1/despachos/{}/documento", ids[0]);
    let file = world.get(&key, &path).await;
    let sha256 = world.get(&key, &format!("/api/v1/despachos/{}", ids[0])).await.json()["documento"]["sha256"].clone();
    let etag = format!("\"{}\"", sha256.as_str().unwrap());
    for (name, value) in [
        ("content-type", "application/pdf"),
        ("content-length", "2000"),
        ("content-disposition", "attachment; filename=\"oficio.pdf\"; filename*=UTF-8''oficio.pdf"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("etag", etag.as_str()),
    ] {
        assert_eq!(file.headers[name], value);
    }
    let mut again = request(Method::GET, &path, &key, &Value::Null);
    again.headers_mut().insert("if-none-match", etag.parse().unwrap());
    let again = world.send(again).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
}

#[tokio::test]
async fn the_feed_is_read_to_its_end_and_goes_on_from_there() {
    let world = world();
    let (key, _) = three_despachos(&world).await;
    let first = world.get(&key, "/api/v1/eventos?limit=2").await.json();
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = world.get(&key, &format!("/api/v1/eventos?desde={cursor}")).await.json();
    let kinds: Vec<_> = rest["items"].as_array().unwrap().iter().map(|f| f["tipo"].as_str().unwrap()).collect();
    let end = rest["next_cursor"].as_str().unwrap();
    assert_eq!(kinds.last(), Some(&"despacho.registrado"));
    let nothing = world.get(&key, &format!("/api/v1/eventos?desde={end}")).await.json();
    assert_eq!(nothing, json!({"items": [], "next_cursor": end}));
    assert_eq!(world.get(&key, "/api/v1/eventos?desde=ayer").await.code(), "parametro_no_valido");
    // A place that another fact took, or that nobody has, is told: whoever stood there would miss something.
    let (place, mark) = end.split_once('-').unwrap();
    for gone in [format!("{place}-{:08x}", u32::from_str_radix(mark, 16).unwrap() ^ 1), "999.0-00000001".to_owned()] {
        let answer = world.get(&key, &format!("/api/v1/eventos?desde={gone}")).await;
        assert_eq!(answer.code(), "parametro_no_valido", "{gone}");
    }
}

#[tokio::test]
async fn the_directory_is_shown_as_it_was_fetched() {
    let world = world();
    let key = world.key(Rol::Auditor, None).await;
    let before = world.get(&key, "/api/v1/entidades").await.json();
    assert_eq!(before, json!({"items": [], "next_cursor": null, "actualizado_en": null}));
    world.exchange.actualizar_directorio(&Actor::chasqui()).await.unwrap();
    let of_8 = world.get(&key, "/api/v1/entidades?categoria=8").await.json();
    assert_eq!(
        of_8,
        json!({"items": [{"ruc": RUC_DESTINO, "nombre": "MUNICIPALIDAD DE EJEMPLO", "categoria": 8,
                          "categoria_nombre": "Gobierno Local Distrital", "vigente": true, "ausente_desde": null}],
               "next_cursor": null, "actualizado_en": "2026-11-21T10:00:00-05:00"})
    );
    assert_eq!(world.get(&key, "/api/v1/entidades").await.json()["items"].as_array().unwrap().len(), 2);
    let refreshed = world.local(Method::POST, "/api/v1/entidades/actualizar", &Value::Null).await.json();
    assert_eq!(refreshed, json!({"entidades": 2, "ausentes": 0, "actualizado_en": "2026-11-21T10:00:00-05:00"}));
    let sgd = world.key(Rol::Sgd, Some(RUC_A)).await;
    let refused = world.post(&sgd, "/api/v1/entidades/actualizar", &Value::Null).await;
    assert_eq!(refused.code(), "permiso_insuficiente");
    let no_method = world.send(request(Method::DELETE, "/api/v1/entidades", &key, &Value::Null)).await;
    assert_eq!((no_method.status, no_method.code().as_str()), (StatusCode::METHOD_NOT_ALLOWED, "metodo_no_permitido"));
    assert_eq!(world.get(&key, "/api/v1/entidades?categoria=9").await.code(), "parametro_no_valido");
    let one = world.get(&key, &format!("/api/v1/entidades/{RUC_A}")).await.json();
    assert_eq!(one["nombre"], "PRESIDENCIA DEL CONSEJO DE MINISTROS");
    assert_eq!(world.get(&key, "/api/v1/entidades/20900000015").await.code(), "no_existe");
    assert_eq!(world.get(&key, "/api/v1/categorias").await.json()["items"].as_array().unwrap().len(), 8);
    assert_eq!(world.get(&key, "/api/v1/tipos-documento").await.json()["items"][2]["codigo"], "03");
}

#[tokio::test]
async fn health_needs_no_key_and_readiness_has_reasons() {
    let world = world();
    assert_eq!(world.get("", "/healthz").await.json(), json!({"estado": "vivo"}));
    let ready = world.get("", "/readyz").await;
    assert_eq!((ready.status.as_u16(), ready.json()["estado"].as_str()), (200, Some("listo")));
    world.stop.cancel();
    let stopping = world.get("", "/readyz").await;
    assert_eq!(stopping.status, 503);
    assert_eq!(
        stopping.json()["comprobaciones"][1],
        json!({"nombre": "servicio", "estado": "falla", "detalle": "El servicio se está deteniendo"})
    );
    let metrics = world.get("", "/metrics").await;
    let page = String::from_utf8(metrics.body).unwrap();
    assert!(page.ends_with("# EOF\n"));
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    assert_eq!(world.get(&key, "/api/v1/nada").await.code(), "ruta_no_existe");
    let method = world.send(request(Method::PUT, "/api/v1/despachos", &key, &Value::Null)).await;
    assert_eq!(method.code(), "metodo_no_permitido");
    let allowed = method.headers["allow"].to_str().unwrap();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    for id in ["x", "0191e7c0-0000-7000-8000-000000000000"] {
        assert_eq!(world.get(&key, &format!("/api/v1/despachos/{id}")).await.code(), "no_existe");
    }
}

#[tokio::test]
async fn an_outage_of_the_platform_is_seen_and_keeps_nobody_from_handing_documents_over() {
    let world = world();
    let (key, operator) = (world.key(Rol::Sgd, Some(RUC_A)).await, world.key(Rol::Operador, None).await);
    assert_eq!(world.get("", "/readyz").await.json()["plataforma"]["estado"], "sin_datos");
    world.post(&key, "/api/v1/despachos", &despacho("1", &pdf(2000))).await;
    for _ in 0..5 {
        let failed = Outcome::Failed("la conexión fue rechazada".into());
        world.exchange.health().record_pide(failed, Duration::ZERO, Still.now());
    }
    let ready = world.get("", "/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["estado"]), (200, &json!("listo")), "a balancer keeps it");
    let salud = world.get(&operator, "/api/v1/salud").await.json();
    assert_eq!(salud["items"], json!([]));
    for told in [&salud["plataforma"], &ready.json()["plataforma"]] {
        assert_eq!((&told["estado"], &told["circuito"]), (&json!("no_responde"), &json!("abierto")));
        assert_eq!(told["caida_desde"], "2026-11-21T10:00:00-05:00");
        assert_eq!(told["proxima_prueba"], "2026-11-21T10:00:30-05:00");
        assert_eq!(told["ultimo_error"], "la conexión fue rechazada");
    }
    let page = String::from_utf8(world.get("", "/metrics").await.body).unwrap();
    for line in [
        "chasqui_platform_circuit 2",
        "chasqui_queue_jobs{kind=\"despachar\",stage=\"new\"} 1",
        "chasqui_queue_jobs{kind=\"entregar_cargo\",stage=\"dead\"} 0",
        "chasqui_queue_oldest_age_seconds{kind=\"despachar\",stage=\"new\"} 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in {page}");
    }
}

#[tokio::test]
async fn lists_are_filtered_by_number_counterpart_time_and_words() {
    let world = world();
    let (key, _) = three_despachos(&world).await;
    let mut other = despacho("N-2", &pdf(3000));
    other["destino"] = json!(RUC_B);
    other["asunto"] = json!("Rectificación de LÍMITES");
    assert_eq!(world.post(&key, "/api/v1/despachos", &other).await.status, 202);
    let numbers = async |filter: &str| {
        let found = world.get(&key, &format!("/api/v1/despachos?{filter}")).await.json();
        let number =
            |d: &Value| format!("{} {}", d["numero_registro"].as_str().unwrap(), d["destino"].as_str().unwrap());
        let mut numbers: Vec<String> =
            found["items"].as_array().unwrap_or_else(|| panic!("{found}")).iter().map(number).collect();
        numbers.sort();
        (numbers, found["next_cursor"].is_null())
    };
    let to = |numero: &str, ruc: &str| format!("{numero} {ruc}");
    let both = vec![to("N-2", RUC_DESTINO), to("N-2", RUC_B)];
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all
    };
    assert_eq!(numbers("numero_registro=N-2").await, (sorted(both.clone()), true));
    assert_eq!(numbers("numero_registro=N-2&estado=enviado").await, (vec![], true));
    assert_eq!(numbers("numero_registro=N-").await.0, Vec::<String>::new());
    assert_eq!(numbers(&format!("ruc={RUC_B}")).await.0, [to("N-2", RUC_B)]);
    assert_eq!(numbers("q=limites%20rectificacion").await.0, [to("N-2", RUC_B)]);
    assert_eq!(numbers("q=limites%20carta").await.0, Vec::<String>::new());
    // The tests' clock stands at 10:00 of the 21st in Lima.
    for (range, count) in [
        ("desde=2026-11-21&hasta=2026-11-21", 4),
        ("desde=2026-11-21T10:00:00-05:00&hasta=2026-11-21T10:00:00-05:00", 4),
        ("hasta=2026-11-20", 0),
        ("desde=2026-11-21T10:00:01-05:00", 0),
    ] {
        assert_eq!(numbers(range).await.0.len(), count, "{range}");
    }
    // A page of one goes on with the next.
    let (mut seen, mut cursor) = (0, String::new());
    loop {
        let page = world.get(&key, &format!("/api/v1/despachos?numero_registro=N-2&limit=1{cursor}")).await.json();
        seen += page["items"].as_array().unwrap().len();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, 2);
    for wrong in ["ruc=123", "desde=ayer", "hasta=2026-13-01", &format!("q={}", "x".repeat(201))] {
        assert_eq!(
            world.get(&key, &format!("/api/v1/despachos?{wrong}")).await.code(),
            "parametro_no_valido",
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn a_received_document_is_found_by_the_number_it_was_filed_under() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let (id, _) = (world.arrival("51").await, world.arrival("52").await);
    let filing = json!({"numero_registro": "E-2026-9"});
    assert_eq!(world.post(&key, &format!("/api/v1/recepciones/{id}/registrar"), &filing).await.status, 200);
    for filter in ["numero_registro=E-2026-9", "q=e-2026-9", "cuo=51&q=invitacion"] {
        let found = world.get(&key, &format!("/api/v1/recepciones?{filter}")).await.json();
        assert_eq!(
            (found["items"][0]["id"].as_str(), found["items"].as_array().unwrap().len()),
            (Some(id.as_str()), 1)
        );
    }
    let from = world.get(&key, &format!("/api/v1/recepciones?ruc={RUC_DESTINO}&estado=pendiente")).await.json();
    assert_eq!(from["items"].as_array().unwrap().len(), 2);
}
