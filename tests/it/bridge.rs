//! The bridge that SGDs already use, on whole daemons: PHP scripts do what such SGDs do (`tests/clients/bridge`, which also
//! run against any other host), and two entities of one daemon see nothing of each other.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    daemon::{CUSCO, Daemon, Entity, LIMA, PUNO, Setup},
    patience::until,
    pdf::pdf,
    platform::Platform,
    port::Port,
    process::said,
    rest::{client, despacho, text},
};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/bridge").join(name)
}

/// A `[[bridge]]` of an entity, with what its SGD is let in with.
fn bridge(entity: Entity, access: &str, more: &str) -> String {
    format!(
        "[[bridge]]\nentity = \"{}\"\nuser_access_api = \"{access}\"\n\
         jwt_secret = \"un_secreto_jwt_un_secreto_jwt_un_secreto\"\n{more}",
        entity.ruc
    )
}

/// An SGD in PHP that is told of documents and cargos.
struct Sgd {
    child: Child,
    port: Port,
    folder: tempfile::TempDir,
}

impl Sgd {
    fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), Port::reserve());
        let child = Command::new("php")
            .args(["-d", "post_max_size=64M", "-S", &port.address().to_string()])
            .arg(script("receptor.php"))
            .env("SGD_REGISTRO", folder.path().join("sucesos"))
            .env("SGD_USUARIO", "sgd")
            .env("SGD_CLAVE", "clave con : y ñ")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("php");
        std::fs::write(folder.path().join("oficio.pdf"), pdf(1, 4_000_000)).unwrap();
        Self { child, port, folder }
    }

    fn toml(&self) -> String {
        let address = self.port.address();
        format!(
            "reception_url = \"http://{address}/recepcion\"\ncargo_url = \"http://{address}/cargo\"\nuser = \"sgd\"\n\
             password = \"clave con : y ñ\"\nallow_private = true\n"
        )
    }

    /// What it was told so far.
    fn told(&self) -> Vec<Value> {
        let lines = std::fs::read_to_string(self.folder.path().join("sucesos")).unwrap_or_default();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until it was told of a cargo.
    async fn cargo(&self, numero: &str, letra: &str) {
        let wanted = json!({"suceso": "cargo", "vnumregstd": numero, "cflgest": letra});
        until(&format!("the SGD is told of {wanted}"), 30, || async {
            if self.told().contains(&wanted) { Ok(()) } else { Err(format!("{:?}", self.told())) }
        })
        .await;
    }

    /// Runs a part of `prueba.php` against a daemon.
    fn run(&self, daemon: &Daemon, http: &str, arguments: &[&str]) {
        let output = Command::new("php")
            .arg(script("prueba.php"))
            .args(arguments)
            .env("PUENTE_URL", format!("http://{}/componente-proxy/rest", daemon.api_address()))
            .env("PUENTE_ACCESO", "user_access_api")
            .env("PUENTE_DESTINO", CUSCO.ruc)
            .env("PUENTE_PDF", self.folder.path().join("oficio.pdf"))
            .env("PUENTE_HTTP", http)
            .output()
            .expect("php");
        assert!(output.status.success(), "{arguments:?}, {http}: {}", said(&output));
    }
}

impl Drop for Sgd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The counterpart answers what it has not yet.
async fn answers(counterpart: &mut Daemon, how: &str) {
    let api = counterpart.api();
    let arrived = api.until_one("/api/v1/recepciones?estado=pendiente").await;
    let mut datos = json!({"numero_registro": "C-1", "unidad": "MESA DE PARTES", "usuario": "ANA QUISPE"});
    if how == "observar" {
        datos["observacion"] = json!("Falta la firma de la página 2");
    }
    let path = format!("/api/v1/recepciones/{}/{how}", text(&arrived, "id"));
    api.form(&path, &datos, "cargo", &pdf(7, 2_000)).await.expect(200);
}

