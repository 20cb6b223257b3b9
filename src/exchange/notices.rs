//! Notices that are about no exchange: a certificate that is about to expire, a trusted list that cannot be used. Each is told
//! once for each state of what it is about, also across restarts: what was told last is read from its history.

use super::{Actor, Exchange, ExchangeError};
use crate::{
    domain::{Id, Ruc},
    store::{Change, Fact},
};

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noticia {
    pub tipo: &'static str,
    /// What it is about: the same one each time.
    pub sujeto: Id,
    pub entidad: Option<Ruc>,
    /// A word for how things stand; told again only when it is another.
    pub estado: String,
    pub detalle: String,
}

impl Exchange {
    /// Tells a notice unless it was the last thing told of its subject. Says whether it was told.
    pub async fn avisar(&self, noticia: Noticia) -> Result<bool, ExchangeError> {
        let known = self.store.facts_of(noticia.sujeto).await?;
        if known.last().is_some_and(|last| last.fact.estado.as_deref() == Some(noticia.estado.as_str())) {
            return Ok(false);
        }
        let fact = Fact {
            at: self.now(),
            tipo: noticia.tipo.into(),
            actor: Actor::chasqui().0,
            entidad: noticia.entidad,
            sujeto: noticia.sujeto,
            cuo: None,
            estado: Some(noticia.estado),
            detalle: Some(noticia.detalle),
            documentos: Vec::new(),
            sobres: Vec::new(),
        };
        self.store.commit(Change { facts: vec![fact], ..Change::default() }).await?;
        Ok(true)
    }

    /// Whether anything was ever told of a subject.
    pub async fn avisado(&self, sujeto: Id) -> Result<bool, ExchangeError> {
        Ok(!self.store.facts_of(sujeto).await?.is_empty())
    }
}
