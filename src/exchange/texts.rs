//! What other sides say that the catalogue does not know: counted, kept durably, and explained by the operator's rules.
//!
//! Counted in memory and stored in batches, not in the commit of each attempt: the list is one record, and a thousand
//! attempts that meet the same text would write it a thousand times on the way of a document. A new text is stored within
//! half a minute, counts of known ones within the hour; a killed process loses no more than that of the counts, and meets
//! the text again.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::{Actor, Exchange, Live, events, retry::later};
use crate::{
    domain::{
        Falla, Ruc,
        cargo::Respuesta,
        respuestas::{self, Operacion, Regla, TextoVisto, Textos},
    },
    store::{Change, CommitError, Fact, Record, StoreError, TextosVistos},
};

/// How long after the last time new texts are stored at the earliest.
const NEW_AFTER: Duration = Duration::from_secs(30);

/// The same for mere counts.
const COUNTS_AFTER: Duration = Duration::from_secs(3600);

/// A text as it is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct TextoListado {
    pub texto: String,
    pub visto: TextoVisto,
    /// How it is explained now: by a rule, or as the catalogue explains its code.
    pub falla: Falla,
}

/// Texts met and not stored yet.
#[derive(Debug, Default)]
pub(super) struct Texts {
    reglas: Live<Vec<Regla>>,
    met: Mutex<Met>,
    /// Held while they are stored, and while they are listed.
    storing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Met {
    textos: Textos,
    /// Texts that this process stored: what is not among them is new.
    stored: BTreeSet<String>,
    stored_at: Option<Timestamp>,
}

impl Met {
    /// Takes what was met if it is time to store it.
    fn take(&mut self, now: Timestamp, at_once: bool) -> Option<Textos> {
        if self.textos == Textos::default() {
            return None;
        }
        let fresh = self.textos.vistos.keys().any(|texto| !self.stored.contains(texto));
        let wait = if fresh { NEW_AFTER } else { COUNTS_AFTER };
        // A clock that was set back does not hold it up.
        let waiting = self.stored_at.is_some_and(|last| last <= now && now < later(last, wait));
        if waiting && !at_once {
            return None;
        }
        self.stored_at = Some(now);
        Some(std::mem::take(&mut self.textos))
    }
}

impl Texts {
    pub(super) fn new(reglas: Vec<Regla>) -> Self {
        Self { reglas: Live::new(reglas), ..Self::default() }
    }

    pub(super) fn set_rules(&self, reglas: Vec<Regla>) {
        self.reglas.set(reglas);
    }

    fn met(&self) -> std::sync::MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exchange {
    /// The failure an answer means. A text that the catalogue does not know is counted.
    pub(super) fn entendida(&self, operacion: Operacion, entidad: &Ruc, respuesta: &Respuesta) -> Falla {
        self.texts.met().textos.anota(operacion, entidad, respuesta, self.now());
        respuestas::falla(operacion, respuesta, &self.texts.reglas.get())
    }

    /// Unknown texts, the one met most often first.
    pub async fn textos(&self) -> Result<Vec<TextoListado>, StoreError> {
        let _storing = self.texts.storing.lock().await;
        let mut known = self.store.textos().await?.unwrap_or_default().textos;
        known.junta(self.texts.met().textos.clone());
        let reglas = self.texts.reglas.get();
        let listed = |(texto, visto): (String, TextoVisto)| {
            let said = Respuesta::nueva(&visto.codigo, texto.as_str());
            let falla = respuestas::falla(visto.operacion, &said, &reglas);
            TextoListado { texto, visto, falla }
        };
        let mut all: Vec<TextoListado> = known.vistos.into_iter().map(listed).collect();
        all.sort_by_key(|t| std::cmp::Reverse((t.visto.veces, t.visto.ultima_vez)));
        Ok(all)
    }

    /// Stores what was met since the last time, if it is time to; `at_once`: whenever that was.
    pub(super) async fn store_texts(&self, at_once: bool) {
        let _storing = self.texts.storing.lock().await;
        let Some(met) = self.texts.met().take(self.now(), at_once) else { return };
        if let Err(error) = self.add_texts(met.clone()).await {
            tracing::warn!(%error, "unknown texts could not be stored; they are kept for the next time");
            self.texts.met().textos.junta(met);
            return;
        }
        let stored = &mut self.texts.met().stored;
        stored.extend(met.vistos.into_keys());
        // Only what was stored lately need be told from what is new.
        while stored.len() > 2 * respuestas::TEXTOS_MAX {
            stored.pop_first();
        }
    }

    async fn add_texts(&self, met: Textos) -> Result<(), CommitError> {
        let TextosVistos { version, mut textos } = self.store.textos().await?.unwrap_or_default();
        let before = textos.vistos.len();
        textos.junta(met);
        let (now, count) = (self.now(), textos.vistos.len());
        tracing::info!(texts = count, new = count.saturating_sub(before), "unknown texts of other sides were stored");
        let fact = Fact {
            at: now,
            tipo: events::TEXTOS_ACTUALIZADOS.into(),
            actor: Actor::chasqui().0,
            entidad: None,
            sujeto: TextosVistos::ID,
            cuo: None,
            estado: None,
            detalle: Some(format!("Textos que el catálogo no conoce: {count}. Véalos con «chasqui queue texts»")),
            documentos: Vec::new(),
            sobres: Vec::new(),
        };
        let record = Record::Textos(Box::new(TextosVistos { version: version + 1, textos }));
        self.store.commit(Change { facts: vec![fact], records: vec![record], ..Change::default() }).await.map(drop)
    }
}