// The daemons answer while a script is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn the_scripts_of_an_sgd_that_used_the_bridge_run_with_only_the_host_changed() {
    let sgd = Sgd::start();
    let lima = Setup::of(&[LIMA]).with(&bridge(LIMA, "user_access_api", &sgd.toml()));
    let (_platform, mut daemons) = Platform::with([lima, Setup::of(&[CUSCO])]).await;
    let mut cusco = daemons.pop().unwrap();
    let lima = daemons.pop().unwrap();
    sgd.run(&lima, "curl", &["acceso"]);
    sgd.run(&lima, "stream", &["acceso"]);

    sgd.run(&lima, "curl", &["envio", "00123"]);
    answers(&mut cusco, "observar").await;
    sgd.cargo("00123", "O").await;
    sgd.run(&lima, "stream", &["subsanacion", "00124", "00123"]);
    answers(&mut cusco, "recepcionar").await;
    sgd.cargo("00124", "R").await;
    sgd.run(&lima, "stream", &["cargo", "00124"]);

    let (api, sent) = (cusco.api(), [pdf(3, 3_000_000), pdf(4, 9_000)]);
    for (n, document) in sent.iter().enumerate() {
        api.dispatch(&despacho(&format!("S-{n}"), LIMA.ruc), document).await;
    }
    let arrived = until("the SGD registered both", 30, || async {
        let told: Vec<Value> = sgd.told().into_iter().filter(|line| line["suceso"] == "recepcion").collect();
        if told.len() == 2 { Ok(told) } else { Err(format!("{told:?}")) }
    })
    .await;
    let digest = |bytes: &[u8]| {
        ring::digest::digest(&ring::digest::SHA256, bytes)
            .as_ref()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<String>()
    };
    for document in &sent {
        let told = arrived.iter().find(|line| line["sha256"] == digest(document)).expect("the same bytes");
        assert_eq!((text(told, "vrucentrem"), text(told, "vuniorgdst")), (CUSCO.ruc, "GERENCIA MUNICIPAL"));
    }
    sgd.run(&lima, "curl", &["respuesta", text(&arrived[0], "numero"), text(&arrived[1], "numero")]);
    let cuo = |line: &Value| text(line, "vcuo").to_owned();
    for (line, estado) in [(&arrived[0], "recepcionado"), (&arrived[1], "observado")] {
        let found = api.list(&format!("/api/v1/despachos?cuo={}", cuo(line))).await;
        api.until_state(&format!("/api/v1/despachos/{}", text(&found[0], "id")), estado).await;
    }
}

#[tokio::test]
async fn two_entities_of_one_daemon_see_nothing_of_each_other_and_a_token_is_of_one() {
    let both = bridge(LIMA, "llave_de_lima", "") + &bridge(PUNO, "llave_de_puno", "");
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA, PUNO]).with(&both), Setup::of(&[CUSCO])]).await;
    let _cusco = daemons.pop().unwrap();
    let daemon = daemons.pop().unwrap();
    let base = format!("http://{}/componente-proxy/rest", daemon.api_address());
    let token = async |access: &str| {
        let asked = client().post(format!("{base}/pide/autenticacion")).json(&json!({"userAccessApi": access}));
        text(&asked.send().await.unwrap().json::<Value>().await.unwrap(), "data").to_owned()
    };
    let (lima, puno) = (token("llave_de_lima").await, token("llave_de_puno").await);
    let body = |asunto: &str| {
        json!({
            "vnumregstd": "1", "bpdfdoc": base64_simd::STANDARD.encode_to_string(pdf(1, 2_000)), "vrucentrec": CUSCO.ruc,
            "ccodtipdoc": "01", "vnumdoc": "OFICIO 1", "vuniorgrem": "OTI", "ctipdociderem": "1", "vnumdociderem": "40633367",
            "vuniorgdst": "MESA", "vnomdst": "ANA", "vnomcardst": "JEFA", "vasu": asunto, "vnomdoc": "a.pdf", "snumfol": 1,
            "vusureg": "jperez",
        })
    };
    let send = async |token: &str, asunto: &str| {
        let asked = client().post(format!("{base}/pide/despacho/enviado")).bearer_auth(token).json(&body(asunto));
        asked.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let local = async |token: &str| {
        let asked = client().get(format!("{base}/local/documento/despachado/1/{token}"));
        asked.send().await.unwrap().json::<Value>().await.unwrap()
    };
    assert_eq!(send(&lima, "De Lima").await["estado"], "0000");
    assert_eq!(local(&puno).await["estado"], "E001", "the other's number does not exist for it");
    // The same number is free for the other.
    let sent = send(&puno, "De Puno").await;
    assert_eq!(sent["estado"], "0000", "{sent}");
    assert_eq!(
        (&local(&lima).await["data"]["vasu"], &local(&puno).await["data"]["vasu"]),
        (&json!("De Lima"), &json!("De Puno"))
    );
    assert_eq!(local(&puno).await["data"]["vnomentemi"], PUNO.name);
    // No key of the API is one of the bridge's, and no token one of the API's.
    let api_key = daemon.new_key("sgd", Some(LIMA));
    let crossed = client().post(format!("{base}/pide/despacho/enviado")).bearer_auth(&api_key).json(&body("x"));
    assert_eq!(crossed.send().await.unwrap().status(), 401);
    let crossed = client().get(format!("http://{}/api/v1/despachos", daemon.api_address())).bearer_auth(&lima);
    assert_eq!(crossed.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn without_a_bridge_in_the_configuration_there_is_none() {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    let daemon = daemons.pop().unwrap();
    let ping = client().get(format!("http://{}/componente-proxy/rest/pide/ping", daemon.api_address()));
    assert_eq!(ping.send().await.unwrap().status(), 404);
}
