//! Our own client, the daemon, against platforms that others wrote: node's soap and PHP's SoapServer, from the descriptions
//! that we publish.

use std::process::{Child, Stdio};

use super::*;
use crate::{
    daemon::{Daemon, Setup},
    envelope::Fields,
    patience::until,
    pdf::{pdf, sha256},
    port::Port,
    rest::{client, despacho},
};

const NAME: &str = "MUNICIPALIDAD DE ÑAÑA & «OTRAS»";

/// A platform as a process, with the folder of its answers and calls.
struct Server {
    process: Child,
    port: Port,
    dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Server {
    async fn start(command: impl FnOnce(&Port, &Path) -> Command) -> Self {
        let (port, dir) = (Port::reserve(), tempfile::tempdir().unwrap());
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut command = command(&port, dir.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn().unwrap_or_else(|e| panic!("no server ({e}): run ./test once, it installs it"));
        let server = Self { process, port, dir };
        server.answer("validarEntidad", &json!("0000"));
        let entity = |ruc, name| json!({"sident": "1", "sidpadent": "0", "vnoment": name, "vrucent": ruc});
        server.answer("getListaEntidad", &json!([entity(CUSCO.ruc, NAME), entity("0", "NADIE")]));
        let kind = |code, name| json!({"ccodtipdoctra": code, "vnomtipdoctra": name});
        server.answer("getTipoDocumento", &json!([kind("01", "OFICIO"), kind("02", "CARTA")]));
        for operation in ["recepcionarTramiteResponse", "cargoResponse"] {
            server.answer(operation, &json!({"vcodres": "0000", "vdesres": "Ñandú & más"}));
        }
        let (url, client) = (format!("{}?wsdl", server.url("PcmCuo")), client());
        until("the server answers", 60, || async {
            client.get(&url).send().await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        server
    }

    async fn node() -> Self {
        Self::start(|port, dir| {
            let mut command = Command::new("node");
            command.arg(script("node/server.js")).arg(port.address().port().to_string()).arg(dir);
            command
        })
        .await
    }

    async fn php() -> Self {
        Self::start(|port, dir| {
            let mut command = Command::new("php");
            command.args(["-d", "memory_limit=512M", "-S", &port.address().to_string()]);
            command.arg(script("server.php")).env("FOLDER", dir);
            command
        })
        .await
    }

    fn url(&self, service: &str) -> String {
        format!("http://{}/services/{service}", self.port.address())
    }

    /// What an operation answers from now on.
    fn answer(&self, operation: &str, answer: &Value) {
        std::fs::write(self.dir.path().join(format!("{operation}.json")), answer.to_string()).unwrap();
    }

    /// The arguments of the calls of an operation so far.
    fn calls(&self, operation: &str) -> Vec<Value> {
        let calls = std::fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default();
        let calls = calls.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        calls.filter(|call| call["operation"] == operation).map(|mut call| call["arguments"].take()).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

async fn serves(server: Server) {
    let urls: String = [("cuo", "PcmCuo"), ("entidad", "PcmIMgdEntidad"), ("tramite", "PcmIMgdTramite")]
        .map(|(key, service)| format!("{key}_url = \"{}\"\n", server.url(service)))
        .concat();
    let setup = Setup::of(&[LIMA]).with(&format!("[pide]\n{urls}"));
    let mut daemon = Daemon::prepare(setup, "127.0.0.1:1");
    daemon.run().await;
    let (api, files) = (daemon.api(), Files::new());
    until("the directory is fetched", 30, || async {
        let entity = api.get(&format!("/api/v1/entidades/{}", CUSCO.ruc)).await;
        if entity.status == 200 && entity.json()["nombre"] == NAME {
            return Ok(());
        }
        Err(format!("{} {}\n{}", entity.status, String::from_utf8_lossy(&entity.body), server.log()))
    })
    .await;

    // The answer about the first says that it was observed; about the second that it was received.
    for (number, letter, estado) in [(1, "O", "observado"), (2, "R", "recepcionado")] {
        let (document, cargo) = (pdf(number, 1_000_000), pdf(number + 10, 200_000));
        let cuo = format!("000000456{number}");
        for operation in ["getCUO", "getCUOEntidad"] {
            server.answer(operation, &json!(cuo));
        }
        let mut datos = despacho(&format!("2026-{number}"), CUSCO.ruc);
        datos["asunto"] = json!(SUBJECT);
        let path = format!("/api/v1/despachos/{}", text(&api.dispatch(&datos, &document).await, "id"));
        let sent = api.until_state(&path, "enviado").await;
        assert_eq!(sent["cuo"], json!(cuo));
        let request = server.calls("recepcionarTramiteResponse").pop().unwrap();
        let request = &request["request"];
        assert_eq!((&request["vasu"], &request["vcuo"]), (&json!(SUBJECT), &json!(cuo)));
        assert_eq!(sha256(&self::document(&request["bpdfdoc"])), sha256(&document));

        let mut answer = json!({
            "vcodres": "0000", "vdesres": "DATOS ENCONTRADOS", "vcuo": cuo, "vnumregstd": "E-777", "vanioregstd": "2025",
            "vuniorgstd": "GERENCIA & OTROS", "dfecregstd": sent["enviado_en"], "vusuregstd": "ROSA ÑAHUI PÉREZ",
            "bcarstd": {"base64_of": files.add("cargo.pdf", &cargo)}, "cflgest": letter,
        });
        if letter == "O" {
            answer["vobs"] = json!(OBSERVATION);
        }
        server.answer("consultarTramiteResponse", &answer);
        api.post(&format!("{path}/consultar"), &json!({})).await;
        let closed = api.until_state(&path, estado).await;
        assert_eq!(
            (&closed["cargo"]["unidad"], &closed["cargo"]["observacion"]),
            (&answer["vuniorgstd"], &answer["vobs"])
        );
        assert!(api.get(&format!("{path}/cargo")).await.body == cargo, "the cargo's bytes");
        let asked = server.calls("consultarTramiteResponse").pop().unwrap();
        assert_eq!((&asked["request"]["vcuo"], &asked["request"]["vrucentrec"]), (&json!(cuo), &json!(CUSCO.ruc)));
    }
    takes_a_cargo(&server, &mut daemon).await;
}

/// A document came in; our cargo for it goes to the platform.
async fn takes_a_cargo(server: &Server, daemon: &mut Daemon) {
    let api = daemon.api();
    let arrival = Fields::document(CUSCO.ruc, LIMA.ruc, "0000000019", &pdf(3, 10_000));
    assert_eq!(daemon.soap(arrival.xml()).await.verdict().0, "0000");
    let stored = api.until_one("/api/v1/recepciones").await;
    let filing = json!({"numero_registro": "E-778", "unidad": "GERENCIA & «Ñ»", "usuario": "ROSA ÑAHUI PÉREZ",
                        "observacion": OBSERVATION});
    let (path, cargo) = (format!("/api/v1/recepciones/{}", text(&stored, "id")), pdf(4, 300_000));
    api.form(&format!("{path}/observar"), &filing, "cargo", &cargo).await.expect(200);
    until("the cargo is delivered", 30, || async {
        let history = api.history(&path).await;
        if history.iter().any(|e| e == "recepcion.cargo_enviado") { Ok(()) } else { Err(format!("{history:?}")) }
    })
    .await;
    let request = server.calls("cargoResponse").pop().unwrap();
    let request = &request["request"];
    for (field, value) in [
        ("vcuo", "0000000019"),
        ("vrucentrem", LIMA.ruc),
        ("vrucentrec", CUSCO.ruc),
        ("vnumregstd", "E-778"),
        ("vuniorgstd", "GERENCIA & «Ñ»"),
        ("vobs", OBSERVATION),
        ("cflgest", "O"),
    ] {
        assert_eq!(request[field], value, "{field}");
    }
    assert!(document(&request["bcarstd"]) == cargo, "the cargo's bytes");
}

#[tokio::test]
async fn a_platform_written_with_nodes_soap_serves_our_client() {
    serves(Server::node().await).await;
}

#[tokio::test]
async fn a_platform_written_with_phps_soapserver_serves_our_client() {
    serves(Server::php().await).await;
}
