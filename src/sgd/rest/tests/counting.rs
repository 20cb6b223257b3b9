//! Statistics.

use super::*;

impl World {
    async fn csv(&self, key: &str, query: &str) -> Answer {
        let mut request = request(Method::GET, &format!("/api/v1/estadisticas{query}"), key, &Value::Null);
        request.headers_mut().insert("accept", "text/csv".parse().unwrap());
        self.send(request).await
    }
}

#[tokio::test]
async fn documents_are_counted_by_day_entity_and_counterpart_and_only_one_s_own() {
    let world = world();
    world.exchange.actualizar_directorio(&Actor::chasqui()).await.unwrap();
    let (of_a, of_b) = (world.key(Rol::Sgd, Some(RUC_A)).await, world.key(Rol::Sgd, Some(RUC_B)).await);
    let all = world.key(Rol::Auditor, None).await;
    for n in 1..=2 {
        world.post(&of_a, "/api/v1/despachos", &despacho(&format!("N-{n}"), &pdf(2000))).await;
    }
    world.post(&of_b, "/api/v1/despachos", &despacho("B-1", &pdf(2000))).await;
    let id = world.arrival("81").await;
    world.arrival("82").await;
    let cargo =
        json!({"numero_registro": "E-1", "unidad": "U", "usuario": "X", "cargo": {"contenido": base64(&pdf(900))}});
    assert_eq!(world.post(&of_a, &format!("/api/v1/recepciones/{id}/recepcionar"), &cargo).await.status, 200);

    let ask = async |key: &str, query: &str| world.get(key, &format!("/api/v1/estadisticas{query}")).await.json();
    let by_day = ask(&of_a, "").await;
    assert_eq!(by_day["items"].as_array().unwrap().len(), 1);
    let day = &by_day["items"][0];
    assert_eq!((&day["fecha"], &day["entidad"]), (&json!("2026-11-21"), &json!(RUC_A)));
    assert_eq!((&day["despachos"]["total"], &day["despachos"]["en_curso"]), (&json!(2), &json!(2)));
    assert_eq!(
        (&day["recepciones"]["total"], &day["recepciones"]["pendientes"], &day["recepciones"]["recepcionados"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(by_day["totales"]["despachos"], day["despachos"]);
    assert_eq!(ask(&of_a, "?hasta=2026-11-20").await["items"], json!([]));

    let by_entity = ask(&all, "?por=entidad").await;
    let rows: Vec<_> =
        by_entity["items"].as_array().unwrap().iter().map(|r| (&r["nombre"], &r["despachos"]["total"])).collect();
    assert_eq!(rows, [(&json!("ENTIDAD A"), &json!(2)), (&json!("ENTIDAD B"), &json!(1))]);
    let of_one = ask(&all, &format!("?por=entidad&entidad={RUC_B}")).await;
    assert_eq!(of_one["totales"]["despachos"]["total"], 1);

    let table = world.csv(&of_a, "?por=contraparte").await;
    assert_eq!(table.headers["content-type"], "text/csv; charset=utf-8; header=present");
    let table = String::from_utf8(table.body).unwrap();
    let lines: Vec<&str> = table.trim_start_matches('\u{feff}').split_terminator("\r\n").collect();
    assert!(lines[0].starts_with("fecha,entidad,contraparte,nombre,despachos,despachos en curso,"));
    assert_eq!(lines[1..], [format!(",,{RUC_DESTINO},MUNICIPALIDAD DE EJEMPLO,2,2,0,0,0,0,0,0,0,,,2,1,1,0,0,,")]);

    for wrong in ["?por=mes", "?desde=2026-11-22&hasta=2026-11-21", "?desde=2020-01-01", "?desde=ayer"] {
        assert_eq!(world.get(&of_a, &format!("/api/v1/estadisticas{wrong}")).await.code(), "parametro_no_valido");
    }
    let other = world.get(&of_b, &format!("/api/v1/estadisticas?entidad={RUC_A}")).await;
    assert_eq!(other.code(), "entidad_no_permitida");
}
