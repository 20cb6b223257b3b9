//! Annexes of whole daemons: what one entity's SGD gives, its counterpart finds in the document it received and downloads.

use serde_json::json;

use crate::{
    daemon::{CUSCO, LIMA, Setup},
    pdf::pdf,
    platform::Platform,
    rest::{client, despacho, text},
};

#[tokio::test]
async fn annexes_travel_as_an_address_from_which_the_receiver_downloads_them() {
    // They are on loopback, all of them.
    let cusco = Setup::of(&[CUSCO]).with("[anexos]\nallow_private = true");
    let lima = Setup::of(&[LIMA]).with("[anexos]\nlookup = true");
    let (_platform, mut daemons) = Platform::with([lima, cusco]).await;
    let mut cusco = daemons.pop().unwrap();
    let mut lima = daemons.pop().unwrap();
    let public = format!("http://{}", lima.soap_address());
    lima.kill();
    lima.environment().push(("CHASQUI__LISTEN__SOAP_PUBLIC_URL".into(), public.clone()));
    lima.run().await;
    let plan = pdf(9, 2_000_000);
    let mut datos = despacho("2026-anexos", CUSCO.ruc);
    datos["anexos"] = json!([
        {"nombre": "plano nº 1.dwg", "contenido": base64_simd::STANDARD.encode_to_string(&plan)},
        {"nombre": "nota.txt", "contenido": "aG9sYQ=="},
    ]);
    datos["documento"] =
        json!({"nombre": "oficio.pdf", "contenido": base64_simd::STANDARD.encode_to_string(pdf(8, 4_000))});
    let api = lima.api();
    let sent = api.post("/api/v1/despachos", &datos).await.expect(202);

    let arrived = cusco.api().until_one("/api/v1/recepciones").await;
    assert_eq!(arrived["anexos"], json!([{"nombre": "plano nº 1.dwg"}, {"nombre": "nota.txt"}]));
    let url = text(&arrived, "url_anexos");
    assert_eq!(url, text(&sent, "url_anexos"));
    let token = url.strip_prefix(&public).expect("its public address");
    let here = url.to_owned();
    let page = client().get(&here).send().await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.text().await.unwrap();
    assert!(page.contains("plano nº 1.dwg") && page.contains(text(&sent["anexos"][0], "sha256")), "{page}");
    let file = client().get(format!("{here}/1")).send().await.unwrap();
    assert!(file.bytes().await.unwrap() == plan, "the same bytes");
    let date = text(&arrived, "fecha_documento").get(..10).unwrap();
    let find = client().get(format!("http://{}/anexos", lima.soap_address()));
    let found = find.query(&[
        ("cuo", text(&arrived, "cuo")),
        ("ruc", CUSCO.ruc),
        ("numero", text(&arrived, "numero_documento")),
        ("fecha", date),
    ]);
    assert!(found.send().await.unwrap().text().await.unwrap().contains("nota.txt"), "the form leads there");
    // Its SGD has them downloaded: the page tells where each is.
    let api_of_cusco = cusco.api();
    let path = format!("/api/v1/recepciones/{}", text(&arrived, "id"));
    let listed = api_of_cusco.post(&format!("{path}/anexos/traer"), &json!({})).await.expect(422);
    let links: Vec<&str> = listed["errors"].as_array().unwrap().iter().skip(1).map(|e| text(e, "detail")).collect();
    assert_eq!(links, [format!("{here}/1"), format!("{here}/2")]);
    for link in &links {
        api_of_cusco.post(&format!("{path}/anexos/traer"), &json!({"url": link})).await.expect(200);
    }
    let elsewhere = json!({"url": "http://otra.pe/x"});
    assert_eq!(api_of_cusco.post(&format!("{path}/anexos/traer"), &elsewhere).await.problem().0, 422);
    let kept = api_of_cusco.get(&path).await.expect(200);
    assert_eq!(kept["anexos_traidos"][0]["sha256"], sent["anexos"][0]["sha256"], "{kept}");
    let file = api_of_cusco.get(&format!("{path}/anexos/{}", text(&sent["anexos"][0], "sha256"))).await;
    assert!(file.body == plan && file.headers["content-type"] == "application/octet-stream");
    let history = api.history(&format!("/api/v1/despachos/{}", text(&sent, "id"))).await;
    assert_eq!(history.iter().filter(|tipo| *tipo == "despacho.anexo_descargado").count(), 2, "{history:?}");
    // Nothing of it is on the side of the SGD, and nothing of the API on this one.
    let other = client().get(format!("http://{}{token}", lima.api_address())).send().await.unwrap();
    assert_eq!(other.status(), 404);
    // After a restart they are still there: they are in the store.
    lima.kill();
    lima.run().await;
    assert_eq!(client().get(format!("{here}/2")).send().await.unwrap().text().await.unwrap(), "hola");
}
