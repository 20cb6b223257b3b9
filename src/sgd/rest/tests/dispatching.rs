use super::*;

const PATH: &str = "/api/v1/despachos";

#[tokio::test]
async fn a_json_despacho_is_accepted_and_its_document_is_what_was_sent() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    for (numero, size) in [("2026-000001", 2000), ("2026-000002", LARGE)] {
        let answer = world.post(&key, PATH, &despacho(numero, &pdf(size))).await;
        assert_eq!(answer.status, 202, "{:?}", String::from_utf8_lossy(&answer.body));
        let made = answer.json();
        let id = made["id"].as_str().unwrap();
        assert_eq!(answer.headers["location"], format!("/api/v1/despachos/{id}").as_str());
        for (member, value) in [
            ("estado", json!("pendiente")),
            ("cflgest", json!("P")),
            ("cuo", Value::Null),
            ("entidad", json!(RUC_A)),
            ("asunto", json!("Año nuevo & <otros>")),
            ("creado_en", json!("2026-11-21T10:00:00-05:00")),
            ("fecha_documento", json!("2026-11-21T09:30:00-05:00")),
        ] {
            assert_eq!(made[member], value, "{member}");
        }
        assert_eq!(made["documento"]["bytes"], size);
        assert!(made["documento"].get("contenido").is_none());
        let document = world.get(&key, &format!("{PATH}/{id}/documento")).await;
        assert_eq!(document.body, pdf(size));
        assert_eq!(world.get(&key, &format!("{PATH}/{id}")).await.json(), made);
    }
}

#[tokio::test]
async fn base64_is_read_as_senders_write_it() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let text = base64(&pdf(3000));
    let wrapped: Vec<String> = text.as_bytes().chunks(76).map(|l| String::from_utf8(l.to_vec()).unwrap()).collect();
    for (n, written) in
        [text.replace('/', "\\/"), text.replace('+', "\\u002B"), wrapped.join("\\r\\n"), base64(text.as_bytes())]
            .iter()
            .enumerate()
    {
        let body = despacho(&format!("N-{n}"), b"x").to_string().replace(&base64(b"x"), written);
        let answer = world.post(&key, PATH, &Value::String(body)).await;
        assert_eq!(answer.status, 202, "{:?}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.json()["documento"]["bytes"], 3000);
    }
}

#[tokio::test]
async fn a_form_is_accepted_with_its_parts_in_any_order_and_the_files_name_stands_in() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let mut data = despacho("F-1", b"");
    data["documento"] = Value::Null;
    let document = pdf(LARGE);
    let data = data.to_string();
    let parts: [(&str, Option<&str>, &[u8]); 2] =
        [("documento", Some("oficio firmado.pdf"), &document), ("datos", None, data.as_bytes())];
    let answer = world.form(&key, PATH, &parts).await;
    assert_eq!(answer.status, 202, "{:?}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.json()["documento"]["nombre"], "oficio firmado.pdf");
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(world.get(&key, &format!("{PATH}/{id}/documento")).await.body, document);
}

#[tokio::test]
async fn a_form_that_is_wrong_says_what_is_wrong() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let data = without_content(despacho("F-1", b""));
    let (data, document) = (data.as_bytes(), pdf(2000));
    let file = ("documento", Some("a.pdf"), document.as_slice());

    assert_eq!(world.form(&key, PATH, &[file]).await.code(), "multipart_no_valido");
    assert_eq!(world.form(&key, PATH, &[file, file, ("datos", None, data)]).await.code(), "multipart_no_valido");
    let no_file = world.form(&key, PATH, &[("datos", None, data)]).await;
    assert_eq!(no_file.fields(), ["documento.contenido no_especificado"]);
    let not_pdf = world.form(&key, PATH, &[("datos", None, data), ("documento", Some("a.pdf"), b"hola")]).await;
    assert_eq!(not_pdf.fields(), ["documento.contenido no_valido"]);
    let annex = world.form(&key, PATH, &[("datos", None, data), file, ("anexos", Some("plano.dwg"), b"x")]).await;
    assert_eq!(annex.fields(), ["anexos no_valido"], "it has no address at which they could be downloaded");
    let empty = world.form(&key, PATH, &[("datos", None, data), file, ("anexos", Some("plano.dwg"), b"")]).await;
    assert_eq!(empty.fields(), ["anexos no_especificado"]);
    let stranger = world.form(&key, PATH, &[("archivo", Some("a.pdf"), b"x")]).await;
    assert_eq!(stranger.fields(), ["archivo campo_desconocido"]);
    let twice = despacho("F-1", &document).to_string();
    let twice = world.form(&key, PATH, &[("datos", None, twice.as_bytes()), file]).await;
    assert_eq!(twice.fields(), ["documento.contenido no_valido"]);
    let huge = vec![b'x'; 20_001];
    assert_eq!(world.form(&key, PATH, &[("datos", None, &huge)]).await.code(), "peticion_grande");
}

