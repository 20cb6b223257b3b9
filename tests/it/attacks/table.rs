//! docs/seguridad-soap.md names every test of this folder, and no other.

use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn every_attack_is_in_the_manual_and_every_row_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    for file in ["base64", "crowd", "http", "xml"] {
        let text = fs::read_to_string(root.join(format!("tests/it/attacks/{file}.rs"))).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0].starts_with("#[tokio::test")) {
            let name = pair[1].trim_start_matches("async fn ").split('(').next().unwrap();
            tests.insert(format!("{file}::{name}"));
        }
    }
    let page = fs::read_to_string(root.join("docs/seguridad-soap.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains("::"));
    let named: BTreeSet<String> = rows
        .flat_map(|row| row.split('`').skip(1).step_by(2))
        .filter(|name| name.contains("::"))
        .map(str::to_owned)
        .collect();
    assert_eq!(named, tests, "names in docs/seguridad-soap.md and tests of this folder");
}
