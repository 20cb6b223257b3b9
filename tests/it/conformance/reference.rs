//! A component with the reference component's faults (CONTRACT §5–§7), written from what is known of it: the suite finds
//! each of them and says what it is.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, response::IntoResponse, routing};
use base64_simd::STANDARD;
use serde_json::{Value, json};

use super::{case, report, run, with};
use crate::{
    daemon::LIMA,
    envelope::{Answer, ENTITY, SOAP11},
};

/// A row of its table; nothing keeps a CUO from having two.
#[derive(Debug, Clone)]
struct Row {
    cuo: String,
    state: char,
    number: String,
}

type Rows = Arc<Mutex<Vec<Row>>>;

const MANDATORY: [&str; 15] = [
    "vrucentrem",
    "vrucentrec",
    "vnomentemi",
    "ctipdociderem",
    "vnumdociderem",
    "ccodtipdoc",
    "vnumdoc",
    "dfecdoc",
    "vuniorgrem",
    "vuniorgdst",
    "vnomdst",
    "vnomcardst",
    "vasu",
    "vnomdoc",
    "vcuo",
];

fn answer(operation: &str, inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><S:Envelope xmlns:S=\"{SOAP11}\"><S:Body><ns2:{operation}Response \
         xmlns:ns2=\"{ENTITY}\"><return>{inner}</return></ns2:{operation}Response></S:Body></S:Envelope>"
    )
}

/// Fault: the code alone, its text is null.
fn error(operation: &str, code: &str) -> String {
    answer(operation, &format!("<vcodres>{code}</vcodres>"))
}

fn receive(rows: &Rows, field: &dyn Fn(&str) -> String) -> String {
    let operation = "recepcionarTramiteResponse";
    // Fault: the receiver's RUC only has to be there.
    if MANDATORY.iter().any(|name| field(name).trim().is_empty()) {
        return error(operation, "0003");
    }
    let outer = STANDARD.decode_to_vec(field("bpdfdoc").split_whitespace().collect::<String>());
    // Fault: the second layer is decoded strictly, and what it throws becomes -1.
    let Some(pdf) = outer.ok().and_then(|inner| STANDARD.decode_to_vec(inner).ok()) else {
        return error(operation, "-1");
    };
    if !pdf.starts_with(b"%PDF") {
        return error(operation, "0003");
    }
    // Fault: whether the CUO is there already is not asked.
    rows.lock().unwrap().push(Row { cuo: field("vcuo"), state: 'P', number: String::new() });
    let text = format!(
        "El documento N° CUO {} se encuentra a disposición para la recepción formal de la entidad destinataria {} en los \
         horarios de atención de su Mesa de Partes.",
        field("vcuo"),
        LIMA.name
    );
    answer(operation, &format!("<vcodres>0000</vcodres><vdesres>{text}</vdesres>"))
}

fn query(rows: &Rows, cuo: &str) -> String {
    let operation = "consultarTramiteResponse";
    let found = rows.lock().unwrap().iter().find(|row| row.cuo == cuo).cloned();
    let Some(row) = found else { return error(operation, "0001") };
    // Fault: vcuo is not said. Fault: what was observed is told like what is pending.
    let known = "<vcodres>0000</vcodres><vdesres>DATOS ENCONTRADOS</vdesres>";
    let pdf = STANDARD.encode_to_string(STANDARD.encode_to_string(b"%PDF-1.4 cargo"));
    answer(
        operation,
        &match row.state {
            'R' => format!(
                "{known}<vnumregstd>{}</vnumregstd><vanioregstd>2026</vanioregstd><vuniorgstd>MESA</vuniorgstd>\
             <dfecregstd>2026-01-02T10:00:00-05:00</dfecregstd><vusuregstd>ROSA</vusuregstd><bcarstd>{pdf}</bcarstd>\
             <cflgest>R</cflgest>",
                row.number
            ),
            _ => format!("{known}<cflgest>P</cflgest>"),
        },
    )
}

async fn serve(State(rows): State<Rows>, body: Bytes) -> impl IntoResponse {
    let said = Answer { status: 200, content_type: String::new(), body: String::from_utf8_lossy(&body).into_owned() };
    let xml = [("content-type", "text/xml; charset=utf-8")];
    let operation = ["recepcionarTramiteResponse", "consultarTramiteResponse", "cargoResponse"];
    let called = operation.into_iter().find(|name| said.body.contains(&format!("{name}>")));
    if called.is_none()
        || said.body.contains("<!DOCTYPE")
        || said.body.contains("&nada;")
        || !said.body.contains(SOAP11)
    {
        let fault = format!(
            "<S:Envelope xmlns:S=\"{SOAP11}\"><S:Body><S:Fault><faultcode>S:Client</faultcode><faultstring>Cannot find \
             dispatch method</faultstring></S:Fault></S:Body></S:Envelope>"
        );
        return (StatusCode::INTERNAL_SERVER_ERROR, xml, fault);
    }
    let field = |name: &str| said.field(name).unwrap_or_default();
    let text = match called {
        Some("recepcionarTramiteResponse") => receive(&rows, &field),
        Some("consultarTramiteResponse") => query(&rows, &field("request")),
        _ => error("cargoResponse", "-1"),
    };
    (StatusCode::OK, xml, text)
}

