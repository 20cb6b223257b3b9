//! The manual is true: every curl line of it is run, as it stands, against a live daemon.

use std::{path::PathBuf, process::Command};

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup},
    envelope::Fields,
    patience::until,
    pdf::pdf,
    platform::Platform,
    process::said,
    rest::{Api, despacho, text},
};

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// The commands in the shell blocks of a page that begin with `curl`, those over several lines whole.
fn curls(page: &str) -> Vec<String> {
    let page = std::fs::read_to_string(root().join(page)).unwrap();
    let (mut found, mut shell) = (Vec::<String>::new(), false);
    for line in page.lines() {
        match (line, shell) {
            ("```sh", _) => shell = true,
            ("```", _) => shell = false,
            (_, true) if line.starts_with("curl ") => found.push(line.to_owned()),
            (_, true) if line.starts_with(' ') => {
                if let Some(last) = found.last_mut() {
                    *last += &format!("\n{line}");
                }
            }
            _ => {}
        }
    }
    found
}

/// One caller's shell: its key, its folder, and the records that the page calls `ID`.
struct Shell<'a> {
    daemon: &'a Daemon,
    key: String,
    despacho: Option<String>,
    recepcion: Option<String>,
}

impl Shell<'_> {
    /// Runs a command as it stands but for the placeholders, until it ends well.
    async fn run(&self, command: &str) -> String {
        let id = |id: &Option<String>| id.clone().unwrap_or_else(|| "ID".into());
        let filled = command
            .replace("/despachos/ID", &format!("/despachos/{}", id(&self.despacho)))
            .replace("/recepciones/ID", &format!("/recepciones/{}", id(&self.recepcion)))
            .replace("CURSOR", "0.0")
            .replace("fixtures/", &format!("{}/fixtures/", root().display()));
        let script = format!("curl() {{ command curl --silent --show-error --fail --noproxy '*' \"$@\"; }}\n{filled}");
        until(&format!("this works: {command}"), 30, || async {
            let output = Command::new("bash")
                .args(["-c", &script])
                .current_dir(self.daemon.dir())
                .env("API", format!("http://{}/api/v1", self.daemon.api_address()))
                .env("CLAVE", format!("Authorization: Bearer {}", self.key))
                .env("KEY", format!("Authorization: Bearer {}", self.key))
                .output()
                .map_err(|error| error.to_string())?;
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.success() { Ok(printed) } else { Err(said(&output)) }
        })
        .await
    }
}

async fn shell(daemon: &mut Daemon) -> (Api, Shell<'_>) {
    let (api, key) = (daemon.api(), daemon.new_key("sgd", Some(LIMA)));
    (api, Shell { daemon, key, despacho: None, recepcion: None })
}

#[tokio::test]
async fn the_five_lines_of_the_readme_work_in_both_languages() {
    for page in ["README.md", "README.es.md"] {
        let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA])]).await;
        let (api, mut shell) = shell(&mut daemons[0]).await;
        let commands = curls(page);
        assert_eq!(commands.len(), 5, "{page}: {commands:?}");
        for command in commands {
            shell.run(&command).await;
            shell.despacho = Some(text(&api.until_one("/api/v1/despachos").await, "id").to_owned());
        }
        let cargo = std::fs::read(daemons[0].dir().join("cargo.pdf")).unwrap();
        assert!(cargo.starts_with(b"%PDF-"), "{page}");
    }
}