#[tokio::test]
async fn wrong_fields_are_told_all_at_once() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let mut body = despacho("N-1", &pdf(2000));
    body["asuntos"] = body["asunto"].take();
    body["folios"] = json!("3");
    body["anexos"] = json!([{"nombre": "plano.dwg", "contenido": 5}]);
    let answer = world.post(&key, PATH, &body).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.fields(), ["asuntos campo_desconocido", "anexos[0].contenido no_valido", "folios no_valido"]);
    assert_eq!(answer.json()["errors"][0]["detail"], "El campo no existe; ¿quiso decir «asunto»?");

    let mut body = despacho("", &pdf(2000));
    body["asunto"] = json!("a".repeat(501));
    body["remitente"]["numero_documento"] = json!("123");
    body["destino"] = json!("20131312956");
    let answer = world.post(&key, PATH, &body).await;
    assert_eq!(
        answer.fields(),
        [
            "destino no_valido",
            "numero_registro no_especificado",
            "remitente.numero_documento no_valido",
            "asunto excede"
        ]
    );
    let nothing = world.post(&key, PATH, &json!({})).await;
    assert!(nothing.fields().len() > 10, "{:?}", nothing.fields());
}

#[tokio::test]
async fn what_is_not_a_pdf_or_too_large_is_refused() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    for (content, expected) in [("hola!", "no_valido"), ("aG9sYQ==", "no_valido"), ("", "no_especificado")] {
        let mut body = despacho("N-1", b"");
        body["documento"]["contenido"] = json!(content);
        assert_eq!(world.post(&key, PATH, &body).await.fields(), [format!("documento.contenido {expected}")]);
    }
    let large = world.post(&key, PATH, &despacho("N-1", &pdf(1_000_001))).await;
    assert_eq!((large.status.as_u16(), large.code().as_str()), (413, "peticion_grande"));
    let whole = world.post(&key, PATH, &despacho("N-1", &pdf(2_400_000))).await;
    assert_eq!((whole.status.as_u16(), whole.code().as_str()), (413, "peticion_grande"));
    let mut texts = despacho("N-1", &pdf(2000));
    texts["asunto"] = json!("a".repeat(21_000));
    assert_eq!(world.post(&key, PATH, &texts).await.code(), "peticion_grande");
}

#[tokio::test]
async fn json_that_cannot_be_read_is_told_by_line_and_column() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let send = async |text: &str| world.post(&key, PATH, &Value::String(text.into())).await;
    let broken = send("{\"documento\": {\"contenido\": \"AAAAAAAA\"},\n \"asunto\" 5}").await;
    assert_eq!(broken.code(), "json_no_valido");
    let detail =
        "El JSON no tiene los dos puntos entre un nombre y su valor en la línea 2, columna 11, cerca de «asunto»";
    assert_eq!(broken.json()["detail"], detail);
    let detail = "El JSON se acaba antes de tiempo en la línea 1, columna 9, cerca de «asunto»";
    assert_eq!(send("{\"asunto\"").await.json()["detail"], detail);
    assert_eq!(send("[1]").await.code(), "json_no_valido");
    assert_eq!(send("").await.code(), "json_no_valido");
    let mut plain = request(Method::POST, PATH, &key, &json!({}));
    plain.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(world.send(plain).await.status, 415);
}

#[tokio::test]
async fn a_number_goes_out_once_for_each_destination() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let first = world.post(&key, PATH, &despacho("N-1", &pdf(2000))).await.json();
    let again = world.post(&key, PATH, &despacho("N-1", &pdf(2000))).await;
    assert_eq!((again.status.as_u16(), again.code().as_str()), (409, "duplicado"));
    assert_eq!(again.json()["id"], first["id"]);

    let mut several = despacho("N-2", &pdf(2000));
    several["destino"] = Value::Null;
    several["destinos"] = json!([RUC_DESTINO, RUC_B]);
    let answer = world.post(&key, PATH, &several).await;
    assert_eq!(answer.status, 202);
    let items = answer.json()["items"].as_array().unwrap().clone();
    assert_eq!(items.iter().map(|d| d["destino"].as_str().unwrap()).collect::<Vec<_>>(), [RUC_DESTINO, RUC_B]);
    several["destino"] = json!(RUC_DESTINO);
    assert_eq!(world.post(&key, PATH, &several).await.fields(), ["destinos no_valido"]);
}

#[tokio::test]
async fn the_same_idempotency_key_gives_the_same_despacho_and_another_request_is_an_error() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let send = async |idempotency: &str, body: &Value| world.post_once(&key, idempotency, PATH, body).await;
    let body = despacho("N-1", &pdf(2000));
    let first = send("k1", &body).await;
    let again = send("k1", &body).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (202, 202));
    assert_eq!(first.json(), again.json());
    for changed in [despacho("N-2", &pdf(2000)), despacho("N-1", &pdf(2001))] {
        let refused = send("k1", &changed).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "idempotency_key_reused"));
    }
    assert_eq!(send("k2", &body).await.code(), "duplicado");
    assert_eq!(send(&"k".repeat(256), &body).await.code(), "peticion_no_valida");
}

