//! The clients of the manual, run as they stand there: each sends a document, follows it to its cargo, and receives, files and
//! answers another. C# is not run: there is no Debian package of it.

use std::{path::Path, process::Command};

use super::run;
use crate::{
    daemon::{CUSCO, LIMA, Setup},
    envelope::Fields,
    pdf::pdf,
    platform::Platform,
    rest::text,
};

/// A counterpart of the simulator's, which answers by itself.
const COUNTERPART: &str = "20900001003";

/// The program under a heading of the manual.
fn program(heading: &str, language: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/integracion.md");
    let page = std::fs::read_to_string(page).unwrap();
    let section = page.split(&format!("\n### {heading}\n")).nth(1).expect("the heading");
    let program = section.split(&format!("```{language}\n")).nth(1).and_then(|rest| rest.split("\n```").next());
    program.expect("the program").to_owned()
}

// The daemon answers while a program is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn the_programs_of_the_manual_send_follow_receive_and_answer() {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    let mut daemon = daemons.pop().unwrap();
    let key = daemon.new_key("sgd", Some(LIMA));
    for (n, (heading, language, file, command)) in [
        ("PHP", "php", "cliente.php", "php"),
        ("Python", "python", "cliente.py", "python3"),
        ("Java", "java", "Cliente.java", "java"),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = tempfile::tempdir().unwrap();
        let written = [
            (file, program(heading, language).into_bytes()),
            ("oficio.pdf", pdf(2, 3_000)),
            ("cargo.pdf", pdf(3, 3_000)),
        ];
        for (name, bytes) in written {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let (cuo, sent) = (format!("{:010}", 70 + n), pdf(n as u64, 5_000));
        assert_eq!(daemon.soap(Fields::document(CUSCO.ruc, LIMA.ruc, &cuo, &sent).xml()).await.verdict().0, "0000");
        let number = format!("2026-{language}");
        // Repeated as a person would: nothing is sent again.
        for _ in 0..2 {
            run(
                &format!("{heading} of the manual"),
                Command::new(command)
                    .args([file, COUNTERPART, &number])
                    .current_dir(folder.path())
                    .env("CHASQUI_API", format!("http://{}/api/v1", daemon.api_address()))
                    .env("CHASQUI_CLAVE", &key),
            );
        }
        let read = |name: String| std::fs::read(folder.path().join(name)).unwrap();
        assert!(read(format!("cargo-{number}.pdf")).starts_with(b"%PDF"), "{heading}");
        assert_eq!(read(format!("recibido-{cuo}.pdf")), sent, "{heading}");
        let api = daemon.api();
        let found = api.list(&format!("/api/v1/despachos?numero_registro={number}")).await;
        assert_eq!((found.len(), text(&found[0], "estado")), (1, "recepcionado"), "{heading}");
        let received = api.list(&format!("/api/v1/recepciones?cuo={cuo}")).await;
        assert_eq!(text(&received[0], "numero_registro"), format!("E-{cuo}"), "{heading}");
        assert_eq!(text(&received[0], "estado"), "recepcionado", "{heading}");
    }
}
