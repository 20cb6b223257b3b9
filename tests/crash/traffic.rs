//! Documents in both directions while daemons come and go: whatever is not answered is forgotten, as a caller would ask
//! again later; whatever is answered goes to the ledger.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    daemon::{Entity, PUNO},
    envelope::{Answer, Fields},
    ledger::{Answered, Ledger},
    pdf::{pdf, sha256},
    rest::{Api, Reply, client, despacho, text},
};

/// Callers of each kind and daemon.
const CALLERS: usize = 2;
/// Between two calls of one caller.
const PAUSE: Duration = Duration::from_millis(60);

/// Where a daemon is called, and whom it writes to.
#[derive(Debug, Clone)]
pub struct Side {
    pub daemon: usize,
    pub entity: Entity,
    pub other: Entity,
    pub api: Api,
    pub soap: String,
}

/// Callers at work until they are stopped.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    /// Nothing new is brought for now; what has arrived is answered.
    paused: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
}

/// Every document of a run has bytes of its own.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl Traffic {
    /// Documents in, documents out, cargos back.
    pub fn start(sides: &[Side], ledger: &Arc<Ledger>, seed: u64) -> Self {
        let mut traffic = Self::desks(sides, ledger, seed);
        for caller in traffic.on(sides, CALLERS, ledger, seed) {
            traffic.callers.push(tokio::spawn(caller.clone().hand_over()));
            traffic.callers.push(tokio::spawn(caller.relay()));
        }
        traffic
    }

    /// Whether nothing new is brought for now.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Only what has arrived is answered.
    pub fn desks(sides: &[Side], ledger: &Arc<Ledger>, seed: u64) -> Self {
        let mut traffic = Self { stop: Arc::default(), paused: Arc::default(), callers: Vec::new() };
        for caller in traffic.on(sides, 1, ledger, seed) {
            traffic.callers.push(tokio::spawn(caller.answer()));
        }
        traffic
    }

    fn on(&self, sides: &[Side], each: usize, ledger: &Arc<Ledger>, seed: u64) -> Vec<Caller> {
        let caller = |side: &Side| Caller {
            side: side.clone(),
            ledger: Arc::clone(ledger),
            stop: Arc::clone(&self.stop),
            paused: Arc::clone(&self.paused),
            seed,
        };
        sides.iter().flat_map(|side| std::iter::repeat_n(side, each)).map(caller).collect()
    }

    pub async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.expect("a caller");
        }
    }
}

#[derive(Clone)]
struct Caller {
    side: Side,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    paused: Arc<AtomicBool>,
    seed: u64,
}

impl Caller {
    async fn goes_on(&self) -> bool {
        tokio::time::sleep(PAUSE).await;
        !self.stop.load(Ordering::Relaxed)
    }

    async fn brings_on(&self) -> bool {
        while self.goes_on().await {
            if !self.paused.load(Ordering::Relaxed) {
                return true;
            }
        }
        false
    }

    /// A document no other has, small or large: packs and files.
    fn document(&self) -> (u64, Vec<u8>) {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        (n, pdf(self.seed ^ n << 20, if n.is_multiple_of(7) { 300_000 } else { 3_000 }))
    }

    /// The SGD hands documents over.
    async fn hand_over(self) {
        while self.brings_on().await {
            let (n, document) = self.document();
            let number = format!("{}-{n:06}", self.side.daemon);
            let Some(answer) = self.form("/api/v1/despachos", &despacho(&number, self.side.other.ruc), &document).await
            else {
                self.ledger.unanswered();
                continue;
            };
            match answer.status {
                202 => {
                    let (daemon, sha256) = (self.side.daemon, sha256(&document));
                    self.ledger.despacho(Answered { daemon, key: number, sha256 });
                }
                _ => self.refused(&answer),
            }
        }
    }

