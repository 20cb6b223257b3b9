//! The administrative road: every command of docs/produccion.md, as it stands, with the real binary.

use std::path::Path;

use chasqui::{
    conformance::case::Catalogo,
    domain::{calendario::Calendario, lima},
    exchange::{Clock, SystemClock},
};
use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    hash::MessageDigest,
    pkey::PKey,
    rsa::Rsa,
    x509::{X509, X509Builder, X509NameBuilder, extension::KeyUsage},
};

use crate::process::{run, said};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(ROOT).join("fixtures").join(name)).unwrap()
}

/// The commands of a page, line by line.
fn commands(page: &str) -> Vec<String> {
    let page = std::fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

/// Another person of the municipality, of the authority of the tests: certificate and key in PEM.
fn jefe_de_tramite() -> Vec<u8> {
    let issuer = X509::from_pem(&fixture("pki/intermediate.cert.pem")).unwrap();
    let issuer_key = PKey::private_key_from_pem(&fixture("pki/intermediate.key.pem")).unwrap();
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    for (part, value) in [
        ("C", "PE"),
        ("O", "MUNICIPALIDAD DISTRITAL DE EJEMPLO"),
        ("2.5.4.97", "NTRPE-20900000015"),
        ("SN", "HUAMAN"),
        ("GN", "Rosa"),
        ("serialNumber", "PNOPE-40000004"),
        ("CN", "HUAMAN Rosa FIR 20900000015 soft"),
    ] {
        name.append_entry_by_text(part, value).unwrap();
    }
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(987_655).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name.build()).unwrap();
    builder.set_issuer_name(issuer.subject_name()).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::from_str("20260101000000Z").unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_str("20491231000000Z").unwrap()).unwrap();
    let usage = KeyUsage::new().critical().digital_signature().non_repudiation().build().unwrap();
    builder.append_extension(usage).unwrap();
    builder.sign(&issuer_key, MessageDigest::sha256()).unwrap();
    [key.private_key_to_pem_pkcs8().unwrap(), builder.build().to_pem().unwrap(), issuer.to_pem().unwrap()].concat()
}

/// The report of the fixtures, with every case of the suite as of now.
fn informe() -> Vec<u8> {
    let mut report: serde_json::Value = serde_json::from_slice(&fixture("informe-conformidad.json")).unwrap();
    let catalogo = Catalogo::incorporado().unwrap();
    let sample = report["casos"][0].clone();
    assert_eq!(sample["veredicto"], "CUMPLE");
    let casos: Vec<_> = catalogo
        .casos
        .iter()
        .map(|caso| {
            let mut one = sample.clone();
            one["id"] = caso.id.clone().into();
            one
        })
        .collect();
    let total = casos.len();
    report["chasqui"] = env!("CARGO_PKG_VERSION").into();
    report["catalogo_sha256"] = catalogo.sha256.into();
    report["casos"] = casos.into();
    let summary = &mut report["resumen"];
    (summary["casos"], summary["cumple"], summary["no_aplica"]) = (total.into(), total.into(), 0.into());
    serde_json::to_vec(&report).unwrap()
}

/// The dossier of the sample municipality, its day of production soon.
fn expediente() -> String {
    let today = lima::en_lima(SystemClock.now()).date();
    let day = Calendario::default().habil_tras(today, 5).to_string();
    String::from_utf8(fixture("expediente.toml")).unwrap().replace("FECHA", &day)
}

#[test]
fn every_command_of_the_page_on_the_road_works_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.join(name), bytes).unwrap();
    let chain = Path::new(ROOT).join("fixtures/pki/chain.pem");
    let config = format!(
        "[[entity]]\nruc = \"20900000015\"\nname = \"MUNICIPALIDAD DISTRITAL DE EJEMPLO\"\n[trust]\nanchors = [\"{}\"]\n",
        chain.display()
    );
    write("chasqui.toml", config.as_bytes());
    write("jefe-ti.p12", &fixture("pki/persona-municipalidad.p12"));
    write("clave.txt", &fixture("pki/password"));
    write("jefe-tramite.pem", &jefe_de_tramite());
    write("resolucion.pdf", &fixture("oficio.pdf"));
    write("informe.json", &informe());
    let commands = commands("docs/produccion.md");
    assert!(commands.len() > 20, "{commands:?}");
    let mut told = String::new();
    for command in &commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(words[0], "chasqui", "{command}");
        let output = run(dir, &words[1..]);
        assert!(output.status.success(), "{command}: {}", said(&output));
        if command == "chasqui onboarding init" {
            write("expediente.toml", expediente().as_bytes());
        }
        told = said(&output);
    }
    assert!(told.contains("MPV pase a producción"), "{told}");
    let status = run(dir, &["onboarding", "status"]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert_eq!(status.matches(": listo (").count(), 6, "{status}");
}

