//! What a store holds besides documents. All of it is JSON in the journal, readable in twenty years without this program.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Cursor, UniqueKey};
use crate::domain::{
    Bloqueo, Despacho, Entidad, Falla, Id, Purga, Recepcion, Ruc, Sha256, entidad::TipoDocumento, respuestas::Textos,
};

/// A record as it is after a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    Despacho(Box<Despacho>),
    Recepcion(Box<Recepcion>),
    ApiKey(ApiKey),
    Idempotencia(Idempotencia),
    Directorio(Box<Directorio>),
    Textos(Box<TextosVistos>),
    Avisos(Box<Avisos>),
    Webhook(Box<EstadoWebhook>),
    Usuario(Box<Usuario>),
}

impl Record {
    pub fn id(&self) -> Id {
        match self {
            Self::Despacho(d) => d.id,
            Self::Recepcion(r) => r.id,
            Self::ApiKey(k) => k.id,
            Self::Idempotencia(i) => i.id,
            Self::Directorio(_) => Directorio::ID,
            Self::Textos(_) => TextosVistos::ID,
            Self::Avisos(_) => Avisos::ID,
            Self::Webhook(w) => w.id,
            Self::Usuario(u) => u.id,
        }
    }

    pub fn version(&self) -> u32 {
        match self {
            Self::Despacho(d) => d.version,
            Self::Recepcion(r) => r.version,
            Self::ApiKey(k) => k.version,
            Self::Idempotencia(_) => 1,
            Self::Directorio(d) => d.version,
            Self::Textos(t) => t.version,
            Self::Avisos(a) => a.version,
            Self::Webhook(w) => w.version,
            Self::Usuario(u) => u.version,
        }
    }

    /// Keys that belong to this record as it is now. One it had before and has no more stays its own.
    pub fn unique_keys(&self) -> Vec<UniqueKey> {
        match self {
            Self::Despacho(d) => {
                let entidad = d.entidad.clone();
                let numero = UniqueKey::NumeroRegistro {
                    entidad: entidad.clone(),
                    numero: d.numero_registro.clone(),
                    destino: d.destino.clone(),
                };
                let numero = d.reemplazado_por.is_none().then_some(numero);
                let cuo = d.cuo.clone().map(|cuo| UniqueKey::CuoDespacho { entidad, cuo });
                [numero, cuo].into_iter().flatten().collect()
            }
            // Its number of registration may be shared: several documents can be filed under one expediente.
            Self::Recepcion(r) => {
                let (entidad, remitente, cuo) = (r.entidad.clone(), r.remitente.ruc.clone(), r.cuo.clone());
                vec![UniqueKey::Arrival { entidad, remitente, cuo }]
            }
            Self::ApiKey(k) => vec![UniqueKey::ApiKey { hash: k.hash.clone() }],
            Self::Idempotencia(i) => {
                vec![UniqueKey::Idempotency { entidad: i.entidad.clone(), key: i.key.clone() }]
            }
            Self::Usuario(u) => vec![UniqueKey::Usuario { cuenta: u.cuenta.clone() }],
            Self::Directorio(_) | Self::Textos(_) | Self::Avisos(_) | Self::Webhook(_) => Vec::new(),
        }
    }

    pub fn into_despacho(self) -> Option<Despacho> {
        if let Self::Despacho(despacho) = self { Some(*despacho) } else { None }
    }

    pub fn into_recepcion(self) -> Option<Recepcion> {
        if let Self::Recepcion(recepcion) = self { Some(*recepcion) } else { None }
    }

    pub fn into_api_key(self) -> Option<ApiKey> {
        if let Self::ApiKey(key) = self { Some(key) } else { None }
    }

    pub fn into_usuario(self) -> Option<Usuario> {
        if let Self::Usuario(usuario) = self { Some(*usuario) } else { None }
    }

    /// The certificate of what was purged of it.
    pub fn purga(&self) -> Option<&Purga> {
        match self {
            Self::Despacho(d) => d.purga.as_deref(),
            Self::Recepcion(r) => r.purga.as_deref(),
            _ => None,
        }
    }

    /// What keeps it from being purged.
    pub fn bloqueo(&self) -> Option<&Bloqueo> {
        match self {
            Self::Despacho(d) => d.bloqueo.as_ref(),
            Self::Recepcion(r) => r.bloqueo.as_ref(),
            _ => None,
        }
    }

    /// Of an exchange: which of our entities it is of.
    pub fn entidad(&self) -> Option<&Ruc> {
        match self {
            Self::Despacho(d) => Some(&d.entidad),
            Self::Recepcion(r) => Some(&r.entidad),
            _ => None,
        }
    }

    /// Whether it is bookkeeping of ours and no event: committed without a fact.
    pub fn is_bookkeeping(&self) -> bool {
        matches!(self, Self::Webhook(_))
    }

