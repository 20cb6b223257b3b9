//! What `chasqui pdf sign` makes, judged by poppler's pdfsig and by pyHanko.

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use serde_json::Value;

use crate::{
    pdf,
    process::{run, said},
};

/// Bytes of the large file: enough that nobody could hold it by mistake, and quick to judge.
const LARGE_BYTES: usize = 24 * 1024 * 1024;

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn pki(name: &str) -> String {
    root().join("fixtures/pki").join(name).display().to_string()
}

fn pyhanko(arguments: &[&str]) -> String {
    let python = root().join(".venv/bin/python");
    let mut command = Command::new(&python);
    command.arg(root().join("tests/clients/judge_pdf.py")).args(arguments);
    let done = command.output().unwrap_or_else(|error| panic!("{}: {error}; ./test makes it", python.display()));
    assert!(done.status.success(), "{}", said(&done));
    String::from_utf8(done.stdout).unwrap()
}

/// Signs in `dir`; `more` are options of the command.
fn sign(dir: &Path, from: &str, to: &str, who: &str, more: &[&str]) {
    let (identity, password) = (pki(&format!("{who}.p12")), pki("password"));
    let mut arguments = vec!["pdf", "sign", from, "--out", to, "--identity", &identity, "--password-file", &password];
    arguments.extend(more);
    let done = run(dir, &arguments);
    assert!(done.status.success(), "{}", said(&done));
}

/// Both judges find `count` signatures, each valid, and the last one over the whole file. pyHanko trusts those of our own.
fn judged(dir: &Path, file: &str, count: usize, ours: usize, timestamps: bool) {
    let path = dir.join(file);
    let done = Command::new("pdfsig").arg("-nocert").arg(&path).output().expect("pdfsig, of poppler-utils");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(text.matches("Signature is Valid").count(), count, "{file}: {}", said(&done));
    assert_eq!(text.matches("Signature #").count(), count, "{file}: {text}");
    assert!(text.rsplit("Signature #").next().unwrap().contains("- Total document signed"), "{file}: {text}");

    let told = pyhanko(&["judge", &pki("chain.pem"), path.to_str().unwrap()]);
    let found: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.len(), count, "{file}: {told}");
    for (n, signature) in found.iter().enumerate() {
        let (last, own) = (n + 1 == count, n + ours >= count);
        assert_eq!(
            (&signature["intact"], &signature["valid"]),
            (&Value::Bool(true), &Value::Bool(true)),
            "{file}: {told}"
        );
        let coverage = if last { "ENTIRE_FILE" } else { "ENTIRE_REVISION" };
        assert_eq!(signature["coverage"], coverage, "{file}: {told}");
        if own {
            assert_eq!(signature["bottom_line"], true, "{file}: {told}");
            assert_eq!(signature["subfilter"], "/ETSI.CAdES.detached");
            assert_eq!(
                signature["timestamp"],
                if timestamps { Value::Bool(true) } else { Value::Null },
                "{file}: {told}"
            );
        }
    }
}

const STAMP: [&str; 6] =
    ["--stamp", "abajo-derecha", "--text", "N.º de registro 2026-004517", "--qr", "CUO 0000000019"];

#[test]
fn signed_files_of_every_kind_are_valid_and_whole_for_both_judges() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    std::fs::copy(root().join("fixtures/oficio.pdf"), dir.join("signed-before.pdf")).unwrap();
    std::fs::write(dir.join("classic.pdf"), pdf::pdf(1, 40_000)).unwrap();
    pyhanko(&["make", dir.join("streams.pdf").to_str().unwrap()]);
    for (file, before) in [("signed-before.pdf", 1), ("classic.pdf", 0), ("streams.pdf", 0)] {
        for (name, more) in [("unseen", &[][..]), ("seen", &STAMP[..])] {
            let [one, two] = [1, 2].map(|n| format!("{name}-{n}-{file}"));
            sign(dir, file, &one, "agente-municipalidad", more);
            judged(dir, &one, before + 1, 1, false);
            sign(dir, &one, &two, "persona-gobierno", more);
            judged(dir, &two, before + 2, 2, false);
            let bytes = |name: &str| std::fs::read(dir.join(name)).unwrap();
            assert!(bytes(&two).starts_with(&bytes(&one)) && bytes(&one).starts_with(&bytes(file)));
        }
    }
}

#[test]
fn a_large_file_is_signed_and_valid() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut file = std::io::BufWriter::new(std::fs::File::create(dir.join("large.pdf")).unwrap());
    pdf::write(3, LARGE_BYTES, &mut file).unwrap();
    file.into_inner().unwrap();
    sign(dir, "large.pdf", "out.pdf", "agente-gobierno", &[]);
    judged(dir, "out.pdf", 1, 1, false);
}