#[test]
fn what_the_dossier_lacks_is_told_by_key_and_an_acta_that_is_not_signed_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let none = run(dir, &["onboarding", "status"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(said(&none).contains("«chasqui onboarding init» escribe uno"), "{}", said(&none));
    assert!(run(dir, &["onboarding", "init"]).status.success());
    assert_eq!(run(dir, &["onboarding", "init"]).status.code(), Some(2), "it overwrites nothing");
    let form = run(dir, &["onboarding", "form", "a3", "--out", "a3.pdf"]);
    assert!(form.status.code() == Some(1) && said(&form).contains("entidad.ruc: no está escrito. Escriba el RUC"));
    assert!(!dir.join("a3.pdf").exists());
    let odd = run(dir, &["onboarding", "form", "a4", "--out", "a4.pdf"]);
    assert!(odd.status.code() == Some(2) && said(&odd).contains("a3, a1-cuo, a1-entidad, a1-tramite, acceso"));
    std::fs::write(dir.join("expediente.toml"), expediente()).unwrap();
    std::fs::write(dir.join("informe.json"), informe()).unwrap();
    assert!(run(dir, &["onboarding", "acta", "--out", "acta.pdf"]).status.success());
    let check = run(dir, &["onboarding", "acta", "--check", "acta.pdf", "--format", "json"]);
    assert_eq!(check.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!((&report["conforme"], report["problemas"].as_array().unwrap().len()), (&false.into(), 3));
}

/// Without a platform, an acta or a production environment the answer is no, and each reason is told.
#[test]
fn production_is_refused_with_its_reasons_and_the_same_is_told_as_json_and_pdf() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let config = "[[entity]]\nruc = \"20900000015\"\nname = \"MUNICIPALIDAD DISTRITAL DE EJEMPLO\"\n[simulator]\n\
                  listen = \"127.0.0.1:9\"\n[pide]\nconnect_timeout = \"1s\"\ntotal_timeout = \"2s\"\n[listen]\nsoap_public_url = \"http://127.0.0.1:9\"\n";
    std::fs::write(dir.join("chasqui.toml"), config).unwrap();
    std::fs::write(dir.join("expediente.toml"), expediente()).unwrap();
    std::fs::write(dir.join("informe.json"), informe()).unwrap();
    let output = run(dir, &["check", "--for", "production", "--format", "json", "--out", "decision.pdf"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["decision"], "no_pasar");
    let found = report["grupos"].as_array().unwrap().last().unwrap()["comprobaciones"].as_array().unwrap().clone();
    let state = |key: &str| {
        let of = found.iter().find(|one| one["clave"] == key);
        of.unwrap_or_else(|| panic!("{key}: {found:?}"))["estado"].as_str().unwrap().to_owned()
    };
    for (key, expected) in [
        ("ambiente", "falla"),
        ("suite", "bien"),
        ("suite_version", "bien"),
        ("suite_programa", "falla"),
        ("acta", "falla"),
        ("ruc_validado", "falla"),
        ("cuo_de_prueba", "falla"),
        ("ip_declarada", "advertencia"),
        ("direccion_declarada", "falla"),
        ("otro_ambiente", "omitida"),
    ] {
        assert_eq!(state(key), expected, "{key}: {found:?}");
    }
    let text = std::process::Command::new("pdftotext").args(["decision.pdf", "-"]).current_dir(dir).output().unwrap();
    assert!(String::from_utf8_lossy(&text.stdout).contains("NO PASAR A PRODUCCIÓN"));
}
