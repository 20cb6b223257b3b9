//! The platform's directory of entities and catalogue of document types, kept durably and fetched anew when old.

use jiff::Timestamp;

use super::{Actor, Exchange, ExchangeError, events};
use crate::{
    domain::{
        Categoria, Entidad,
        entidad::{TipoDocumento, tipos_documento_conocidos},
    },
    store::{Change, CommitError, Directorio, Fact, Record, StoreError},
};

impl Exchange {
    /// The directory as last fetched; `None` if it never was.
    pub async fn directorio(&self) -> Result<Option<Directorio>, StoreError> {
        self.store.directorio().await
    }

    /// The platform's document types, or the specification's until they were fetched.
    pub async fn tipos_documento(&self) -> Result<Vec<TipoDocumento>, StoreError> {
        let fetched = self.directorio().await?.map(|d| d.tipos_documento).unwrap_or_default();
        Ok(if fetched.is_empty() { tipos_documento_conocidos() } else { fetched })
    }

    /// Whether the directory should be fetched now.
    pub(super) async fn directory_is_old(&self, now: Timestamp) -> Result<bool, StoreError> {
        let Some(directorio) = self.directorio().await? else { return Ok(true) };
        let age = u64::try_from(now.as_second() - directorio.actualizado_en.as_second()).unwrap_or(0);
        Ok(age >= self.settings.retry.directory_age.as_secs())
    }

    /// Fetches the directory, category by category, and keeps it.
    pub async fn actualizar_directorio(&self, actor: &Actor) -> Result<Directorio, ExchangeError> {
        let mut entidades: Vec<Entidad> = Vec::new();
        for categoria in Categoria::todas() {
            entidades.extend(self.platform.entidades(categoria).await?);
        }
        entidades.sort_by(|a, b| (a.categoria, &a.nombre, &a.ruc).cmp(&(b.categoria, &b.nombre, &b.ruc)));
        let tipos_documento = self.platform.tipos_documento().await?;
        let now = self.now();
        let version = self.directorio().await?.map_or(0, |d| d.version) + 1;
        let directorio = Directorio { version, entidades, tipos_documento, actualizado_en: now };
        let fact = Fact {
            at: now,
            tipo: events::DIRECTORIO_ACTUALIZADO.into(),
            actor: actor.0.clone(),
            entidad: None,
            sujeto: Directorio::ID,
            cuo: None,
            estado: None,
            detalle: Some(format!("{} entidades", directorio.entidades.len())),
            documentos: Vec::new(),
        };
        let records = vec![Record::Directorio(Box::new(directorio.clone()))];
        match self.store.commit(Change { facts: vec![fact], records, ..Change::default() }).await {
            // Somebody else fetched it at the same moment: theirs will do.
            Ok(_) | Err(CommitError::Stale(_)) => Ok(directorio),
            Err(error) => Err(error.into()),
        }
    }
}
