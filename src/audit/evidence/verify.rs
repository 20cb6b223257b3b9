//! Verifying a package with nothing but the package, and trust anchors and the log's key if one has them.

use std::{
    io::{Read, Seek},
    path::Path,
};

use jiff::Timestamp;
use openssl::{
    cms::{CMSOptions, CmsContentInfo},
    x509::{
        X509,
        store::{X509Store, X509StoreBuilder},
        verify::X509VerifyParam,
    },
};

use super::{
    CARGO, CERTIFICATES, CHECKPOINT, CONTENTS, DOCUMENT, ENTRIES, KEY, MANIFEST, MIMETYPE, Report, SEAL, SIGNATURE,
    TIMESTAMP, WHOLE_MAX,
    container::{Container, ContainerError, Member},
    entries::{Entries, Said},
    manifest,
    messages::Messages,
    signatures,
    write::{Contents, subject},
};
use crate::{
    audit::{
        checkpoint::{Checkpoint, TIMESTAMP_MAX},
        merkle::{self, Hash},
        note::{NOTE_MAX, Verifier},
    },
    domain::{Purga, Sha256, lima},
    signing::identity::titular,
    store::Record,
};

/// Largest of the small files, in bytes.
const SMALL_MAX: u64 = 1024 * 1024;

/// What the one who verifies knows for himself.
#[derive(Default)]
pub struct Trust {
    /// Certificates he trusts.
    pub anchors: Vec<X509>,
    /// The key of the log, kept apart.
    pub key: Option<Verifier>,
}

/// Verifies a package. Whatever it holds, the result is a report.
pub fn verify<R: Read + Seek>(from: R, trust: &Trust) -> Report {
    verify_rebuilding(from, trust, None)
}

/// As [`verify`]; what was on the wire is put, written again, into a folder if one is given.
pub fn verify_rebuilding<R: Read + Seek>(from: R, trust: &Trust, rebuild_in: Option<&Path>) -> Report {
    let mut report = Report::default();
    let opened = Container::open(from).map(|container| Package { container, digests: Vec::new(), trust, rebuild_in });
    match opened {
        Err(error) => report.fail(format!("no es un paquete de evidencia bien formado: {error}")),
        Ok(mut package) => {
            if let Err(error) = package.verify(&mut report) {
                report.fail(error.to_string());
            }
        }
    }
    report
}

struct Package<'a, R> {
    container: Container<R>,
    /// Of the files that the manifest must name, in order.
    digests: Vec<(String, Hash)>,
    trust: &'a Trust,
    rebuild_in: Option<&'a Path>,
}

type Done = Result<(), ContainerError>;

fn shape(what: impl Into<String>) -> ContainerError {
    ContainerError::Shape(what.into())
}

