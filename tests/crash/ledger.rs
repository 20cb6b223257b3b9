//! What was answered, kept outside of the daemons: by it they are judged.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard},
};

use serde_json::Value;

use crate::{
    pdf::sha256,
    rest::{Api, text},
};

/// Most records of a page of the API.
const PAGE: usize = 100;

/// A document that was answered 202 or 0000, or a cargo that was answered 200: where, and the SHA-256 of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answered {
    /// Which daemon answered.
    pub daemon: usize,
    /// Number of registration of a despacho, CUO of a direct arrival, id of a recepcion for a cargo.
    pub key: String,
    pub sha256: String,
}

#[derive(Debug, Default)]
pub struct Ledger {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Answered 202.
    despachos: Vec<Answered>,
    /// Answered 0000 to a platform that is not the simulator.
    arrivals: Vec<Answered>,
    /// Answered 200.
    cargos: Vec<Answered>,
    /// Asked for and not answered: there at most once.
    unanswered: usize,
    /// Answered that something is wrong inside.
    failed: usize,
}

impl Ledger {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    pub fn despacho(&self, answered: Answered) {
        self.kept().despachos.push(answered);
    }

    pub fn arrival(&self, answered: Answered) {
        self.kept().arrivals.push(answered);
    }

    pub fn cargo(&self, answered: Answered) {
        self.kept().cargos.push(answered);
    }

    pub fn unanswered(&self) {
        self.kept().unanswered += 1;
    }

    pub fn failed(&self) {
        self.kept().failed += 1;
    }

    /// Answers that said that something is wrong inside.
    pub fn failures(&self) -> usize {
        self.kept().failed
    }

    /// Despachos and arrivals answered so far.
    pub fn documents(&self) -> usize {
        let kept = self.kept();
        kept.despachos.len() + kept.arrivals.len()
    }

    /// Arrivals answered so far.
    pub fn arrivals(&self) -> usize {
        self.kept().arrivals.len()
    }

    /// What this daemon has answered so far.
    pub fn of(&self, daemon: usize) -> Ledger {
        let kept = self.kept();
        let of = |all: &[Answered]| all.iter().filter(|a| a.daemon == daemon).cloned().collect();
        Ledger {
            kept: Mutex::new(Kept {
                despachos: of(&kept.despachos),
                arrivals: of(&kept.arrivals),
                cargos: of(&kept.cargos),
                unanswered: kept.unanswered,
                failed: kept.failed,
            }),
        }
    }

    pub fn summary(&self) -> String {
        let Kept { despachos, arrivals, cargos, unanswered, .. } = &*self.kept();
        format!(
            "{} despachos answered 202, {} arrivals answered 0000, {} cargos answered 200, {unanswered} without an answer",
            despachos.len(),
            arrivals.len(),
            cargos.len()
        )
    }

    /// Everything a daemon answered is in it once, whatever the other side has done; of the newest `read` documents of each
    /// kind the bytes are read too.
    pub async fn kept_by(&self, daemon: usize, api: &Api, read: usize) {
        let (sent, received) = (all(api, "despachos").await, all(api, "recepciones").await);
        let of = self.of(daemon);
        let kept = of.kept.into_inner().unwrap();
        let by_number = grouped(&sent, "numero_registro");
        for Answered { key, sha256, .. } in &kept.despachos {
            once(by_number.get(key.as_str()), key, sha256);
        }
        assert_eq!(by_number.len(), sent.len(), "a number of registration is there twice");
        let by_cuo = grouped(&received, "cuo");
        for Answered { key, sha256, .. } in &kept.arrivals {
            once(by_cuo.get(key.as_str()), key, sha256);
        }
        let by_id = grouped(&received, "id");
        for Answered { key, sha256, .. } in &kept.cargos {
            let found = by_id.get(key.as_str()).unwrap_or_else(|| panic!("the recepcion {key} is gone"));
            assert_eq!(found[0]["cargo"]["documento"]["sha256"], *sha256, "the cargo of {key}");
        }
        for (kind, records) in [("despachos", &sent), ("recepciones", &received)] {
            for record in records.iter().take(read) {
                let (id, expected) = (text(record, "id"), text(&record["documento"], "sha256"));
                let bytes = api.get(&format!("/api/v1/{kind}/{id}/documento")).await;
                assert_eq!(bytes.status, 200, "{kind} {id}");
                assert_eq!(sha256(&bytes.body), expected, "the bytes of {kind} {id}");
            }
        }
    }

