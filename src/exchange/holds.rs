//! Holds: an exchange under one is kept whatever its age, until somebody lifts it. Setting and lifting are facts; neither
//! counts as a change of the exchange itself, whose time stays.

use super::{Actor, Exchange, ExchangeError, RACES_MAX, events, queue::MOTIVO_MAX};
use crate::{
    domain::{Bloqueo, Id, Ruc, lima},
    store::{Change, CommitError, Kept, Page, Record, StoreError},
};

impl Exchange {
    /// Keeps an exchange from being purged. `entidad`: the only one whose exchanges the caller sees.
    pub async fn bloquear(
        &self,
        actor: &Actor,
        entidad: Option<&Ruc>,
        id: Id,
        motivo: &str,
    ) -> Result<Record, ExchangeError> {
        self.hold(actor, entidad, id, motivo, true).await
    }

    /// Lifts a hold: from now on the exchange is purged when its time comes.
    pub async fn desbloquear(
        &self,
        actor: &Actor,
        entidad: Option<&Ruc>,
        id: Id,
        motivo: &str,
    ) -> Result<Record, ExchangeError> {
        self.hold(actor, entidad, id, motivo, false).await
    }

    /// Exchanges under a hold, oldest first; of one entity if given.
    pub async fn bloqueados(
        &self,
        entidad: Option<&Ruc>,
        after: Option<Id>,
        limit: usize,
    ) -> Result<Page<Record>, StoreError> {
        self.kept_of(Kept::Held, entidad, after, limit).await
    }

    /// A despacho or a recepcion that the caller may see.
    pub(super) async fn intercambio(&self, entidad: Option<&Ruc>, id: Id) -> Result<Record, ExchangeError> {
        let found = match self.store.despacho(id).await? {
            Some(despacho) => Some(Record::Despacho(Box::new(despacho))),
            None => self.store.recepcion(id).await?.map(|recepcion| Record::Recepcion(Box::new(recepcion))),
        };
        let visible = |record: &Record| entidad.is_none_or(|ruc| record.entidad() == Some(ruc));
        found.filter(visible).ok_or(ExchangeError::NoExiste)
    }

    async fn hold(
        &self,
        actor: &Actor,
        entidad: Option<&Ruc>,
        id: Id,
        motivo: &str,
        set: bool,
    ) -> Result<Record, ExchangeError> {
        let motivo: String = motivo.trim().chars().take(MOTIVO_MAX).collect();
        for _ in 0..RACES_MAX {
            let mut record = self.intercambio(entidad, id).await?;
            possible(&record, set)?;
            let now = self.now();
            let bloqueo = set.then(|| Bloqueo { motivo: motivo.clone(), por: actor.0.clone(), desde: now });
            match &mut record {
                Record::Despacho(d) => (d.bloqueo, d.version) = (bloqueo, d.version + 1),
                Record::Recepcion(r) => (r.bloqueo, r.version) = (bloqueo, r.version + 1),
                _ => return Err(ExchangeError::NoExiste),
            }
            let tipos = if set {
                (events::DESPACHO_BLOQUEADO, events::RECEPCION_BLOQUEADA)
            } else {
                (events::DESPACHO_DESBLOQUEADO, events::RECEPCION_DESBLOQUEADA)
            };
            let fact = events::intercambio(&record, tipos, actor, now, motivo.clone());
            let facts = fact.into_iter().collect();
            let change = Change { facts, records: vec![record.clone()], ..Change::default() };
            match self.store.commit(change).await {
                Ok(_) => return Ok(record),
                Err(CommitError::Stale(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(CommitError::Stale(id).into())
    }
}

/// Whether a hold can be set on it, or lifted.
fn possible(record: &Record, set: bool) -> Result<(), ExchangeError> {
    let refused = match (record.purga(), record.bloqueo()) {
        (Some(purga), _) => format!("Ya fue purgado el {}: no queda nada que conservar", lima::texto(purga.en)),
        (None, Some(Bloqueo { por, desde, motivo })) if set => {
            format!("Ya está bloqueado desde el {} por {por}: {motivo}", lima::texto(*desde))
        }
        (None, None) if !set => "No está bloqueado".to_owned(),
        _ => return Ok(()),
    };
    Err(ExchangeError::Estado(refused))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::tests::world::World;

    #[tokio::test]
    async fn a_hold_is_set_once_told_listed_and_lifted() {
        let world = World::new().await;
        let (exchange, actor) = (&world.exchange, Actor::local());
        let id = world.dispatch().await;
        let other = Ruc::de_contraparte("20100000099").unwrap();
        let hidden = exchange.bloquear(&actor, Some(&other), id, "x").await;
        assert!(matches!(hidden, Err(ExchangeError::NoExiste)), "of another entity's exchange nothing is told");

        let held = exchange.bloquear(&actor, None, id, " Proceso 12-2026 ").await.unwrap();
        assert_eq!(held.bloqueo().map(|b| (b.motivo.as_str(), b.por.as_str())), Some(("Proceso 12-2026", "local")));
        let again = exchange.bloquear(&actor, None, id, "otro").await.unwrap_err();
        assert!(again.to_string().contains("Ya está bloqueado") && again.to_string().contains("12-2026"), "{again}");
        let listed = exchange.bloqueados(None, None, 10).await.unwrap();
        assert_eq!(listed.items.iter().map(Record::id).collect::<Vec<_>>(), [id]);

        let lifted = exchange.desbloquear(&actor, None, id, "Archivado").await.unwrap();
        assert_eq!(lifted.bloqueo(), None);
        assert!(exchange.desbloquear(&actor, None, id, "x").await.is_err());
        assert!(exchange.bloqueados(None, None, 10).await.unwrap().items.is_empty());
        let told = exchange.store().facts_of(id).await.unwrap();
        let told: Vec<_> = told.iter().map(|at| (at.fact.tipo.as_str(), at.fact.detalle.as_deref())).collect();
        assert!(told.contains(&("despacho.bloqueado", Some("Proceso 12-2026"))), "{told:?}");
        assert!(told.contains(&("despacho.desbloqueado", Some("Archivado"))), "{told:?}");
    }
}