impl<R: Read + Seek> Package<'_, R> {
    fn verify(&mut self, report: &mut Report) -> Done {
        let first = self.container.members.first().map(|member| member.name.clone());
        if first.as_deref() != Some("mimetype") || self.container.read("mimetype", SMALL_MAX)?.0 != MIMETYPE {
            return Err(shape("no comienza como un contenedor ASiC-E"));
        }
        let contents: Contents = self.json(CONTENTS)?;
        report.intercambio.push(contents.resumen.clone());
        report.intercambio.push(format!(
            "Paquete hecho por {} el {}.",
            contents.programa,
            lima::texto(contents.generado_en)
        ));
        let key = self.key(report)?;
        self.files(report)?;
        self.seals(&key, contents.generado_en, report)?;
        let checkpoint = self.checkpoint(&key, report)?;
        let entries: Entries = self.json(ENTRIES)?;
        let said = entries_hold(&entries, &checkpoint, report);
        self.exchange(&contents, &said, report);
        let (digests, rebuild_in) = (&self.digests, self.rebuild_in);
        Messages { container: &mut self.container, digests, rebuild_in }.judge(&said, report);
        self.timestamp(report)
    }

    fn text(&mut self, name: &str, max: u64) -> Result<String, ContainerError> {
        let (bytes, _) = self.container.read(name, max)?;
        String::from_utf8(bytes).map_err(|_| shape(format!("«{name}» no es texto")))
    }

    fn json<T: for<'de> serde::Deserialize<'de>>(&mut self, name: &str) -> Result<T, ContainerError> {
        let (bytes, _) = self.container.read(name, WHOLE_MAX)?;
        serde_json::from_slice(&bytes).map_err(|error| shape(format!("«{name}» no se entiende: {error}")))
    }

    /// The key that the package says is the log's.
    fn key(&mut self, report: &mut Report) -> Result<Verifier, ContainerError> {
        let text = self.text(KEY, SMALL_MAX)?;
        let key = text.strip_suffix('\n').map(Verifier::parse);
        let key = key.ok_or_else(|| shape(format!("«{KEY}» no está en su forma")))?;
        let key = key.map_err(|error| shape(format!("«{KEY}»: {error}")))?;
        match &self.trust.key {
            Some(known) if *known == key => report.proven("La clave de auditoría es la que usted guardó aparte."),
            Some(_) => report.distrust("La clave de auditoría del paquete no es la que usted guardó aparte (--key)."),
            None => report.warn(format!(
                "De quién es la clave de auditoría {key}: compárela con la que la entidad publique o haya guardado aparte (--key)."
            )),
        }
        Ok(key)
    }

    /// Every file against the manifest.
    fn files(&mut self, report: &mut Report) -> Done {
        let manifest = self.text(MANIFEST, SMALL_MAX)?;
        let listed = |member: &&Member| !(member.name == "mimetype" || member.name.starts_with("META-INF/"));
        let members: Vec<Member> = self.container.members.iter().filter(listed).cloned().collect();
        for member in &members {
            let digest = self.container.stream(member, &mut |_| {})?;
            if !manifest.contains(&manifest::reference(&member.name, &digest)) {
                report.fail(format!("«{}» no es el archivo que se selló.", member.name));
            }
            self.digests.push((member.name.clone(), digest));
        }
        if manifest::manifest(&self.digests) == manifest {
            report.proven(format!(
                "Los {} archivos son los que nombra el manifiesto, ni uno más ni uno menos.",
                members.len()
            ));
        } else {
            report.fail("El manifiesto ASiC no nombra exactamente los archivos del paquete: alguno se cambió, se quitó o se añadió.");
        }
        Ok(())
    }

    /// The log's seal and the identity's signature over the manifest.
    fn seals(&mut self, key: &Verifier, at: Timestamp, report: &mut Report) -> Done {
        let (manifest, digest) = self.container.read(MANIFEST, SMALL_MAX)?;
        let signature = match self.container.find(SIGNATURE) {
            Some(_) => Some(self.container.read(SIGNATURE, SMALL_MAX)?),
            None => None,
        };
        let expected = manifest::seal(key.name(), &digest, signature.as_ref().map(|(_, digest)| digest));
        let seal = self.text(SEAL, NOTE_MAX as u64)?;
        match key.open(&seal) {
            Ok(text) if text == expected => report.proven("El paquete lo selló la clave de auditoría."),
            Ok(_) => report.fail("El sello es de otro paquete: el manifiesto o su firma no son los que se sellaron."),
            Err(error) => report.fail(format!("El sello del paquete: {error}.")),
        }
        let others = self.container.members.iter().filter(|member| member.name.starts_with("META-INF/"));
        if others.count() != 2 + usize::from(signature.is_some()) {
            report.fail("En META-INF hay archivos de más.");
        }
        match signature {
            Some((cms, _)) => self.signature(&cms, &manifest, at, report),
            None => {
                report.warn(
                    "El paquete no lleva firma digital de la entidad (CAdES), solo el sello de la clave de auditoría.",
                );
                Ok(())
            }
        }
    }

    /// Whether the certificate is good is judged for when it signed: it expires, and what it signed does not.
    fn signature(&mut self, cms: &[u8], manifest: &[u8], at: Timestamp, report: &mut Report) -> Done {
        let pem = self.container.read(CERTIFICATES, SMALL_MAX)?.0;
        let signer = X509::from_pem(&pem).map_err(|_| shape(format!("«{CERTIFICATES}» no es un certificado")))?;
        let who = titular(&signer);
        let ruc = who.ruc.as_ref().map(|ruc| format!(", RUC {ruc}")).unwrap_or_default();
        let name = format!("{}{ruc}", who.nombre);
        let holds = |store: Option<&X509Store>, options| {
            let mut info = CmsContentInfo::from_der(cms)?;
            let mut certificates = openssl::stack::Stack::new()?;
            certificates.push(signer.clone())?;
            // Only the certificate that the manifest names may have signed.
            let options = CMSOptions::BINARY | CMSOptions::DETACHED | CMSOptions::NOINTERN | options;
            info.verify(Some(&certificates), store.map(|store| &**store), Some(manifest), None, options)
        };
        if holds(None, CMSOptions::NO_SIGNER_CERT_VERIFY).is_err() {
            report.fail("La firma digital (CAdES) no corresponde al manifiesto o a su certificado.");
            return Ok(());
        }
        report.proven(format!("El manifiesto lo firmó (CAdES) quien tiene la llave del certificado de {name}."));
        if self.trust.anchors.is_empty() {
            report.warn(format!(
                "Que el certificado de {name} sea auténtico: no se dieron raíces de confianza (--trust)."
            ));
            return Ok(());
        }
        match anchors(&self.trust.anchors, at).and_then(|store| holds(Some(&store), CMSOptions::empty())) {
            Ok(()) => report.proven(format!(
                "El certificado de {name} lleva a una de sus raíces de confianza y estaba vigente el {}, cuando según el \
                 paquete se firmó. Si fue revocado, no se consulta.",
                lima::texto(at)
            )),
            Err(error) => report.distrust(format!(
                "El certificado de {name} no lleva a sus raíces de confianza, o no vale: {}",
                reason(&error)
            )),
        }
        Ok(())
    }

    fn checkpoint(&mut self, key: &Verifier, report: &mut Report) -> Result<Checkpoint, ContainerError> {
        let note = self.text(CHECKPOINT, NOTE_MAX as u64)?;
        let checkpoint =
            Checkpoint::open(&note, key).map_err(|error| shape(format!("El punto de control: {error}.")))?;
        report.proven(format!(
            "El punto de control de {} asientos, de las {} según el reloj de la entidad, lo firmó la clave de auditoría.",
            checkpoint.size,
            lima::texto(checkpoint.at)
        ));
        Ok(checkpoint)
    }

    /// The documents and the record against what the entries say.
    fn exchange(&mut self, contents: &Contents, said: &[Said], report: &mut Report) {
        let versions: Vec<&Record> =
            said.iter().flat_map(|said| &said.records).filter(|record| record.id() == contents.id).collect();
        if versions.iter().zip(1_u32..).any(|(record, version)| record.version() != version) {
            report.fail("Entre los asientos falta alguno: las versiones del registro no son seguidas.");
        }
        let Some(last) = versions.last() else {
            report.fail("Los asientos no traen el registro del intercambio.");
            return;
        };
        let same = serde_json::to_value(last).is_ok_and(|value| value == contents.registro);
        match subject(last)
            .filter(|subject| same && subject.tipo == contents.tipo && subject.summary == contents.resumen)
        {
            None => report.fail("El registro del manifiesto no es el que dejó el último asiento."),
            Some(subject) => {
                report.proven("El registro del intercambio es el que dejó el último de sus asientos.");
                let cargo = subject.cargo.map(|cargo| &cargo.sha256);
                if let Some(purga) = last.purga() {
                    return self.purged(purga, [&subject.document.sha256].into_iter().chain(cargo), report);
                }
                self.document(DOCUMENT, "El documento", Some(&subject.document.sha256), said, report);
                self.document(CARGO, "El cargo", cargo, said, report);
                annexes(last, report);
                signatures::judge(&mut self.container, &subject, report);
            }
        }
    }

    /// What a certificate says that went cannot be shown; that it says so is proven.
    fn purged<'s>(&self, purga: &Purga, recorded: impl Iterator<Item = &'s Sha256>, report: &mut Report) {
        if self.digests.iter().any(|(name, _)| name == DOCUMENT || name == CARGO) {
            report.fail("El paquete trae documentos que según su certificado fueron purgados.");
        }
        let named = |sha256: &Sha256| purga.documentos.iter().any(|documento| documento.sha256 == *sha256);
        if !recorded.into_iter().all(named) {
            report.fail("El certificado de purga no nombra los documentos del intercambio.");
        }
        report.proven(format!(
            "El {} se purgaron {} archivos del intercambio por {}: lo dice un asiento, con la huella de cada uno.",
            lima::texto(purga.en),
            purga.documentos.len(),
            purga.politica
        ));
        for documento in &purga.documentos {
            report.warn(format!(
                "{} de {} bytes y SHA-256 {}: fue purgado y no viene en el paquete. Quien conserve una copia puede compararla \
                 con esa huella.",
                documento.clase.palabra(),
                documento.bytes,
                documento.sha256
            ));
        }
    }

    fn document(&self, name: &str, what: &str, recorded: Option<&Sha256>, said: &[Said], report: &mut Report) {
        let digest =
            self.digests.iter().find(|(found, _)| found == name).map(|(_, digest)| Sha256::from_digest(digest));
        match (digest, recorded) {
            (None, None) => report.warn(format!("{what}: el intercambio aún no lo tiene.")),
            (Some(digest), Some(recorded)) if digest == *recorded => {
                let fact = said.iter().flat_map(|said| &said.facts).find(|fact| fact.documentos.contains(&digest));
                match fact {
                    Some(fact) => report.proven(format!(
                        "{what} ({name}) es, byte por byte, el que se registró como «{}» el {}.",
                        fact.tipo,
                        lima::texto(fact.at)
                    )),
                    None => report.fail(format!("Ningún hecho registrado nombra {name}.")),
                }
            }
            _ => report.fail(format!("{what} ({name}) no es el que se registró.")),
        }
    }

    fn timestamp(&mut self, report: &mut Report) -> Done {
        if self.container.find(TIMESTAMP).is_none() {
            report.warn(
                "La hora del punto de control: es la del reloj de la entidad, sin sello de tiempo de un tercero.",
            );
            return Ok(());
        }
        let (token, _) = self.container.read(TIMESTAMP, TIMESTAMP_MAX)?;
        let (note, _) = self.container.read(CHECKPOINT, NOTE_MAX as u64)?;
        super::super::stamp::judge(&token, &merkle::hash(&[&note]), &self.trust.anchors, report);
        Ok(())
    }
}

