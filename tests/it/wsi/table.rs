//! docs/ws-i.md has a row for each assertion that concerns us, with the tests that there are.

use std::{collections::BTreeSet, fs, path::Path};

/// The assertions of SOAP 1.1, document/literal, over HTTP. The numbers missing in these ranges are of no assertion.
const ASSERTIONS: [u16; 57] = [
    1000, 1001, 1002, 1003, 1004, 1005, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015, 1016, 1017, 1018, 1025, 1027,
    1028, 1029, 1030, 1031, 1107, 1108, 1109, 1110, 1111, 1112, 1113, 1114, 1115, 1119, 1120, 1121, 1122, 1123, 1124,
    1125, 1126, 1127, 1130, 1131, 1132, 1140, 1141, 2113, 2301, 2706, 2712, 2714, 2727, 2742, 2743, 2744, 2745, 2750,
];
/// Apart, as it stands apart in the profile.
const BYTE_ORDER_MARK: u16 = 4001;

const PLACES: [&str; 2] = ["tests/it/wsi/server.rs", "src/platform/tests/wsi.rs"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn number(name: &str) -> Option<u16> {
    name.strip_prefix('r')?.get(..4)?.parse().ok()
}

/// Functions that are tests of an assertion.
fn tests() -> BTreeSet<String> {
    let name = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
        let name = line.split('(').next()?;
        number(name).map(|_| name.to_owned())
    };
    PLACES.iter().flat_map(|path| read(path).lines().filter_map(name).collect::<Vec<_>>()).collect()
}

#[test]
fn every_assertion_has_a_test_and_a_row_and_every_test_is_in_its_row() {
    let page = read("docs/ws-i.md");
    let (tests, mut named, mut rows) = (tests(), BTreeSet::new(), BTreeSet::new());
    for row in page.lines().filter(|line| line.starts_with("| R")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, assertion, says, side, result, names, _] = cells[..] else { panic!("not five cells: {row}") };
        let of: u16 = assertion.trim_start_matches('R').parse().unwrap_or_else(|_| panic!("{row}"));
        assert!(rows.insert(of), "R{of} stands twice");
        assert!(!says.is_empty() && ["servidor", "cliente", "ambos", "descripción"].contains(&side), "{row}");
        let result = result.split([' ', ':']).next().unwrap_or_default();
        assert!(["cumple", "aparte", "innecesario"].contains(&result), "{row}");
        for name in names.split("<br>").map(|name| name.trim().trim_matches('`')) {
            assert_eq!(number(name), Some(of), "a test of another assertion: {row}");
            named.insert(name.to_owned());
        }
    }
    let expected: BTreeSet<u16> = ASSERTIONS.into_iter().chain([BYTE_ORDER_MARK]).collect();
    assert_eq!(rows, expected, "rows of docs/ws-i.md");
    assert_eq!(named, tests, "names in docs/ws-i.md and tests in {PLACES:?}");
}
