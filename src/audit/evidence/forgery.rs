//! For tests: packages that somebody with the audit key made anew.

use std::io::{Cursor, Read, Seek, SeekFrom};

use serde_json::Value;

use super::{
    ENTRIES, MANIFEST, SEAL,
    container::{Container, Writer},
    manifest,
};
use crate::audit::Log;

/// An unsigned package with its entries changed, and the manifest and seal made to fit.
pub fn reseal(package: &[u8], log: &Log, forge: &dyn Fn(&mut Vec<Value>)) -> Vec<u8> {
    replace(package, log, ENTRIES, &|text| {
        let mut entries: Value = serde_json::from_str(text).unwrap();
        forge(entries["asientos"].as_array_mut().unwrap());
        entries.to_string()
    })
}

/// The same with the text of any member changed.
pub fn replace(package: &[u8], log: &Log, name: &str, forge: &dyn Fn(&str) -> String) -> Vec<u8> {
    let mut container = Container::open(Cursor::new(package)).unwrap();
    let mut writer = Writer::new(tempfile::tempfile().unwrap());
    let mut files = Vec::new();
    for member in container.members.clone() {
        let (mut content, _) = container.read(&member.name, u64::MAX).unwrap();
        if member.name.starts_with("META-INF/") {
            continue;
        }
        if member.name == name {
            content = forge(std::str::from_utf8(&content).unwrap()).into_bytes();
        }
        let digest = writer.member(&member.name, &content).unwrap();
        if member.name != "mimetype" {
            files.push((member.name, digest));
        }
    }
    let digest = writer.member(MANIFEST, manifest::manifest(&files).as_bytes()).unwrap();
    let seal = log.sign(&manifest::seal(log.key().name(), &digest, None));
    writer.member(SEAL, seal.as_bytes()).unwrap();
    let mut file = writer.finish().unwrap();
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}
