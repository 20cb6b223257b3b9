//! Webhooks of whole daemons: a receiver that fails, is slow, redirects or answers a number, a daemon that is killed between,
//! and the PHP of the manual as the judge of signatures.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup},
    envelope::Fields,
    patience::until,
    pdf::pdf,
    platform::Platform,
    port::Port,
    process::said,
    rest::{client, text},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What the receiver does with what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Takes,
    Fails,
    Redirects,
    /// Answers long after anybody waits for it.
    Sleeps,
}

#[derive(Clone)]
struct Receiver {
    mood: Arc<Mutex<Mood>>,
    /// Id, type and subject of what it took.
    taken: Arc<Mutex<Vec<(String, String, String)>>>,
    tried: Arc<Mutex<usize>>,
    address: SocketAddr,
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mood = Arc::new(Mutex::new(Mood::Takes));
        let receiver = Self { mood, taken: Arc::default(), tried: Arc::default(), address };
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn tried(&self) -> usize {
        *self.tried.lock().unwrap()
    }

    fn taken(&self) -> Vec<(String, String, String)> {
        self.taken.lock().unwrap().clone()
    }

    /// A webhook to it, with waits that a test can wait for.
    fn toml(&self, more: &str) -> String {
        format!(
            "[[webhook]]\nname = \"sgd\"\nurl = \"http://{}/avisos\"\nsecret = \"{SECRET}\"\nallow_private = true\n\
             timeout = \"1s\"\npause = \"300ms\"\npause_max = \"1s\"\n\
             retry = [\"100ms\", \"200ms\", \"400ms\", \"800ms\", \"1s\", \"1s\", \"1s\", \"1s\", \"1h\"]\n{more}",
            self.address
        )
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> Response {
    *receiver.tried.lock().unwrap() += 1;
    let mood = *receiver.mood.lock().unwrap();
    match mood {
        Mood::Fails => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mood::Redirects => {
            return (StatusCode::FOUND, [(header::LOCATION, "http://127.0.0.1:9/")]).into_response();
        }
        Mood::Sleeps => tokio::time::sleep(Duration::from_secs(600)).await,
        Mood::Takes => {}
    }
    let said: Value = serde_json::from_str(&body).unwrap();
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    let subject = said["data"]["id"].as_str().unwrap_or_default().to_owned();
    receiver.taken.lock().unwrap().push((id, said["type"].as_str().unwrap().to_owned(), subject));
    axum::Json(json!({})).into_response()
}

async fn daemon(more: &str) -> (Platform, Daemon) {
    let (platform, mut daemons) = Platform::with([Setup::of(&[LIMA]).with(more)]).await;
    (platform, daemons.pop().unwrap())
}

async fn arrives(daemon: &Daemon, n: u64) {
    let document = Fields::document(CUSCO.ruc, LIMA.ruc, &format!("{n:010}"), &pdf(n, 3_000));
    assert_eq!(daemon.soap(document.xml()).await.verdict().0, "0000");
}

fn list(daemon: &Daemon) -> Value {
    let output = daemon.cli(&["webhook", "list", "--format", "json"]);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["items"][0].clone()
}

#[tokio::test]
async fn nothing_is_lost_while_the_receiver_misbehaves_and_the_daemon_is_killed() {
    let receiver = Receiver::start().await;
    let (_platform, mut daemon) = daemon(&receiver.toml("")).await;
    let mut n = 0;
    for mood in [Mood::Takes, Mood::Fails, Mood::Redirects, Mood::Sleeps, Mood::Takes] {
        receiver.is(mood);
        let tried = receiver.tried();
        for _ in 0..6 {
            n += 1;
            arrives(&daemon, n).await;
        }
        until("it was tried in this mood", 30, || async {
            if receiver.tried() > tried { Ok(()) } else { Err(format!("{tried} attempts")) }
        })
        .await;
        daemon.kill();
        daemon.run().await;
    }
    let api = daemon.api();
    let known: BTreeSet<String> =
        api.list("/api/v1/recepciones").await.iter().map(|one| text(one, "id").to_owned()).collect();
    assert_eq!(known.len(), 30);
    until("the receiver has all", 60, || async {
        let taken = receiver.taken();
        let told: BTreeSet<String> =
            taken.iter().filter(|(_, tipo, _)| tipo == "recepcion.recibida").map(|(.., id)| id.clone()).collect();
        if told == known { Ok(()) } else { Err(format!("{} of {}; {}", told.len(), known.len(), list(&daemon))) }
    })
    .await;
    let mut events: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (event, tipo, subject) in receiver.taken() {
        if tipo == "recepcion.recibida" {
            events.entry(subject).or_default().insert(event);
        }
    }
    assert!(events.values().all(|ids| ids.len() == 1), "one event has one id however often it is told: {events:?}");
    until("it is well", 30, || async {
        let view = list(&daemon);
        if view["situacion"] == "bien" && view["atraso"] == 0 { Ok(()) } else { Err(view.to_string()) }
    })
    .await;
}

// The receiver answers while a command is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn why_a_webhook_fails_is_seen_and_a_ping_a_pause_and_a_replay_work_from_the_command_line() {
    let receiver = Receiver::start().await;
    let (_platform, mut daemon) = daemon(&receiver.toml("pause_failures = 2\n")).await;
    receiver.is(Mood::Redirects);
    for n in 1..=3 {
        arrives(&daemon, n).await;
    }
    until("it is paused", 30, || async {
        let view = list(&daemon);
        if view["situacion"] == "en_pausa" { Ok(()) } else { Err(view.to_string()) }
    })
    .await;
    assert!(text(&list(&daemon), "ultimo_error").contains("redirección (HTTP 302), que no se sigue"));
    let refused = daemon.cli(&["webhook", "ping", "sgd"]);
    assert!(refused.status.code() == Some(1) && said(&refused).contains("HTTP 302"), "{}", said(&refused));
    let metrics = client().get(format!("http://{}/metrics", daemon.api_address())).send().await.unwrap();
    assert!(metrics.text().await.unwrap().contains("chasqui_webhook_paused{name=\"sgd\"} 1"));
    let operator = daemon.new_key("operador", None);
    let api = daemon.api().with_key(Some(&operator));
    let health = api.get("/api/v1/salud").await.expect(200);
    assert_eq!(health["webhooks"][0]["situacion"], "en_pausa", "{health}");
    let nobody = api.post("/api/v1/webhooks/otro/ping", &json!({})).await;
    assert_eq!(nobody.problem(), (404, "no_existe".into()));

    receiver.is(Mood::Takes);
    let ping = daemon.cli(&["webhook", "ping", "sgd"]);
    assert!(ping.status.success(), "{}", said(&ping));
    let count = |tipo: &str| receiver.taken().iter().filter(|(_, found, _)| found == tipo).count();
    until("all went out", 30, || async {
        if (count("recepcion.recibida"), count("alerta")) == (3, 2) {
            Ok(())
        } else {
            Err(format!("{:?}", receiver.taken()))
        }
    })
    .await;
    let again = daemon.cli(&["webhook", "replay", "sgd", "--from", "2020-01-01"]);
    assert!(again.status.success(), "{}", said(&again));
    until("they went out again", 30, || async {
        if count("recepcion.recibida") == 6 { Ok(()) } else { Err(format!("{:?}", receiver.taken())) }
    })
    .await;
}

#[tokio::test]
async fn an_internal_address_is_not_called_unless_it_is_allowed() {
    let toml = format!("[[webhook]]\nname = \"sgd\"\nurl = \"https://169.254.169.254/x\"\nsecret = \"{SECRET}\"\n");
    let (_platform, daemon) = daemon(&toml).await;
    let ping = daemon.cli(&["webhook", "ping", "sgd"]);
    assert!(!ping.status.success() && said(&ping).contains("es una dirección interna"), "{}", said(&ping));
}

/// `php -S` on the example of the manual.
struct Php {
    child: Child,
    port: Port,
    _folder: tempfile::TempDir,
}

impl Php {
    fn start() -> Self {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/integracion.md")).unwrap();
        let script = page.split("```php\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("receptor.php"), script).unwrap();
        let port = Port::reserve();
        let child = Command::new("php")
            .args(["-S", &port.address().to_string(), "receptor.php"])
            .current_dir(folder.path())
            .env("CHASQUI_WEBHOOK_SECRET", SECRET)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("php");
        Self { child, port, _folder: folder }
    }
}

impl Drop for Php {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn the_php_of_the_manual_believes_our_signature_and_its_number_files_the_document() {
    let php = Php::start();
    let url = format!("http://{}/", php.port.address());
    let other = "whsec_RWplbXBsbyBkZSBzZWNyZXRvLCBubyBsbyB1c2Uh";
    // While the secret is changed both sign; it knows only one of them.
    let toml = format!(
        "[[webhook]]\nname = \"sgd\"\nurl = \"{url}\"\nsecret = \"{other} {SECRET}\"\nallow_private = true\n\
         retry = [\"200ms\", \"200ms\", \"200ms\", \"1s\", \"1s\"]\n"
    );
    let (_platform, mut daemon) = daemon(&toml).await;
    arrives(&daemon, 19).await;
    let api = daemon.api();
    until("the document is filed", 30, || async {
        let record = api.until_one("/api/v1/recepciones").await;
        if record["numero_registro"] == "E-0000000019" { Ok(()) } else { Err(format!("{record}; {}", list(&daemon))) }
    })
    .await;
    let forged = client()
        .post(&url)
        .header("webhook-id", "evt_1")
        .header("webhook-timestamp", "1614265330")
        .header("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        .body("{\"test\": 2432232314}");
    assert_eq!(forged.send().await.unwrap().status(), 401);
}