/// Annexes are no part of a package, and may be large; that they were on record with these digests is proven with it.
fn annexes(record: &Record, report: &mut Report) {
    let (stated, fetched) = match record {
        Record::Despacho(despacho) => (&despacho.anexos[..], &[][..]),
        Record::Recepcion(recepcion) => (&recepcion.anexos[..], &recepcion.anexos_traidos[..]),
        _ => return,
    };
    let kept = stated.iter().filter_map(|anexo| Some((&anexo.nombre, anexo.archivo.as_ref()?)));
    let kept = kept.map(|(nombre, archivo)| (nombre, archivo.bytes, &archivo.sha256));
    let fetched = fetched.iter().map(|anexo| (&anexo.nombre, anexo.bytes, &anexo.sha256));
    for (nombre, bytes, sha256) in kept.chain(fetched) {
        report.warn(format!(
            "El anexo «{nombre}», de {bytes} bytes y SHA-256 {sha256}: está registrado con el intercambio y no viene en el \
             paquete. Quien tenga una copia puede compararla con esa huella."
        ));
    }
    for anexo in stated.iter().filter(|anexo| anexo.archivo.is_none()) {
        report.warn(format!("El anexo «{}»: del archivo solo se conoce el nombre.", anexo.nombre));
    }
}

/// Every entry under the checkpoint; what they say.
fn entries_hold(entries: &Entries, checkpoint: &Checkpoint, report: &mut Report) -> Vec<Said> {
    let (mut said, mut good) = (Vec::new(), true);
    for (n, entry) in entries.asientos.iter().enumerate() {
        let before = n.checked_sub(1).and_then(|n| entries.asientos.get(n));
        if before.is_some_and(|before| before.asiento >= entry.asiento || before.indice >= entry.indice) {
            report.fail(format!("El asiento {} no está en su orden.", entry.asiento));
            good = false;
        }
        match entry.said().filter(|_| entry.is_in(checkpoint)) {
            Some(one) => said.push(one),
            None => {
                report.fail(format!(
                    "El asiento {} no está en el registro que firmó el punto de control.",
                    entry.asiento
                ));
                good = false;
            }
        }
    }
    if good {
        report
            .proven(format!("Los {} asientos estaban en el registro cuando se firmó el punto de control.", said.len()));
    }
    said
}

