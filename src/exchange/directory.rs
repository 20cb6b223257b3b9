//! The platform's directory of entities and catalogue of document types, kept durably and fetched anew when old.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{Actor, Exchange, ExchangeError, PlatformError, events};
use crate::{
    domain::{
        Categoria, Entidad, Falla, Ruc,
        entidad::{TipoDocumento, tipos_documento_conocidos},
    },
    store::{Change, CommitError, Directorio, Fact, Record, StoreError},
};

impl Exchange {
    /// The directory as last fetched; `None` if it never was.
    pub async fn directorio(&self) -> Result<Option<Arc<Directorio>>, StoreError> {
        self.store.directorio().await
    }

    /// The platform's document types, or the specification's until they were fetched.
    pub async fn tipos_documento(&self) -> Result<Vec<TipoDocumento>, StoreError> {
        let fetched = self.directorio().await?.map(|d| d.tipos_documento.clone()).unwrap_or_default();
        Ok(if fetched.is_empty() { tipos_documento_conocidos() } else { fetched })
    }

    /// Whether the directory should be fetched now.
    pub(super) async fn directory_is_old(&self, now: Timestamp) -> Result<bool, StoreError> {
        let Some(directorio) = self.directorio().await? else { return Ok(true) };
        // One from the future was fetched by a clock that has been set back since.
        let age = u64::try_from(now.as_second() - directorio.actualizado_en.as_second()).unwrap_or(u64::MAX);
        Ok(age >= self.settings().retry.directory_age.as_secs())
    }

    /// Whether the platform's list, as last fetched, has this entity. `false`: ask `validarEntidad`.
    pub(super) async fn in_directory(&self, ruc: &Ruc) -> Result<bool, StoreError> {
        Ok(self.directorio().await?.is_some_and(|directorio| directorio.vigente(ruc)))
    }

    /// Fetches the directory, category by category, and keeps it. An entity that is not listed any more is marked, not
    /// forgotten; a list without any entity is taken for a failure, and so is a category that lost all it had: its entities
    /// stay as they were. So do the document types if they cannot be had.
    pub async fn actualizar_directorio(&self, actor: &Actor) -> Result<Directorio, ExchangeError> {
        let mut entidades: Vec<Entidad> = Vec::new();
        let mut empty = Vec::new();
        for categoria in Categoria::todas() {
            let listed = self.platform.entidades(categoria).await?;
            if listed.is_empty() {
                empty.push(categoria);
            }
            entidades.extend(listed);
        }
        if entidades.is_empty() {
            let detalle = "La plataforma dio un directorio sin ninguna entidad; se conserva el anterior";
            return Err(PlatformError::new(Falla::RespuestaVacia, detalle).into());
        }
        let known = self.directorio().await?;
        for kept in known.iter().flat_map(|d| d.entidades.iter().filter(|e| d.vigente(&e.ruc))) {
            if empty.contains(&kept.categoria) {
                entidades.push(kept.clone());
            }
        }
        let (listed, now): (BTreeSet<Ruc>, _) = (entidades.iter().map(|e| e.ruc.clone()).collect(), self.now());
        let mut ausentes = BTreeMap::new();
        for gone in known.iter().flat_map(|d| &d.entidades).filter(|e| !listed.contains(&e.ruc)) {
            let since = known.as_ref().and_then(|d| d.ausentes.get(&gone.ruc)).copied().unwrap_or(now);
            ausentes.insert(gone.ruc.clone(), since);
            entidades.push(gone.clone());
        }
        entidades.sort_by(|a, b| (a.categoria, &a.nombre, &a.ruc).cmp(&(b.categoria, &b.nombre, &b.ruc)));
        let tipos_documento = match self.platform.tipos_documento().await {
            Ok(fetched) => {
                // The service that gives them is the one that takes documents: it is there.
                self.platform_answered().await;
                fetched
            }
            Err(error) => {
                tracing::warn!(%error, "the document types could not be fetched; the known ones stay");
                known.as_ref().map(|d| d.tipos_documento.clone()).unwrap_or_default()
            }
        };
        let version = known.map_or(0, |d| d.version) + 1;
        let detalle = match ausentes.len() {
            0 => format!("{} entidades", entidades.len()),
            n => format!("{} entidades, {n} que ya no figuran", entidades.len()),
        };
        let directorio = Directorio { version, entidades, tipos_documento, actualizado_en: now, ausentes };
        let fact = Fact {
            at: now,
            tipo: events::DIRECTORIO_ACTUALIZADO.into(),
            actor: actor.0.clone(),
            entidad: None,
            sujeto: Directorio::ID,
            cuo: None,
            estado: None,
            detalle: Some(detalle),
            documentos: Vec::new(),
            sobres: Vec::new(),
        };
        let records = vec![Record::Directorio(Box::new(directorio.clone()))];
        match self.store.commit(Change { facts: vec![fact], records, ..Change::default() }).await {
            // Somebody else fetched it at the same moment: theirs will do.
            Ok(_) | Err(CommitError::Stale(_)) => Ok(directorio),
            Err(error) => Err(error.into()),
        }
    }
}
