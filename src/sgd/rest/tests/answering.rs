use super::*;

fn answer() -> Value {
    json!({"numero_registro": "2026-77", "unidad": "OFICINA DE TI", "codigo_unidad": "OTI", "usuario": "ANA ÑAHUI",
           "cargo": {"contenido": base64(&pdf(3000))}})
}

#[tokio::test]
async fn a_received_document_is_filed_and_answered_with_a_cargo() {
    let world = world();
    let key = world.key(Rol::MesaDePartes, Some(RUC_A)).await;
    let path = format!("/api/v1/recepciones/{}", world.arrival("0000000019").await);
    let arrived = world.get(&key, &path).await.json();
    for (member, value) in [
        ("estado", json!("pendiente")),
        ("cuo", json!("0000000019")),
        ("numero_registro", Value::Null),
        ("fecha_presentacion", json!("2026-11-23")),
        ("recibido_en", json!("2026-11-21T10:00:00-05:00")),
        ("advertencias", json!([])),
        ("cargo", Value::Null),
    ] {
        assert_eq!(arrived[member], value, "{member}");
    }
    assert_eq!(arrived["remitente"]["ruc"], RUC_DESTINO);
    assert_eq!(world.get(&key, &format!("{path}/documento")).await.body, pdf(5000));
    assert_eq!(world.get(&key, &format!("{path}/cargo")).await.status, 404);

    let filed = world.post(&key, &format!("{path}/registrar"), &json!({"numero_registro": "2026-77"})).await.json();
    assert_eq!((filed["numero_registro"].as_str(), filed["anio_registro"].as_str()), (Some("2026-77"), Some("2026")));

    let done = world.post(&key, &format!("{path}/recepcionar"), &answer()).await;
    assert_eq!(done.status, 200, "{:?}", String::from_utf8_lossy(&done.body));
    let done = done.json();
    assert_eq!((done["estado"].as_str(), done["cflgest"].as_str()), (Some("recepcionado"), Some("R")));
    assert_eq!(done["cargo"]["documento"]["bytes"], 3000);
    assert_eq!(done["cargo"]["fecha_registro"], "2026-11-21T10:00:00-05:00");
    assert_eq!(world.get(&key, &format!("{path}/cargo")).await.body, pdf(3000));

    // The same answer again changes nothing; another one is refused.
    assert_eq!(world.post(&key, &format!("{path}/recepcionar"), &answer()).await.json(), done);
    let mut other = answer();
    other["unidad"] = json!("OTRA");
    assert_eq!(world.post(&key, &format!("{path}/recepcionar"), &other).await.code(), "estado_no_permite");

    let history = world.get(&key, &format!("{path}/historial")).await.json();
    let kinds: Vec<_> = history["items"].as_array().unwrap().iter().map(|f| f["tipo"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["recepcion.recibida", "recepcion.registrada", "recepcion.recepcionada"]);
}

#[tokio::test]
async fn observing_takes_a_form_and_demands_its_reason() {
    let world = world();
    let key = world.key(Rol::MesaDePartes, Some(RUC_A)).await;
    let path = format!("/api/v1/recepciones/{}/observar", world.arrival("20").await);
    let mut data = answer();
    data.as_object_mut().unwrap().remove("cargo");
    let cargo = pdf(LARGE);
    let send = async |data: &Value| {
        let data = data.to_string();
        world.form(&key, &path, &[("datos", None, data.as_bytes()), ("cargo", Some("cargo.pdf"), &cargo)]).await
    };
    assert_eq!(send(&data).await.fields(), ["observacion no_especificado"]);
    data["observacion"] = json!("Falta la firma");
    let done = send(&data).await.json();
    assert_eq!((done["estado"].as_str(), done["cflgest"].as_str()), (Some("observado"), Some("O")));
    assert_eq!(done["cargo"]["observacion"], "Falta la firma");
    assert_eq!(done["cargo"]["documento"]["bytes"], LARGE);
}

#[tokio::test]
async fn an_answer_that_is_wrong_says_what_is_wrong() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let id = world.arrival("21").await;
    let path = format!("/api/v1/recepciones/{id}/recepcionar");
    let mut body = answer();
    body["cargo"] = Value::Null;
    let no_cargo = world.post(&key, &path, &body).await;
    assert_eq!(no_cargo.fields(), ["cargo.contenido no_especificado"]);
    let mut body = answer();
    body["observacion"] = json!("x");
    assert_eq!(world.post(&key, &path, &body).await.fields(), ["observacion no_valido"]);
    let mut body = answer();
    body["numero_registro"] = json!("123456789012345");
    body["usuario"] = Value::Null;
    body["cargo"]["contenido"] = json!("aG9sYQ==");
    let several = world.post(&key, &path, &body).await;
    assert_eq!(several.fields(), ["numero_registro excede", "usuario no_especificado", "cargo.contenido no_valido"]);
    let empty = world.post(&key, &format!("/api/v1/recepciones/{id}/registrar"), &json!({})).await;
    assert_eq!(empty.fields(), ["numero_registro no_especificado"]);
}
