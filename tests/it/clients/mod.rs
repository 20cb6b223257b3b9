//! Independent SOAP stacks, each calling what we publish from its description alone: the entity's component, and the simulated
//! platform in both flavours; and each answering our own calls. `./test` installs them. docs/interoperabilidad.md has the
//! matrix and what was found.

mod component;
mod oddities;
mod platform;
mod servers;
mod sgd;

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    daemon::{CUSCO, LIMA},
    rest::text,
};

const SUBJECT: &str = "Señalización de «Ñaña» & áéíóú: si a < b, año 2026 > 2025; \"comillas\" y 'apóstrofos'";

const OBSERVATION: &str = "Falta la firma de la página 2 & «otra»";

/// Somebody else's client of SOAP.
#[derive(Debug)]
enum Client {
    Zeep,
    Suds,
    Php,
    Node,
    /// SOAP::Lite.
    Perl,
    /// The stubs that gSOAP generated, compiled, in a folder of their own.
    Gsoap(TempDir),
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// What a program said that must be there and end well.
fn run(what: &str, command: &mut Command) -> Output {
    let output = command.output();
    let output = output.unwrap_or_else(|e| panic!("{what} does not start ({e}): run ./test once, it installs it"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}\n{error}", output.status);
    output
}

impl Client {
    /// gSOAP's client for the component at `wsdl`.
    fn gsoap(wsdl: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        run("gSOAP", Command::new(script("gsoap/make.sh")).arg(wsdl).arg(dir.path()));
        Self::Gsoap(dir)
    }

    fn command(&self) -> Command {
        let interpreted = |program: &Path, arguments: &[&str], name: &str| {
            let mut command = Command::new(program);
            command.args(arguments).arg(script(name));
            command
        };
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
        match self {
            Self::Zeep => interpreted(&python, &[], "call.py"),
            Self::Suds => interpreted(&python, &[], "call_suds.py"),
            Self::Php => interpreted(Path::new("php"), &["-d", "memory_limit=512M"], "call.php"),
            Self::Node => interpreted(Path::new("node"), &[], "node/call.js"),
            Self::Perl => interpreted(Path::new("perl"), &[], "call.pl"),
            Self::Gsoap(dir) => Command::new(dir.path().join("call")),
        }
    }

    /// Calls an operation with nothing but the description at `wsdl` to go by.
    fn call(&self, wsdl: &str, operation: &str, arguments: &Value) -> Value {
        let file = tempfile::NamedTempFile::new().unwrap();
        // gSOAP's stubs are made from the description; only the address is given to them.
        let (service, written) = match self {
            Self::Gsoap(_) => (wsdl.trim_end_matches("?wsdl"), lines(arguments)),
            _ => (wsdl, arguments.to_string()),
        };
        std::fs::write(file.path(), written).unwrap();
        let what = format!("{self:?}, {operation}");
        let output = run(&what, self.command().args([service, operation]).arg(file.path()));
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{what}: {}", String::from_utf8_lossy(&output.stdout)))
    }
}

/// The arguments as lines NAME=VALUE, for a program that has no JSON.
fn lines(arguments: &Value) -> String {
    fn add(lines: &mut String, path: &str, value: &Value) {
        let inside = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    match name.as_str() {
                        "bytes_of" | "base64_of" => add(lines, &format!("{path}:{name}"), value),
                        _ => add(lines, &inside(name), value),
                    }
                }
            }
            Value::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    add(lines, &inside(&number.to_string()), item);
                }
            }
            Value::String(text) => writeln!(lines, "{path}={text}").unwrap(),
            other => writeln!(lines, "{path}={other}").unwrap(),
        }
    }
    let mut written = String::new();
    add(&mut written, "", arguments);
    written
}

/// Files that a client reads.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn add(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Bytes that the client decoded once.
fn bytes(value: &Value) -> Vec<u8> {
    base64_simd::STANDARD.decode_to_vec(text(value, "base64")).unwrap()
}

/// The PDF in a field of an answer: one layer was the client's affair, the other is ours to take off.
fn document(value: &Value) -> Vec<u8> {
    base64_simd::STANDARD.decode_to_vec(bytes(value)).expect("the inner base64")
}

/// A document as the entity's component takes it, the PDF encoded twice (`base64_of`) or once (`bytes_of`).
fn tramite(cuo: &str, pdf: &Path, encoding: &str) -> Value {
    json!({
        "vrucentrem": CUSCO.ruc, "vrucentrec": LIMA.ruc, "vnomentemi": CUSCO.name, "vuniorgrem": "OFICINA DE TECNOLOGÍA",
        "vcuo": cuo, "ccodtipdoc": "02", "vnumdoc": "CARTA 7-2025", "dfecdoc": "2025-06-02T09:30:00-05:00",
        "vuniorgdst": "GERENCIA MUNICIPAL", "vnomdst": "MARÍA QUISPE MAMANI", "vnomcardst": "GERENTE MUNICIPAL",
        "vasu": SUBJECT, "snumanx": 1, "snumfol": 12, "vurldocanx": "https://cusco.example/anexos?a=1&b=2",
        "bpdfdoc": {encoding: pdf}, "vnomdoc": "carta nº 7.pdf",
        "lstanexos": [{"siddocanx": 1, "siddocext": 1, "vnomdoc": "plano & corte.dwg"}],
        "ctipdociderem": "1", "vnumdociderem": "40633367",
    })
}