#[tokio::test]
async fn another_file_name_is_another_request() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let (mut data, document) = (despacho("N-1", b""), pdf(2000));
    data.as_object_mut().unwrap().remove("documento");
    let data = data.to_string();
    let send = async |name| {
        let mut request =
            form(&key, PATH, &[("datos", None, data.as_bytes()), ("documento", Some(name), document.as_slice())]);
        request.headers_mut().insert("idempotency-key", "k1".parse().unwrap());
        world.send(request).await
    };
    let first = send("a.pdf").await;
    assert_eq!(first.status, 202, "{:?}", String::from_utf8_lossy(&first.body));
    assert_eq!(send("a.pdf").await.json()["id"], first.json()["id"]);
    assert_eq!(send("b.pdf").await.code(), "idempotency_key_reused");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_when_the_platform_has_answered() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let worker = crate::exchange::Worker::new(world.exchange.clone());
    let working = tokio::spawn(worker.run(world.stop.clone()));
    let answer = world.post(&key, &format!("{PATH}?esperar=60"), &despacho("N-1", &pdf(2000))).await;
    assert_eq!(answer.status, 202);
    let sent = answer.json();
    assert_eq!((sent["estado"].as_str(), sent["cflgest"].as_str()), (Some("enviado"), Some("E")));
    assert_eq!(sent["cuo"], "0000000001");
    assert!(sent["enviado_en"].is_string());
    world.stop.cancel();
    working.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_in_time_and_when_the_daemon_stops() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let made = world.post(&key, PATH, &despacho("N-1", &pdf(2000))).await.json();
    let path = format!("{PATH}/{}?esperar=120", made["id"].as_str().unwrap());
    let began = tokio::time::Instant::now();
    assert_eq!(world.get(&key, &path).await.json()["estado"], "pendiente");
    assert_eq!(began.elapsed().as_secs(), 120);

    let began = tokio::time::Instant::now();
    let stop = world.stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        stop.cancel();
    });
    assert_eq!(world.get(&key, &path).await.status, 200);
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(world.get(&key, &path.replace("120", "121")).await.code(), "parametro_no_valido");
}

#[tokio::test]
async fn annexes_come_as_base64_or_as_files_and_are_published_at_an_address_of_their_own() {
    let world = world_at(Some("https://entidad.gob.pe"));
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let mut body = despacho("A-1", &pdf(2000));
    let plan = vec![200_u8; LARGE];
    body["anexos"] =
        json!([{"nombre": "plano.dwg", "contenido": base64(&plan)}, {"contenido": "aG9sYQ", "nombre": "hola.txt"}]);
    let made = world.post(&key, PATH, &body).await;
    assert_eq!(made.status, 202, "{:?}", String::from_utf8_lossy(&made.body));
    let made = made.json();
    let sizes: Vec<_> =
        made["anexos"].as_array().unwrap().iter().map(|a| (a["nombre"].clone(), a["bytes"].clone())).collect();
    assert_eq!(sizes, [(json!("plano.dwg"), json!(LARGE)), (json!("hola.txt"), json!(4))]);
    assert!(made["url_anexos"].as_str().unwrap().starts_with("https://entidad.gob.pe/anexos/"), "{made}");
    assert_eq!(made["anexos"][1]["sha256"], "b221d9dbb083a7f33428d7c2a3c3198ae925614d70210e28716ccaa7cd4ddb79");

    let mut data = despacho("A-2", b"");
    data["documento"] = Value::Null;
    let (data, document) = (data.to_string(), pdf(3000));
    let parts: [(&str, Option<&str>, &[u8]); 4] = [
        ("anexos", Some("año 1.dwg"), &plan),
        ("datos", None, data.as_bytes()),
        ("anexos", Some("b.txt"), b"hola"),
        ("documento", Some("a.pdf"), &document),
    ];
    let made = world.form(&key, PATH, &parts).await;
    assert_eq!(made.status, 202, "{:?}", String::from_utf8_lossy(&made.body));
    assert_eq!(
        (&made.json()["anexos"][0]["nombre"], &made.json()["anexos"][1]["bytes"]),
        (&json!("año 1.dwg"), &json!(4))
    );

    for (annexes, field) in [
        (json!([{"nombre": "a", "contenido": "@@@@"}]), "anexos[0].contenido no_valido"),
        (json!([{"nombre": "a", "contenido": ""}]), "anexos[0].contenido no_especificado"),
        (json!([{"nombre": "a", "contenido": "aG9sYQ=="}, {"nombre": "b"}]), "anexos no_valido"),
    ] {
        body["anexos"] = annexes;
        assert_eq!(world.post(&key, PATH, &body).await.fields(), [field], "{}", body["anexos"]);
    }
}

#[tokio::test]
async fn the_same_request_with_another_annex_is_another_request() {
    let world = world_at(Some("https://entidad.gob.pe"));
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let mut body = despacho("A-3", &pdf(2000));
    body["anexos"] = json!([{"nombre": "a", "contenido": base64(b"uno")}]);
    let first = world.post_once(&key, "k", PATH, &body).await.json();
    assert_eq!(world.post_once(&key, "k", PATH, &body).await.json()["id"], first["id"]);
    body["anexos"][0]["contenido"] = json!(base64(b"dos"));
    assert_eq!(world.post_once(&key, "k", PATH, &body).await.code(), "idempotency_key_reused");
}
