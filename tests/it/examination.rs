//! PDFs signed by other software (pyHanko, by `fixtures/firmas.py`) are examined by `chasqui pdf verify`.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use crate::process::binary;

fn verify(file: &Path, trust: Option<&str>) -> (Option<i32>, Value) {
    let mut command = Command::new(binary());
    command.args(["pdf", "verify", "--format", "json"]).arg(file);
    if let Some(name) = trust {
        command.arg("--trust").arg(format!("{}/fixtures/pki/{name}.cert.pem", env!("CARGO_MANIFEST_DIR")));
    }
    let Output { status, stdout, stderr } = command.output().expect("chasqui runs");
    let report = serde_json::from_slice(&stdout);
    (status.code(), report.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&stderr))))
}

#[test]
fn documents_that_pyhanko_signed_are_trusted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a folder");
    let python = root.join(".venv/bin/python");
    let made = Command::new(&python).arg(root.join("fixtures/firmas.py")).arg(folder.path()).output();
    let made = made.unwrap_or_else(|error| panic!("{}: {error}; ./test makes it", python.display()));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for (name, signatures) in [
        ("bb", 1),
        ("bt", 1),
        ("visible", 1),
        ("pss", 1),
        ("two", 2),
        ("three", 3),
        ("blt", 1),
        ("blta", 2),
        ("certified", 1),
    ] {
        let file = folder.path().join(format!("{name}.pdf"));
        let (code, report) = verify(&file, Some("root"));
        assert_eq!(report["veredicto"], "confiable", "{name}: {report:#}");
        assert_eq!((code, report["firmas"].as_array().map(Vec::len)), (Some(0), Some(signatures)), "{name}");
        let (code, report) = verify(&file, Some("unknown-root"));
        assert_eq!((code, &report["veredicto"]), (Some(1), &Value::from("integro")), "{name}: {report:#}");
    }
    let (code, report) = verify(&folder.path().join("letter.pdf"), Some("root"));
    assert_eq!((code, &report["veredicto"]), (Some(1), &Value::from("sin_firmas")));
}
