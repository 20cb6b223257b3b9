//! The bridge as an SGD's scripts meet it: over a real store, a scripted platform and a worker that runs while they wait.

use std::{cell::Cell, time::Duration};

use axum::body::{Body, to_bytes};
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::{
    audit::{self, Log},
    config::Secret,
    domain::{EstadoDespacho, Id, cargo::Respuesta},
    exchange::{
        retention::Politica,
        tests::world::{NUESTRA, OTRA, World, arrival, cargo, nuevo, told, unclear},
    },
    http::{limits::InFlight, rates::Rates},
    sgd::{
        rest::{Check, Streams},
        webhook::Webhooks,
    },
    telemetry::Metrics,
};

const ACCESS: &str = "user_access_api";
const TERCERA: &str = "20131312955";

struct Sgd {
    world: World,
    router: Router,
    token: String,
    rates: Rates,
    _folder: tempfile::TempDir,
}

fn written() -> Config {
    let entity = config::Entity { ruc: NUESTRA.into(), name: "NUESTRA ENTIDAD".into(), ..config::Entity::default() };
    let bridge = config::Bridge {
        user_access_api: Some(Secret::new(ACCESS)),
        jwt_secret: Some(Secret::new("un_secreto_jwt_un_secreto_jwt_un")),
        wait: Duration::from_millis(400),
        ..config::Bridge::default()
    };
    Config { entity: vec![entity], bridge: vec![bridge], ..Config::default() }
}

impl Sgd {
    async fn new() -> Self {
        let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
        let audit = audit::log::Options {
            data_dir: folder.path().to_owned(),
            origin: "chasqui/prueba".into(),
            seed: [7; 32],
            export: None,
            timestamper: None,
        };
        let rates = Rates::new(&config::Limits::default());
        let api = Api {
            exchange: world.exchange.clone(),
            audit: Log::open(Arc::clone(world.exchange.store()), audit).unwrap(),
            metrics: Arc::new(Metrics::default()),
            webhooks: Webhooks::default(),
            tablas: Default::default(),
            streams: Streams::default(),
            fetching: crate::sgd::annexes::fetch::Fetching::default(),
            rates: rates.clone(),
            reload: None,
            json_bytes_max: 20_000,
            checks: Arc::new([Check::new("almacen", || async { Ok(()) })]),
            stop: tokio_util::sync::CancellationToken::new(),
        };
        let intake = Intake::new(&config::Limits::default(), 3_000_000, InFlight::new(10_000_000));
        let router = router(Bridge::from_config(&written(), api).unwrap(), intake);
        let mut sgd = Self { world, router, token: String::new(), rates, _folder: folder };
        sgd.enter().await;
        sgd
    }

    async fn enter(&mut self) {
        let answer = self.post_idle("pide/autenticacion", &json!({ "userAccessApi": ACCESS })).await;
        assert_eq!((&answer["estado"], &answer["error"]), (&json!("0000"), &Value::Null));
        self.token = answer["data"].as_str().unwrap().to_owned();
    }

    /// A year later, after what is older than a month was purged.
    async fn purged(&mut self) {
        const DAY: Duration = Duration::from_secs(86_400);
        self.world.advance(DAY * 365);
        let politica = Politica { despachos: Some(DAY * 30), recepciones: Some(DAY * 30), cada: DAY };
        let exchange = self.world.exchange.clone().with_retention(politica);
        assert!(exchange.purgar(&Actor::local(), None, None, None).await.unwrap().intercambios > 0);
        self.enter().await;
    }

    /// One number of registration for two entities, as the API has it.
    async fn to_two(&self, numero: &str) {
        let mut both = nuevo();
        both.numero_registro = Some(numero.into());
        both.destinos = vec![OTRA.into(), TERCERA.into()];
        self.world.dispatch_as(both).await;
        self.world.run_due().await;
    }

    /// The despacho of a number for an entity.
    async fn to(&self, numero: &str, destino: &str) -> Despacho {
        self.despachos(numero).await.into_iter().find(|found| found.destino.as_str() == destino).unwrap()
    }

