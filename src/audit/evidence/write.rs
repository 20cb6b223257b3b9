//! Writing a package: every piece once, streamed; the manifest and the signatures over it last.

use std::{fs::File, sync::Arc};

use jiff::Timestamp;
use openssl::sha::sha256;
use serde::{Deserialize, Serialize};

use super::{
    CARGO, CERTIFICATES, CHECKPOINT, CONTENTS, DOCUMENT, ENTRIES, KEY, MANIFEST, MIMETYPE, SEAL, SIGNATURE, TIMESTAMP,
    container::Writer,
    entries::{ENTRIES_MAX, Entries},
    manifest, messages, readme, signatures,
};
use crate::{
    audit::{AuditError, Log, merkle::Hash},
    domain::{Documento, Id, Sha256},
    signing::{Identity, cades},
    store::{Record, Seq, SharedStore, StoreError, blobs::blocking},
};

/// What a package is made of, besides what the log knows.
pub struct Request {
    /// The exchange: a despacho or a recepcion, as it is now.
    pub record: Record,
    pub now: Timestamp,
    /// Who asks.
    pub actor: String,
    /// Signs the package.
    pub identity: Option<Arc<Identity>>,
}

/// `manifiesto.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Contents {
    pub version: u32,
    /// `despacho` or `recepcion`.
    pub tipo: String,
    pub id: Id,
    pub resumen: String,
    pub generado_en: Timestamp,
    pub programa: String,
    pub archivos: Vec<Archivo>,
    /// The record as the last entry about it left it.
    pub registro: serde_json::Value,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Archivo {
    pub nombre: String,
    pub bytes: u64,
    pub sha256: Sha256,
}

/// What a record says about its exchange.
pub struct Subject<'a> {
    pub tipo: &'static str,
    pub id: Id,
    pub document: &'a Documento,
    pub cargo: Option<&'a Documento>,
    pub summary: String,
}

/// `None` for records that are no exchange.
pub fn subject(record: &Record) -> Option<Subject<'_>> {
    let cuo = |cuo: Option<String>| cuo.map_or_else(|| "aún sin CUO".into(), |cuo| format!("CUO {cuo}"));
    match record {
        Record::Despacho(d) => Some(Subject {
            tipo: "despacho",
            id: d.id,
            document: &d.documento,
            cargo: d.cargo.as_ref().and_then(|c| c.documento.as_ref()),
            summary: format!(
                "Despacho {} ({}): {} de la entidad {} para {}, «{}»; estado: {}.",
                d.id,
                cuo(d.cuo.as_ref().map(ToString::to_string)),
                d.numero_documento,
                d.entidad,
                d.destino,
                d.asunto,
                d.estado.palabra()
            ),
        }),
        Record::Recepcion(r) => Some(Subject {
            tipo: "recepcion",
            id: r.id,
            document: &r.documento,
            cargo: r.cargo.as_ref().and_then(|c| c.documento.as_ref()),
            summary: format!(
                "Recepción {} ({}): {} de {} para la entidad {}, «{}»; estado: {}.",
                r.id,
                cuo(Some(r.cuo.to_string())),
                r.numero_documento,
                r.remitente.ruc,
                r.entidad,
                r.asunto,
                r.estado.palabra()
            ),
        }),
        _ => None,
    }
}

