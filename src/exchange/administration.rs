//! Acts of administration that are entries of the log: which configuration and program serve, and who was not let in. The
//! latter are counted and written together, so that whoever knocks does not decide how much is written.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use super::{Actor, Exchange, events};
use crate::{
    domain::{Id, Sha256, lima},
    store::{Change, CommitError, Fact, StoreError},
};

/// What facts about the configuration are about, and those about access.
const CONFIGURACION: Id = Id::from_u128(4);
pub(super) const ACCESO: Id = Id::from_u128(5);

/// Refusals are written together, at most so often.
const REFUSALS_EVERY: SignedDuration = SignedDuration::from_mins(10);
/// Most addresses told of in one entry; those of others are counted.
const ADDRESSES_MAX: usize = 16;

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rechazo {
    SinClave,
    MalEscrita,
    Desconocida,
    SinPermiso,
    /// At the console's door: no such person, another password, or too soon after others that were wrong.
    Ingreso,
}

impl Rechazo {
    fn words(self) -> &'static str {
        match self {
            Self::SinClave => "sin clave",
            Self::MalEscrita => "con una cabecera que no es la de una clave",
            Self::Desconocida => "con una clave que no existe o fue revocada",
            Self::SinPermiso => "con una clave cuyo rol no lo permite",
            Self::Ingreso => "con una cuenta o contraseña que no corresponden, o en espera tras fallar",
        }
    }
}

/// Who was refused since the last entry about it.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Counted>);

#[derive(Debug, Default, Clone)]
struct Counted {
    since: Option<Timestamp>,
    reasons: BTreeMap<Rechazo, u64>,
    addresses: BTreeMap<IpAddr, u64>,
    /// From addresses for which there was no room.
    elsewhere: u64,
    /// When the last entry was written.
    told: Option<Timestamp>,
}

impl Counted {
    fn add(&mut self, why: Rechazo, from: Option<IpAddr>, now: Timestamp) {
        self.since.get_or_insert(now);
        count(self.reasons.entry(why).or_default(), 1);
        match from {
            Some(address) if self.addresses.len() < ADDRESSES_MAX || self.addresses.contains_key(&address) => {
                count(self.addresses.entry(address).or_default(), 1);
            }
            _ => count(&mut self.elsewhere, 1),
        }
    }

    /// What there is to tell, if it is time to.
    fn take(&mut self, now: Timestamp, at_once: bool) -> Option<Self> {
        let waits = self.told.is_some_and(|told| now.duration_since(told) < REFUSALS_EVERY);
        if self.since.is_none() || waits && !at_once {
            return None;
        }
        let fresh = Self { told: Some(now), ..Self::default() };
        Some(std::mem::replace(self, fresh))
    }

    /// Puts back what could not be told.
    fn join(&mut self, earlier: Self) {
        self.since = earlier.since.or(self.since);
        for (why, n) in earlier.reasons {
            count(self.reasons.entry(why).or_default(), n);
        }
        for (address, n) in earlier.addresses {
            if self.addresses.len() < ADDRESSES_MAX || self.addresses.contains_key(&address) {
                count(self.addresses.entry(address).or_default(), n);
            } else {
                count(&mut self.elsewhere, n);
            }
        }
        count(&mut self.elsewhere, earlier.elsewhere);
    }

    fn text(&self, now: Timestamp) -> String {
        let total = self.reasons.values().fold(0_u64, |sum, n| sum.saturating_add(*n));
        let since = lima::texto(self.since.unwrap_or(now));
        let reasons: Vec<String> = self.reasons.iter().map(|(why, n)| format!("{n} {}", why.words())).collect();
        let mut from: Vec<String> = self.addresses.iter().map(|(address, n)| format!("{address} ({n})")).collect();
        if self.elsewhere > 0 {
            from.push(format!("otras ({})", self.elsewhere));
        }
        let (reasons, from) = (reasons.join(", "), from.join(", "));
        format!("{total} acceso(s) rechazado(s) desde el {since}: {reasons}. Direcciones: {from}")
    }
}

fn count(n: &mut u64, more: u64) {
    *n = n.saturating_add(more);
}

impl Exchange {
    /// Somebody was not let in.
    pub fn acceso_rechazado(&self, why: Rechazo, from: Option<IpAddr>) {
        let now = self.now();
        self.refusals.0.lock().unwrap_or_else(PoisonError::into_inner).add(why, from, now);
    }