    async fn send(&self, request: Request<Body>) -> (u16, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 10_000_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn request(&self, path: &str, body: String) -> Request<Body> {
        let request = Request::post(format!("/componente-proxy/rest/{path}"));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        request.header("content-type", "application/json").body(Body::from(body)).unwrap()
    }

    /// Posts while nothing works on what is queued.
    async fn post_idle(&self, path: &str, body: &Value) -> Value {
        let (status, text) = self.send(self.request(path, body.to_string())).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Posts while the worker works.
    async fn post(&self, path: &str, body: &Value) -> Value {
        let answered = Cell::new(false);
        let asking = async {
            let answer = self.post_idle(path, body).await;
            answered.set(true);
            answer
        };
        let working = async {
            while !answered.get() {
                self.world.run_due().await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::join!(asking, working).0
    }

    async fn get(&self, path: &str) -> Value {
        let request =
            Request::get(format!("/componente-proxy/rest/{path}/{}", self.token)).body(Body::empty()).unwrap();
        let (status, text) = self.send(request).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    fn sends(&self) -> usize {
        self.world.platform.calls().iter().filter(|call| call.starts_with("recepcionar")).count()
    }

    async fn despachos(&self, numero: &str) -> Vec<Despacho> {
        let of = Numbered {
            entidad: Ruc::de_contraparte(NUESTRA).unwrap(),
            numero: numero.into(),
            after: None,
            limit: NUMBERED_MAX,
        };
        self.world.exchange.store().despachos_by_numero(of).await.unwrap().items
    }

    /// A document that arrived and was filed.
    async fn received(&self, cuo: &str, numero: &str) -> Id {
        assert_eq!(self.world.receive(&arrival(cuo), b"%PDF-1.7 x").await.0, "0000");
        let (entidad, cuo) = (Ruc::de_contraparte(NUESTRA).unwrap(), crate::domain::Cuo::parse(cuo).unwrap());
        let exchange = &self.world.exchange;
        let id = exchange.store().recepciones_by_cuo(&entidad, &cuo).await.unwrap()[0].id;
        exchange.registrar(&Actor::local(), None, id, numero, None).await.unwrap();
        id
    }
}

const SEND: &str = "pide/despacho/enviado";
const CORRECT: &str = "pide/despacho/subsanado";

fn despacho(numero: &str, asunto: &str) -> Value {
    json!({
        "vnumregstd": numero, "bpdfdoc": base64_simd::STANDARD.encode_to_string(b"%PDF-1.7 oficio"),
        "vnomentrec": "OTRA ENTIDAD", "vrucentrec": OTRA, "ccodtipdoc": "01", "vnumdoc": "1000 OTI-TEST-2020",
        "vuniorgrem": "OFICINA DE TI", "vcoduniorgrem": "OTI", "ctipdociderem": "1", "vnumdociderem": "40633367",
        "vuniorgdst": "SISTEMAS", "vnomdst": "ANA", "vnomcardst": "JEFA", "vasu": asunto, "vnomdoc": "documento.pdf",
        "snumfol": 1, "lstanexos": [{"vnomdoc": "anexo 01"}], "vurldocanx": "http://sgd.pe/anexos", "vusureg": "jperez",
        "de_otro_sistema": true,
    })
}

fn said(answer: &Value) -> (String, String) {
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    (text("estado"), if answer["error"].is_null() { text("data") } else { text("error") })
}

#[tokio::test]
async fn a_document_is_sent_once_whatever_is_repeated_under_its_number() {
    let sgd = Sgd::new().await;
    let (estado, texto) = said(&sgd.post(SEND, &despacho("00123", "Asunto")).await);
    assert_eq!(estado, "0000");
    assert!(texto.contains("N° CUO 0000000001") && texto.contains(OTRA), "{texto}");
    // However often it is repeated, for the answer may have been lost each time.
    for (asunto, code) in [("Asunto", "0001"), ("Asunto", "0001"), ("Otro", "E002")] {
        let (estado, texto) = said(&sgd.post(SEND, &despacho("00123", asunto)).await);
        assert_eq!(estado, code, "{texto}");
    }
    assert_eq!(sgd.sends(), 1);
    let sent = &sgd.despachos("00123").await[0];
    assert_eq!((sent.anexos[0].nombre.as_str(), sent.folios), ("anexo 01", 1));
}

#[tokio::test]
async fn a_caller_that_never_heard_the_answer_hears_that_it_arrived() {
    let sgd = Sgd::new().await;
    let gone = sgd.send(sgd.request(SEND, despacho("7", "Asunto").to_string()));
    tokio::time::timeout(Duration::from_millis(100), gone).await.unwrap_err();
    // Another document under a number that is being sent is none of it.
    assert_eq!(said(&sgd.post_idle(SEND, &despacho("7", "Otro")).await).0, "E001");
    let (estado, texto) = said(&sgd.post(SEND, &despacho("7", "Asunto")).await);
    assert!(estado == "0001" && texto.contains("(sincronizado)"), "{estado} {texto}");
    assert_eq!(sgd.sends(), 1);
}

#[tokio::test]
async fn what_did_not_leave_in_time_is_withdrawn_and_its_number_serves_again() {
    let sgd = Sgd::new().await;
    let (estado, texto) = said(&sgd.post_idle(SEND, &despacho("8", "Asunto")).await);
    assert!(estado == "-1" && texto.contains("no se envió y nada quedó pendiente"), "{estado} {texto}");
    assert_eq!(sgd.world.run_due().await, 0, "nothing is sent behind the caller's back");
    // Meanwhile the SGD gave the number to another document.
    assert_eq!(said(&sgd.post(SEND, &despacho("8", "Otro asunto")).await).0, "0000");
    let found = sgd.despachos("8").await;
    let states: Vec<_> = found.iter().map(|d| (d.estado, d.reemplazado_por.is_some())).collect();
    assert_eq!(states, [(EstadoDespacho::Enviado, false), (EstadoDespacho::Anulado, true)]);
    assert_eq!(sgd.sends(), 1);
}

#[tokio::test]
async fn an_unclear_end_is_told_as_such_and_a_repetition_tells_how_it_ended() {
    let sgd = Sgd::new().await;
    sgd.world.platform.sends.lock().unwrap().push_back(Err(unclear("sin respuesta")));
    sgd.world.platform.consultas.lock().unwrap().push_back(Ok(told("0000", "P")));
    let (estado, texto) = said(&sgd.post(SEND, &despacho("9", "Asunto")).await);
    assert!(estado == "-1" && texto.contains("Todavía no se sabe"), "{estado} {texto}");
    while sgd.despachos("9").await[0].estado.en_curso() {
        assert!(sgd.world.run_next().await);
    }
    assert_eq!(said(&sgd.post(SEND, &despacho("9", "Asunto")).await).0, "0001");
    assert_eq!(sgd.sends(), 1);
}

#[tokio::test]
async fn what_the_receiver_refuses_is_told_and_what_is_mended_goes_out_under_the_same_number() {
    let sgd = Sgd::new().await;
    let mut wrong = despacho("10", "");
    wrong["vnomdst"] = json!("x".repeat(101));
    let (estado, texto) = said(&sgd.post(SEND, &wrong).await);
    assert_eq!(estado, "E004");
    assert!(texto.contains("Asunto de documento no especificado") && texto.contains("excede"), "{texto}");
    assert!(sgd.despachos("10").await.is_empty());

    let refused = Respuesta::nueva("0003", "El código de Tipo de documento no es válido");
    sgd.world.platform.sends.lock().unwrap().push_back(Ok(refused));
    let (estado, texto) = said(&sgd.post(SEND, &despacho("10", "Asunto")).await);
    assert!(estado == "E004" && texto.contains("Tipo de documento no es válido"), "{estado} {texto}");
    // The receiver is asked before anything is sent in its place.
    assert_eq!(said(&sgd.post(SEND, &despacho("10", "Asunto corregido")).await).0, "0000");
    let calls = sgd.world.platform.calls();
    let calls: Vec<&str> = calls.iter().filter_map(|call| call.split(' ').next()).collect();
    assert_eq!(calls, ["cuo", "recepcionar", "consultar", "cuo", "recepcionar"]);
    assert_eq!(sgd.despachos("10").await[0].asunto, "Asunto corregido");
}

#[tokio::test]
async fn a_refused_document_that_arrived_all_the_same_is_not_sent_again() {
    let sgd = Sgd::new().await;
    sgd.world.platform.sends.lock().unwrap().push_back(Ok(Respuesta::nueva("0003", "Asunto no válido")));
    assert_eq!(said(&sgd.post(SEND, &despacho("11", "Asunto")).await).0, "E004");
    sgd.world.platform.consultas.lock().unwrap().push_back(Err(unclear("sin respuesta")));
    let (estado, texto) = said(&sgd.post(SEND, &despacho("11", "Asunto")).await);
    assert!(estado == "-1" && texto.contains("no se sabe si llegó"), "{estado} {texto}");
    sgd.world.platform.consultas.lock().unwrap().push_back(Ok(told("0000", "P")));
    assert_eq!(said(&sgd.post(SEND, &despacho("11", "Asunto")).await).0, "0001");
    assert_eq!(sgd.sends(), 1);
}

#[tokio::test]
async fn an_observed_document_is_corrected_by_its_number_and_no_other_is() {
    let sgd = Sgd::new().await;
    assert_eq!(said(&sgd.post(SEND, &despacho("12", "Asunto")).await).0, "0000");
    let mut correction = despacho("13", "Corregido");
    for (referencia, said_so) in
        [(Value::Null, "Falta vnumregstdref"), (json!("99"), "No se encontró"), (json!(12), "Solo se subsana")]
    {
        correction["vnumregstdref"] = referencia;
        let (estado, texto) = said(&sgd.post(CORRECT, &correction).await);
        assert!(estado == "E003" && texto.contains(said_so), "{estado} {texto}");
    }
    sgd.world.collect(&cargo("1", "O"), b"%PDF-1.7 c").await;
    assert_eq!(said(&sgd.post(CORRECT, &correction).await).0, "0000");
    assert_eq!(sgd.despachos("12").await[0].estado, EstadoDespacho::Subsanado);
    let corrected = &sgd.despachos("13").await[0];
    assert_eq!(corrected.cuo_referencia.as_ref().map(ToString::to_string).as_deref(), Some("0000000001"));
    // Its cargo, as the SGD looks it up.
    let cargo = sgd.get("local/cargo/despachado/12").await;
    let pdf = base64_simd::STANDARD.encode_to_string(b"%PDF-1.7 c");
    assert_eq!((&cargo["data"]["cflgest"], &cargo["data"]["bcarstdrec"]), (&json!("S"), &json!(pdf)));
    assert_eq!((&cargo["data"]["vobs"], &cargo["data"]["vnumregstdrec"]), (&json!("Falta la firma"), &json!("55")));
    assert_eq!(cargo["data"]["dfecregstdrec"], json!(1_795_190_400_000_i64));
}

#[tokio::test]
async fn a_received_document_is_answered_once_by_its_number() {
    let sgd = Sgd::new().await;
    let (accept, object) = ("pide/cargo/recepcionado", "pide/cargo/observado");
    let id = sgd.received("0000000001", "E-1").await;
    let answer = |numero: &str| {
        json!({"vnumregstd": numero, "vuniorgstd": "UNIDAD", "ccoduniorgstd": "COD", "vusuregstd": "ANA",
               "bcarstd": base64_simd::STANDARD.encode_to_string(b"%PDF-1.7 cargo")})
    };
    let mut with_observation = answer("E-1");
    with_observation["vobs"] = json!("");
    for (path, body) in [(accept, &with_observation), (object, &with_observation), (object, &answer("E-1"))] {
        assert_eq!(said(&sgd.post_idle(path, body).await).0, "EV01", "{path}");
    }
    assert_eq!(said(&sgd.post_idle(accept, &answer("E-9")).await).0, "E001");
    let mut without_unit = answer("E-1");
    without_unit["vuniorgstd"] = Value::Null;
    let (estado, texto) = said(&sgd.post_idle(accept, &without_unit).await);
    assert!(estado == "E002" && texto.contains("unidad orgánica de derivación no especificado"), "{estado} {texto}");

    let empty = sgd.get("local/cargo/recepcionado/E-1").await;
    assert_eq!((&empty["data"]["cflgest"], &empty["data"]["bcarstd"]), (&json!("P"), &Value::Null));
    let expected = ("0000".to_owned(), "RECEPCION DE CARGO EXITOSO".to_owned());
    assert_eq!(said(&sgd.post_idle(accept, &answer("E-1")).await), expected);
    assert_eq!(said(&sgd.post_idle(accept, &answer("E-1")).await).0, "0001");
    let mut another = answer("E-1");
    another["vuniorgstd"] = json!("OTRA UNIDAD");
    assert_eq!(said(&sgd.post_idle(accept, &another).await).0, "E001");
    assert_eq!(sgd.world.recepcion(id).await.cargo.unwrap().usuario.as_deref(), Some("ANA"));
    let local = sgd.get("local/cargo/recepcionado/E-1").await;
    assert_eq!((&local["data"]["cflgest"], &local["data"]["vcuo"]), (&json!("R"), &json!("0000000001")));
    let document = sgd.get("local/documento/recepcionado/E-1").await;
    let pdf = base64_simd::STANDARD.encode_to_string(b"%PDF-1.7 x");
    assert_eq!((&document["data"]["vasu"], &document["data"]["bpdfdoc"]), (&json!("Asunto"), &json!(pdf)));
    assert_eq!(sgd.get("local/documento/recepcionado/E-2").await["estado"], "E001");

    // Two that wait under one number: nobody says which of them is meant.
    sgd.received("0000000002", "E-3").await;
    sgd.received("0000000003", "E-3").await;
    let (estado, texto) = said(&sgd.post_idle(accept, &answer("E-3")).await);
    assert!(estado == "E001" && texto.contains("varios"), "{estado} {texto}");
}

#[tokio::test]
async fn the_receiver_is_asked_for_a_document_and_its_cargo_comes_with_the_answer() {
    let sgd = Sgd::new().await;
    assert_eq!(said(&sgd.post(SEND, &despacho("14", "Asunto")).await).0, "0000");
    let path = format!("pide/consultar/recepcion/{OTRA}/14");
    let tell = |codigo, estado, pdf: Option<&[u8]>| {
        let answer = crate::exchange::tests::world::Told { pdf: pdf.map(<[u8]>::to_vec), ..told(codigo, estado) };
        sgd.world.platform.consultas.lock().unwrap().push_back(Ok(answer));
    };
    tell("0001", "", None);
    assert_eq!(sgd.get(&path).await["estado"], "0001");
    tell("0000", "P", None);
    let waiting = sgd.get(&path).await;
    assert_eq!((&waiting["data"]["cflgest"], &waiting["data"]["bcarstd"]), (&json!("P"), &Value::Null));
    tell("0000", "R", Some(b"%PDF-1.7 c"));
    // The RUC matters only where a number went to several.
    let found = sgd.get("pide/consultar/recepcion/00000000000/14").await;
    let pdf = base64_simd::STANDARD.encode_to_string(b"%PDF-1.7 c");
    assert_eq!((&found["estado"], &found["data"]["cflgest"]), (&json!("0000"), &json!("R")));
    assert_eq!((&found["data"]["bcarstd"], &found["data"]["vnumregstd"]), (&json!(pdf), &json!("77")));
    // What it said once stands, also where it cannot be asked.
    sgd.world.platform.consultas.lock().unwrap().push_back(Err(unclear("sin respuesta")));
    assert_eq!(sgd.get(&path).await["data"]["cflgest"], "R");
    assert_eq!(sgd.get("pide/consultar/recepcion/00000000000/99").await["estado"], "E001");

    let local = sgd.get("local/documento/despachado/14").await;
    assert_eq!((&local["data"]["vcuo"], &local["data"]["snumanx"]), (&json!("0000000001"), &json!(1)));
    assert_eq!(local["data"]["lstDocAnexo"], json!([{"vnomdoc": "anexo 01"}]));
    let entities = sgd.get("pide/consultar/lista/entidades/7").await;
    assert_eq!(entities["data"], json!([{"vnoment": "ENTIDAD DE Gobierno Local Provincial", "vrucent": OTRA}]));
    assert_eq!(sgd.get("pide/consultar/lista/entidades/9").await["estado"], "-1");
}

#[tokio::test]
async fn nobody_comes_in_without_a_token_in_force() {
    let sgd = Sgd::new().await;
    let request = |path: &str| Request::post(format!("/componente-proxy/rest/{path}"));
    let json_body = |text: &str| Body::from(text.to_owned());
    for access in ["{}", r#"{"userAccessApi":""}"#, r#"{"userAccessApi":"otra_llave"}"#] {
        let (status, text) = sgd.send(request("pide/autenticacion").body(json_body(access)).unwrap()).await;
        assert!(status == 401 && !text.starts_with('{'), "{status} {text}");
    }
    let bearer = |token: &str| request(SEND).header("authorization", token).body(json_body("{}")).unwrap();
    let good = format!("Bearer {}", sgd.token);
    for token in ["", "Bearer ", "Bearer x.y.z", &sgd.token, &format!("{good}x"), &format!("Basic {}", sgd.token)] {
        assert_eq!(sgd.send(bearer(token)).await.0, 401, "{token}");
    }
    assert_eq!(sgd.send(bearer(&good)).await.0, 200);
    for path in ["local/documento/despachado/1", "local/cargo/recepcionado/1", "pide/consultar/lista/entidades/7"] {
        let get =
            |token: &str| Request::get(format!("/componente-proxy/rest/{path}/{token}")).body(Body::empty()).unwrap();
        assert_eq!(sgd.send(get("x.y.z")).await.0, 401, "{path}");
        assert_eq!(sgd.send(get(&sgd.token)).await.0, 200, "{path}");
    }
    sgd.world.advance(Duration::from_secs(6 * 3600));
    assert_eq!(sgd.send(bearer(&good)).await.0, 401, "its time is over");
}

#[tokio::test]
async fn what_is_no_request_is_answered_in_words_and_stores_nothing() {
    let sgd = Sgd::new().await;
    let large = format!("{{\"vasu\":\"{}\"}}", "x".repeat(30_000));
    let huge = format!("{{\"bpdfdoc\":\"{}\"}}", "A".repeat(3_000_000));
    for (body, said_so) in [
        ("", "JSON"),
        ("[]", "debe ser un objeto"),
        ("{\"vnumregstd\":", "JSON"),
        (&large, "máximo de 20000 bytes"),
        (&huge, "máximo"),
    ] {
        let (status, text) = sgd.send(sgd.request(SEND, body.to_owned())).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        let (estado, texto) = said(&answer);
        assert!(status == 200 && estado == "-1" && texto.contains(said_so), "{status} {text}");
    }
    let (estado, texto) =
        said(&sgd.post_idle(SEND, &json!({"vnumregstd": ["1"], "lstanexos": "x", "bpdfdoc": 5})).await);
    assert!(estado == "E004" && texto.contains("No existe Documento PDF Principal"), "{estado} {texto}");
    assert_eq!(sgd.world.run_due().await, 0);
}

#[tokio::test]
async fn of_a_number_that_went_to_several_the_one_to_the_correction_s_entity_is_corrected() {
    let sgd = Sgd::new().await;
    sgd.to_two("20").await;
    for destino in [OTRA, TERCERA] {
        let cuo = sgd.to("20", destino).await.cuo.unwrap().to_string();
        let observed = cargo(&cuo, "O");
        assert_eq!(sgd.world.collect(&observed, b"%PDF-1.7 c").await.0, "0000");
    }
    for (numero, destino) in [("21", OTRA), ("22", TERCERA)] {
        let mut correction = despacho(numero, "Corregido");
        (correction["vnumregstdref"], correction["vrucentrec"]) = (json!("20"), json!(destino));
        assert_eq!(said(&sgd.post(CORRECT, &correction).await).0, "0000");
        let corrected = sgd.to("20", destino).await;
        assert_eq!(corrected.estado, EstadoDespacho::Subsanado, "{destino}");
        assert_eq!(sgd.despachos(numero).await[0].cuo_referencia, corrected.cuo);
    }
    let mut elsewhere = despacho("23", "Corregido");
    (elsewhere["vnumregstdref"], elsewhere["vrucentrec"]) = (json!("20"), json!("20131380951"));
    let (estado, texto) = said(&sgd.post(CORRECT, &elsewhere).await);
    assert!(estado == "E003" && texto.contains("No se encontró"), "{estado} {texto}");
}

#[tokio::test]
async fn a_number_that_arrived_at_one_entity_and_failed_at_another_serves_again_for_that_one() {
    let sgd = Sgd::new().await;
    sgd.world.platform.sends.lock().unwrap().push_back(Ok(Respuesta::nueva("0003", "Asunto no válido")));
    sgd.to_two("30").await;
    let failed = sgd.despachos("30").await.into_iter().find(|found| found.estado == EstadoDespacho::Fallido).unwrap();
    let mut mended = despacho("30", "Asunto corregido");
    mended["vrucentrec"] = json!(failed.destino);
    assert_eq!(said(&sgd.post(SEND, &mended).await).0, "0000");
    assert_eq!((sgd.sends(), sgd.to("30", failed.destino.as_str()).await.estado), (3, EstadoDespacho::Enviado));
    assert_eq!(said(&sgd.post(SEND, &mended).await).0, "0001");
}

#[tokio::test]
async fn the_same_document_is_no_repetition_of_what_corrects_another_or_none() {
    let sgd = Sgd::new().await;
    for numero in ["40", "41"] {
        assert_eq!(said(&sgd.post(SEND, &despacho(numero, "Asunto")).await).0, "0000");
    }
    let mut correction = despacho("41", "Asunto");
    correction["vnumregstdref"] = json!("40");
    for referencia in ["40", "99"] {
        correction["vnumregstdref"] = json!(referencia);
        let (estado, texto) = said(&sgd.post(CORRECT, &correction).await);
        assert!(estado == "E003" && texto.contains(&format!("no subsana al {referencia}")), "{estado} {texto}");
    }
    sgd.world.collect(&cargo("1", "O"), b"%PDF-1.7 c").await;
    (correction["vnumregstd"], correction["vnumregstdref"]) = (json!("42"), json!("40"));
    assert_eq!(said(&sgd.post(CORRECT, &correction).await).0, "0000");
    assert_eq!(said(&sgd.post(CORRECT, &correction).await).0, "0001");
    assert_eq!(said(&sgd.post(SEND, &despacho("42", "Asunto")).await).0, "E003");
}

#[tokio::test]
async fn a_purged_document_that_arrived_after_all_is_not_sent_again() {
    let mut sgd = Sgd::new().await;
    sgd.world.platform.sends.lock().unwrap().push_back(Ok(Respuesta::nueva("0003", "Asunto no válido")));
    assert_eq!(said(&sgd.post(SEND, &despacho("50", "Asunto")).await).0, "E004");
    // Its receiver says that it has nothing, so it has ended and is purged; later it finds it all the same.
    sgd.world.advance(Duration::from_secs(86_400));
    sgd.world.platform.consultas.lock().unwrap().push_back(Ok(told("0001", "")));
    let id = sgd.despachos("50").await[0].id;
    sgd.world.exchange.consultar(None, id).await.unwrap();
    sgd.purged().await;
    sgd.world.platform.consultas.lock().unwrap().push_back(Ok(told("0000", "P")));
    let (estado, texto) = said(&sgd.post(SEND, &despacho("50", "Asunto")).await);
    assert!(estado == "E002" && texto.contains("No se envió otra vez"), "{estado} {texto}");
    assert_eq!(sgd.sends(), 1);
}

#[tokio::test]
async fn a_purged_document_is_not_handed_out_though_another_exchange_has_its_bytes() {
    let mut sgd = Sgd::new().await;
    assert_eq!(said(&sgd.post(SEND, &despacho("51", "Asunto")).await).0, "0000");
    sgd.world.collect(&cargo("1", "R"), b"%PDF-1.7 c").await;
    let id = sgd.received("0000000009", "E-51").await;
    assert_eq!(said(&sgd.post(SEND, &despacho("52", "Asunto")).await).0, "0000");
    let same_cargo = cargo("2", "R");
    sgd.world.exchange.bloquear(&Actor::local(), None, sgd.despachos("52").await[0].id, "x").await.unwrap();
    sgd.world.collect(&same_cargo, b"%PDF-1.7 c").await;
    assert!(sgd.world.recepcion(id).await.purga.is_none());
    sgd.purged().await;
    let pdf = base64_simd::STANDARD.encode_to_string(b"%PDF-1.7 oficio");
    assert_eq!(sgd.get("local/documento/despachado/52").await["data"]["bpdfdoc"], json!(pdf));
    for path in ["local/documento/despachado/51", "local/cargo/despachado/51"] {
        let (estado, texto) = said(&sgd.get(path).await);
        assert!(estado == "-1" && texto.contains("Se borró"), "{path}: {estado} {texto}");
    }
    sgd.world.platform.consultas.lock().unwrap().push_back(Err(unclear("sin respuesta")));
    let (estado, texto) = said(&sgd.get(&format!("pide/consultar/recepcion/{OTRA}/51")).await);
    assert!(estado == "-1" && texto.contains("Se borró"), "{estado} {texto}");
}

#[tokio::test]
async fn what_fails_once_the_document_is_on_record_does_not_say_that_it_was_not_sent() {
    let sgd = Sgd::new().await;
    let body = despacho("60", "Asunto");
    let closing = async {
        while sgd.despachos("60").await.is_empty() {
            tokio::task::yield_now().await;
        }
        sgd.world.exchange.store().close().await.unwrap();
    };
    let (answer, ()) = tokio::join!(sgd.post_idle(SEND, &body), closing);
    let (estado, texto) = said(&answer);
    assert!(estado == "-1" && texto.contains("Todavía no se sabe si el documento 60 llegó"), "{estado} {texto}");
    assert!(texto.contains("Último error"), "{texto}");
}

#[tokio::test]
async fn what_strangers_send_is_bounded_before_it_is_read_and_other_bodies_are_not_touched() {
    let sgd = Sgd::new().await;
    let access = format!("{{\"userAccessApi\":\"{}\"}}", "x".repeat(5_000));
    let pieces = access.as_bytes().chunks(700).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>();
    for body in [Body::from(access.clone()), Body::from_stream(futures_util::stream::iter(pieces))] {
        let request = Request::post("/componente-proxy/rest/pide/autenticacion").body(body).unwrap();
        let (_, text) = sgd.send(request).await;
        let (estado, texto) = said(&serde_json::from_str(&text).unwrap());
        assert!(estado == "-1" && texto.contains("máximo de 4096 bytes"), "{text}");
    }
    let intake = Intake::new(&config::Limits::default(), 3_000_000, InFlight::new(10_000_000));
    let limits = of_strangers(&intake).limits;
    assert_eq!((limits.bytes_max, limits.idle, limits.total), (ACCESS_BYTES_MAX, ACCESS_TIME_MAX, ACCESS_TIME_MAX));
    for path in [SEND, CORRECT, "pide/cargo/recepcionado", "pide/cargo/observado"] {
        let never = futures_util::stream::poll_fn(|_| -> std::task::Poll<Option<std::io::Result<Vec<u8>>>> {
            panic!("the body was read before it was known whose it is")
        });
        let request = Request::post(format!("/componente-proxy/rest/{path}")).header("authorization", "Bearer x.y.z");
        assert_eq!(sgd.send(request.body(Body::from_stream(never)).unwrap()).await.0, 401, "{path}");
    }
}

#[tokio::test]
async fn who_guesses_is_not_listened_to_and_who_has_a_token_goes_on() {
    let sgd = Sgd::new().await;
    let ask = async |from: &str, access: &str| {
        let body = Body::from(json!({ "userAccessApi": access }).to_string());
        let mut request = Request::post("/componente-proxy/rest/pide/autenticacion").body(body).unwrap();
        request.extensions_mut().insert(Peer::Network(from.parse().unwrap()));
        sgd.send(request).await
    };
    let (guesser, other) = ("192.0.2.1:5", "192.0.2.2:5");
    for n in 0..WRONG_PER_MINUTE {
        assert_eq!(ask(guesser, &format!("llave_{n}")).await.0, 401);
    }
    let (status, text) = ask(guesser, ACCESS).await;
    assert!(status == 429 && text.contains("espere un minuto"), "{status} {text}");
    assert_eq!(ask(other, ACCESS).await.0, 200);
    assert_eq!(sgd.get("local/documento/despachado/1").await["estado"], "E001");
    sgd.world.advance(Duration::from_secs(60));
    assert_eq!(ask(guesser, ACCESS).await.0, 200);
}

#[tokio::test]
async fn an_entity_asks_as_often_as_a_key_may() {
    let sgd = Sgd::new().await;
    sgd.rates.set(&config::Limits { key_rate: 1, key_burst: 1, ..config::Limits::default() });
    assert_eq!(sgd.get("local/documento/despachado/1").await["estado"], "E001");
    let (estado, texto) = said(&sgd.post_idle(SEND, &despacho("1", "Asunto")).await);
    assert!(estado == "-1" && texto.contains("repítala dentro de"), "{estado} {texto}");
    assert!(sgd.despachos("1").await.is_empty());
}

#[tokio::test]
async fn what_is_no_address_is_answered_as_all_else_and_no_token_is_repeated() {
    let sgd = Sgd::new().await;
    let token = &sgd.token;
    for (method, path) in [
        (Method::GET, format!("rest/local/documento/despachado/%FF/{token}")),
        (Method::GET, format!("rest/pide/consultar/lista/entidades/%FF/{token}")),
        (Method::GET, format!("rest/pide/consultar/recepcion/%FF/1/{token}")),
        (Method::GET, format!("rest/nada/{token}")),
        (Method::GET, format!("otra/{token}")),
        (Method::PUT, format!("rest/local/cargo/despachado/1/{token}")),
        (Method::GET, "rest/pide/autenticacion".to_owned()),
        (Method::GET, "rest/pide/despacho/enviado".to_owned()),
        (Method::DELETE, "rest/pide/ping".to_owned()),
    ] {
        let request = Request::builder().method(method).uri(format!("/componente-proxy/{path}"));
        let (status, text) = sgd.send(request.body(Body::empty()).unwrap()).await;
        let (estado, texto) = said(&serde_json::from_str(&text).unwrap_or_default());
        assert!(status == 200 && estado == "-1" && texto.contains("La dirección"), "{path}: {status} {text}");
        assert!(!text.contains(token.as_str()), "{path}");
    }
}
