//! Maintenance: for a while nothing new is taken in and nothing is sent, on the word of a person who says why. What came before
//! stays readable; the platform and the SGD are told when to come back. It is on record, and so survives a restart and holds for
//! every daemon of a store.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Actor, Exchange, ExchangeError, events, retry::later};
use crate::{
    domain::{Id, lima},
    store::{Change, CommitError, Fact, FactAt, StoreError},
};

/// What facts about maintenance are about.
const MANTENIMIENTO: Id = Id::from_u128(7);

/// The state of a beginning without an end in sight; else it is the end, in UTC.
const SIN_FIN: &str = "sin_fin";
const TERMINADO: &str = "terminado";

/// What a caller is asked to wait where nobody knows how long it will take, and at most and least.
const WAIT: Duration = Duration::from_secs(60);
const WAIT_MAX: Duration = Duration::from_secs(600);
const WAIT_MIN: Duration = Duration::from_secs(1);

/// How often it is looked whether another daemon of the store was told.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Longest reason, in characters.
pub const MOTIVO_MAX: usize = 1000;

/// One that was begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mantenimiento {
    pub desde: Timestamp,
    /// When it ends by itself.
    pub hasta: Option<Timestamp>,
    pub motivo: String,
    /// Who began it.
    pub actor: String,
}

impl Mantenimiento {
    fn of(at: &FactAt) -> Option<Self> {
        let fact = &at.fact;
        let hasta = match fact.estado.as_deref()? {
            TERMINADO => return None,
            SIN_FIN => None,
            end => Some(end.parse().ok()?),
        };
        let motivo = fact.detalle.clone().unwrap_or_default();
        Some(Self { desde: fact.at, hasta, motivo, actor: fact.actor.clone() })
    }

    /// How long a caller should wait before it comes back.
    pub fn espera(&self, now: Timestamp) -> Duration {
        let left = self.hasta.map(|end| Duration::try_from(end.duration_since(now)).unwrap_or_default());
        left.unwrap_or(WAIT).clamp(WAIT_MIN, WAIT_MAX)
    }

    /// For people. The reason is for those who work here, not for strangers.
    pub fn aviso(&self) -> String {
        let until = self.hasta.map(|end| format!(" hasta el {}", lima::texto(end))).unwrap_or_default();
        format!("el servicio está en mantenimiento{until}; nada se guardó, vuelva a intentarlo después")
    }
}

impl Exchange {
    /// The one in force, if there is one.
    pub fn mantenimiento(&self) -> Option<Mantenimiento> {
        let known = self.maintenance.get();
        let known = known.as_ref().as_ref()?;
        known.hasta.is_none_or(|end| self.now() < end).then(|| known.clone())
    }

    /// What may not be done now is refused.
    pub(super) fn fuera_de_mantenimiento(&self) -> Result<(), ExchangeError> {
        self.mantenimiento().map_or(Ok(()), |found| Err(ExchangeError::Mantenimiento(found)))
    }

    /// Reads what is on record.
    pub async fn leer_mantenimiento(&self) -> Result<(), StoreError> {
        let facts = self.store.facts_of(MANTENIMIENTO).await?;
        let found = facts.last().and_then(Mantenimiento::of);
        if *self.maintenance.get() != found {
            self.maintenance.set(found);
        }
        Ok(())
    }

    /// Begins one, or changes its reason and end. Durable when it returns.
    pub async fn iniciar_mantenimiento(
        &self,
        actor: &Actor,
        motivo: &str,
        hasta: Option<Timestamp>,
    ) -> Result<(), ExchangeError> {
        if hasta.is_some_and(|end| end <= self.now()) {
            return Err(ExchangeError::Estado("el fin del mantenimiento debe estar en el futuro".into()));
        }
        let estado = hasta.map_or_else(|| SIN_FIN.to_owned(), |end| end.to_string());
        self.tell_maintenance(actor, events::MANTENIMIENTO_INICIADO, estado, Some(motivo.to_owned())).await?;
        tracing::warn!(until = ?hasta, "maintenance began: nothing is taken in or sent");
        Ok(())
    }

    /// Ends it. Says whether there was one.
    pub async fn terminar_mantenimiento(&self, actor: &Actor) -> Result<bool, ExchangeError> {
        self.leer_mantenimiento().await?;
        if self.mantenimiento().is_none() {
            return Ok(false);
        }
        self.tell_maintenance(actor, events::MANTENIMIENTO_TERMINADO, TERMINADO.to_owned(), None).await?;
        tracing::info!("maintenance ended");
        Ok(true)
    }

    async fn tell_maintenance(
        &self,
        actor: &Actor,
        tipo: &str,
        estado: String,
        detalle: Option<String>,
    ) -> Result<(), ExchangeError> {
        let fact = Fact {
            at: self.now(),
            tipo: tipo.into(),
            actor: actor.0.clone(),
            entidad: None,
            sujeto: MANTENIMIENTO,
            cuo: None,
            estado: Some(estado),
            detalle,
            documentos: Vec::new(),
            sobres: Vec::new(),
        };
        match self.store.commit(Change { facts: vec![fact], ..Change::default() }).await {
            Err(CommitError::Store(error)) => return Err(error.into()),
            Err(other) => return Err(other.into()),
            Ok(_) => {}
        }
        Ok(self.leer_mantenimiento().await?)
    }

    /// Hears what other daemons of the store were told, until `stop`.
    pub(super) async fn keep_maintenance(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if let Err(error) = self.leer_mantenimiento().await {
                tracing::debug!(%error, "whether there is maintenance could not be read");
            }
        }
    }

    /// When the worker may look again.
    pub(super) fn reanuda(&self) -> Option<Timestamp> {
        self.mantenimiento().map(|found| found.hasta.unwrap_or_else(|| later(self.now(), LOOK_EVERY)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::tests::world::World;

    #[tokio::test]
    async fn it_lasts_until_it_is_ended_or_its_time_has_come_and_another_process_knows_of_it() {
        let world = World::new().await;
        let (exchange, somebody) = (&world.exchange, Actor::local());
        assert_eq!(exchange.mantenimiento(), None);
        let end = later(exchange.now(), Duration::from_secs(90));
        exchange.iniciar_mantenimiento(&somebody, "Cambio de disco", Some(end)).await.unwrap();
        let found = exchange.mantenimiento().unwrap();
        assert_eq!((found.motivo.as_str(), found.actor.as_str()), ("Cambio de disco", "local"));
        assert_eq!(found.espera(exchange.now()), Duration::from_secs(90));
        assert!(!found.aviso().contains("disco"), "strangers do not hear why");
        let past = exchange.iniciar_mantenimiento(&somebody, "x", Some(exchange.now())).await;
        assert!(matches!(past, Err(ExchangeError::Estado(_))));
        // Another process on the same store knows it once it has read.
        let fresh = Exchange { maintenance: Default::default(), ..exchange.clone() };
        assert_eq!(fresh.mantenimiento(), None);
        fresh.leer_mantenimiento().await.unwrap();
        assert_eq!(fresh.mantenimiento().as_ref(), Some(&found));
        world.advance(Duration::from_secs(91));
        assert_eq!(fresh.mantenimiento(), None, "its time has come");
        assert!(!exchange.terminar_mantenimiento(&somebody).await.unwrap());
        exchange.iniciar_mantenimiento(&somebody, "Otra vez", None).await.unwrap();
        assert_eq!(exchange.mantenimiento().unwrap().espera(exchange.now()), WAIT);
        assert!(exchange.terminar_mantenimiento(&somebody).await.unwrap());
        assert_eq!(exchange.mantenimiento(), None);
    }
}
