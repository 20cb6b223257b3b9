//! A webhook that is left alone is told one thing from time to time: the one tried least, so that a single event it cannot
//! take does not keep it away from all others. Once it works, everything goes out. A probe that fails counts for no event.

use super::{
    Endpoint, later,
    round::{Next, PAGE, after, spread},
};
use crate::{
    domain::lima,
    exchange::Exchange,
    store::{EstadoWebhook, FactAt, PausaWebhook, Retenido, StoreError},
};

impl Endpoint {
    pub(super) async fn probe(&self, exchange: &Exchange, mut estado: EstadoWebhook) -> Result<Next, StoreError> {
        let Some(at) = self.least_tried(exchange, &mut estado).await? else {
            self.known().estado = Some(estado);
            return Ok(Next::News);
        };
        let done = self.tell(exchange, &at).await;
        let now = exchange.now();
        let Some(pausa) = estado.pausa.take() else { return Ok(Next::Now) };
        let facts = match done {
            Ok(()) => {
                told(&mut estado, &at);
                estado.retenidos.iter_mut().for_each(|held| held.proximo_en = now);
                let mut known = self.known();
                (known.fallos_seguidos, known.testigos) = (0, Vec::new());
                drop(known);
                let (nombre, since) = (&self.options.nombre, lima::texto(pausa.desde));
                let detalle = format!(
                    "El webhook «{nombre}» volvió a funcionar: estaba en pausa desde el {since}. Lo pendiente sale solo"
                );
                vec![self.alerta(None, "webhook_restablecido", detalle, now)]
            }
            Err(refused) => {
                let pruebas = pausa.pruebas.saturating_add(1);
                let wait = self.options.pause.saturating_mul(1 << pruebas.min(16)).min(self.options.pause_max);
                let wait = wait.mul_f64(spread(exchange.chance())).min(self.options.pause_max);
                let wait = wait.max(refused.retry_after.unwrap_or_default());
                let (hasta, motivo) = (later(now, wait), refused.motivo);
                estado.pausa = Some(PausaWebhook { hasta, pruebas, motivo, ..pausa });
                Vec::new()
            }
        };
        let next = estado.pausa.as_ref().map_or(Next::Now, |pausa| Next::At(pausa.hasta));
        self.keep(exchange, estado, facts).await?;
        Ok(next)
    }

    /// The next event of an exchange that was never tried, else the next of the feed, else that of the exchange tried least.
    async fn least_tried(&self, exchange: &Exchange, estado: &mut EstadoWebhook) -> Result<Option<FactAt>, StoreError> {
        let mut held = estado.retenidos.clone();
        held.sort_by_key(|held| (held.intentos, held.desde));
        let (untried, tried): (Vec<Retenido>, Vec<Retenido>) = held.into_iter().partition(|held| held.intentos == 0);
        if let Some(found) = self.first_behind(exchange, estado, &untried).await? {
            return Ok(Some(found));
        }
        loop {
            let page = exchange.store().facts(estado.hasta, None, PAGE).await?;
            let behind = |at: &FactAt| estado.retenidos.iter().any(|held| held.sujeto == at.fact.sujeto);
            if let Some(found) = page.iter().find(|at| self.options.wants(&at.fact) && !behind(at)) {
                return Ok(Some(found.clone()));
            }
            let Some(last) = page.last() else { break };
            estado.hasta = last.cursor;
        }
        self.first_behind(exchange, estado, &tried).await
    }

    async fn first_behind(
        &self,
        exchange: &Exchange,
        estado: &EstadoWebhook,
        held: &[Retenido],
    ) -> Result<Option<FactAt>, StoreError> {
        for held in held {
            if let Some(first) = self.behind(exchange, estado, held).await?.into_iter().next() {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }
}

/// Marks one fact as told.
fn told(estado: &mut EstadoWebhook, at: &FactAt) {
    match estado.retenidos.iter_mut().find(|held| held.sujeto == at.fact.sujeto) {
        Some(held) => {
            held.desde = after(at.cursor);
            (held.intentos, held.ultimo_error) = (0, None);
        }
        // What stands before it in the feed is not for this webhook, or of exchanges that are behind.
        None => estado.hasta = at.cursor,
    }
}
