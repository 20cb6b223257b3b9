//! How a webhook is doing, for people and for metrics.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::Endpoint;
use crate::{
    domain::{Id, Ruc, lima},
    exchange::Exchange,
    store::{FactAt, Retenido, StoreError},
};

/// Most events that are counted as not told yet.
const LAG_MAX: usize = 1000;
/// Exchanges that are behind and shown.
const SHOWN_MAX: usize = 20;

/// In a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SituacionDeWebhook")]
pub enum Situacion {
    Bien,
    /// Some exchanges are behind.
    ConErrores,
    /// It is left alone.
    EnPausa,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Webhook")]
pub struct WebhookView {
    pub nombre: String,
    pub url: String,
    pub entidad: Option<Ruc>,
    pub sucesos: Vec<String>,
    pub situacion: Situacion,
    /// Events of the feed not told yet, up to 1000; those of exchanges that are behind come on top.
    pub atraso: usize,
    /// Exchanges that are behind because one of their events failed.
    pub retenidos: usize,
    /// The oldest thing not told.
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    pub atrasado_desde: Option<Timestamp>,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    pub en_pausa_desde: Option<Timestamp>,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    pub proxima_prueba: Option<Timestamp>,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    pub ultimo_exito: Option<Timestamp>,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    pub ultimo_fallo: Option<Timestamp>,
    pub ultimo_error: Option<String>,
    pub fallos_seguidos: usize,
    /// Since the start.
    pub entregados: u64,
    pub fallidos: u64,
    pub abandonados: u64,
    /// Of those that are behind, the ones tried next.
    pub detalle_retenidos: Vec<RetenidoView>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Retenido")]
pub struct RetenidoView {
    pub id: Id,
    pub intentos: u32,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    pub desde: Timestamp,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    pub proximo_en: Timestamp,
    pub ultimo_error: Option<String>,
}

impl Endpoint {
    pub async fn view(&self, exchange: &Exchange) -> Result<WebhookView, StoreError> {
        let estado = self.estado(exchange).await?;
        let (atraso, first) = self.lag(exchange, estado.hasta).await?;
        let oldest = estado.retenidos.iter().map(|held| held.creado_en).chain(first).min();
        let mut held: Vec<&Retenido> = estado.retenidos.iter().collect();
        held.sort_by_key(|held| held.proximo_en);
        let situacion = match (&estado.pausa, held.iter().any(|held| held.intentos > 0)) {
            (Some(_), _) => Situacion::EnPausa,
            (None, true) => Situacion::ConErrores,
            (None, false) => Situacion::Bien,
        };
        let detalle_retenidos = held.into_iter().take(SHOWN_MAX).map(retenido).collect();
        let known = self.known();
        let stored_error = estado.pausa.as_ref().map(|pausa| pausa.motivo.clone());
        Ok(WebhookView {
            nombre: self.options.nombre.clone(),
            url: self.options.url.clone(),
            entidad: self.options.entidad.clone(),
            sucesos: self.options.sucesos.clone(),
            situacion,
            atraso,
            retenidos: estado.retenidos.len(),
            atrasado_desde: oldest,
            en_pausa_desde: estado.pausa.as_ref().map(|pausa| pausa.desde),
            proxima_prueba: estado.pausa.as_ref().map(|pausa| pausa.hasta),
            ultimo_exito: known.ultimo_exito,
            ultimo_fallo: known.ultimo_fallo,
            ultimo_error: known.ultimo_error.clone().or(stored_error),
            fallos_seguidos: known.fallos_seguidos,
            entregados: known.entregados,
            fallidos: known.fallidos,
            abandonados: known.abandonados,
            detalle_retenidos,
        })
    }

    /// How many events after a place are for it and when the first of them happened.
    async fn lag(
        &self,
        exchange: &Exchange,
        after: crate::store::Cursor,
    ) -> Result<(usize, Option<Timestamp>), StoreError> {
        let facts = exchange.store().facts(after, None, LAG_MAX).await?;
        let wanted: Vec<&FactAt> = facts.iter().filter(|at| self.options.wants(&at.fact)).collect();
        Ok((wanted.len(), wanted.first().map(|at| at.fact.at)))
    }
}

fn retenido(held: &Retenido) -> RetenidoView {
    RetenidoView {
        id: held.sujeto,
        intentos: held.intentos,
        desde: held.creado_en,
        proximo_en: held.proximo_en,
        ultimo_error: held.ultimo_error.clone(),
    }
}
