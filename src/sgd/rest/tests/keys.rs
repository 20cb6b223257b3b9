use super::*;

#[tokio::test]
async fn nobody_gets_in_without_a_key_in_force() {
    let world = world();
    let key = world.key(Rol::Sgd, Some(RUC_A)).await;
    for wrong in ["", "chq_0000", &key[..key.len() - 1], &"x".repeat(300)] {
        let refused = world.get(wrong, "/api/v1/despachos").await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (401, "clave_requerida"));
        assert_eq!(refused.headers["www-authenticate"], "Bearer realm=\"chasqui\"");
    }
    assert_eq!(world.get(&key, "/api/v1/despachos").await.status, 200);
}

#[tokio::test]
async fn a_role_does_only_what_is_its_own() {
    let world = world();
    let reader = world.key(Rol::Auditor, None).await;
    let clerk = world.key(Rol::MesaDePartes, Some(RUC_A)).await;
    let id = world.arrival("30").await;
    assert_eq!(world.get(&reader, &format!("/api/v1/recepciones/{id}")).await.status, 200);
    for (key, method, path) in [
        (&reader, Method::POST, "/api/v1/despachos".to_owned()),
        (&clerk, Method::POST, "/api/v1/despachos".to_owned()),
        (&reader, Method::POST, format!("/api/v1/recepciones/{id}/registrar")),
        (&clerk, Method::GET, "/api/v1/admin/api-keys".to_owned()),
        (&reader, Method::DELETE, format!("/api/v1/admin/api-keys/{id}")),
    ] {
        let refused = world.send(request(method, &path, key, &json!({}))).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (403, "permiso_insuficiente"), "{path}");
    }
}

#[tokio::test]
async fn what_belongs_to_another_entity_does_not_exist() {
    let world = world();
    let (of_a, of_b) = (world.key(Rol::Sgd, Some(RUC_A)).await, world.key(Rol::Sgd, Some(RUC_B)).await);
    let made = world.post(&of_a, "/api/v1/despachos", &despacho("N-1", &pdf(2000))).await.json();
    let despacho = format!("/api/v1/despachos/{}", made["id"].as_str().unwrap());
    let recepcion = format!("/api/v1/recepciones/{}", world.arrival("31").await);
    for path in [&despacho, &recepcion] {
        for part in ["", "/documento", "/cargo", "/historial"] {
            assert_eq!(world.get(&of_b, &format!("{path}{part}")).await.code(), "no_existe", "{path}{part}");
        }
    }
    let filing = json!({"numero_registro": "1"});
    assert_eq!(world.post(&of_b, &format!("{recepcion}/registrar"), &filing).await.code(), "no_existe");
    assert_eq!(world.get(&of_b, "/api/v1/despachos").await.json()["items"], json!([]));
    let events = world.get(&of_b, "/api/v1/eventos").await.json();
    assert!(events["items"].as_array().unwrap().iter().all(|f| f["entidad"] == RUC_B), "{events}");
    for path in ["despachos", "recepciones", "eventos"] {
        let asked = world.get(&of_b, &format!("/api/v1/{path}?entidad={RUC_A}")).await;
        assert_eq!(asked.code(), "entidad_no_permitida");
    }
}

#[tokio::test]
async fn a_key_of_no_entity_says_whose_despacho_it_is() {
    let world = world();
    let key = world.key(Rol::Admin, None).await;
    let mut body = despacho("N-1", &pdf(2000));
    assert_eq!(world.post(&key, "/api/v1/despachos", &body).await.fields(), ["entidad no_especificado"]);
    body["entidad"] = json!(RUC_B);
    assert_eq!(world.post(&key, "/api/v1/despachos", &body).await.json()["entidad"], RUC_B);
    body["entidad"] = Value::Null;
    let by_query = world.post(&key, &format!("/api/v1/despachos?entidad={RUC_A}"), &body).await;
    assert_eq!(by_query.json()["entidad"], RUC_A);
    body["entidad"] = json!(RUC_DESTINO);
    assert_eq!(world.post(&key, "/api/v1/despachos", &body).await.code(), "entidad_no_permitida");
}