    /// Documents this record names; of a purged one none, whatever its certificate tells.
    pub fn documents(&self) -> Vec<&Sha256> {
        if self.purga().is_some() {
            return Vec::new();
        }
        let (main, cargo) = match self {
            Self::Despacho(d) => (&d.documento, &d.cargo),
            Self::Recepcion(r) => (&r.documento, &r.cargo),
            Self::ApiKey(_)
            | Self::Idempotencia(_)
            | Self::Directorio(_)
            | Self::Textos(_)
            | Self::Avisos(_)
            | Self::Webhook(_)
            | Self::Usuario(_) => return Vec::new(),
        };
        let cargo = cargo.as_ref().and_then(|c| c.documento.as_ref());
        let (published, fetched) = match self {
            Self::Despacho(d) => (d.anexos.as_slice(), &[][..]),
            Self::Recepcion(r) => (&[][..], r.anexos_traidos.as_slice()),
            _ => (&[][..], &[][..]),
        };
        let published = published.iter().filter_map(|anexo| Some(&anexo.archivo.as_ref()?.sha256));
        let annexes = published.chain(fetched.iter().map(|traido| &traido.sha256));
        [Some(main), cargo].into_iter().flatten().map(|d| &d.sha256).chain(annexes).collect()
    }
}

/// One thing that happened: an entry of an exchange's history, of the event feed and of the audit log. Holds no personal
/// data beyond identifiers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    pub at: Timestamp,
    /// What, as INTERFACES.md names events: `despacho.enviado`, `recepcion.recibida`, …
    pub tipo: String,
    /// Who: `pide`, `chasqui`, `clave:<id>`, `local`.
    pub actor: String,
    pub entidad: Option<Ruc>,
    /// The despacho, recepcion or other record it is about.
    pub sujeto: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuo: Option<String>,
    /// The state after it, as the word of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estado: Option<String>,
    /// What was answered or why, in Spanish for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detalle: Option<String>,
    /// Documents it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documentos: Vec<Sha256>,
    /// The messages in which it was said, each stored like a document: [`crate::soap::conversation::Conversacion`] as JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sobres: Vec<Sha256>,
}

/// A fact with its place in the order of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactAt {
    pub cursor: Cursor,
    pub fact: Fact,
}

/// What a job does; which step exactly follows from the record's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, schemars::JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Brings a despacho from `pendiente` to `enviado`, asking where a send ended unclearly.
    Despachar,
    /// Delivers the cargo of a recepcion to the sender's side.
    EntregarCargo,
    /// Asks the receiver of an `enviado` for its cargo, until it came.
    PreguntarCargo,
}

/// Work that must go on until it ends: one job for each record and kind. Never without a next time, unless it is dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// [`Job::id_for`] its kind and subject.
    pub id: Id,
    pub kind: JobKind,
    /// The despacho or recepcion.
    pub sujeto: Id,
    /// Which of our entities it is for.
    pub entidad: Ruc,
    /// The counterpart: one queue each.
    pub destino: Ruc,
    pub creado_en: Timestamp,
    pub proximo_en: Timestamp,
    /// Attempts so far.
    pub intentos: u32,
    /// Which kind of failure the last attempt met, and its words.
    #[serde(default)]
    pub falla: Option<Falla>,
    pub ultimo_error: Option<String>,
    /// When it was given up. It is kept whole and never claimed; a person retries or discards it.
    pub muerto_en: Option<Timestamp>,
}

/// Where a UUID has its version, in bits.
const VERSION: u32 = 76;

impl Job {
    /// The subject's id with the kind where a UUID has its version (7 in every subject), so that no two jobs share one: a job
    /// is found, replaced and ended without looking it up.
    pub fn id_for(kind: JobKind, sujeto: Id) -> Id {
        let mark: u128 = match kind {
            JobKind::Despachar => 1,
            JobKind::EntregarCargo => 2,
            JobKind::PreguntarCargo => 3,
        };
        Id::from_u128(sujeto.as_u128() & !(0xF << VERSION) | mark << VERSION)
    }

    /// The subject of the job with this id; a subject's own id is given back.
    pub fn subject_of(id: Id) -> Id {
        Id::from_u128(id.as_u128() & !(0xF << VERSION) | 7 << VERSION)
    }
}

impl JobKind {
    pub const ALL: [Self; 3] = [Self::Despachar, Self::EntregarCargo, Self::PreguntarCargo];
}

/// What the holder of a key may do (DESIGN.md, security of the edges).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, schemars::JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rol {
    Sgd,
    MesaDePartes,
    Operador,
    Auditor,
    Admin,
}

/// A key of the REST API. The key itself is shown once and never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: Id,
    pub version: u32,
    pub nombre: String,
    pub rol: Rol,
    /// `None`: every entity of this daemon; only `operador`, `auditor` and `admin`.
    pub entidad: Option<Ruc>,
    /// SHA-256 of the whole key. Keys are 256 random bits: no salt or stretching is needed.
    pub hash: Sha256,
    pub creada_en: Timestamp,
    pub revocada_en: Option<Timestamp>,
}