#[tokio::test]
async fn every_example_of_the_integration_page_works() {
    let mut lima = Setup::of(&[LIMA]);
    // Where annexes are published.
    lima.environment.push(("CHASQUI__LISTEN__SOAP_PUBLIC_URL".into(), "https://lima.example".into()));
    let (_platform, mut daemons) = Platform::with([lima]).await;
    let arrived = Fields::document(CUSCO.ruc, LIMA.ruc, "0000000019", &pdf(1, 3_000));
    assert_eq!(daemons[0].soap(arrived.xml()).await.verdict().0, "0000");
    let datos = despacho("2026-anexos", "20900001003").to_string().into_bytes();
    let files = [
        ("oficio.pdf", pdf(2, 3_000)),
        ("cargo.pdf", pdf(3, 3_000)),
        ("plano.dwg", b"un plano".to_vec()),
        ("cuadro.xlsx", b"un cuadro".to_vec()),
        ("datos.json", datos),
    ];
    for (name, bytes) in files {
        std::fs::write(daemons[0].dir().join(name), bytes).unwrap();
    }
    let (api, mut shell) = shell(&mut daemons[0]).await;
    shell.recepcion = Some(text(&api.until_one("/api/v1/recepciones").await, "id").to_owned());
    let commands = curls("docs/integracion.md");
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        shell.run(&command).await;
        if shell.despacho.is_none() {
            shell.despacho = Some(text(&api.until_one("/api/v1/despachos").await, "id").to_owned());
        }
    }
    api.until_state(&format!("/api/v1/recepciones/{}", shell.recepcion.unwrap()), "recepcionado").await;
}

/// The steps at the top of the page that the daemon shows, as shell.
fn steps(page: &str) -> String {
    let steps = page.split("<ol>").nth(1).unwrap().split("</ol>").next().unwrap();
    let blocks = steps.split("<code>").skip(1).map(|rest| rest.split("</code>").next().unwrap());
    let shell: Vec<String> = blocks
        .map(|text| text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        .collect();
    format!("```sh\n{}\n```\n", shell.join("\n"))
}

#[tokio::test]
async fn a_new_user_sends_follows_and_answers_with_nothing_but_the_page() {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    let arrived = Fields::document(CUSCO.ruc, LIMA.ruc, "0000000019", &pdf(1, 3_000));
    assert_eq!(daemons[0].soap(arrived.xml()).await.verdict().0, "0000");
    for (name, bytes) in [("oficio.pdf", pdf(2, 3_000)), ("cargo.pdf", pdf(3, 3_000))] {
        std::fs::write(daemons[0].dir().join(name), bytes).unwrap();
    }
    let (api, mut shell) = shell(&mut daemons[0]).await;
    shell.recepcion = Some(text(&api.until_one("/api/v1/recepciones").await, "id").to_owned());
    let page =
        reqwest::get(format!("http://{}/api/docs", shell.daemon.api_address())).await.unwrap().text().await.unwrap();
    let file = shell.daemon.dir().join("pagina.md");
    std::fs::write(&file, steps(&page)).unwrap();
    let commands = curls(file.to_str().unwrap());
    assert_eq!(commands.len(), 9, "{commands:?}");
    // The last follows the feed for ever.
    for command in commands.iter().filter(|command| !command.contains("event-stream")) {
        shell.run(command).await;
        if shell.despacho.is_none() && command.contains("documento=@") {
            shell.despacho = Some(text(&api.until_one("/api/v1/despachos").await, "id").to_owned());
        }
    }
    let cargo = std::fs::read(shell.daemon.dir().join("cargo-recibido.pdf")).unwrap();
    assert!(cargo.starts_with(b"%PDF-"));
    api.until_state(&format!("/api/v1/recepciones/{}", shell.recepcion.unwrap()), "recepcionado").await;
}

#[test]
fn every_link_of_the_pages_leads_to_a_file() {
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|page| page.unwrap().path());
    let tops =
        ["README.md", "README.es.md", "CHANGELOG.md", "ARCHITECTURE.md", "SECURITY.md"].map(|page| root().join(page));
    for page in docs.chain(tops) {
        let text = std::fs::read_to_string(&page).unwrap();
        let (folder, page) = (page.parent().unwrap(), page.display());
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let leads = link.starts_with("http") || folder.join(link.split('#').next().unwrap()).exists();
            assert!(leads, "{page}: {link}");
        }
    }
}
