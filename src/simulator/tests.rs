//! Whole exchanges: entities with their own store, worker and service, over the simulated platform, by HTTP.

use jiff::civil::Time;
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::{
    contract::Flavour,
    domain::{
        Ambiente, Consulta, Contenido, Desenlace, Despacho, Destinatario, EntidadPropia, EstadoDespacho, Persona,
        Recepcion, Tramite, calendario::Calendario, firmas::Veredicto, validation::Rigor,
    },
    exchange::{
        Actor, Exchange, NuevaRespuesta, NuevoDespacho, Platform, RetryPolicy, Settings, Sobres, SystemIds, Worker,
    },
    platform::{self, PlatformSoap},
    signing::{trust::Trust, verify},
    soap::sink::Discard,
    store::{BlobReader, Staged, embedded::EmbeddedStore},
    wsiotramite::Wsiotramite,
};

const A: &str = "20900000015";
const B: &str = "20900000023";
const PATIENCE: Duration = Duration::from_secs(30);

fn ruc(text: &str) -> Ruc {
    Ruc::de_contraparte(text).unwrap()
}

async fn simulator() -> Simulator {
    let options = Options { demora_cargo: Duration::from_millis(5), ..Options::default() };
    Simulator::start(options).await.unwrap()
}

fn client(simulator: &Simulator, flavour: Flavour) -> PlatformSoap {
    let timeouts = Timeouts { connect: PATIENCE, total: PATIENCE };
    let options = platform::Options {
        flavour,
        urls: simulator.urls(),
        timeouts,
        document_bytes_max: 100_000_000,
        route: Default::default(),
    };
    PlatformSoap::new(&options).unwrap()
}

