//! Our own daemon meets every case.

use std::time::Duration;

use super::{case, cases, report, run, with};
use crate::{
    daemon::{Daemon, LIMA, Setup},
    patience::until,
    port::Port,
    process::{Process, binary, said},
};

/// Who sends, told to take the suite for its platform, strict, and quick about everything that waits.
fn setup(platform: &Port) -> Setup {
    let base = format!("http://{}/services", platform.address());
    Setup::of(&[LIMA]).with(&format!(
        "[pide]\ntramite_url = \"{base}/PcmIMgdTramite\"\nentidad_url = \"{base}/PcmIMgdEntidad\"\ncuo_url = \"{base}/PcmCuo\"\n\
         [reception]\nvalidation = \"strict\"\n\
         [retry]\nfirst_delay = \"200ms\"\ndelay_max = \"1s\"\nask_after = \"200ms\"\nbreaker_pause = \"200ms\"\nbreaker_pause_max = \"1s\"\n\
         [limits]\nheader_timeout = \"3s\"\nbody_idle_timeout = \"3s\""
    ))
}

#[tokio::test]
async fn our_daemon_meets_every_case_and_every_skipped_one_says_why() {
    let platform = Port::reserve();
    let mut daemon = Daemon::prepare(setup(&platform), "127.0.0.1:1");
    daemon.run().await;
    let key = daemon.new_key("sgd", Some(LIMA));
    let (url, api) = (daemon.soap_url(), format!("http://{}", daemon.api_address()));
    let listen = platform.address().to_string();
    let args = [
        "--target",
        &url,
        "--ruc",
        LIMA.ruc,
        "--profile",
        "completo",
        "--intrusive",
        "--platform",
        &listen,
        "--api",
        &api,
        "--api-key",
        &key,
        "--format",
        "json",
    ];
    let output = run(daemon.dir(), &args).await;
    let report = report(&output);
    assert!(cases(&report).len() >= 120);
    assert_eq!(with(&report, "NO CUMPLE"), Vec::<String>::new());
    assert_eq!(with(&report, "CUMPLE CON TOLERANCIA"), Vec::<String>::new());
    assert_eq!(with(&report, "NO EJECUTADO"), Vec::<String>::new());
    let skipped = with(&report, "NO APLICA");
    assert!(skipped.len() == 1 && skipped[0].contains("SEC-TLS-01"), "{skipped:?}");
    assert!(case(&report, "SEC-TLS-01")["notas"][0].as_str().is_some_and(|why| why.contains("http")));
    assert_eq!(report["resumen"]["conclusion"], "CONFORME");
    assert!(output.status.success(), "{}", said(&output));
    daemon.process().alive().unwrap();
}

#[tokio::test]
async fn a_lenient_daemon_is_met_with_tolerance_and_without_an_operator_half_is_not_run() {
    let mut daemon = Daemon::prepare(Setup::of(&[LIMA]), "127.0.0.1:1");
    daemon.run().await;
    let url = daemon.soap_url();
    let args = ["--target", &url, "--ruc", LIMA.ruc, "--profile", "completo", "--format", "json"];
    let output = run(daemon.dir(), &args).await;
    let report = report(&output);
    assert_eq!(with(&report, "NO CUMPLE"), Vec::<String>::new());
    assert!(case(&report, "MGD-T18-26")["notas"][0].as_str().is_some_and(|note| note.contains("lo guarda")));
    assert_eq!(report["resumen"]["conclusion"], "INCOMPLETO", "what did not run was not shown");
    for (id, why) in [("MGD-8.3-02", "--platform"), ("MGD-8.4-09", "--api"), ("SEC-DTD-03", "--intrusive")] {
        let case = case(&report, id);
        assert_eq!(case["veredicto"], "NO EJECUTADO", "{case}");
        assert!(case["notas"][0].as_str().is_some_and(|note| note.contains(why)), "{case}");
    }
}

#[tokio::test]
async fn a_run_that_was_killed_goes_on_where_it_was() {
    let mut daemon = Daemon::prepare(Setup::of(&[LIMA]), "127.0.0.1:1");
    daemon.run().await;
    let (url, dir) = (daemon.soap_url(), tempfile::tempdir().unwrap());
    let args = ["conformance", "run", "--target", &url, "--ruc", LIMA.ruc, "--out", "corrida"];
    let mut process = Process::start(&binary(), "run", dir.path(), &args);
    let progress = dir.path().join("corrida/avance.jsonl");
    let lines = || std::fs::read_to_string(&progress).unwrap_or_default().lines().count();
    until("some cases ran", 60, || async { if lines() > 5 { Ok(()) } else { Err(lines().to_string()) } }).await;
    process.kill();
    let before = lines();
    let again = run(dir.path(), &["--out", "corrida", "--target", &url, "--ruc", LIMA.ruc]).await;
    assert_eq!(again.status.code(), Some(2), "a folder holds one run: {}", said(&again));
    let output = run(dir.path(), &["--resume", "corrida", "--format", "json"]).await;
    let report = report(&output);
    assert_eq!(with(&report, "NO CUMPLE"), Vec::<String>::new());
    let shown = String::from_utf8_lossy(&output.stderr).lines().filter(|l| l.starts_with('[')).count();
    assert!(
        shown <= cases(&report).len() - (before - 2),
        "what had ended ran again: {shown} of {}",
        cases(&report).len()
    );
    assert!(dir.path().join("corrida/informe.html").exists());
}

#[tokio::test]
async fn a_production_address_is_meant_twice_and_never_attacked() {
    let dir = tempfile::tempdir().unwrap();
    let target = ["--target", "https://mpv.municusco.gob.pe/wsiotramite/Tramite", "--ruc", LIMA.ruc, "--dry-run"];
    let host = "mpv.municusco.gob.pe";
    for (more, allowed) in [
        (&[][..], false),
        (&["--production"], false),
        (&["--production", "--confirm", "otro.gob.pe"], false),
        (&["--production", "--confirm", host, "--intrusive"], false),
        (&["--production", "--confirm", host], true),
    ] {
        let output = tokio::time::timeout(Duration::from_secs(60), run(dir.path(), &[&target, more].concat())).await;
        let output = output.expect("nothing is sent");
        assert_eq!(output.status.success(), allowed, "{more:?}: {}", said(&output));
    }
}
