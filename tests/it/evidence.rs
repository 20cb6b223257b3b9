//! The audit log and the evidence of an exchange, as commands beside daemons that run, that do not, and with none at all.

use std::{
    io::{Cursor, Read},
    path::Path,
    process::{Command, Output},
};

use base64_simd::STANDARD;
use serde_json::{Value, json};

use crate::{
    daemon::{CUSCO, Daemon, Entity, Setup},
    pdf::{pdf, sha256},
    platform::Platform,
    process::{run, said},
    rest::{despacho, text},
};

/// For which `fixtures/pki` has an identity.
const AGENTE: Entity = Entity { ruc: "20900000015", name: "MUNICIPALIDAD DISTRITAL DE EJEMPLO" };
const CHAIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pki/chain.pem");

/// A document, and its cargo that came back: both daemons, running, and the records they have of it.
struct Exchanged {
    daemons: [Daemon; 2],
    /// Of the sender, of the receiver.
    ids: [String; 2],
    cuo: String,
    document: Vec<u8>,
    cargo: Vec<u8>,
    _platform: Platform,
}

async fn exchanged() -> Exchanged {
    let setups = [Setup::of(&[AGENTE]).with_identity("agente-municipalidad"), Setup::of(&[CUSCO])];
    let (platform, daemons) = Platform::with(setups).await;
    let mut daemons: [Daemon; 2] = daemons.try_into().unwrap();
    let (sender, receiver) = (daemons[0].api(), daemons[1].api());
    let (document, cargo) = (pdf(1, 200_000), pdf(2, 40_000));
    let accepted = sender.dispatch(&despacho("2026-1", CUSCO.ruc), &document).await;
    let sent = format!("/api/v1/despachos/{}", text(&accepted, "id"));
    let despacho = sender.until_state(&sent, "enviado").await;
    let cuo = text(&despacho, "cuo").to_owned();
    let recepcion = receiver.until_one(&format!("/api/v1/recepciones?cuo={cuo}")).await;
    let answer = format!("/api/v1/recepciones/{}/recepcionar", text(&recepcion, "id"));
    let datos = json!({"numero_registro": "E-777", "unidad": "GERENCIA MUNICIPAL", "usuario": "ROSA ÑAHUI PÉREZ"});
    receiver.form(&answer, &datos, "cargo", &cargo).await.expect(200);
    sender.until_state(&sent, "recepcionado").await;
    let ids = [text(&despacho, "id").to_owned(), text(&recepcion, "id").to_owned()];
    Exchanged { daemons, ids, cuo, document, cargo, _platform: platform }
}

fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// `chasqui audit verify-evidence` in a folder that has nothing but the file.
fn verify(package: &[u8], more: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("evidencia.asice"), package).unwrap();
    let done = run(folder.path(), &[&["audit", "verify-evidence", "evidencia.asice"], more].concat());
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "it writes nothing");
    (done.status.code().unwrap(), String::from_utf8(done.stdout).unwrap())
}

fn evidence(daemon: &Daemon, id: &str, name: &str) -> Vec<u8> {
    let file = daemon.dir().join(name);
    ok(&daemon.cli(&["audit", "evidence", id, "--out", file.to_str().unwrap()]));
    std::fs::read(file).unwrap()
}

