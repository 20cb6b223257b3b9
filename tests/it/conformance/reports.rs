//! The reports as others read them: JUnit by a library of continuous integration, the page by a browser without a network,
//! the PDF by poppler, the signature by OpenSSL.

use std::{fs, path::Path, process::Command};

use super::{report, run, tool};
use crate::{
    daemon::{Daemon, LIMA, Setup},
    process::{self, said},
};

const COUNT: &str = "
import sys
from junitparser import JUnitXml
suites = JUnitXml.fromfile(sys.argv[1])
cases = [case for suite in suites for case in suite]
failed = [case for case in cases if any(r.__class__.__name__ == 'Failure' for r in case.result)]
skipped = [case for case in cases if any(r.__class__.__name__ == 'Skipped' for r in case.result)]
print(len(cases), len(failed), len(skipped), suites.tests, suites.failures, suites.skipped)
";

#[tokio::test]
async fn a_run_of_nothing_of_a_part_or_against_nobody_proves_nothing() {
    let mut daemon = Daemon::prepare(Setup::of(&[LIMA]), "127.0.0.1:1");
    daemon.run().await;
    let (dir, url) = (tempfile::tempdir().unwrap(), daemon.soap_url());
    let ruc = LIMA.ruc;
    let unknown = run(dir.path(), &["--target", &url, "--ruc", ruc, "--only", "MGD-8.4,ZZZ"]).await;
    assert_eq!(unknown.status.code(), Some(2));
    assert!(said(&unknown).contains("no hay casos «ZZZ»"), "{}", said(&unknown));
    let part = ["--target", &url, "--ruc", ruc, "--only", "mgd-wsdl-01", "--out", "parte", "--format", "json"];
    let part = report(&run(dir.path(), &part).await);
    assert_eq!((&part["resumen"]["casos"], &part["resumen"]["cumple"]), (&1.into(), &1.into()), "{part}");
    assert_eq!(part["resumen"]["conclusion"], "INCOMPLETO");
    let other = ["--resume", "parte", "--target", "http://127.0.0.1:1/otra"];
    let other = run(dir.path(), &other).await;
    assert_eq!(other.status.code(), Some(2), "{}", said(&other));
    daemon.kill();
    let nobody = run(dir.path(), &["--target", &url, "--ruc", ruc]).await;
    assert_eq!(nobody.status.code(), Some(3));
    assert!(said(&nobody).contains("la conexión fue rechazada. Revise la dirección"), "{}", said(&nobody));
}

#[tokio::test]
async fn whoever_is_no_component_is_told_so_and_nothing_is_judged() {
    let page = axum::Router::new().fallback(|| async { axum::response::Html("<h1>Bienvenidos</h1>") });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/wsiotramite/Tramite", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, page).await });
    let dir = tempfile::tempdir().unwrap();
    let args = ["--target", &url, "--ruc", LIMA.ruc, "--only", "MGD-WSDL-01,MGD-8.4-01"];
    let refused = run(dir.path(), &args).await;
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert!(
        said(&refused).contains("no es un wsiotramite: a «?wsdl» respondió HTTP 200 (text/html"),
        "{}",
        said(&refused)
    );
    let forced = [&args[..], &["--force", "--format", "json", "--out", "corrida"]].concat();
    let forced = report(&run(dir.path(), &forced).await);
    assert_eq!(forced["resumen"]["no_cumple"], 2, "{forced}");

    // What has ended is not counted among what a run that goes on would do, and it goes on with what was asked for.
    let rest = process::run(dir.path(), &["conformance", "run", "--resume", "corrida", "--dry-run"]);
    assert!(said(&rest).contains("0 casos por correr") && said(&rest).contains("; 2 ya terminaron"), "{}", said(&rest));
    let more = ["conformance", "run", "--resume", "corrida", "--dry-run", "--only", "MGD-WSDL"];
    let more = process::run(dir.path(), &more);
    assert!(said(&more).contains("; 1 ya terminaron") && !said(&more).contains("MGD-WSDL-01"), "{}", said(&more));
}

