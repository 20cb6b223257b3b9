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
    let mut lima = Setup::of(&[LIMA]);
    lima.environment.push(("CHASQUI__LISTEN__SOAP_PUBLIC_URL".into(), "https://lima.example".into()));
    let (_platform, mut daemons) = Platform::with([lima, Setup::of(&[CUSCO])]).await;
    let mut cusco = daemons.pop().unwrap();
    let mut lima = daemons.pop().unwrap();
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
    let token = url.strip_prefix("https://lima.example").expect("its public address");
    let here = format!("http://{}{token}", lima.soap_address());
    let page = client().get(&here).send().await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.text().await.unwrap();
    assert!(page.contains("plano nº 1.dwg") && page.contains(text(&sent["anexos"][0], "sha256")), "{page}");
    let file = client().get(format!("{here}/1")).send().await.unwrap();
    assert!(file.bytes().await.unwrap() == plan, "the same bytes");
    let found =
        client().get(format!("http://{}/anexos?cuo={}&ruc={}", lima.soap_address(), text(&arrived, "cuo"), CUSCO.ruc));
    assert!(found.send().await.unwrap().text().await.unwrap().contains("nota.txt"), "the form leads there");
    let history = api.history(&format!("/api/v1/despachos/{}", text(&sent, "id"))).await;
    assert_eq!(history.iter().filter(|tipo| *tipo == "despacho.anexo_descargado").count(), 1, "{history:?}");
    // Nothing of it is on the side of the SGD, and nothing of the API on this one.
    let other = client().get(format!("http://{}{token}", lima.api_address())).send().await.unwrap();
    assert_eq!(other.status(), 404);
    // After a restart they are still there: they are in the store.
    lima.kill();
    lima.run().await;
    assert_eq!(client().get(format!("{here}/2")).send().await.unwrap().text().await.unwrap(), "hola");
}