    /// Writes who was refused since the last time, if it is time to; `at_once`: whenever that was.
    pub(super) async fn tell_refusals(&self, at_once: bool) {
        let now = self.now();
        let counted = || self.refusals.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(taken) = counted().take(now, at_once) else { return };
        if let Err(error) =
            self.tell_administration(&Actor::chasqui(), ACCESO, events::ACCESO_RECHAZADO, taken.text(now)).await
        {
            tracing::warn!(%error, "refused callers could not be recorded; they are kept for the next time");
            counted().join(taken);
        }
    }

    /// Records which configuration and program serve from now on, if the last entry names others. `digest`: of the effective
    /// configuration without its secrets.
    pub async fn configuracion(&self, digest: &Sha256, program: &str) -> Result<(), StoreError> {
        let detalle = format!("Sirve {program} con la configuración de SHA-256 {digest} (sin sus secretos)");
        let known = self.store.facts_of(CONFIGURACION).await?;
        if known.last().is_some_and(|last| last.fact.detalle.as_deref() == Some(detalle.as_str())) {
            return Ok(());
        }
        self.tell_configuration(&Actor::chasqui(), events::CONFIGURACION_APLICADA, detalle).await
    }

    /// Something about the configuration, under the one subject that all of it has.
    pub(super) async fn tell_configuration(
        &self,
        actor: &Actor,
        tipo: &str,
        detalle: String,
    ) -> Result<(), StoreError> {
        self.tell_administration(actor, CONFIGURACION, tipo, detalle).await
    }

    async fn tell_administration(
        &self,
        actor: &Actor,
        sujeto: Id,
        tipo: &str,
        detalle: String,
    ) -> Result<(), StoreError> {
        let fact = Fact {
            at: self.now(),
            tipo: tipo.into(),
            actor: actor.0.clone(),
            entidad: None,
            sujeto,
            cuo: None,
            estado: None,
            detalle: Some(detalle),
            documentos: Vec::new(),
            sobres: Vec::new(),
        };
        match self.store.commit(Change { facts: vec![fact], ..Change::default() }).await {
            Err(CommitError::Store(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::tests::world::World;

    #[tokio::test]
    async fn the_configuration_is_told_when_it_changed_and_only_then() {
        let world = World::new().await;
        let (one, other) = (Sha256::from_digest(&[1; 32]), Sha256::from_digest(&[2; 32]));
        for (digest, program) in [
            (&one, "chasqui 1"),
            (&one, "chasqui 1"),
            (&other, "chasqui 1"),
            (&other, "chasqui 2"),
            (&one, "chasqui 1"),
        ] {
            world.exchange.configuracion(digest, program).await.unwrap();
        }
        let told = world.exchange.store().facts_of(CONFIGURACION).await.unwrap();
        let told: Vec<&str> = told.iter().filter_map(|at| at.fact.detalle.as_deref()).collect();
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[1].starts_with("Sirve chasqui 1 con la configuración de SHA-256 0202"), "{told:?}");
    }

    #[tokio::test]
    async fn a_thousand_refused_callers_are_two_entries_that_count_them() {
        let world = World::new().await;
        let address = |n: u8| Some(IpAddr::from([10, 0, 0, n]));
        world.exchange.acceso_rechazado(Rechazo::SinClave, address(1));
        world.exchange.tell_refusals(false).await;
        for n in 0..1000_u16 {
            let from = u8::try_from(n % 40).unwrap();
            world.exchange.acceso_rechazado(Rechazo::Desconocida, address(from));
            world.exchange.tell_refusals(false).await;
        }
        let told = || async { world.exchange.store().facts_of(ACCESO).await.unwrap() };
        assert_eq!(told().await.len(), 1, "within the pause nothing more is written");
        world.exchange.tell_refusals(true).await;
        world.exchange.tell_refusals(true).await;
        let told = told().await;
        assert_eq!(told.len(), 2);
        let text = told[1].fact.detalle.clone().unwrap();
        assert!(text.contains("1000 acceso(s)") && text.contains("1000 con una clave que no existe"), "{text}");
        assert!(text.contains("10.0.0.0 (25), ") && text.contains("otras (600)"), "{text}");
    }
}
