//! Keys of the REST API: made, found, revoked. A key is shown once; only its SHA-256 is kept.

use ring::digest;

use super::{Actor, Exchange, ExchangeError, events};
use crate::{
    domain::{Id, Ruc, Sha256},
    store::{ApiKey, Change, CommitError, Fact, Record, Rol, StoreError},
};

/// What every key begins with, so that a scanner of leaked secrets knows one.
pub const PREFIJO: &str = "chq_";

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NuevaClave {
    /// Whom it is for, in the operator's words.
    pub nombre: String,
    pub rol: Rol,
    /// The entity it is limited to.
    pub entidad: Option<Ruc>,
}

impl Exchange {
    /// Makes a key. Returns it with its record: this is the only time it can be read.
    pub async fn crear_clave(&self, actor: &Actor, nueva: NuevaClave) -> Result<(String, ApiKey), ExchangeError> {
        if let Some(ruc) = &nueva.entidad
            && self.propia(ruc).is_none()
        {
            return Err(ExchangeError::EntidadAjena(ruc.clone()));
        }
        let now = self.now();
        let key = format!("{PREFIJO}{}", hex(&self.ids.secret()));
        let record = ApiKey {
            id: self.id(now),
            version: 1,
            nombre: nueva.nombre,
            rol: nueva.rol,
            entidad: nueva.entidad,
            hash: hash(&key),
            creada_en: now,
            revocada_en: None,
        };
        self.store.commit(self.clave(&record, events::CLAVE_CREADA, actor)).await?;
        Ok((key, record))
    }

    /// The record of a key that is in force.
    pub async fn clave_vigente(&self, key: &str) -> Result<Option<ApiKey>, StoreError> {
        let found = self.store.api_key_by_hash(&hash(key)).await?;
        Ok(found.filter(|record| record.revocada_en.is_none()))
    }

    /// The record of a key that is in force, by its id: what a certificate stands for.
    pub async fn clave_por_id(&self, id: Id) -> Result<Option<ApiKey>, StoreError> {
        Ok(self.claves().await?.into_iter().find(|key| key.id == id && key.revocada_en.is_none()))
    }

    /// Whether the key with this record opens anything still.
    pub async fn clave_en_vigor(&self, id: Id) -> Result<bool, StoreError> {
        Ok(self.clave_por_id(id).await?.is_some())
    }

    pub async fn claves(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.store.api_keys().await
    }

    /// From the next request on, the key opens nothing. Revoking it again is no error.
    pub async fn revocar_clave(&self, actor: &Actor, id: Id) -> Result<ApiKey, ExchangeError> {
        let found = self.claves().await?.into_iter().find(|k| k.id == id);
        let mut record = found.ok_or(ExchangeError::NoExiste)?;
        if record.revocada_en.is_some() {
            return Ok(record);
        }
        record.version += 1;
        record.revocada_en = Some(self.now());
        match self.store.commit(self.clave(&record, events::CLAVE_REVOCADA, actor)).await {
            Ok(_) | Err(CommitError::Stale(_)) => Ok(record),
            Err(error) => Err(error.into()),
        }
    }

    fn clave(&self, record: &ApiKey, tipo: &str, actor: &Actor) -> Change {
        let fact = Fact {
            at: self.now(),
            tipo: tipo.into(),
            actor: actor.0.clone(),
            entidad: record.entidad.clone(),
            sujeto: record.id,
            cuo: None,
            estado: None,
            detalle: None,
            documentos: Vec::new(),
            sobres: Vec::new(),
        };
        Change { facts: vec![fact], records: vec![Record::ApiKey(record.clone())], ..Change::default() }
    }
}

fn hash(key: &str) -> Sha256 {
    Sha256::from_digest(digest::digest(&digest::SHA256, key.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    Sha256::from_digest(bytes).as_str().to_owned()
}