#[test]
fn files_that_are_not_what_they_should_be_are_told_in_spanish() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("conocidas.toml"), "[[desviacion]]\ncaso = \"MGD-8.4-01\"\nmotvo = \"x\"\n").unwrap();
    fs::write(dir.path().join("otro.json"), "{\"a\": 1}").unwrap();
    for (args, expected) in [
        (
            &[
                "conformance",
                "run",
                "--target",
                "http://127.0.0.1:1/x",
                "--ruc",
                LIMA.ruc,
                "--expected",
                "conocidas.toml",
            ][..],
            "conocidas.toml: línea 3: la clave «motvo» no existe; ¿quiso decir «motivo»?",
        ),
        (
            &["conformance", "report", "otro.json"],
            "no es un informe de «chasqui conformance run»: línea 1, columna 8: falta «formato»",
        ),
    ] {
        let output = process::run(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
}

#[tokio::test]
async fn every_report_is_read_by_somebody_elses_program() {
    let mut daemon = Daemon::prepare(Setup::of(&[LIMA]), "127.0.0.1:1");
    daemon.run().await;
    let dir = tempfile::tempdir().unwrap();
    let pki = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pki");
    let (identity, password) = (format!("{pki}/agente-municipalidad.p12"), format!("{pki}/password"));
    let url = daemon.soap_url();
    // The RUC of another entity: some cases fail, so that there is something to explain.
    let args = [
        "--target",
        &url,
        "--ruc",
        "20177217043",
        "--only",
        "contrato,MGD-8.2,consulta,SEC-TLS",
        "--out",
        "corrida",
        "--identity",
        &identity,
        "--password-file",
        &password,
        "--format",
        "json",
    ];
    let output = run(dir.path(), &args).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report = report(&output);
    let folder = dir.path().join("corrida");
    let summary = &report["resumen"];
    junit(&folder, summary);
    page(&folder);
    document(&folder);
    let (json, signature) = (folder.join("informe.json"), folder.join("informe.json.p7s"));
    let mut verify = Command::new("openssl");
    verify.args(["cms", "-verify", "-noverify", "-binary", "-inform", "DER", "-out", "/dev/null", "-in"]);
    tool("openssl", verify.arg(&signature).arg("-content").arg(&json));

    // The other forms are made again from the JSON, and a run compared with itself differs in nothing.
    let again = process::run(dir.path(), &["conformance", "report", "corrida/informe.json", "--out", "otra"]);
    assert!(again.status.success(), "{}", said(&again));
    let read = |folder: &str| fs::read(dir.path().join(folder).join("informe.html")).unwrap();
    assert!(read("corrida") == read("otra"));
    let same = ["conformance", "report", "corrida/informe.json", "--against", "otra/informe.json"];
    let same = process::run(dir.path(), &same);
    assert!(
        same.status.success() && String::from_utf8_lossy(&same.stdout).contains("dicen lo mismo"),
        "{}",
        said(&same)
    );
}

fn junit(folder: &Path, summary: &serde_json::Value) {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let counted = tool("junitparser", Command::new(python).args(["-c", COUNT]).arg(folder.join("informe.xml")));
    let numbers: Vec<u64> = counted.split_whitespace().map(|n| n.parse().unwrap()).collect();
    let of = |name: &str| summary[name].as_u64().unwrap();
    let skipped = of("no_aplica") + of("no_ejecutado");
    assert!(of("no_cumple") > 0 && skipped > 0, "{summary}");
    let expected = [of("casos"), of("no_cumple"), skipped];
    assert_eq!(numbers, [expected, expected].concat());
}

/// As it stands after its script ran, from a file, with no network to ask.
fn page(folder: &Path) {
    let mut chromium = Command::new("chromium");
    chromium.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--dump-dom",
    ]);
    let profile = format!("--user-data-dir={}", folder.join("perfil").display());
    let dom = tool("chromium", chromium.arg(profile).arg(format!("file://{}", folder.join("informe.html").display())));
    assert!(dom.contains("NO CONFORME") && dom.contains("Remedio"), "{dom}");
    assert!(!dom.contains("id=\"filtro\" hidden"), "the script did not run: the filter is hidden");
    let shown = dom.split("id=\"cuenta\">").nth(1).and_then(|t| t.split('<').next()).unwrap_or_default();
    assert!(shown.ends_with(" casos"), "the filter counts: {shown:?}");
}

fn document(folder: &Path) {
    let pdf = folder.join("informe.pdf");
    let text = tool("pdftotext", Command::new("pdftotext").arg("-layout").arg(&pdf).arg("-"));
    for held in
        ["Informe de conformidad: NO CONFORME", "MGD-8.2-01", "Remedio", "Recepción de documentos", "página 1 de"]
    {
        assert!(text.contains(held), "«{held}» is not in the PDF:\n{text}");
    }
    let outline = tool("pdfinfo", Command::new("pdfinfo").arg("-struct-text").arg(&pdf));
    assert!(outline.contains("H1"), "{}", outline.chars().take(500).collect::<String>());
    let bytes = fs::read(&pdf).unwrap();
    assert!(memchr::memmem::find(&bytes, b"/Outlines").is_some(), "no bookmarks");
}