#[tokio::test]
async fn the_operator_at_the_machine_makes_lists_and_revokes_keys() {
    let world = world();
    let body = json!({"nombre": "SGD principal", "rol": "sgd", "entidad": RUC_A});
    let made = world.local(Method::POST, "/api/v1/admin/api-keys", &body).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    let key = made["clave"].as_str().unwrap();
    assert!(key.starts_with("chq_") && key.len() > 40);
    assert_eq!(world.get(key, "/api/v1/despachos").await.status, 200);

    let list = world.local(Method::GET, "/api/v1/admin/api-keys", &Value::Null).await;
    assert!(!String::from_utf8_lossy(&list.body).contains(key), "a key is shown once");
    assert_eq!(list.json()["items"][0]["nombre"], "SGD principal");

    let path = format!("/api/v1/admin/api-keys/{}", made["id"].as_str().unwrap());
    let revoked = world.local(Method::DELETE, &path, &Value::Null).await.json();
    assert!(revoked["revocada_en"].is_string());
    assert_eq!(world.get(key, "/api/v1/despachos").await.status, 401);
}

#[tokio::test]
async fn an_administrator_of_one_entity_rules_over_its_keys_alone() {
    let world = world();
    let of_b = world.key(Rol::Admin, Some(RUC_B)).await;
    let of_a = world.key(Rol::Sgd, Some(RUC_A)).await;
    let path = "/api/v1/admin/api-keys";
    let other = json!({"nombre": "x", "rol": "sgd", "entidad": RUC_A});
    assert_eq!(world.post(&of_b, path, &other).await.code(), "entidad_no_permitida");
    let own = world.post(&of_b, path, &json!({"nombre": "x", "rol": "auditor"})).await;
    assert_eq!((own.status.as_u16(), &own.json()["entidad"]), (201, &json!(RUC_B)), "none is for all");
    let id = world.exchange.claves().await.unwrap().into_iter().find(|key| key.rol == Rol::Sgd).unwrap().id;
    let refused = world.send(request(Method::DELETE, &format!("{path}/{id}"), &of_b, &Value::Null)).await;
    assert_eq!(refused.code(), "no_existe");
    assert_eq!(world.get(&of_a, "/api/v1/despachos").await.status, 200, "it is in force still");
    assert_eq!(world.get(&of_b, path).await.json()["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_key_in_haste_is_told_to_wait_and_others_are_served() {
    let world = world();
    let (hasty, calm) = (world.key(Rol::Auditor, None).await, world.key(Rol::Sgd, Some(RUC_A)).await);
    let mut refused = None;
    // 500 at once and one a second.
    for _ in 0..2000 {
        let answer = world.get(&hasty, "/api/v1/categorias").await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "demasiadas_peticiones"));
    assert_eq!(refused.headers.get_all("retry-after").iter().collect::<Vec<_>>(), ["1"]);
    assert_eq!(world.get(&calm, "/api/v1/categorias").await.status, 200);
    let page = String::from_utf8(world.get("", "/metrics").await.body).unwrap();
    assert!(page.contains("chasqui_http_refused_total{listener=\"api\",what=\"requests\",bound=\"key\"} 1"), "{page}");
}

#[tokio::test]
async fn a_key_that_makes_no_sense_is_not_made() {
    let world = world();
    for (body, expected) in [
        (json!({}), vec!["nombre no_especificado", "rol no_especificado"]),
        (json!({"nombre": "x", "rol": "sgd"}), vec!["entidad no_especificado"]),
        (json!({"nombre": "x", "rol": "mesa", "entidad": "1"}), vec!["rol no_valido", "entidad no_valido"]),
    ] {
        assert_eq!(world.local(Method::POST, "/api/v1/admin/api-keys", &body).await.fields(), expected);
    }
    let stranger = json!({"nombre": "x", "rol": "sgd", "entidad": RUC_DESTINO});
    let refused = world.local(Method::POST, "/api/v1/admin/api-keys", &stranger).await;
    assert_eq!(refused.code(), "entidad_no_permitida");
}
