//! What a service does first after its data were put back from a copy: what happened since the copy is not in them, and must be
//! neither lost nor repeated (CONTRACT §7).
//!
//! - What was on its way and has a CUO is asked about by the worker anyway, before anything is sent: its record says so.
//! - What had not begun to be sent may have been sent since, under a CUO that nobody knows here, and the platform answers by
//!   CUO alone. So it is held, and a person decides who can ask the receiver or the SGD.
//! - What was sent and has no cargo is asked about at once: its cargo may have come and gone.
//! - Cargos that wait are delivered as ever: the sender knows a cargo that it has.

use jiff::Timestamp;

use super::{Actor, Exchange, ExchangeError, events};
use crate::{
    domain::{EstadoDespacho, Id},
    store::{Change, Fact, Job, JobKind},
};

/// What facts about a restored store are about.
const ALMACEN: Id = Id::from_u128(6);

/// Jobs read at a time.
const PAGE: usize = 200;

/// What a reconciliation decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conciliado {
    /// Despachos that a person decides about.
    pub retenidos: u64,
    /// Despachos that are asked about now.
    pub por_preguntar: u64,
}

impl Exchange {
    /// Takes note that the data are those of a copy made at `hecha_en`. Once for each copy that is put back; before the worker
    /// begins. Doing it again, after a crash, changes nothing more.
    pub async fn conciliar(&self, copia: &str, hecha_en: Timestamp) -> Result<Conciliado, ExchangeError> {
        let (now, mut done, mut after) = (self.now(), Conciliado::default(), None);
        loop {
            let page = self.store.jobs(after, PAGE).await?;
            for job in page.items.into_iter().filter(|job| job.muerto_en.is_none()) {
                match job.kind {
                    JobKind::Despachar => done.retenidos += u64::from(self.retener(job, hecha_en, now).await?),
                    JobKind::PreguntarCargo => {
                        let due = Job { proximo_en: now, ..job };
                        self.store.commit(Change { jobs: vec![due], ..Change::default() }).await?;
                        done.por_preguntar += 1;
                    }
                    JobKind::EntregarCargo => {}
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let detalle = format!(
            "Los datos se restauraron de {copia}, hecha el {}. Lo que pasó después no está en ellos: {} despachos quedan \
             detenidos, porque pudieron enviarse entonces («chasqui queue list»), y se pregunta por {} cargos",
            crate::domain::lima::texto(hecha_en),
            done.retenidos,
            done.por_preguntar
        );
        tracing::warn!(
            copy = copia,
            held = done.retenidos,
            asked = done.por_preguntar,
            "the data were put back from a copy"
        );
        let fact = self.de_la_copia(ALMACEN, now, detalle);
        self.store.commit(Change { facts: vec![fact], ..Change::default() }).await?;
        Ok(done)
    }

    /// Holds a despacho whose sending had not begun. Says whether it had not.
    async fn retener(&self, job: Job, hecha_en: Timestamp, now: Timestamp) -> Result<bool, ExchangeError> {
        let Some(despacho) = self.store.despacho(job.sujeto).await? else { return Ok(false) };
        if despacho.estado != EstadoDespacho::Pendiente {
            return Ok(false);
        }
        let detalle = format!(
            "Los datos se restauraron de una copia del {}, y este documento pudo enviarse después. Pregunte a la entidad {} o \
             a su SGD: si no llegó, «chasqui queue retry {}» lo envía; si llegó, «chasqui queue discard {} --reason MOTIVO» lo retira",
            crate::domain::lima::texto(hecha_en),
            job.destino,
            job.id,
            job.id
        );
        let mut fact = self.de_la_copia(job.sujeto, now, detalle.clone());
        fact.entidad = Some(job.entidad.clone());
        let held = Job { muerto_en: Some(now), ultimo_error: Some(detalle), ..job };
        self.store.commit(Change { facts: vec![fact], jobs: vec![held], ..Change::default() }).await?;
        Ok(true)
    }

    fn de_la_copia(&self, sujeto: Id, at: Timestamp, detalle: String) -> Fact {
        Fact {
            at,
            tipo: events::ALERTA.into(),
            actor: Actor::chasqui().0,
            entidad: None,
            sujeto,
            cuo: None,
            estado: Some("restaurado".into()),
            detalle: Some(detalle),
            documentos: Vec::new(),
            sobres: Vec::new(),
        }
    }
}
