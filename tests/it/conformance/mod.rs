//! The conformance suite as a tester runs it: against our own daemon, where everything holds; against a copy of the reference
//! component's faults, where each is found and explained; against components made with other SOAP stacks; and its reports as
//! others read them.

mod ours;
mod reference;
mod reports;
mod stacks;

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use crate::process::{self, said};

/// `chasqui conformance run …` to its end, beside what a test serves itself.
async fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = process::command(&process::binary(), dir, &[&["conformance", "run"], args].concat());
    command.env("CHASQUI_TEST_CALM_MS", "3000");
    tokio::task::spawn_blocking(move || command.output().expect("the binary starts")).await.expect("it ran")
}

/// The report of a run, whatever its conclusion.
fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {}", said(output)))
}

fn cases(report: &Value) -> &Vec<Value> {
    report["casos"].as_array().unwrap_or_else(|| panic!("no cases: {report}"))
}

fn case<'a>(report: &'a Value, id: &str) -> &'a Value {
    cases(report).iter().find(|c| c["id"] == id).unwrap_or_else(|| panic!("no case {id}"))
}

/// Ids with this verdict, each with what was found.
fn with(report: &Value, verdict: &str) -> Vec<String> {
    let of = cases(report).iter().filter(|c| c["veredicto"] == verdict);
    of.map(|c| format!("{} {} {}", c["id"], c["fallo"]["encontrado"], c["notas"])).collect()
}

/// Somebody else's program that must be there and end well.
fn tool(what: &str, command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{what} does not start ({e}): run ./test once"));
    assert!(output.status.success(), "{what}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