#[tokio::test]
async fn the_evidence_of_an_exchange_proves_itself_with_no_daemon_and_no_data() {
    let mut made = exchanged().await;
    let mut packages = Vec::new();
    for (daemon, id) in made.daemons.iter_mut().zip(&made.ids) {
        let key = ok(&daemon.cli(&["audit", "key"])).trim().to_owned();
        packages.push((evidence(daemon, id, "running.asice"), key.clone()));
        daemon.stop();
        packages.push((evidence(daemon, id, "stopped.asice"), key));
    }
    let Exchanged { daemons, ids, cuo, document, cargo, _platform } = made;
    // Everything that made them is gone.
    drop((daemons, _platform));
    for (n, (package, key)) in packages.iter().enumerate() {
        let (code, told) = verify(package, &["--trust", CHAIN, "--key", key]);
        assert_eq!(code, 0, "{told}");
        let signed =
            "El manifiesto lo firmó (CAdES) quien tiene la llave del certificado de AGENTE AUTOMATIZADO 20900000015";
        assert_eq!(told.contains(signed), n < 2, "only the sender has an identity: {told}");
        for expected in [
            &format!("CUO {cuo}"),
            &ids[n / 2],
            "La clave de auditoría es la que usted guardó aparte",
            "El documento (documento.pdf) es, byte por byte",
            "El cargo (cargo.pdf) es, byte por byte",
            "la petición se rehízo con documento.pdf",
            "la petición se rehízo con cargo.pdf",
            "la respuesta se rehízo tal cual, byte por byte",
        ] {
            assert!(told.contains(expected), "{expected}: {told}");
        }
        let mut archive = zip::ZipArchive::new(Cursor::new(package)).unwrap();
        let mut member = |name: &str| {
            let mut bytes = Vec::new();
            archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
            sha256(&bytes)
        };
        assert_eq!((member("documento.pdf"), member("cargo.pdf")), (sha256(&document), sha256(&cargo)));
        for (of, name) in [(&document, "documento.pdf"), (&cargo, "cargo.pdf")] {
            let mut flipped = package.clone();
            let at = memchr::memmem::find(package, &of[1000..1100]).unwrap();
            flipped[at] ^= 0x10;
            let (code, told) = verify(&flipped, &[]);
            assert_eq!(code, 1, "{told}");
            assert!(told.contains("NO CORRESPONDE") && told.contains(&format!("«{name}»")), "{told}");
        }
    }
    let (package, key) = packages.first().unwrap();
    let (_, told) = verify(package, &["--trust", CHAIN, "--key", key, "--format", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(told["hallazgos"].as_array().unwrap().iter().all(|found| found["veredicto"] != "falla"), "{told}");
    let other = &packages.last().unwrap().1;
    assert_eq!(verify(package, &["--key", other]).0, 1, "the key of another entity");
    openssl_agrees(package);
    messages_are_left_written(package, &document);
}

/// `--sobres` leaves the messages as they were on the wire, and overwrites nothing.
fn messages_are_left_written(package: &[u8], document: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("evidencia.asice"), package).unwrap();
    let verify = || ok(&run(folder.path(), &["audit", "verify-evidence", "evidencia.asice", "--sobres", "mensajes"]));
    assert!(!verify().contains("no se pudo escribir"));
    let request = folder.path().join("mensajes/001-despacho.enviado-peticion.xml");
    let twice = STANDARD.encode_to_string(STANDARD.encode_to_string(document));
    let sent = std::fs::read_to_string(&request).unwrap();
    assert!(sent.contains(&format!("<bpdfdoc>{twice}</bpdfdoc>")), "{}", &sent[..400]);
    let told = verify();
    assert!(told.contains("no se pudo escribir en la carpeta pedida (ya existe); dé una carpeta vacía"), "{told}");
    assert_eq!(std::fs::read_to_string(&request).unwrap(), sent);
}

/// As LEEME.txt says how to check the signature without chasqui.
fn openssl_agrees(package: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    zip::ZipArchive::new(Cursor::new(package)).unwrap().extract(dir).unwrap();
    let readme = std::fs::read_to_string(dir.join("LEEME.txt")).unwrap();
    let from = readme.find("openssl cms").unwrap();
    let command = readme[from..].split("/dev/null").next().unwrap().replace("RAICES.pem", CHAIN) + "/dev/null";
    let check = |dir: &Path| Command::new("sh").args(["-c", &command]).current_dir(dir).output().unwrap();
    let done = check(dir);
    assert!(done.status.success(), "{command}: {}", said(&done));
    std::fs::write(dir.join("META-INF/ASiCManifest.xml"), "<otro/>").unwrap();
    assert!(!check(dir).status.success());
}

#[tokio::test]
async fn the_commands_of_the_audit_log_do_on_a_stopped_daemon_what_they_do_on_a_running_one() {
    let mut made = exchanged().await;
    let [sender, _] = &mut made.daemons;
    let mut before = 0;
    for running in [true, false] {
        let note = ok(&sender.cli(&["audit", "checkpoint"]));
        let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
        assert!(note.starts_with("chasqui/20900000015/") && size > before, "{note}");
        before = size;
        let told: Value = serde_json::from_str(&ok(&sender.cli(&["audit", "verify", "--format", "json"]))).unwrap();
        assert!(told["covered"].as_u64() >= Some(size) && told["problems"] == json!([]), "{told}");
        let key = ok(&sender.cli(&["audit", "key"]));
        ok(&sender.cli(&["audit", "verify", "--key", key.trim()]));
        let entries = ok(&sender.cli(&["audit", "export"]));
        let entries: Vec<Value> = entries.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let numbers: Vec<u64> = entries.iter().map(|entry| entry["asiento"].as_u64().unwrap()).collect();
        assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "every one, in order: {numbers:?}");
        let sent = entries.iter().filter(|entry| entry["hechos"][0]["tipo"] == "despacho.registrado").count();
        assert_eq!(sent, 1, "{entries:?}");
        if running {
            sender.stop();
        }
    }
    let notes = sender.files("audit/puntos");
    let (name, newest) = notes
        .iter()
        .rev()
        .map(|p| (p.file_name().unwrap(), p))
        .find(|(n, _)| n.to_str().unwrap().ends_with(".note"))
        .unwrap();
    let mut bytes = std::fs::read(newest).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(newest, bytes).unwrap();
    let done = sender.cli(&["audit", "verify"]);
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    assert!(String::from_utf8_lossy(&done.stdout).contains(name.to_str().unwrap()), "{}", said(&done));
}

/// Facts outlive what they are about and are read by more people: who is who stays in the records.
#[tokio::test]
async fn the_facts_of_an_exchange_hold_no_personal_data() {
    let made = exchanged().await;
    for daemon in &made.daemons {
        let facts = ok(&daemon.cli(&["audit", "export"]));
        assert!(facts.contains(&made.cuo), "the exchange is among them: {facts}");
        for word in ["40633367", "QUISPE", "jperez", "ÑAHUI", "Remito", "GERENTE"] {
            assert!(!facts.contains(word), "{word}: {facts}");
        }
    }
}
