//! What of the configuration changes while the daemon runs, as the use cases see it: replaced between one use and the next. An
//! entity goes only when nothing of it is under way.

use std::collections::HashMap;

use super::{Actor, Emisores, Exchange, Settings, events, examine::Demands};
use crate::{
    domain::{EstadoDespacho, EstadoRecepcion, Ruc, Sha256, respuestas::Regla},
    store::{Listing, StoreError},
};

/// Jobs looked at for each question to the store.
const JOBS_PAGE: usize = 256;

/// Sent and without an end: the receiver may still answer.
const UNDER_WAY: [EstadoDespacho; 4] =
    [EstadoDespacho::Pendiente, EstadoDespacho::Enviando, EstadoDespacho::PorConfirmar, EstadoDespacho::Enviado];

/// What takes the place of what was in force.
pub struct Renewed {
    pub settings: Settings,
    pub emisores: Emisores,
    pub demands: HashMap<Ruc, Demands>,
    pub reglas: Vec<Regla>,
}

impl Exchange {
    /// From now on; what is under way ends as it began.
    pub fn renew(&self, renewed: Renewed) {
        let Renewed { settings, emisores, demands, reglas } = renewed;
        self.emisores.set(emisores);
        self.examiner.set_demands(demands);
        self.texts.set_rules(reglas);
        self.settings.set(settings);
    }

    /// Why an entity cannot be taken out of the configuration now, if it cannot.
    pub async fn impide_quitar(&self, entidad: &Ruc) -> Result<Option<String>, StoreError> {
        for estado in UNDER_WAY {
            let listing = Listing { entidad: entidad.clone(), estado: Some(estado), after: None, limit: 1 };
            if let Some(found) = self.store.despachos(listing).await?.items.first() {
                return Ok(Some(format!("tiene despachos en estado «{}», como el {}", estado.palabra(), found.id)));
            }
        }
        let estado = Some(EstadoRecepcion::Pendiente);
        let listing = Listing { entidad: entidad.clone(), estado, after: None, limit: 1 };
        if let Some(found) = self.store.recepciones(listing).await?.items.first() {
            return Ok(Some(format!("tiene recepciones sin responder, como la {}", found.id)));
        }
        let mut after = None;
        loop {
            let page = self.store.jobs(after, JOBS_PAGE).await?;
            if let Some(job) = page.items.iter().find(|job| job.entidad == *entidad) {
                return Ok(Some(format!("tiene entregas en la cola, como la {}", job.id)));
            }
            after = page.next;
            if after.is_none() {
                return Ok(None);
            }
        }
    }

    /// Records what a reload changed. `digest`: of the effective configuration without its secrets.
    pub async fn configuracion_recargada(
        &self,
        actor: &Actor,
        digest: &Sha256,
        aplicado: &[String],
        requiere_reinicio: &[String],
    ) -> Result<(), StoreError> {
        let waiting = match requiere_reinicio {
            [] => String::new(),
            keys => format!("; espera un reinicio {}", keys.join(", ")),
        };
        let applied = aplicado.join(", ");
        let detalle =
            format!("Se recargó la configuración, SHA-256 {digest} (sin sus secretos): cambió {applied}{waiting}");
        self.tell_configuration(actor, events::CONFIGURACION_APLICADA, detalle).await
    }
}
