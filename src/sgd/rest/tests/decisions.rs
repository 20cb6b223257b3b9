use super::*;

/// A despacho of entity A, by path, and the path of its job.
async fn waiting(world: &World, key: &str, numero: &str) -> (String, String) {
    let made = world.post(key, "/api/v1/despachos", &despacho(numero, &pdf(2000))).await.json();
    let jobs = world.get(key, "/api/v1/cola?limit=100").await.json();
    let of_it = jobs["items"].as_array().unwrap().iter().find(|job| job["sujeto"] == made["id"]).unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (format!("/api/v1/despachos/{}", text(&made["id"])), format!("/api/v1/cola/{}", text(&of_it["id"])))
}

#[tokio::test]
async fn a_despacho_not_begun_is_withdrawn_with_or_without_a_reason() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    for (numero, body) in [("1", Value::Null), ("2", json!({"motivo": "duplicado"}))] {
        let (despacho, job) = waiting(&world, &key, numero).await;
        let done = world.post(&key, &format!("{despacho}/anular"), &body).await;
        assert_eq!((done.status.as_u16(), done.json()["estado"].as_str().unwrap()), (200, "anulado"));
        assert_eq!(world.get(&key, &job).await.code(), "no_existe");
        assert_eq!(world.post(&key, &format!("{despacho}/reintentar"), &Value::Null).await.code(), "estado_no_permite");
    }
}

#[tokio::test]
async fn a_job_explains_itself_and_is_retried_or_discarded_only_with_a_reason() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let operator = world.key(Rol::Operador, None).await;
    let (despacho, job) = waiting(&world, &key, "1").await;
    let shown = world.get(&operator, &job).await.json();
    assert_eq!((&shown["situacion"], &shown["tipo"]), (&json!("pendiente"), &json!("despachar")));
    assert!(shown["explicacion"].as_str().unwrap().contains("Todavía no se ha intentado"), "{shown}");
    let silent = world.post(&operator, &format!("{job}/descartar"), &Value::Null).await;
    assert_eq!((silent.status.as_u16(), silent.fields()), (422, vec!["motivo no_especificado".into()]));
    let why = json!({"motivo": "se entregó en papel"});
    assert_eq!(world.post(&key, &format!("{job}/descartar"), &why).await.code(), "permiso_insuficiente");
    assert_eq!(world.post(&operator, &format!("{job}/reintentar"), &why).await.status, 202);
    assert_eq!(world.post(&operator, &format!("{job}/descartar"), &why).await.status, 204);
    let ended = world.get(&key, &despacho).await.json();
    assert_eq!(ended["estado"], "fallido");
    let history = world.get(&key, &format!("{despacho}/historial")).await.json();
    let discarded = history["items"].as_array().unwrap().iter().find(|f| f["tipo"] == "trabajo.descartado").unwrap();
    assert_eq!(discarded["detalle"], "se entregó en papel");
    assert!(discarded["actor"].as_str().unwrap().starts_with("clave:"));
}

#[tokio::test]
async fn another_entitys_work_does_not_exist() {
    let world = world();
    let (a, b) = (world.key(Rol::Sgd, Some(RUC_A)).await, world.key(Rol::Admin, Some(RUC_B)).await);
    let (despacho, job) = waiting(&world, &a, "1").await;
    assert_eq!(world.get(&b, &job).await.code(), "no_existe");
    assert_eq!(world.get(&b, "/api/v1/cola").await.json()["items"], json!([]));
    let why = json!({"motivo": "x"});
    for path in [format!("{job}/reintentar"), format!("{job}/descartar"), format!("{despacho}/anular")] {
        assert_eq!(world.post(&b, &path, &why).await.code(), "no_existe", "{path}");
    }
    for path in ["reintentar", "consultar", "subsanar"] {
        let answer = world.post(&b, &format!("{despacho}/{path}"), &why).await;
        assert_eq!(answer.code(), "no_existe", "{path}");
    }
}

#[tokio::test]
async fn only_what_was_observed_is_corrected_and_what_has_no_cuo_is_not_asked_about() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let (path, _) = waiting(&world, &key, "1").await;
    let correction = world.post(&key, &format!("{path}/subsanar"), &despacho("2", &pdf(2000))).await;
    assert_eq!(correction.code(), "estado_no_permite");
    assert_eq!(world.post(&key, &format!("{path}/consultar"), &Value::Null).await.code(), "estado_no_permite");
}

#[tokio::test]
async fn a_received_document_is_passed_on_without_a_document_of_its_own() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let path = format!("/api/v1/recepciones/{}/derivar", world.arrival("19").await);
    let mut onward = despacho("9", &pdf(2000));
    assert_eq!(world.post(&key, &path, &onward).await.fields(), ["documento.contenido no_valido"]);
    for name in ["documento", "asunto"] {
        onward.as_object_mut().unwrap().remove(name);
    }
    let made = world.post(&key, &path, &onward).await;
    assert_eq!(made.status, 202, "{:?}", String::from_utf8_lossy(&made.body));
    let made = made.json();
    assert_eq!((made["asunto"].as_str(), made["documento"]["bytes"].as_u64()), (Some("Invitación"), Some(5000)));
}

#[tokio::test]
async fn the_same_key_on_another_document_is_an_error_and_passes_nothing_on() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    let (one, other) = (world.arrival("19").await, world.arrival("20").await);
    let mut onward = despacho("9", &pdf(2000));
    onward.as_object_mut().unwrap().remove("documento");
    let pass =
        async |id: &str| world.post_once(&key, "k1", &format!("/api/v1/recepciones/{id}/derivar"), &onward).await;
    let first = pass(&one).await;
    assert_eq!((first.status.as_u16(), pass(&one).await.json()), (202, first.json()));
    let refused = pass(&other).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "idempotency_key_reused"));
    // Nor is it another operation's key.
    let created = world.post_once(&key, "k1", "/api/v1/despachos", &onward).await;
    assert_eq!(created.code(), "idempotency_key_reused");
}

#[tokio::test]
async fn the_health_of_counterparts_is_for_operators() {
    let world = world();
    let (sgd, operator) = (world.key(Rol::Sgd, Some(RUC_A)).await, world.key(Rol::Operador, None).await);
    assert_eq!(world.get(&sgd, "/api/v1/salud").await.code(), "permiso_insuficiente");
    assert_eq!(world.get(&operator, "/api/v1/salud").await.json()["items"], json!([]));
}