    /// Every exchange between the two has ended, the same on both sides, and no document is at its receiver twice.
    pub async fn ended(&self, apis: [&Api; 2]) {
        let mut sent = Vec::new();
        let mut received = Vec::new();
        for api in apis {
            sent.push(all(api, "despachos").await);
            received.push(all(api, "recepciones").await);
        }
        for (here, there) in [(0, 1), (1, 0)] {
            let arrived = grouped(&received[there], "cuo");
            for despacho in &sent[here] {
                let (number, estado) = (text(despacho, "numero_registro"), text(despacho, "estado"));
                assert!(["recepcionado", "observado"].contains(&estado), "{number} has not ended: {despacho}");
                let twins = arrived.get(text(despacho, "cuo")).map_or(&[][..], Vec::as_slice);
                assert_eq!(twins.len(), 1, "{number} at its receiver");
                let (mine, theirs) = (&despacho["documento"]["sha256"], &twins[0]["documento"]["sha256"]);
                assert_eq!(mine, theirs, "{number}: the document");
                assert_eq!(estado, text(twins[0], "estado"), "{number}: the state on the other side");
                let cargos = [despacho, twins[0]].map(|record| record["cargo"]["documento"]["sha256"].clone());
                assert!(cargos[0].is_string() && cargos[0] == cargos[1], "{number}: the cargo: {cargos:?}");
            }
            // Each document has bytes of its own: two with the same are one that came twice.
            let documents = received[there].iter().map(|record| record["documento"]["sha256"].to_string());
            let mut times = BTreeMap::<String, usize>::new();
            documents.for_each(|sha256| *times.entry(sha256).or_default() += 1);
            let twice: Vec<_> = times.into_iter().filter(|(_, times)| *times > 1).collect();
            assert!(twice.is_empty(), "received twice: {twice:?}");
        }
    }

    /// No state of a despacho goes back: after `enviado` nothing is sent, after its cargo nothing happens.
    pub async fn forward(&self, api: &Api) {
        for despacho in all(api, "despachos").await {
            let path = format!("/api/v1/despachos/{}", text(&despacho, "id"));
            let history = api.history(&path).await;
            let place = |wanted: &[&str]| history.iter().position(|fact| wanted.contains(&fact.as_str()));
            let last = |wanted: &[&str]| history.iter().rposition(|fact| wanted.contains(&fact.as_str()));
            let ends = ["despacho.recepcionado", "despacho.observado"];
            let sending = ["despacho.envio_iniciado", "despacho.por_confirmar", "despacho.no_llego"];
            let enviado = place(&["despacho.enviado"]).or_else(|| place(&ends));
            assert!(last(&sending) < enviado, "{path} went back: {history:?}");
            assert!(place(&ends).is_some() && place(&ends) == last(&ends), "{path} ended twice: {history:?}");
            assert_eq!(place(&ends), Some(history.len() - 1), "{path} went on after its end: {history:?}");
        }
    }
}

fn once(found: Option<&Vec<&Value>>, key: &str, sha256: &str) {
    let found = found.map_or(&[][..], Vec::as_slice);
    assert_eq!(found.len(), 1, "{key} was answered");
    assert_eq!(found[0]["documento"]["sha256"], sha256, "the document of {key}");
}

fn grouped<'a>(records: &'a [Value], field: &str) -> HashMap<&'a str, Vec<&'a Value>> {
    let mut groups = HashMap::<&str, Vec<&Value>>::new();
    for record in records {
        if let Some(key) = record[field].as_str() {
            groups.entry(key).or_default().push(record);
        }
    }
    groups
}

/// All records of a kind.
pub async fn all(api: &Api, kind: &str) -> Vec<Value> {
    let mut records = Vec::new();
    let mut path = format!("/api/v1/{kind}?limit={PAGE}");
    loop {
        let page = api.get(&path).await.expect(200);
        records.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/{kind}?limit={PAGE}&cursor={cursor}"),
            None => return records,
        }
    }
}