/// A person of the console. The password itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usuario {
    pub id: Id,
    /// Also what a session remembers: it ends when the record changed since.
    pub version: u32,
    /// What the person signs in with, in lower case.
    pub cuenta: String,
    /// As people call the person.
    pub nombre: String,
    pub rol: Rol,
    /// `None`: every entity of this daemon; only `operador`, `auditor` and `admin`.
    pub entidad: Option<Ruc>,
    pub contrasena: Contrasena,
    pub creado_en: Timestamp,
    pub deshabilitado_en: Option<Timestamp>,
}

/// A password by its Argon2id (RFC 9106), with what it takes to compute it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contrasena {
    pub memoria_kib: u32,
    pub pasadas: u32,
    pub carriles: u32,
    /// 16 random bytes, in hexadecimal.
    pub sal: String,
    /// 32 bytes, in hexadecimal.
    pub hash: Sha256,
    /// Somebody else knows it: the person must choose another.
    pub provisional: bool,
}

/// What an `Idempotency-Key` was first used for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotencia {
    pub id: Id,
    pub entidad: Ruc,
    pub key: String,
    /// Digest of the first request: the same key with another body is an error.
    pub huella: Sha256,
    /// What it created.
    pub sujetos: Vec<Id>,
    pub creada_en: Timestamp,
}

/// The platform's entities and document types, as last fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directorio {
    pub version: u32,
    pub entidades: Vec<Entidad>,
    pub tipos_documento: Vec<TipoDocumento>,
    pub actualizado_en: Timestamp,
    /// Entities of `entidades` that the last list did not have any more, and since when. They stay: documents name them.
    #[serde(default)]
    pub ausentes: BTreeMap<Ruc, Timestamp>,
}

impl Directorio {
    /// Whether the platform's last list has this entity.
    pub fn vigente(&self, ruc: &Ruc) -> bool {
        !self.ausentes.contains_key(ruc) && self.entidades.iter().any(|entidad| entidad.ruc == *ruc)
    }

    /// There is one directory.
    pub const ID: Id = Id::from_u128(1);
}

/// The texts of other sides that the catalogue does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextosVistos {
    pub version: u32,
    pub textos: Textos,
}

impl TextosVistos {
    /// There is one such record.
    pub const ID: Id = Id::from_u128(2);
}

/// Of whom people were told that it is down, and not yet that it works again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Avisos {
    pub version: u32,
    pub vigentes: Vec<AvisoVigente>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvisoVigente {
    /// `None`: the platform.
    pub ruc: Option<Ruc>,
    pub desde: Timestamp,
}

impl Avisos {
    /// There is one such record.
    pub const ID: Id = Id::from_u128(3);
}

/// What one webhook has been told: its place in the feed, and the exchanges that are behind it. As it is committed after the
/// facts it names, a journal that loses its end loses it too: it never names a fact that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EstadoWebhook {
    /// [`EstadoWebhook::id_for`] its name.
    pub id: Id,
    pub version: u32,
    pub nombre: String,
    /// Every fact up to here, this one included, was delivered or given up, or is of an exchange in `retenidos`.
    pub hasta: Cursor,
    pub retenidos: Vec<Retenido>,
    pub pausa: Option<PausaWebhook>,
}

/// An exchange whose next fact could not be delivered; what came after it waits too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retenido {
    /// The despacho, recepcion or other record.
    pub sujeto: Id,
    /// The first fact of it that was not delivered.
    pub desde: Cursor,
    /// Since when it is behind.
    pub creado_en: Timestamp,
    pub proximo_en: Timestamp,
    /// Failed attempts at the fact in `desde`.
    pub intentos: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ultimo_error: Option<String>,
}

/// A webhook that fails is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PausaWebhook {
    pub desde: Timestamp,
    /// When it is probed.
    pub hasta: Timestamp,
    /// Probes that failed.
    pub pruebas: u32,
    pub motivo: String,
}

impl EstadoWebhook {
    /// The id under which a webhook's place is kept: it follows from its name. A version 8, which no subject or job has.
    pub fn id_for(nombre: &str) -> Id {
        let digest = ring::digest::digest(&ring::digest::SHA256, format!("webhook:{nombre}").as_bytes());
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_of_neighbouring_subjects_and_of_other_kinds_have_ids_of_their_own() {
        let kinds = [JobKind::Despachar, JobKind::EntregarCargo, JobKind::PreguntarCargo];
        let first = 0x019a_0000_0000_7000_8000_0000_0000_0000_u128;
        let ids: std::collections::HashSet<Id> =
            (first..first + 100).flat_map(|n| kinds.map(|kind| Job::id_for(kind, Id::from_u128(n)))).collect();
        assert_eq!(ids.len(), 300);
    }
}