/// Mesa de partes, and who counts the rows.
async fn act(State(rows): State<Rows>, body: Bytes) -> (StatusCode, String) {
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let cuo = asked["cuo"].as_str().unwrap_or_default();
    let mut rows = rows.lock().unwrap();
    let count = rows.iter().filter(|row| row.cuo == cuo).count();
    let state = match asked["accion"].as_str() {
        Some("recepcionar") => 'R',
        Some("observar") => 'O',
        Some("contar") => return (StatusCode::OK, json!({"cantidad": count}).to_string()),
        _ => return (StatusCode::NOT_FOUND, String::new()),
    };
    let number = asked["numero"].as_str().unwrap_or_default().to_owned();
    match rows.iter_mut().find(|row| row.cuo == cuo) {
        Some(row) => (row.state, row.number) = (state, number),
        None => return (StatusCode::CONFLICT, String::new()),
    }
    (StatusCode::OK, "{}".into())
}

#[tokio::test]
async fn every_known_fault_of_the_reference_component_is_found_and_explained() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let wsdl = include_str!("../../../wsdl/entity/Tramite.wsdl");
    let wsdl = wsdl.replace("{address}", &format!("http://{address}/wsiotramite/Tramite"));
    let describe = routing::get(move || async move { ([("content-type", "text/xml")], wsdl.clone()) });
    let router = Router::new()
        .route("/wsiotramite/Tramite", describe.post(serve))
        .route("/actuar", routing::post(act))
        .with_state(Rows::default());
    let service = hyper_util::service::TowerToHyperService::new(router);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let io = hyper_util::rt::TokioIo::new(stream);
                hyper::server::conn::http1::Builder::new().serve_connection(io, service).await.ok();
            });
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let target = format!("http://{address}/wsiotramite/Tramite");
    let command = format!("curl --silent --show-error --fail --data-binary @- http://{address}/actuar");
    let args = ["--target", &target, "--ruc", LIMA.ruc, "--send-command", &command, "--format", "json"];
    let output = run(dir.path(), &args).await;
    assert_eq!(output.status.code(), Some(1), "it does not conform");
    let report = report(&output);
    for (fault, id, cause) in [
        ("vdesres null on every error", "MGD-8.2-15", "deja vdesres en nulo"),
        ("vdesres null on a wrong field", "MGD-T18-26", "deja vdesres en nulo"),
        ("duplicates stored twice", "MGD-8.2-04", "guarda el duplicado"),
        ("another document under the same CUO", "MGD-8.2-05", "no busca el CUO antes de insertar"),
        ("strict second base64: line breaks", "MGD-B64-05", "decodificador estricto"),
        ("strict second base64: encoded once", "MGD-B64-02", "decodificador estricto"),
        ("observed is told like pending", "MGD-8.4-10", "observado igual que un pendiente"),
        ("the receiver's RUC is not compared", "MGD-8.2-08", "no compara el RUC de la entidad receptora"),
        ("no vcuo in a consulta", "MGD-8.4-03", "deja vcuo y vcuoref fuera"),
    ] {
        let found = case(&report, id);
        assert_eq!(found["veredicto"], "NO CUMPLE", "{fault}: {found}");
        let said = found["fallo"]["causa"].as_str().unwrap_or_else(|| panic!("{fault} is not explained: {found}"));
        assert!(said.contains(cause), "{fault}: {said}");
        for member in ["significa", "remedio"] {
            assert!(found["fallo"][member].as_str().is_some_and(|text| text.len() > 20), "{fault}: no {member}");
        }
        assert!(found["evidencia"].as_array().is_some_and(|e| !e.is_empty()), "{fault}: nothing shows it");
    }
    // What it does right is not held against it.
    for id in ["MGD-8.2-01", "MGD-8.2-03", "MGD-8.4-02", "MGD-8.4-09", "MGD-B64-01", "MGD-WSDL-06", "BP-R1012"] {
        assert_eq!(case(&report, id)["veredicto"], "CUMPLE", "{}", case(&report, id));
    }
    // With its faults declared as known, what is left to fail is what nobody declared.
    let known: String = with(&report, "NO CUMPLE")
        .iter()
        .map(|line| format!("[[desviacion]]\ncaso = {}\nmotivo = \"se sabe\"\n", line.split(' ').next().unwrap()))
        .collect();
    std::fs::write(dir.path().join("conocidas.toml"), known).unwrap();
    let output = run(dir.path(), &[&args[..], &["--expected", "conocidas.toml"]].concat()).await;
    let again = super::report(&output);
    assert_eq!(again["resumen"]["esperados"], again["resumen"]["no_cumple"]);
    assert_ne!(again["resumen"]["conclusion"], "NO CONFORME");
    assert!(output.status.success());
}
