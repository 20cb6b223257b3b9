//! Telling again what was told: from a place in the feed, from a moment, or all of one exchange.

use jiff::Timestamp;

use super::{Endpoint, round::HELD_MAX};
use crate::{
    domain::{Id, lima},
    exchange::{Actor, Exchange, ExchangeError},
    store::{Cursor, EstadoWebhook, Fact, Retenido, Store, StoreError},
};

/// The fact that a person had it done.
const WEBHOOK_REPETIDO: &str = "webhook.repetido";
/// How often it decides again when it met the webhook's own work.
const RACES_MAX: usize = 16;

/// From where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desde {
    /// What stands after this place.
    Cursor(Cursor),
    Momento(Timestamp),
    /// All of one despacho or recepcion.
    Intercambio(Id),
}

impl Endpoint {
    /// Has it told again. It goes out at once, also if the webhook was being left alone: then it begins with a probe.
    pub async fn repetir(&self, exchange: &Exchange, actor: &Actor, desde: Desde) -> Result<(), ExchangeError> {
        for _ in 0..RACES_MAX {
            let now = exchange.now();
            let mut estado = self.estado(exchange).await?;
            let words = self.rewind(exchange, &mut estado, desde).await?;
            if let Some(pausa) = &mut estado.pausa {
                pausa.hasta = now;
            }
            estado.retenidos.iter_mut().for_each(|held| held.proximo_en = now);
            let fact = Fact {
                at: now,
                tipo: WEBHOOK_REPETIDO.into(),
                actor: actor.0.clone(),
                entidad: self.options.entidad.clone(),
                sujeto: self.id,
                cuo: None,
                estado: None,
                detalle: Some(format!("Se repiten los avisos del webhook «{}» {words}", self.options.nombre)),
                documentos: Vec::new(),
                sobres: Vec::new(),
            };
            if self.keep(exchange, estado, vec![fact]).await? {
                self.wake.notify_one();
                return Ok(());
            }
        }
        Err(ExchangeError::Estado("el webhook está avisando en este momento; vuelva a intentarlo".into()))
    }

    async fn rewind(
        &self,
        exchange: &Exchange,
        estado: &mut EstadoWebhook,
        desde: Desde,
    ) -> Result<String, ExchangeError> {
        let (to, words) = match desde {
            Desde::Intercambio(id) => return self.exchange_again(exchange, estado, id).await,
            Desde::Cursor(at) => (at, format!("desde {}.{}", at.seq, at.n)),
            Desde::Momento(at) => {
                (first_since(&**exchange.store(), at).await?, format!("desde el {}", lima::texto(at)))
            }
        };
        estado.hasta = estado.hasta.min(to);
        // What is told anew from there on needs no place of its own.
        let end = estado.hasta;
        estado.retenidos.retain(|held| held.desde <= end);
        Ok(words)
    }

    async fn exchange_again(
        &self,
        exchange: &Exchange,
        estado: &mut EstadoWebhook,
        id: Id,
    ) -> Result<String, ExchangeError> {
        let facts = exchange.store().facts_of(id).await?;
        if !facts.iter().any(|at| self.options.wants(&at.fact)) {
            return Err(ExchangeError::NoExiste);
        }
        if estado.retenidos.len() >= HELD_MAX {
            let what = format!("el webhook «{}» ya tiene {HELD_MAX} documentos retenidos", self.options.nombre);
            return Err(ExchangeError::Estado(what));
        }
        let now = exchange.now();
        estado.retenidos.retain(|held| held.sujeto != id);
        let desde = Cursor::default();
        let again = Retenido { sujeto: id, desde, creado_en: now, proximo_en: now, intentos: 0, ultimo_error: None };
        estado.retenidos.push(again);
        Ok(format!("sobre {id}"))
    }
}

/// The place before the first entry made at a moment or after it. Entries are in order of time but for a clock that was set.
async fn first_since(store: &dyn Store, at: Timestamp) -> Result<Cursor, StoreError> {
    let (mut low, mut high) = (0, *store.watch().borrow());
    while low < high {
        let middle = low + (high - low) / 2;
        let found = store.facts(Cursor { seq: middle, n: u8::MAX }, None, 1).await?;
        match found.first() {
            Some(found) if found.fact.at < at => low = found.cursor.seq.min(high),
            _ => high = middle,
        }
    }
    Ok(Cursor { seq: low, n: u8::MAX })
}