/// An entity with all it needs.
struct Node {
    exchange: Exchange,
    ruc: Ruc,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Node {
    async fn start(simulator: &Simulator, own: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemClock.now();
        let store = EmbeddedStore::open(folder.path(), crate::store::embedded::Options::new(now)).unwrap();
        let nombre = format!("ENTIDAD {own}");
        let settings = Settings {
            ambiente: Ambiente::Simulation,
            entidades: vec![EntidadPropia { ruc: ruc(own), nombre: nombre.clone(), cierre: Time::MAX }],
            rigor: Rigor::Strict,
            calendario: Calendario::default(),
            document_bytes_max: 100_000_000,
            retry: RetryPolicy::default(),
        };
        let platform = Arc::new(client(simulator, Flavour::Test));
        let exchange = Exchange::new(store, platform, Arc::new(SystemClock), Arc::new(SystemIds), settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{}", listener.local_addr().unwrap(), wsiotramite::PATH);
        simulator.register(&ruc(own), &nombre, &url).unwrap();
        let limits = config::Limits::default();
        let intake = Intake::new(&limits, limits.envelope_max().bytes(), InFlight::new(u64::MAX / 2));
        let metrics = Arc::new(Metrics::default());
        let http = server::Options::new("soap", &limits, Arc::clone(&metrics));
        let service = Wsiotramite { exchange: exchange.clone(), intake, metrics, public_url: None };
        let stop = CancellationToken::new();
        tokio::spawn(server::serve(Listener::Tcp(listener), wsiotramite::router(service), http, stop.clone()));
        tokio::spawn(Worker::new(exchange.clone()).run(stop.clone()));
        Self { exchange, ruc: ruc(own), stop, _folder: folder }
    }

    async fn stage(&self, pdf: &[u8]) -> Staged {
        let mut writer = self.exchange.stage();
        writer.write(pdf).await.unwrap();
        writer.finish().await.unwrap()
    }

    async fn send(&self, to: &str, pdf: &[u8]) -> Despacho {
        let some = |text: &str| Some(text.to_owned());
        let nuevo = NuevoDespacho {
            numero_registro: some("2026-1"),
            destinos: vec![to.into()],
            unidad_remitente: some("OTI"),
            usuario: some("jperez"),
            remitente: Persona { tipo_documento: "1".into(), numero_documento: "40633367".into() },
            destinatario: Destinatario { unidad: "OTD".into(), nombre: "ANA ÑAHUI".into(), cargo: "JEFA".into() },
            tipo_documento: some("01"),
            numero_documento: some("OFICIO 7"),
            asunto: some("Año <nuevo> & \"otros\""),
            nombre_documento: some("oficio.pdf"),
            contenido: Contenido::Pdf { una_vez: true },
            ..NuevoDespacho::default()
        };
        let staged = self.stage(pdf).await;
        let made = self.exchange.despachar(&Actor::local(), &self.ruc, &nuevo, Some(staged), None).await.unwrap();
        made.into_iter().next().unwrap()
    }

    /// The despacho once it is as wanted.
    async fn until(&self, id: crate::domain::Id, wanted: impl Fn(&Despacho) -> bool) -> Despacho {
        let mut news = self.exchange.store().watch();
        let found = timeout(PATIENCE, async {
            loop {
                news.borrow_and_update();
                let despacho = self.exchange.store().despacho(id).await.unwrap().unwrap();
                if wanted(&despacho) {
                    return despacho;
                }
                news.changed().await.unwrap();
            }
        });
        found.await.expect("the despacho did not get there in time")
    }

    async fn arrival(&self, cuo: &str) -> Option<Recepcion> {
        let cuo = Cuo::parse(cuo).unwrap();
        self.exchange.store().recepciones_by_cuo(&self.ruc, &cuo).await.unwrap().into_iter().next()
    }

    /// Returns once the sender's side has accepted the cargo.
    async fn until_delivered(&self, cuo: &str) {
        let mut news = self.exchange.store().watch();
        let delivered = timeout(PATIENCE, async {
            loop {
                news.borrow_and_update();
                if self.arrival(cuo).await.unwrap().cargo_entregado_en.is_some() {
                    return;
                }
                news.changed().await.unwrap();
            }
        });
        delivered.await.expect("the cargo was not delivered");
    }

    async fn answer(&self, id: crate::domain::Id, desenlace: Desenlace, pdf: &[u8]) {
        let some = |text: &str| Some(text.to_owned());
        let respuesta = NuevaRespuesta {
            desenlace,
            numero_registro: some("EXP-77"),
            anio_registro: None,
            fecha_registro: None,
            unidad: some("OTD"),
            usuario: some("Ana Ñahui"),
            observacion: (desenlace == Desenlace::Observado).then(|| "Falta el anexo".to_owned()),
            contenido: Contenido::Pdf { una_vez: true },
        };
        let staged = self.stage(pdf).await;
        self.exchange.responder(&Actor::local(), None, id, &respuesta, Some(staged)).await.unwrap();
    }

    async fn document(&self, sha256: &crate::domain::Sha256) -> Vec<u8> {
        collect(self.exchange.store().open_document(sha256).await.unwrap()).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn collect(mut reader: BlobReader) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = reader.next().await.unwrap() {
        all.extend_from_slice(&piece);
    }
    all
}

fn document(bytes: usize) -> Vec<u8> {
    let noise = (0u32..).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
    b"%PDF-1.7\n".iter().copied().chain(noise).take(bytes).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_goes_from_one_entity_to_the_other_and_its_cargo_comes_back() {
    let simulator = simulator().await;
    let (a, b) = (Node::start(&simulator, A).await, Node::start(&simulator, B).await);
    let (sent, receipt) = (document(3_000_000), document(400_000));
    let id = a.send(B, &sent).await.id;
    let despacho = a.until(id, |d| d.estado == EstadoDespacho::Enviado).await;
    let cuo = despacho.cuo.unwrap();
    let arrived = b.arrival(cuo.as_str()).await.unwrap();
    assert_eq!(arrived.asunto, "Año <nuevo> & \"otros\"");
    assert_eq!(arrived.documento.sha256, despacho.documento.sha256);
    assert!(b.document(&arrived.documento.sha256).await == sent);
    b.answer(arrived.id, Desenlace::Recepcionado, &receipt).await;
    let closed = a.until(id, |d| d.estado == EstadoDespacho::Recepcionado).await;
    let cargo = closed.cargo.unwrap();
    assert_eq!((cargo.numero_registro.as_deref(), cargo.usuario.as_deref()), (Some("EXP-77"), Some("Ana Ñahui")));
    assert!(a.document(&cargo.documento.unwrap().sha256).await == receipt);
    b.until_delivered(cuo.as_str()).await;
    let said: Vec<_> = simulator.mensajes(&cuo).into_iter().map(|m| (m.operacion, m.vcodres.unwrap())).collect();
    assert_eq!(said, [("recepcionarTramiteResponse", "0000".into()), ("cargoResponse", "0000".to_owned())]);
    assert_eq!(std::fs::read_dir(simulator.core.spool.path()).unwrap().count(), 0, "nothing stays in the spool");
    simulator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counterparts_answer_each_in_its_way() {
    let simulator = simulator().await;
    let a = Node::start(&simulator, A).await;
    let received = a.send(Comportamiento::Recepciona.ruc(), &document(5000)).await.id;
    let received = a.until(received, |d| d.estado == EstadoDespacho::Recepcionado).await;
    let pdf = a.document(&received.cargo.unwrap().documento.unwrap().sha256).await;
    assert!(memchr::memmem::find(&pdf, received.documento.sha256.as_str().as_bytes()).is_some(), "it names the digest");
    let mut trust = Trust::default();
    trust.with(&simulator.root(), "simulador").unwrap();
    let context =
        verify::Context { now: SystemClock.now(), trust: &trust, folios: None, revocation: None, begun: None };
    let report = verify::examine(std::io::Cursor::new(&pdf), &context);
    assert_eq!(report.veredicto, Veredicto::Confiable, "{report:?}");
    assert_eq!(report.firmas[0].firmante.as_ref().unwrap().ruc.as_deref(), Some(Comportamiento::Recepciona.ruc()));
    let observed = a.send(Comportamiento::Observa.ruc(), &document(5000)).await.id;
    let observed = a.until(observed, |d| d.estado == EstadoDespacho::Observado).await;
    assert!(observed.cargo.unwrap().observacion.unwrap().starts_with("Documento observado"));
    let silent = a.send(Comportamiento::Calla.ruc(), &document(5000)).await.id;
    let silent = a.until(silent, |d| d.estado == EstadoDespacho::Enviado).await;
    let consulta = Consulta {
        ruc_receptor: Some(Comportamiento::Calla.ruc().into()),
        cuo: silent.cuo.map(|c| c.to_string()),
        ..Consulta::default()
    };
    let asked = client(&simulator, Flavour::Production)
        .consultar(&consulta, &mut Discard, &mut Sobres::default())
        .await
        .unwrap();
    assert_eq!((asked.respuesta.codigo(), asked.cargo.estado.as_deref()), ("0000", Some("P")));
    let down = a.send(Comportamiento::Caida.ruc(), &document(5000)).await.id;
    let down = a.until(down, |d| d.estado == EstadoDespacho::PorConfirmar).await;
    let expected = "No se pudo establecer comunicación con la entidad ENTIDAD SIMULADA FUERA DE SERVICIO (código -1)";
    assert_eq!(down.ultimo_error.as_deref(), Some(expected));
    simulator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counterpart_sends_and_takes_the_cargo() {
    let simulator = simulator().await;
    let b = Node::start(&simulator, B).await;
    let de = Comportamiento::Calla.ruc().to_owned();
    let envio = Envio { de, a: B.into(), asunto: Some("Invitación".into()), ..Envio::default() };
    let sent = simulator.enviar(&envio).await.unwrap();
    assert_eq!(sent.vcodres.as_deref(), Some("0000"));
    let arrived = b.arrival(&sent.cuo).await.unwrap();
    assert_eq!((arrived.asunto.as_str(), arrived.documento.sha256.as_str()), ("Invitación", sent.sha256.as_str()));
    b.answer(arrived.id, Desenlace::Observado, &document(900)).await;
    b.until_delivered(&sent.cuo).await;
    let last = simulator.mensajes(&Cuo::parse(&sent.cuo).unwrap()).pop().unwrap();
    assert_eq!((last.operacion, last.vdesres.as_deref()), ("cargoResponse", Some("RECEPCION DE CARGO EXITOSO")));
    let stranger = Envio { de: A.into(), a: B.into(), ..Envio::default() };
    assert!(matches!(simulator.enviar(&stranger).await, Err(EnviarError::NoEsContraparte(_))));
    simulator.shutdown().await;
}

fn tramite(de: &str, a: &str) -> Tramite {
    let some = |t: &str| Some(t.to_owned());
    Tramite {
        ruc_remitente: some(de),
        ruc_receptor: some(a),
        nombre_remitente: some("A"),
        unidad_remitente: some("OTI"),
        tipo_identidad: some("1"),
        numero_identidad: some("40633367"),
        cuo: some("0000000019"),
        tipo_documento: some("01"),
        numero_documento: some("OFICIO 1"),
        fecha_documento: some("2026-11-20T09:30:00-05:00"),
        unidad_destino: some("OTD"),
        nombre_destinatario: some("ANA"),
        cargo_destinatario: some("JEFA"),
        asunto: some("Prueba"),
        numero_anexos: Some(0),
        folios: Some(1),
        nombre_documento: some("oficio.pdf"),
        ..Tramite::default()
    }
}

#[tokio::test]
async fn what_senders_send_is_judged_strictly_in_both_flavours() {
    let simulator = simulator().await;
    // Nothing listens there.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    simulator.register(&ruc(A), "ENTIDAD A", &format!("http://{free}/wsiotramite/Tramite")).unwrap();
    let known = Comportamiento::Recepciona.ruc();
    for flavour in [Flavour::Production, Flavour::Test] {
        let platform = client(&simulator, flavour);
        let send = async |t: Tramite| {
            let pdf = simulator.core.spool.keep(&document(900)).await.unwrap();
            let answer =
                platform.recepcionar(&t, spool::open(&pdf).await.unwrap(), &mut Sobres::default()).await.unwrap();
            (answer.codigo().to_owned(), answer.descripcion().to_owned())
        };
        let refused = |text: &str| ("0003".to_owned(), text.to_owned());
        let unknown = "20131312955";
        assert_eq!(send(tramite(unknown, known)).await, refused("RUC de Entidad remitente no se encuentra registrada"));
        assert_eq!(send(tramite(A, unknown)).await, refused("RUC de entidad receptora no se encuentra registrada"));
        let long = Tramite { asunto: Some("x".repeat(501)), ..tramite(A, known) };
        assert_eq!(send(long).await, refused("Asunto de documento excede el tamaño permitido"));
        let odd = Tramite { tipo_documento: Some("99".into()), ..tramite(A, known) };
        assert_eq!(send(odd).await, refused("El código de Tipo de documento no es válido"));
        let (code, text) = send(tramite(known, A)).await;
        assert_eq!(code, "-1");
        assert!(text.starts_with("No se pudo establecer comunicación con la entidad ENTIDAD A: "), "{text}");
        let (code, text) = send(tramite(A, "20900002018")).await; // a sample: nobody is there
        assert_eq!((code.as_str(), text.ends_with("(MUESTRA)")), ("-1", true));
    }
    simulator.shutdown().await;
}

#[tokio::test]
async fn the_directory_and_cuos_are_served_in_both_flavours() {
    let simulator = simulator().await;
    simulator.register(&ruc(A), "ENTIDAD A", "http://127.0.0.1:1/x").unwrap();
    let mut cuos = std::collections::BTreeSet::new();
    for flavour in [Flavour::Production, Flavour::Test] {
        let platform = client(&simulator, flavour);
        for _ in 0..20 {
            assert!(cuos.insert(platform.cuo(&ruc(A)).await.unwrap().to_string()), "no CUO twice");
        }
        assert!(platform.validar_entidad(&ruc(A)).await.unwrap());
        assert!(!platform.validar_entidad(&ruc("20131312955")).await.unwrap());
        for categoria in Categoria::todas() {
            assert!(!platform.entidades(categoria).await.unwrap().is_empty(), "{categoria:?}");
        }
        let eighth = platform.entidades(Categoria::try_from(8).unwrap()).await.unwrap();
        assert!(eighth.iter().any(|e| e.ruc == ruc(A) && e.nombre == "ENTIDAD A"));
        assert_eq!(platform.tipos_documento().await.unwrap(), relay::tipos_documento());
    }
    simulator.shutdown().await;
}

#[tokio::test]
async fn every_service_describes_itself_under_the_address_the_caller_used() {
    let simulator = simulator().await;
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let get = async |path: &str| {
        let answer = http.get(format!("http://{}{path}", simulator.address())).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    for (path, flavoured) in [
        ("/services/PcmCuo", "getCUOEntidad"),
        ("/services/PcmIMgdEntidad", "PcmIMgdEntidad"),
        ("/services/PcmIMgdTramite", "PcmIMgdTramite"),
        ("/wsiopidetramite/IOTramite", "vdesanxstdrec"),
        ("/wsentidad/Entidad", "vipent"),
        ("/services/PcmEnvioPrueba", "vdesanxstdrec"),
        ("/services/PcmEntidadPrueba", "vipent"),
    ] {
        let (status, text) = get(&format!("{path}?wsdl")).await;
        assert_eq!(status, 200);
        assert!(text.contains(&format!("location=\"http://{}{path}\"", simulator.address())), "{path}");
        assert!(text.contains(flavoured), "{path}");
    }
    assert!(get("/").await.1.contains(Comportamiento::Recepciona.ruc()));
    assert_eq!(get("/nada").await.0, 404);
    simulator.shutdown().await;
}

#[tokio::test]
async fn entities_are_registered_and_documents_sent_over_http() {
    let simulator = simulator().await;
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let post = async |path: &str, body: serde_json::Value| {
        let answer = http.post(format!("http://{}{path}", simulator.address())).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<serde_json::Value>().await.unwrap())
    };
    let registro = serde_json::json!({"ruc": B, "nombre": "B", "url": "http://127.0.0.1:1/x", "categoria": 7});
    assert_eq!(post("/simulador/entidades", registro).await.0, 200);
    assert_eq!(simulator.core.registry.find(Some(B)).unwrap().entidad.categoria.numero(), 7);
    let (status, problem) =
        post("/simulador/entidades", serde_json::json!({"ruc": "1", "nombre": "", "url": ""})).await;
    assert_eq!((status, &problem["code"]), (422, &"campos_no_validos".into()));
    let envio = serde_json::json!({"de": Comportamiento::Observa.ruc(), "a": B});
    let (status, sent) = post("/simulador/enviar", envio).await;
    assert_eq!((status, &sent["vcodres"]), (200, &"-1".into()));
    assert_eq!(post("/simulador/enviar", serde_json::json!({"de": "x", "a": B})).await.0, 422);
    assert_eq!(post("/simulador/enviar", serde_json::json!([])).await.0, 400);
    let all = http.get(format!("http://{}/simulador/mensajes", simulator.address())).send().await.unwrap();
    assert_eq!(all.json::<serde_json::Value>().await.unwrap()[0][0]["cuo"], sent["cuo"]);
    simulator.shutdown().await;
}

/// What a browser sees under a path.
async fn seen(http: &reqwest::Client, simulator: &Simulator, path: &str) -> (u16, String) {
    let answer = http.get(format!("http://{}{path}", simulator.address())).send().await.unwrap();
    let policy = answer.headers().get("content-security-policy").map(|p| p.to_str().unwrap().to_owned());
    assert!(policy.unwrap().starts_with("default-src 'none';"), "{path}");
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// A form as a browser sends it.
fn filled(http: &reqwest::Client, simulator: &Simulator, path: &str, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let encoded = reqwest::Url::parse_with_params("http://x", form).unwrap();
    let request = http.post(format!("http://{}{path}", simulator.address()));
    request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(encoded.query().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_answers_as_the_counterpart_and_sees_every_message_as_text() {
    let simulator = simulator().await;
    let a = Node::start(&simulator, A).await;
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).redirect(reqwest::redirect::Policy::none());
    let http = http.build().unwrap();
    let quien = Comportamiento::Calla.ruc();
    let sent = document(30_000);
    let id = a.send(quien, &sent).await.id;
    let cuo = a.until(id, |d| d.estado == EstadoDespacho::Enviado).await.cuo.unwrap().to_string();
    let (_, desk) = seen(&http, &simulator, "/simulador/mesa").await;
    assert!(
        desk.contains(&cuo) && desk.contains("Año &lt;nuevo&gt; &amp; &quot;otros&quot;") && !desk.contains("<nuevo>")
    );

    let post = async |form: &[(&str, &str)], origin: Option<&str>| {
        let mut request = filled(&http, &simulator, "/simulador/mesa/responder", form);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request.send().await.unwrap().status().as_u16()
    };
    let form =
        |accion, observacion| [("ruc", quien), ("cuo", cuo.as_str()), ("accion", accion), ("observacion", observacion)];
    assert_eq!(post(&form("observar", "Falta el anexo"), Some("http://otro.ejemplo")).await, 403);
    assert_eq!(post(&form("observar", " "), None).await, 422);
    let here = format!("http://{}", simulator.address());
    assert_eq!(post(&form("observar", "Falta el anexo <1>"), Some(&here)).await, 303);
    assert_eq!(post(&form("recepcionar", ""), None).await, 422, "it was answered already");
    let observed = a.until(id, |d| d.estado == EstadoDespacho::Observado).await;
    assert_eq!(observed.cargo.unwrap().observacion.as_deref(), Some("Falta el anexo <1>"));
    // The platform hears of it after the entity has it.
    let mut news = simulator.core.log.watch();
    let heard = timeout(PATIENCE, async {
        while !simulator.core.log.cargo_passed(&cuo) {
            news.changed().await.unwrap();
        }
    });
    heard.await.expect("the cargo did not pass");

    let (_, list) = seen(&http, &simulator, &format!("/simulador/trafico?cuo={cuo}")).await;
    assert!(list.contains("recepcionar") && list.contains("cargo"), "{list}");
    let calls = simulator.core.traffic.newest(50, Some(&cuo));
    let arrival = calls.iter().find(|call| call.operacion == "recepcionar").unwrap();
    let (_, shown) = seen(&http, &simulator, &format!("/simulador/trafico/{}", arrival.n)).await;
    let digest = crate::domain::Sha256::from_digest(&openssl::sha::sha256(&sent));
    assert!(shown.contains(&format!("[documento: 30000 bytes, SHA-256 {digest}]")), "{shown}");
    assert!(shown.contains("&lt;vcodres&gt;0000&lt;/vcodres&gt;") && shown.len() < 20_000, "{shown}");
    let cargo = calls.iter().find(|call| call.operacion == "cargo").unwrap();
    assert!(cargo.pedido.as_ref().unwrap().contains("Falta el anexo &lt;1&gt;") && cargo.respuesta.is_some());
    assert_eq!(seen(&http, &simulator, "/simulador/trafico/999999").await.0, 404);
    simulator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counterpart_sends_by_itself_and_by_hand_until_told_otherwise() {
    let simulator = simulator().await;
    let b = Node::start(&simulator, B).await;
    let script = format!(
        "[[contraparte]]\nruc = \"{}\"\nresponde = \"recepciona\"\nenvia_a = \"{B}\"\ncada = \"1s\"\n",
        Comportamiento::Recepciona.ruc()
    );
    simulator.core.play(faults::reading::toml("f.toml", &script).unwrap()).unwrap();
    let sent = timeout(PATIENCE, async {
        let mut news = simulator.core.log.watch();
        loop {
            if let Some(first) = simulator.core.counterparts.enviados().into_iter().next()
                && b.arrival(&first.cuo).await.is_some()
            {
                return first;
            }
            news.changed().await.unwrap();
        }
    });
    let sent = sent.await.expect("nothing was sent");
    assert_eq!((sent.ruc.as_str(), sent.estado), (Comportamiento::Recepciona.ruc(), None));
    let round = simulator.core.rounds.lock().unwrap().clone();
    simulator.core.play(Script::default()).unwrap();
    assert!(round.is_cancelled(), "the script that sent is over");

    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).redirect(reqwest::redirect::Policy::none());
    let form = [("de", Comportamiento::Observa.ruc()), ("a", B), ("asunto", "A mano")];
    let http = http.build().unwrap();
    let answer = filled(&http, &simulator, "/simulador/mesa/enviar", &form).send().await.unwrap();
    let cuo = answer.headers()["location"].to_str().unwrap().rsplit('=').next().unwrap().to_owned();
    assert_eq!(b.arrival(&cuo).await.unwrap().asunto, "A mano");
    simulator.shutdown().await;
}

/// CONTRACT §2: what the platform answers over SOAP it answers as JSON, from the same directory and to the same entities.
#[tokio::test(flavor = "multi_thread")]
async fn the_json_twin_gives_numbers_lists_and_delivers_as_the_soap_services_do() {
    let simulator = simulator().await;
    let (a, b) = (Node::start(&simulator, A).await, Node::start(&simulator, B).await);
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let ask = async |path: &str, fields: serde_json::Value| {
        let url = format!("http://{}/Rest/{path}?out=json", simulator.address());
        let answer = http.post(url).json(&serde_json::json!({ "PIDE": fields })).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<serde_json::Value>().await.unwrap())
    };
    let (_, given) = ask("PCM/CEntidad", serde_json::json!({"ruc": A, "servicio": 3011})).await;
    let cuo = given["getCUOEntidadResponse"]["return"].as_str().unwrap().to_owned();
    assert_eq!(cuo.len(), 10, "{given}");
    let (_, valid) = ask("Pcm/ValidarEntidad", serde_json::json!({"vrucent": {"$": B}})).await;
    assert_eq!(valid["validarEntidadResponse"]["return"], "0000", "{valid}");
    let (_, types) = ask("Pcm/TipoDocumento", serde_json::json!({})).await;
    assert_eq!(types["getTipoDocumentoResponse"]["return"][0]["ccodtipdoctra"], "01", "{types}");

    let twice = |pdf: &[u8]| {
        let base64 = base64_simd::STANDARD;
        base64.encode_to_string(base64.encode_to_string(pdf))
    };
    let sent = document(60_000);
    let tramite = serde_json::json!({
        "vrucentrem": A, "vrucentrec": B, "vnomentemi": "ENTIDAD A", "vuniorgrem": "OTI", "vcuo": cuo, "ccodtipdoc": "01",
        "vnumdoc": "OFICIO <7> & más", "dfecdoc": "2026-01-05T10:00:00", "vuniorgdst": "OTD", "vnomdst": "ANA ÑAHUI",
        "vnomcardst": "JEFA", "vasu": "Año", "snumanx": 2, "snumfol": 1, "bpdfdoc": twice(&sent), "vnomdoc": "o.pdf",
        "lstanexos": [{"vnomdoc": "a.dwg"}, {"vnomdoc": "b.dwg"}], "vurldocanx": "https://a.example/x",
        "ctipdociderem": "1", "vnumdociderem": "40633367"
    });
    let (_, said) = ask("Pcm/RecepcionarTramite", tramite).await;
    assert_eq!(said["recepcionarTramiteResponseResponse"]["return"]["vcodres"], "0000", "{said}");
    let arrived = b.arrival(&cuo).await.unwrap();
    assert_eq!((arrived.numero_documento.as_str(), arrived.anexos.len()), ("OFICIO <7> & más", 2));
    assert!(b.document(&arrived.documento.sha256).await == sent);
    let asked = serde_json::json!({"vrucentrem": A, "vrucentrec": B, "vcuo": cuo});
    let (_, told) = ask("Pcm/ConsultarTramite", asked.clone()).await;
    assert_eq!(told["consultarTramiteResponseResponse"]["return"]["cflgest"], "P", "{told}");
    b.answer(arrived.id, Desenlace::Recepcionado, &document(5_000)).await;
    let (_, told) = ask("Pcm/ConsultarTramite", asked).await;
    assert_eq!(told["consultarTramiteResponseResponse"]["return"]["bcarstd"], twice(&document(5_000)));

    let (status, wrong) = ask("Pcm/RecepcionarTramite", serde_json::json!("x")).await;
    assert!(status == 400 && wrong["error"].as_str().unwrap().contains("PIDE"), "{wrong}");
    drop(a);
    simulator.shutdown().await;
}
