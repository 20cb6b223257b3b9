//! The house of DESIGN.md: a floor uses the floors below it, never above. Reads src/ and names file and line of each path
//! that reaches up, and of modules on one floor that use each other both ways.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

/// Every module of the crate's root with its floor. `None`: beside the house, used by all, and itself on the ground.
const FLOORS: [(&str, Option<u8>); 19] = [
    ("domain", Some(0)),
    ("soap", Some(1)),
    ("contract", Some(1)),
    ("signing", Some(1)),
    ("store", Some(2)),
    ("audit", Some(2)),
    ("exchange", Some(3)),
    ("http", Some(4)),
    ("console", Some(5)),
    ("sgd", Some(5)),
    ("wsiotramite", Some(5)),
    ("platform", Some(5)),
    ("simulator", Some(5)),
    ("conformance", Some(5)),
    ("onboarding", Some(5)),
    ("cli", Some(6)),
    ("main", Some(6)),
    ("config", None),
    ("telemetry", None),
];

/// What may stand in the way of `from` using `to`; `Ok` if nothing does.
fn judge(from: &str, to: &str) -> Result<(), String> {
    let floor = |module: &str| FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor);
    let (Some(here), Some(there)) = (floor(from), floor(to)) else {
        let stranger = if floor(from).is_none() { from } else { to };
        return Err(format!("`{stranger}` has no floor: give it one in tests/it/floors.rs"));
    };
    match (here, there) {
        _ if from == to => Ok(()),
        (_, None) => Ok(()),
        (None, Some(0)) => Ok(()),
        (None, Some(_)) => Err(format!("`{from}`, which all use, may use only domain, not `{to}`")),
        (Some(here), Some(there)) if there <= here => Ok(()),
        (Some(here), Some(there)) => Err(format!("`{from}` (floor {here}) reaches up to `{to}` (floor {there})")),
    }
}

/// One use of another module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    file: PathBuf,
    line: usize,
    from: String,
    to: String,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// What is wrong with these uses, a line each.
fn faults(uses: &[Use]) -> Vec<String> {
    let mut faults: Vec<String> =
        uses.iter().filter_map(|u| judge(&u.from, &u.to).err().map(|why| format!("{u}: {why}"))).collect();
    let first: BTreeMap<(&str, &str), &Use> = uses.iter().rev().map(|u| ((&*u.from, &*u.to), u)).collect();
    for ((from, to), one) in &first {
        if from < to
            && let Some(other) = first.get(&(*to, *from))
            && judge(from, to).is_ok()
            && judge(to, from).is_ok()
        {
            faults.push(format!("{one} and {other}: `{from}` and `{to}` use each other"));
        }
    }
    faults
}

/// The pieces of Rust text that matter here; comments and literals are left out.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    /// `::`
    Path,
    Mark(char),
}

fn tokens(text: &str) -> Vec<(usize, Token)> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut found, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let c = at(i);
        let start = i;
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && at(i) != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            i = after_block_comment(&chars, i);
        } else if c == 'r' && (at(i + 1) == '"' || at(i + 1) == '#') && raw_string_end(&chars, i).is_some() {
            i = raw_string_end(&chars, i).unwrap_or(i + 1);
        } else if c == '"' {
            i += 1;
            while i < chars.len() && at(i) != '"' {
                i += if at(i) == '\\' { 2 } else { 1 };
            }
            i += 1;
        } else if c == '\'' && (at(i + 1) == '\\' || at(i + 2) == '\'') {
            i += 2;
            while i < chars.len() && at(i) != '\'' {
                i += 1;
            }
            i += 1;
        } else if c.is_alphanumeric() || c == '_' {
            while at(i).is_alphanumeric() || at(i) == '_' {
                i += 1;
            }
            found.push((line, Token::Word(chars[start..i].iter().collect())));
        } else if c == ':' && at(i + 1) == ':' {
            i += 2;
            found.push((line, Token::Path));
        } else {
            i += 1;
            if !c.is_whitespace() {
                found.push((line, Token::Mark(c)));
            }
        }
        line += chars[start..i.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    found
}

