//! Honest components made with other SOAP stacks: the suite runs to its end and fails them for nothing but what they do.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{case, cases, report, run, with};
use crate::{daemon::LIMA, patience::until, port::Port, rest::client};

/// A server with the processes it starts, in a group of their own.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        Command::new("kill").args(["-KILL", "--", &group]).status().ok();
        self.0.wait().ok();
    }
}

/// What these stacks really do otherwise than SOAP or the contract have it, with the reason; nothing else may fail.
async fn judged(command: &mut Command, port: &Port, real: &[(&str, &str)]) {
    let dir = tempfile::tempdir().unwrap();
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    command
        .process_group(0)
        .env("FOLDER", dir.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let child = command.spawn().unwrap_or_else(|e| panic!("no server ({e}): run ./test once, it installs it"));
    let _server = Server(child);
    let target = format!("http://{}/wsiotramite/Tramite", port.address());
    let wsdl = format!("{target}?wsdl");
    until("the server answers", 60, || async {
        client().get(&wsdl).send().await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let known: String =
        real.iter().map(|(id, why)| format!("[[desviacion]]\ncaso = \"{id}\"\nmotivo = \"{why}\"\n")).collect();
    std::fs::write(dir.path().join("conocidas.toml"), known).unwrap();
    let args =
        ["--target", &target, "--ruc", LIMA.ruc, "--timeout", "20", "--format", "json", "--expected", "conocidas.toml"];
    let output = run(dir.path(), &args).await;
    let report = report(&output);
    let unexpected: Vec<_> = cases(&report)
        .iter()
        .filter(|c| c["veredicto"] == "NO CUMPLE" && c["esperado"].is_null())
        .map(|c| format!("{} {}", c["id"], c["fallo"]["encontrado"]))
        .collect();
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    assert!(
        unexpected.is_empty(),
        "failed without a reason:\n{}\n{}",
        unexpected.join("\n"),
        log.chars().take(3000).collect::<String>()
    );
    for (id, why) in real {
        assert_eq!(case(&report, id)["veredicto"], "NO CUMPLE", "no longer so: {why}");
    }
    assert!(output.status.success());
    assert!(with(&report, "CUMPLE").len() > 100, "{}", report["resumen"]);
}

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

#[tokio::test]
async fn a_component_made_with_phps_soapserver_fails_only_where_it_does() {
    let port = Port::reserve();
    let mut command = Command::new("php");
    command.args(["-d", "memory_limit=512M", "-d", "post_max_size=64M", "-S", &port.address().to_string()]);
    // PHP's own server ends where a length is impossible; another worker goes on.
    command.arg(script("component.php")).env("RUC", LIMA.ruc).env("PHP_CLI_SERVER_WORKERS", "8");
    let real = [
        ("TOL-PARTE-01", "SoapServer lee solo los nombres del WSDL"),
        ("TOL-ESPACIO-01", "SoapServer busca la operación en el espacio del WSDL"),
        ("MGD-8.4-05", "SoapServer lee solo la forma del WSDL"),
    ];
    judged(&mut command, &port, &real).await;
}

#[tokio::test]
async fn a_component_made_with_nodes_soap_fails_only_where_it_does() {
    let port = Port::reserve();
    let mut command = Command::new("node");
    command.arg(script("node/component.js")).arg(port.address().port().to_string()).arg(LIMA.ruc);
    let real = [
        ("TOL-ACTION-02", "encamina por SOAPAction"),
        ("TOL-ACTION-03", "encamina por SOAPAction"),
        ("TOL-ACTION-04", "encamina por SOAPAction"),
        ("BP-R1109", "encamina por SOAPAction"),
        ("TOL-CODIF-01", "lee todo como UTF-8"),
        ("BP-R1000", "una operación desconocida es una traza, no un Fault"),
        ("BP-R1126", "una operación desconocida es una traza, no un Fault"),
        ("MGD-FAULT-01", "una operación desconocida es una traza, no un Fault"),
        ("BP-R1027", "no mira mustUnderstand"),
        ("BP-R1114", "atiende PUT como POST"),
        ("SEC-XML-06", "admite un carácter nulo"),
        ("SEC-HTTP-06", "toma cualquier longitud y espera el cuerpo que se le anuncia"),
    ];
    judged(&mut command, &port, &real).await;
}
