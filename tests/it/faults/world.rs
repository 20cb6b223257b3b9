//! Two daemons with many entities each, a platform, and a mesa de partes that answers whatever arrives.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    daemon::{Daemon, Entity, Setup},
    patience::until,
    pdf::{pdf, sha256},
    platform::Platform,
    rest::{Api, text},
};

/// Looks at the feeds without finding anything new, after which nothing more will come.
const QUIET_MAX: u32 = 1_000;

/// Entities with sound RUCs that belong to nobody.
pub struct Entities(pub Vec<Entity>);

impl Entities {
    pub fn numbered(first: usize, count: usize) -> Self {
        let entity = |n: usize| {
            let ruc = with_check_digit(&format!("20990{n:05}"));
            Entity { ruc: ruc.leak(), name: format!("ENTIDAD DE PRUEBA {n}").leak() }
        };
        Self((first..first + count).map(entity).collect())
    }

    pub fn ruc(&self, n: usize) -> &'static str {
        self.0[n].ruc
    }
}

fn with_check_digit(ten: &str) -> String {
    let weights = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2];
    let sum: u32 = ten.bytes().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    format!("{ten}{}", (11 - sum % 11) % 10)
}

pub struct World {
    pub platform: Platform,
    /// Keys that see all entities of their daemon.
    pub sender: Api,
    pub receiver: Api,
    feed: [String; 2],
    answered: BTreeSet<String>,
    _daemons: Vec<Daemon>,
}

impl World {
    pub async fn start(faults: Value, senders: &Entities, receivers: &Entities, more: &str) -> Self {
        let setups = [senders, receivers].map(|entities| Setup::of(&entities.0).with(more));
        let (platform, mut daemons) = Platform::with(setups).await;
        // Only what passes between the two is struck, not what they fetch when they start.
        platform.faults(&faults).await;
        let mut apis = Vec::new();
        for daemon in &mut daemons {
            let key = daemon.new_key("admin", None);
            apis.push(daemon.api().with_key(Some(&key)));
        }
        let (receiver, sender) = (apis.pop().unwrap(), apis.pop().unwrap());
        let feed = ["0.0".to_owned(), "0.0".to_owned()];
        Self { platform, sender, receiver, feed, answered: BTreeSet::new(), _daemons: daemons }
    }

    /// Answers arrivals at both until `count` were answered.
    pub async fn answer_all(&mut self, count: usize) {
        let mut answered = std::mem::take(&mut self.answered);
        let mut feed = self.feed.clone();
        let mut quiet = 0;
        while answered.len() < count {
            assert!(quiet < QUIET_MAX, "only {} of {count} arrived", answered.len());
            let mut news = 0;
            for (api, cursor) in [&self.sender, &self.receiver].into_iter().zip(&mut feed) {
                let page = api.get(&format!("/api/v1/eventos?limit=200&desde={cursor}")).await.expect(200);
                for event in page["items"].as_array().unwrap() {
                    cursor.clear();
                    cursor.push_str(text(event, "cursor"));
                    news += 1;
                    if event["tipo"] == "recepcion.recibida" && answered.insert(text(event, "sujeto").to_owned()) {
                        answer(api, text(event, "sujeto"), answered.len() as u64).await;
                    }
                }
            }
            quiet = if news == 0 { quiet + 1 } else { 0 };
            if news == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
        (self.answered, self.feed) = (answered, feed);
    }

    /// The one copy of a despacho at its receiver, with the cargo that came back.
    pub async fn one_copy(&self, receiver: &str, despacho: &Value) -> Value {
        one_copy(&self.receiver, receiver, despacho).await
    }

    /// Despachos at the sender and recepciones at the receiver, of all their entities.
    pub async fn in_store(&self) -> [usize; 2] {
        let mut counts = [0; 2];
        let kinds = ["despacho.registrado", "recepcion.recibida"];
        for (n, api) in [&self.sender, &self.receiver].into_iter().enumerate() {
            let mut cursor = "0.0".to_owned();
            loop {
                let page = api.get(&format!("/api/v1/eventos?limit=500&desde={cursor}")).await.expect(200);
                let items = page["items"].as_array().unwrap();
                let Some(last) = items.last() else { break };
                cursor = text(last, "cursor").to_owned();
                counts[n] += items.iter().filter(|event| event["tipo"] == kinds[n]).count();
            }
        }
        counts
    }
}

pub async fn one_copy(receiver: &Api, ruc: &str, despacho: &Value) -> Value {
    let cuo = text(despacho, "cuo");
    let found = receiver.list(&format!("/api/v1/recepciones?entidad={ruc}&cuo={cuo}")).await;
    let [recepcion] = &found[..] else { panic!("{} copies of {cuo} at {ruc}", found.len()) };
    assert_eq!(recepcion["documento"]["sha256"], despacho["documento"]["sha256"]);
    assert_eq!(despacho["cargo"]["documento"], recepcion["cargo"]["documento"], "the cargo is the one that was given");
    let path = format!("/api/v1/recepciones/{}", text(recepcion, "id"));
    until("the receiver knows that its cargo arrived", 60, || async {
        let now = receiver.get(&path).await.expect(200);
        if now["cargo_entregado_en"].is_string() { Ok(now) } else { Err(now.to_string()) }
    })
    .await
}

async fn answer(api: &Api, id: &str, n: u64) {
    let datos = json!({
        "numero_registro": format!("{n:06}"), "unidad": "MESA DE PARTES", "usuario": "ROSA ÑAHUI PÉREZ",
    });
    let cargo = pdf(1_000_000 + n, 2_000);
    let done = api.form(&format!("/api/v1/recepciones/{id}/recepcionar"), &datos, "cargo", &cargo).await.expect(200);
    assert_eq!(text(&done["cargo"]["documento"], "sha256"), sha256(&cargo));
}
