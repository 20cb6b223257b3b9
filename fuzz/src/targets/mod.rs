//! One file for each target or family of them. A target's corpus is in `fuzz/corpus/NAME`.

mod base64;
mod contract;
mod envelope;
mod journal;
mod lists;
mod pdf;
mod proofs;
mod rest;
mod signatures;

use crate::Target;

pub const ALL: &[(&str, Target)] = &[
    ("envelope", envelope::envelope),
    ("base64", base64::base64),
    ("requests", contract::requests),
    ("answers", contract::answers),
    ("json", rest::json),
    ("form", rest::form),
    ("journal", journal::journal),
    ("pdf", pdf::pdf),
    ("examination", signatures::examination),
    ("cms", signatures::cms),
    ("anchors", signatures::anchors),
    ("lists", lists::lists),
    ("evidence", proofs::evidence),
    ("timestamp", proofs::timestamp),
    ("checkpoint", proofs::checkpoint),
];