fn after_block_comment(chars: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0, start);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

/// Where the raw string that begins at `start` ends; `None` if none begins there.
fn raw_string_end(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    let open = start + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes =
        |i: &usize| chars[*i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    (open + 1..chars.len()).find(closes).map(|end| end + 1 + hashes)
}

/// Reads one file. `module` is the path of the module that the file is: `["store", "blobs"]`.
struct Reader<'a> {
    file: &'a Path,
    module: Vec<String>,
    tokens: Vec<(usize, Token)>,
    uses: Vec<Use>,
}

impl Reader<'_> {
    fn word(&self, i: usize) -> Option<&str> {
        match self.tokens.get(i) {
            Some((_, Token::Word(word))) => Some(word),
            _ => None,
        }
    }

    fn is(&self, i: usize, token: &Token) -> bool {
        self.tokens.get(i).is_some_and(|(_, t)| t == token)
    }

    fn read(mut self) -> Vec<Use> {
        // Depths of the braces that opened `mod name {`: `super` in there means one module less.
        let (mut depth, mut inner, mut i) = (0usize, Vec::<usize>::new(), 0);
        while i < self.tokens.len() {
            if self.word(i) == Some("mod") && self.is(i + 2, &Token::Mark('{')) {
                inner.push(depth);
                if let Some(name) = self.word(i + 1).map(str::to_owned) {
                    self.module.push(name);
                }
                i += 2;
            }
            match self.tokens[i].1 {
                Token::Mark('{') => depth += 1,
                Token::Mark('}') => {
                    depth = depth.saturating_sub(1);
                    if inner.last() == Some(&depth) {
                        inner.pop();
                        self.module.pop();
                    }
                }
                Token::Word(_) if i == 0 || !self.is(i - 1, &Token::Path) => self.path(i),
                _ => {}
            }
            i += 1;
        }
        self.uses
    }

    /// Notes what a path beginning at `i` reaches, if it leads through the crate's root.
    fn path(&mut self, i: usize) {
        let mut base = self.module.clone();
        let mut next = i;
        match self.word(i) {
            Some("crate" | "chasqui") => base.clear(),
            Some("self") => {}
            Some("super") => {
                while self.word(next) == Some("super") {
                    base.pop();
                    if !self.is(next + 1, &Token::Path) {
                        return;
                    }
                    if self.word(next + 2) != Some("super") {
                        break;
                    }
                    next += 2;
                }
            }
            _ => return,
        }
        if base.is_empty() && self.is(next + 1, &Token::Path) {
            self.names(next + 2);
        }
    }

    /// The names at the root that stand at `i`: one, or a group in braces.
    fn names(&mut self, i: usize) {
        if !self.is(i, &Token::Mark('{')) {
            self.name(i);
            return;
        }
        let (mut depth, mut i) = (1, i + 1);
        self.name(i);
        while depth > 0 && i < self.tokens.len() {
            match self.tokens[i].1 {
                Token::Mark('{') => depth += 1,
                Token::Mark('}') => depth -= 1,
                Token::Mark(',') if depth == 1 => self.name(i + 1),
                _ => {}
            }
            i += 1;
        }
    }

    fn name(&mut self, i: usize) {
        let Some((line, Token::Word(name))) = self.tokens.get(i) else { return };
        if name == "self" || name.starts_with(char::is_uppercase) {
            return;
        }
        let from = self.module.first().cloned().unwrap_or_else(|| "main".into());
        self.uses.push(Use { file: self.file.to_owned(), line: *line, from, to: name.clone() });
    }
}

fn read(file: &Path, text: &str) -> Vec<Use> {
    let relative = file.strip_prefix("src").unwrap_or(file).with_extension("");
    let mut module: Vec<String> = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod" || (module.len() == 1 && (last == "main" || last == "lib"))) {
        module.pop();
    }
    Reader { file, module, tokens: tokens(text), uses: Vec::new() }.read()
}

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn all_uses() -> Vec<Use> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    files.sort();
    assert!(files.len() > 20, "only {} sources found", files.len());
    let text = |file: &PathBuf| std::fs::read_to_string(file).unwrap();
    files.iter().flat_map(|file| read(file.strip_prefix(root).unwrap(), &text(file))).collect()
}