    /// The platform brings documents of an entity that is not here.
    async fn relay(self) {
        while self.brings_on().await {
            let (n, document) = self.document();
            let cuo = format!("9{n:09}");
            let fields = Fields::document(PUNO.ruc, self.side.entity.ruc, &cuo, &document);
            let request = client().post(&self.side.soap).header("content-type", "text/xml; charset=utf-8");
            let Ok(response) = request.header("soapaction", "\"\"").body(fields.xml()).send().await else {
                self.ledger.unanswered();
                continue;
            };
            let status = response.status().as_u16();
            let Ok(body) = response.text().await else {
                self.ledger.unanswered();
                continue;
            };
            let answer = Answer { status, content_type: "text/xml".into(), body };
            match answer.field("vcodres").as_deref() {
                Some("0000") => {
                    let (daemon, sha256) = (self.side.daemon, sha256(&document));
                    self.ledger.arrival(Answered { daemon, key: cuo, sha256 });
                }
                // What the platform asks again: there is no room, or too much at once. Anything else is wrong.
                Some("-1") => {
                    let words = answer.field("vdesres").unwrap_or_default();
                    if !["no puede guardar", "todo lo que admite a la vez"].iter().any(|known| words.contains(known)) {
                        println!("refused: {words}");
                        self.ledger.failed();
                    }
                }
                found => panic!("{found:?} in {}", answer.body),
            }
        }
    }

    /// The desk follows the feed of events and answers what came from the other side.
    async fn answer(self) {
        let (mut cursor, mut open) = (String::from("0.0"), VecDeque::new());
        while self.goes_on().await {
            let Some(page) = self.get(&format!("/api/v1/eventos?limit=100&desde={cursor}")).await else { continue };
            let page = page.json();
            text(&page, "next_cursor").clone_into(&mut cursor);
            let arrived = page["items"].as_array().unwrap().iter().filter(|fact| fact["tipo"] == "recepcion.recibida");
            open.extend(arrived.map(|fact| text(fact, "sujeto").to_owned()));
            for _ in 0..open.len() {
                let Some(id) = open.pop_front() else { break };
                if !self.answered(&id).await {
                    open.push_back(id);
                    break;
                }
            }
        }
    }

    /// Whether nothing is left to be done about an arrival.
    async fn answered(&self, id: &str) -> bool {
        let Some(found) = self.get(&format!("/api/v1/recepciones/{id}")).await else { return false };
        let found = found.json();
        if found["remitente"]["ruc"] != self.side.other.ruc || found["estado"] != "pendiente" {
            return true;
        }
        self.answer_one(id).await
    }

    async fn answer_one(&self, id: &str) -> bool {
        let (n, cargo) = self.document();
        let mut filing = json!({"numero_registro": format!("E-{n}"), "unidad": "GERENCIA", "usuario": "ROSA"});
        let action = if n.is_multiple_of(5) { "observar" } else { "recepcionar" };
        if action == "observar" {
            filing["observacion"] = "Falta la firma".into();
        }
        let path = format!("/api/v1/recepciones/{id}/{action}");
        let Some(answer) = self.cargo(&path, &filing, &cargo).await else { return false };
        if answer.status == 200 {
            self.ledger.cargo(Answered { daemon: self.side.daemon, key: id.to_owned(), sha256: sha256(&cargo) });
        } else if answer.status != 409 {
            self.refused(&answer);
            return false;
        }
        true
    }

    /// `None`: nobody answered, or somebody who could not.
    async fn get(&self, path: &str) -> Option<Reply> {
        let answer = self.side.api.send(self.side.api.request(reqwest::Method::GET, path)).await.ok()?;
        if answer.status != 200 {
            self.refused(&answer);
        }
        Some(answer).filter(|answer| answer.status == 200)
    }

    /// A daemon that stops, is busy, or has no room says so; anything else is wrong, save where its disk is gone.
    fn refused(&self, answer: &Reply) {
        let (status, code) = answer.problem();
        if code == "error_interno" {
            return self.ledger.failed();
        }
        let known = ["almacen_no_disponible", "servicio_ocupado", "peticion_lenta"];
        assert!(known.contains(&code.as_str()), "{status} {code}: {}", String::from_utf8_lossy(&answer.body));
    }

    async fn form(&self, path: &str, datos: &Value, document: &[u8]) -> Option<Reply> {
        self.parts(path, datos, "documento", document).await
    }

    async fn cargo(&self, path: &str, datos: &Value, document: &[u8]) -> Option<Reply> {
        self.parts(path, datos, "cargo", document).await
    }

    async fn parts(&self, path: &str, datos: &Value, part: &'static str, file: &[u8]) -> Option<Reply> {
        use reqwest::multipart::{Form, Part};
        let datos = Part::text(datos.to_string()).mime_str("application/json").unwrap();
        let file = Part::bytes(file.to_vec()).file_name("x.pdf").mime_str("application/pdf").unwrap();
        let request = self.side.api.request(reqwest::Method::POST, path);
        self.side.api.send(request.multipart(Form::new().part("datos", datos).part(part, file))).await.ok()
    }
}