#[test]
fn a_timestamp_comes_over_http_and_its_absence_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    std::fs::write(dir.join("in.pdf"), pdf::pdf(2, 4_000)).unwrap();
    let (url, served) = tsa(dir.to_owned(), 2);
    let entity = "[[entity]]\nruc = \"20900000015\"\nname = \"MUNICIPALIDAD\"\n";
    let identity = format!(
        "identity.file = \"{}\"\nidentity.password_file = \"{}\"\n",
        pki("agente-municipalidad.p12"),
        pki("password")
    );
    std::fs::write(dir.join("chasqui.toml"), format!("{entity}{identity}[tsa]\nurl = \"{url}\"\n")).unwrap();
    for (to, more) in [("out.pdf", &["--level", "b-t"][..]), ("again.pdf", &[])] {
        // With the entity's own identity, of the configuration.
        let done = run(dir, &[&["pdf", "sign", "in.pdf", "--out", to, "--format", "json"], more].concat());
        assert!(done.status.success(), "{}", said(&done));
        let told: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(told["nivel"], "PAdES B-T", "{told}");
        assert_eq!(told["sello_de_tiempo"]["autoridad"], "TSA DE PRUEBA DE CHASQUI");
        judged(dir, to, 1, 1, true);
    }
    served.join().unwrap();
    // Nobody listens any more: asked for, it is a failure, though the file is signed; not asked for, it is told.
    let done = run(dir, &["pdf", "sign", "in.pdf", "--out", "bare.pdf", "--level", "b-t"]);
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    assert!(String::from_utf8_lossy(&done.stderr).contains("sin sello de tiempo: no se pudo consultar"));
    let again = run(dir, &["pdf", "sign", "in.pdf", "--out", "bare.pdf"]);
    assert_eq!(again.status.code(), Some(2), "{}", said(&again));
    assert!(String::from_utf8_lossy(&again.stderr).contains("ya existe"), "nothing is overwritten: {}", said(&again));
    std::fs::remove_file(dir.join("bare.pdf")).unwrap();
    let done = run(dir, &["pdf", "sign", "in.pdf", "--out", "bare.pdf"]);
    assert!(done.status.success() && String::from_utf8_lossy(&done.stderr).contains("sin sello de tiempo"));
    judged(dir, "bare.pdf", 1, 1, false);
}

#[test]
fn what_is_not_signed_is_told_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    std::fs::write(dir.join("in.pdf"), pdf::pdf(2, 4_000)).unwrap();
    let (identity, password) = (pki("agente-municipalidad.p12"), pki("password"));
    for (arguments, code, words) in [
        (&["in.pdf", "--out", "out.pdf"][..], 2, "identity.file"),
        (&["in.pdf", "--out", "out.pdf", "--identity", &identity], 2, "falta su contraseña"),
        (&["in.pdf", "--out", "out.pdf", "--identity", &password], 2, "no es un PKCS#12"),
        (
            &["no.pdf", "--out", "out.pdf", "--identity", &identity, "--password-file", &password],
            1,
            "no.pdf: no existe",
        ),
    ] {
        let done = run(dir, &[&["pdf", "sign"], arguments].concat());
        assert_eq!(done.status.code(), Some(code), "{}", said(&done));
        assert!(String::from_utf8_lossy(&done.stderr).contains(words), "{}", said(&done));
    }
    let left: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["in.pdf"]);
}

/// A timestamp authority on a free port for `count` questions: `openssl ts` behind the smallest HTTP server.
fn tsa(dir: PathBuf, count: usize) -> (String, thread::JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/tsr", listener.local_addr().unwrap());
    let config = "[ tsa ]\ndefault_tsa = here\n[ here ]\nserial = serial\ncrypto_device = builtin\nsigner_digest = sha256\n\
                  default_policy = 1.2.3.4.9\ndigests = sha256\naccuracy = secs:1\ness_cert_id_alg = sha256\n";
    std::fs::write(dir.join("tsa.cnf"), config).unwrap();
    std::fs::write(dir.join("serial"), "01\n").unwrap();
    let served = thread::spawn(move || {
        for _ in 0..count {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut piece) = (Vec::new(), [0; 4096]);
            let body = loop {
                let read = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..read]);
                let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
                let Some(end) = memchr::memmem::find(&request, b"\r\n\r\n") else { continue };
                let length = text.split("content-length:").nth(1).unwrap().split("\r\n").next().unwrap().trim();
                if request.len() >= end + 4 + length.parse::<usize>().unwrap() {
                    assert!(text.contains("content-type: application/timestamp-query"));
                    break request[end + 4..].to_vec();
                }
            };
            std::fs::write(dir.join("question"), body).unwrap();
            let mut openssl = Command::new("openssl");
            openssl.args(["ts", "-reply", "-config", "tsa.cnf", "-queryfile", "question", "-out", "answer"]);
            openssl.args(["-signer", &pki("tsa.cert.pem"), "-inkey", &pki("tsa.key.pem"), "-chain", &pki("chain.pem")]);
            let done = openssl.current_dir(&dir).output().unwrap();
            assert!(done.status.success(), "{}", said(&done));
            let answer = std::fs::read(dir.join("answer")).unwrap();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/timestamp-reply\r\nConnection: close";
            write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n", answer.len()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    (url, served)
}
