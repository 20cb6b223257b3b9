//! Memory that does not depend on documents: 200 MB go through two daemons that stay under 64 MB each. Judges the release
//! build when CHASQUI_BIN names one.

use std::{fs::File, io::BufWriter, path::PathBuf};

use reqwest::{Method, multipart};
use tokio_util::io::ReaderStream;

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup},
    patience::until,
    pdf,
    platform::Platform,
    process,
    rest::{despacho, text},
};

/// The document, in bytes.
const BYTES: usize = 200_000_000;

/// What a daemon may have had in memory at most, in KiB.
const PEAK_KIB_MAX: u64 = 64 * 1024;

/// The most resident memory a process ever had, in KiB.
fn peak(daemon: &mut Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.process().id())).expect("the daemon runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number of kB")
}

#[tokio::test]
async fn a_document_of_200_mb_passes_through_daemons_of_under_64_mb() {
    let binary = std::env::var_os("CHASQUI_BIN").map_or_else(process::binary, PathBuf::from);
    println!("judging {}", binary.display());
    let setup = |entity| Setup { binary: binary.clone(), ..Setup::of(&[entity]) };
    let (_platform, mut daemons) = Platform::with([setup(LIMA), setup(CUSCO)]).await;
    let path = daemons[0].dir().join("grande.pdf");
    let (bytes, sha256) = pdf::write(200, BYTES, &mut BufWriter::new(File::create(&path).unwrap())).unwrap();

    let sender = daemons[0].api();
    let file = ReaderStream::with_capacity(tokio::fs::File::open(&path).await.unwrap(), 64 * 1024);
    let file = multipart::Part::stream_with_length(reqwest::Body::wrap_stream(file), bytes).file_name("grande.pdf");
    let form = multipart::Form::new()
        .part(
            "datos",
            multipart::Part::text(despacho("2026-grande", CUSCO.ruc).to_string()).mime_str("application/json").unwrap(),
        )
        .part("documento", file.mime_str("application/pdf").unwrap());
    let made =
        sender.send(sender.request(Method::POST, "/api/v1/despachos").multipart(form)).await.unwrap().expect(202);
    assert_eq!((&made["documento"]["sha256"], &made["documento"]["bytes"]), (&sha256.clone().into(), &bytes.into()));

    let receiver = daemons[1].api();
    let received = until("the receiver has it", 300, || async {
        receiver.list("/api/v1/recepciones").await.pop().ok_or_else(|| "nothing yet".to_owned())
    })
    .await;
    assert_eq!((&received["documento"]["sha256"], &received["documento"]["bytes"]), (&sha256.into(), &bytes.into()));
    sender.until_state(&format!("/api/v1/despachos/{}", text(&made, "id")), "enviado").await;

    let peaks = [peak(&mut daemons[0]), peak(&mut daemons[1])];
    let [sent, taken] = peaks.map(|kib| kib / 1024);
    println!("peak resident memory for {bytes} bytes: sender {sent} MiB, receiver {taken} MiB (limit 64 MiB)");
    assert!(peaks.iter().all(|kib| *kib < PEAK_KIB_MAX), "{peaks:?} KiB");
}