/// A store of trusted certificates, for any use, that judges chains as of a moment.
pub fn anchors(trusted: &[X509], at: Timestamp) -> Result<X509Store, openssl::error::ErrorStack> {
    let mut builder = X509StoreBuilder::new()?;
    for certificate in trusted {
        builder.add_cert(certificate.clone())?;
    }
    let mut param = X509VerifyParam::new()?;
    param.set_time(at.as_second());
    param.set_purpose(openssl::x509::X509PurposeId::ANY)?;
    builder.set_param(&param)?;
    Ok(builder.build())
}

/// Why a chain was not believed, for people.
pub fn reason(error: &openssl::error::ErrorStack) -> String {
    let first = error.errors().last();
    let text = first.and_then(|error| error.data().or_else(|| error.reason()).map(str::to_owned));
    let text = text.unwrap_or_else(|| "sin más detalle".into());
    let known = [
        ("self-signed", "su cadena termina en un certificado que no está entre sus raíces"),
        ("self signed", "su cadena termina en un certificado que no está entre sus raíces"),
        ("unable to get", "falta el certificado de quien lo emitió, o no está entre sus raíces"),
        ("has expired", "había vencido"),
        ("not yet valid", "todavía no valía"),
    ];
    known.iter().find(|(english, _)| text.contains(english)).map_or(text, |(_, spanish)| (*spanish).to_owned())
}