/// Writes the package of one exchange into an empty file.
pub async fn write(log: &Log, request: Request, file: File) -> Result<File, AuditError> {
    let subject = subject(&request.record).ok_or(AuditError::Empty)?;
    let facts = log.store().facts_of(subject.id).await?;
    let mut seqs: Vec<Seq> = facts.iter().map(|fact| fact.cursor.seq).collect();
    seqs.dedup();
    if seqs.len() > ENTRIES_MAX {
        return Err(invalid(format!("el intercambio tiene más de {ENTRIES_MAX} asientos")).into());
    }
    let proven = log.prove(&seqs, request.now, &request.actor).await?;
    let entries = Entries::of(&proven).ok_or_else(|| invalid("un asiento no es texto".into()))?;
    let mut package = Package { writer: Writer::new(file), files: Vec::new() };
    package.unlisted("mimetype", MIMETYPE)?;
    let text = readme::text(&subject.summary, request.identity.is_some(), request.record.purga());
    package.add("LEEME.txt", text.as_bytes())?;
    let kept = request.record.purga().is_none();
    if kept {
        package = package.blob(log.store(), DOCUMENT, &subject.document.sha256).await?;
    }
    if let Some(cargo) = subject.cargo.filter(|_| kept) {
        package = package.blob(log.store(), CARGO, &cargo.sha256).await?;
    }
    // Facts of after the purge, if any, may still bring messages.
    let gone =
        |sha256: &Sha256| request.record.purga().is_some_and(|p| p.documentos.iter().any(|d| d.sha256 == *sha256));
    for (name, sha256) in messages::chosen(&facts).into_iter().filter(|(_, sha256)| !gone(sha256)) {
        package = package.blob(log.store(), &name, &sha256).await?;
    }
    package.add(ENTRIES, &json(&entries)?)?;
    for (name, content) in signatures::files(&subject)? {
        package.add(&name, &content)?;
    }
    package.add(CHECKPOINT, proven.signed.note.as_bytes())?;
    if let Some(token) = &proven.timestamp {
        package.add(TIMESTAMP, token)?;
    }
    package.add(KEY, format!("{}\n", log.key()).as_bytes())?;
    if let Some(identity) = &request.identity {
        package.add(CERTIFICATES, &certificates(identity)?)?;
    }
    let contents = Contents {
        version: 1,
        tipo: subject.tipo.into(),
        id: subject.id,
        resumen: subject.summary,
        generado_en: request.now,
        programa: concat!("chasqui ", env!("CARGO_PKG_VERSION")).into(),
        archivos: package.files.iter().map(|(nombre, bytes, hash)| archivo(nombre, *bytes, hash)).collect(),
        registro: serde_json::to_value(&request.record).map_err(std::io::Error::from)?,
    };
    package.add(CONTENTS, &json(&contents)?)?;
    package.sign(log, request.identity.as_deref(), request.now)?;
    Ok(blocking(move || Ok(package.writer.finish()?)).await?)
}

fn archivo(nombre: &str, bytes: u64, hash: &Hash) -> Archivo {
    Archivo { nombre: nombre.into(), bytes, sha256: Sha256::from_digest(hash) }
}

fn json<T: Serialize>(value: &T) -> std::io::Result<Vec<u8>> {
    Ok(serde_json::to_vec_pretty(value)?)
}

fn invalid(what: String) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidInput, what)
}

fn certificates(identity: &Identity) -> std::io::Result<Vec<u8>> {
    let failed = |error: openssl::error::ErrorStack| std::io::Error::other(error.to_string());
    let mut pem = identity.certificate().to_pem().map_err(failed)?;
    for certificate in identity.chain() {
        pem.extend_from_slice(&certificate.to_pem().map_err(failed)?);
    }
    Ok(pem)
}

/// A package being written, and what is in it so far.
struct Package {
    writer: Writer,
    files: Vec<(String, u64, Hash)>,
}

impl Package {
    /// A file that the manifest does not name: what makes the container, and the manifest itself.
    fn unlisted(&mut self, name: &str, content: &[u8]) -> std::io::Result<Hash> {
        self.writer.member(name, content)
    }

    fn add(&mut self, name: &str, content: &[u8]) -> std::io::Result<()> {
        let hash = self.unlisted(name, content)?;
        self.files.push((name.into(), content.len() as u64, hash));
        Ok(())
    }

    /// Streams a document out of the store, which checks its bytes as they come.
    async fn blob(mut self, store: &SharedStore, name: &str, sha256: &Sha256) -> Result<Self, StoreError> {
        let mut reader = store.open_document(sha256).await?;
        self.writer.begin(name)?;
        while let Some(piece) = reader.next().await? {
            self = blocking(move || {
                self.writer.write(&piece)?;
                Ok(self)
            })
            .await?;
        }
        let (bytes, hash) = self.writer.end()?;
        self.files.push((name.into(), bytes, hash));
        Ok(self)
    }

    /// The manifest, the identity's signature over it, and the log's seal over both.
    fn sign(&mut self, log: &Log, identity: Option<&Identity>, now: Timestamp) -> Result<(), AuditError> {
        let files: Vec<(String, Hash)> = self.files.iter().map(|(name, _, hash)| (name.clone(), *hash)).collect();
        let manifest = manifest::manifest(&files);
        let digest = self.unlisted(MANIFEST, manifest.as_bytes())?;
        let signed = identity.map(|identity| cades::sign(identity, &sha256(manifest.as_bytes()), Some(now), None));
        let signed = signed.transpose().map_err(|error| std::io::Error::other(error.to_string()))?;
        let signature = signed.map(|signed| self.unlisted(SIGNATURE, &signed.cms)).transpose()?;
        let seal = log.sign(&manifest::seal(log.key().name(), &digest, signature.as_ref()));
        self.unlisted(SEAL, seal.as_bytes())?;
        Ok(())
    }
}