#[test]
fn no_floor_reaches_up() {
    let uses = all_uses();
    let seen = |from, to| uses.iter().any(|u| u.from == from && u.to == to);
    assert!(seen("store", "domain") && seen("exchange", "store"), "the reader misses what is there: {uses:?}");
    let faults = faults(&uses);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_module_of_the_root_has_a_floor() {
    let lib = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let declared: BTreeSet<&str> = lib
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    assert!(declared.contains("domain"), "lib.rs declares {declared:?}");
    let strangers: Vec<_> = declared.iter().filter(|name| !FLOORS.iter().any(|(known, _)| known == *name)).collect();
    assert!(strangers.is_empty(), "without a floor: {strangers:?}");
}

fn reached(file: &str, text: &str) -> Vec<(usize, String)> {
    read(Path::new(file), text).into_iter().map(|u| (u.line, u.to)).collect()
}

#[test]
fn a_path_that_reaches_up_is_named_with_file_and_line() {
    let text = "//! Words.\n\nuse std::fmt;\nuse crate::{\n    domain::Ruc,\n    exchange::{Clock, Ids},\n};\n";
    let faults = faults(&read(Path::new("src/store/blobs.rs"), text));
    assert_eq!(faults, ["src/store/blobs.rs:6: `store` (floor 2) reaches up to `exchange` (floor 3)"]);
}

#[test]
fn paths_within_code_and_through_super_are_seen() {
    let text =
        "fn a() {\n    let x = crate::http::problem::new();\n    super::super::cli::run();\n    super::b();\n}\n";
    assert_eq!(reached("src/store/embedded/mod.rs", text), [(2, "http".into()), (3, "cli".into())]);
    let text =
        "mod tests {\n    use super::*;\n    use super::super::exchange;\n    use super::super::super::sgd;\n}\n";
    assert_eq!(reached("src/store/blobs.rs", text), [(4, "sgd".into())]);
    let text = "use chasqui::{cli::{self, run}, domain};\nfn main() { super::x() }\n";
    assert_eq!(reached("src/main.rs", text)[..2], [(1, "cli".into()), (1, "domain".into())]);
}

#[test]
fn comments_and_texts_are_not_paths() {
    let text = "// crate::http\n/* crate::cli /* crate::sgd */ */\nconst A: &str = \"crate::http \\\" crate::cli\";\n\
                const B: &str = r#\"crate::sgd \" \"#;\nconst C: char = '\"';\nuse crate::domain::Ruc;\n";
    assert_eq!(reached("src/store/mod.rs", text), [(6, "domain".into())]);
}

#[test]
fn modules_of_one_floor_may_use_each_other_only_one_way() {
    let mut uses = read(Path::new("src/contract/tramite.rs"), "use crate::soap::sink;");
    assert_eq!(faults(&uses), Vec::<String>::new());
    uses.extend(read(Path::new("src/soap/mod.rs"), "\nuse crate::contract;"));
    assert_eq!(
        faults(&uses),
        ["src/contract/tramite.rs:1 and src/soap/mod.rs:2: `contract` and `soap` use each other"]
    );
}

#[test]
fn what_all_use_stands_on_the_domain_alone_and_strangers_are_named() {
    assert_eq!(faults(&read(Path::new("src/config/mod.rs"), "use crate::domain::Ruc;")), Vec::<String>::new());
    assert_eq!(
        faults(&read(Path::new("src/config/mod.rs"), "use crate::store::Store;")),
        ["src/config/mod.rs:1: `config`, which all use, may use only domain, not `store`"]
    );
    assert_eq!(
        faults(&read(Path::new("src/store/mod.rs"), "use crate::helpers::x;")),
        ["src/store/mod.rs:1: `helpers` has no floor: give it one in tests/it/floors.rs"]
    );
}
