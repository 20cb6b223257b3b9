//! One signature after the other: what it covers, whether it holds, who made it and when, and who vouches for them.

use std::io::{Read, Seek};

use jiff::{SignedDuration, Timestamp};

use super::{
    Context, Evidence, Findings, changes,
    coverage::{self, Coverage, Wrong},
    fields::{self, Found},
    locks::Locks,
    revocation::{self, Status},
};
use crate::{
    domain::{
        firmas::{Firma, SelloDeTiempo, TipoFirma, VeredictoFirma},
        lima,
    },
    signing::{
        certificate::Certificate,
        cms::{self, Digest, Fault, SignedData, TimeInfo},
        pdf::{Error, Object, Pdf},
        tlv,
        trust::{Chain, Purpose, Trust},
    },
};

/// Clocks differ; a signature from further ahead is remarked.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(1);
/// Certificates, CRLs and OCSP answers that the document brings, of each kind, and all their bytes together.
const EVIDENCE_MAX: usize = 64;
const EVIDENCE_BYTES_MAX: usize = 8 * 1024 * 1024;

const SELLO_SIN_RESPALDO: &str = "No consta que un emisor de confianza responda por la autoridad del sello de tiempo.";

/// What the document brings to judge certificates with.
#[derive(Default)]
struct Brought {
    certificates: Vec<Certificate>,
    evidence: Vec<Evidence>,
}

/// A signature taken apart, before its digest is known.
struct Read1<'a> {
    found: &'a Found,
    kind: TipoFirma,
    format: String,
    coverage: Result<Coverage, Wrong>,
    signed: Result<SignedData, Fault>,
    /// The algorithm of the digest over the file.
    digest: Option<Digest>,
    info: Option<TimeInfo>,
    tidy: bool,
    locks: Locks,
}

/// What was decided so far.
struct Judged {
    verdict: VeredictoFirma,
    findings: Findings,
    stamp: Option<SelloDeTiempo>,
}

impl Judged {
    fn worsen(&mut self, verdict: VeredictoFirma) {
        self.verdict = self.verdict.max(verdict);
    }

    fn fail(&mut self, verdict: VeredictoFirma, code: &str, text: impl Into<String>) {
        self.worsen(verdict);
        self.findings.fail(code, text);
    }

    fn doubt(&mut self, code: &str, text: impl Into<String>) {
        self.worsen(VeredictoFirma::Integra);
        self.findings.warn(code, text);
    }
}

pub(super) fn examine_all<R: Read + Seek>(
    pdf: &mut Pdf<R>,
    found: &[Found],
    context: &Context<'_>,
) -> Result<Vec<Firma>, Error> {
    let mut all = Vec::with_capacity(found.len());
    for one in found {
        all.push(take_apart(pdf, one)?);
    }
    let wanted: Vec<(Coverage, Digest)> =
        all.iter().filter_map(|one| Some((*one.coverage.as_ref().ok()?, one.digest?))).collect();
    let mut made = coverage::digests(pdf, &wanted, context.begun)?.into_iter();
    let digests: Vec<Option<Vec<u8>>> =
        all.iter().map(|one| if one.coverage.is_ok() && one.digest.is_some() { made.next() } else { None }).collect();
    let brought = brought(pdf)?;
    let history = changes::history(pdf, &all.iter().filter_map(Read1::revision).min())?;
    let proofs = proofs(&all, &digests, &brought, context.trust);
    let mut reports = Vec::with_capacity(all.len());
    for (one, digest) in all.iter().zip(&digests) {
        let mut judged = judge(one, digest.as_deref(), &brought, &proofs, context);
        later(pdf, one, &history, &mut judged)?;
        reports.push(report(pdf, one, judged)?);
    }
    Ok(reports)
}

impl Read1<'_> {
    fn revision(&self) -> Option<usize> {
        self.coverage.as_ref().ok()?.revision
    }
}

fn take_apart<'a, R: Read + Seek>(pdf: &mut Pdf<R>, found: &'a Found) -> Result<Read1<'a>, Error> {
    let format = pdf.value(&found.dict, "SubFilter")?;
    let format = format.as_name().map(fields::text).unwrap_or_default();
    let coverage = coverage::coverage(pdf, found)?;
    let contents = found.dict.get("Contents").and_then(Object::as_bytes).unwrap_or_default();
    let (der, tidy) = without_padding(contents);
    let signed = SignedData::parse(der).or_else(|fault| match fault {
        Fault::Structure => SignedData::parse(&cms::normalized(contents)?),
        other => Err(other),
    });
    let kind = if format == "ETSI.RFC3161" { TipoFirma::SelloDeTiempo } else { TipoFirma::Firma };
    let info = match (&signed, kind) {
        (Ok(signed), TipoFirma::SelloDeTiempo) => signed.content.as_deref().and_then(|c| TimeInfo::parse(c).ok()),
        _ => None,
    };
    let digest = match kind {
        TipoFirma::SelloDeTiempo => info.as_ref().map(|info| info.digest),
        TipoFirma::Firma => signed.as_ref().ok().map(|signed| signed.digest),
    };
    let locks = Locks::of(pdf, found)?;
    Ok(Read1 { found, kind, format, coverage, signed, digest, info, tidy, locks })
}

/// The structure without the zeros that fill up its place; also whether zeros are all that follows it.
fn without_padding(contents: &[u8]) -> (&[u8], bool) {
    let mut reader = tlv::Reader::new(contents);
    match reader.element() {
        Ok(element) => (element.whole, reader.rest().iter().all(|byte| *byte == 0)),
        // Indefinite lengths: ends where its reader says; zeros are its end marks too.
        Err(_) => (contents, contents.get(..2) == Some(&[0x30, 0x80])),
    }
}

/// Times at which signatures provably existed: those of trusted timestamps over the document, with what they cover.
fn proofs(all: &[Read1<'_>], digests: &[Option<Vec<u8>>], brought: &Brought, trust: &Trust) -> Vec<(u64, Timestamp)> {
    let mut proofs = Vec::new();
    for (one, digest) in all.iter().zip(digests) {
        let (Ok(coverage), Ok(signed), Some(info), Some(digest)) =
            (&one.coverage, &one.signed, &one.info, digest.as_deref())
        else {
            continue;
        };
        if token(signed, info, digest).is_ok() && authority(signed, info, brought, trust) == Ok(Chain::Trusted) {
            proofs.push((coverage.end, info.time));
        }
    }
    proofs
}

/// Whether a timestamp token holds for this digest.
fn token(signed: &SignedData, info: &TimeInfo, digest: &[u8]) -> Result<(), Fault> {
    let content = signed.content.as_deref().filter(|_| signed.is_timestamp).ok_or(Fault::Structure)?;
    if info.imprint != digest {
        return Err(Fault::Digest);
    }
    signed.check(&signed.digest.of(content)?)?;
    signed.binds_certificate().map(|_| ())
}

/// Who vouches for a timestamp authority.
fn authority(signed: &SignedData, info: &TimeInfo, brought: &Brought, trust: &Trust) -> Result<Chain, Fault> {
    let certificate = signed.certificate()?;
    if !certificate.may_stamp_time() {
        return Ok(Chain::Broken);
    }
    let others = [&*signed.certificates, &*brought.certificates].concat();
    Ok(trust.chain_for(Purpose::TimeStamping, certificate, &others, info.time).0)
}

fn judge(
    one: &Read1<'_>,
    digest: Option<&[u8]>,
    brought: &Brought,
    proofs: &[(u64, Timestamp)],
    context: &Context<'_>,
) -> Judged {
    let mut judged = Judged { verdict: VeredictoFirma::Confiable, findings: Findings::default(), stamp: None };
    if let Err((code, text)) = one.coverage {
        judged.fail(VeredictoFirma::Invalida, code, text);
    }
    match &*one.format {
        "adbe.pkcs7.detached" | "ETSI.CAdES.detached" | "ETSI.RFC3161" => {}
        "adbe.pkcs7.sha1" | "adbe.x509.rsa_sha1" => {
            let text = "La firma usa un formato antiguo, retirado por inseguro (SHA-1); no se comprueba.";
            judged.fail(VeredictoFirma::NoComprobable, "formato_obsoleto", text);
            return judged;
        }
        other => {
            let text = format!("La firma usa un formato que no se reconoce: «{other}».");
            judged.fail(VeredictoFirma::NoComprobable, "formato_desconocido", text);
            return judged;
        }
    }
    let signed = match &one.signed {
        Ok(signed) => signed,
        Err(fault) => {
            holds(&mut judged, Err(*fault));
            return judged;
        }
    };
    if !one.tidy {
        let text = "Después de la firma, en el espacio reservado para ella, hay datos escondidos.";
        judged.fail(VeredictoFirma::Invalida, "datos_tras_la_firma", text);
    }
    let Some(digest) = digest else {
        if one.coverage.is_ok() {
            holds(&mut judged, Err(Fault::Structure));
        }
        return judged;
    };
    if one.kind == TipoFirma::SelloDeTiempo {
        judge_stamp(&mut judged, signed, one.info.as_ref(), digest, brought, context);
        return judged;
    }
    if signed.is_timestamp || signed.content.is_some() {
        holds(&mut judged, Err(Fault::Structure));
        return judged;
    }
    if holds(&mut judged, signed.check(digest)) {
        judge_signer(&mut judged, one, signed, brought, proofs, context);
    }
    judged
}

/// Notes why a signature does not hold; says whether it does.
fn holds(judged: &mut Judged, result: Result<(), Fault>) -> bool {
    let Err(fault) = result else { return true };
    let (verdict, code) = match fault {
        Fault::Structure => (VeredictoFirma::Invalida, "firma_danada"),
        Fault::Unsupported => (VeredictoFirma::NoComprobable, "algoritmo_desconocido"),
        Fault::NoCertificate => (VeredictoFirma::NoComprobable, "sin_certificado"),
        Fault::Digest => (VeredictoFirma::Invalida, "contenido_alterado"),
        Fault::Signature => (VeredictoFirma::Invalida, "firma_falsa"),
        Fault::WrongCertificate => (VeredictoFirma::Invalida, "certificado_cambiado"),
    };
    judged.fail(verdict, code, format!("La firma no vale: {fault}."));
    false
}

fn judge_stamp(
    judged: &mut Judged,
    signed: &SignedData,
    info: Option<&TimeInfo>,
    digest: &[u8],
    brought: &Brought,
    context: &Context<'_>,
) {
    let Some(info) = info else {
        holds(judged, Err(Fault::Structure));
        return;
    };
    if !holds(judged, token(signed, info, digest)) {
        return;
    }
    let vouched = authority(signed, info, brought, context.trust);
    judged.stamp = Some(stamp(signed, info, vouched == Ok(Chain::Trusted)));
    if vouched != Ok(Chain::Trusted) {
        judged.doubt("sello_sin_respaldo", SELLO_SIN_RESPALDO);
    }
    tidy(judged, signed, brought, context.trust);
}

fn stamp(signed: &SignedData, info: &TimeInfo, trusted: bool) -> SelloDeTiempo {
    let authority = signed.certificate().map(Certificate::name).unwrap_or_default();
    SelloDeTiempo { fecha: info.time, autoridad: authority, confiable: trusted }
}

/// Weak algorithms, and things that are not covered by the signature and should not be there.
fn tidy(judged: &mut Judged, signed: &SignedData, brought: &Brought, trust: &Trust) {
    if signed.is_weak() {
        let text = format!("La firma usa un algoritmo débil ({}).", signed.algorithm());
        judged.doubt("algoritmo_debil", text);
    }
    if signed.has_strange_attributes() {
        judged.doubt("atributos_ajenos", "Junto a la firma hay datos sin firmar que ninguna norma conoce.");
    }
    let vouched = |one: &Certificate| {
        let along = signed.certificates.iter().chain(&brought.certificates);
        trust.has(one) || along.chain(trust.anchors().iter().map(|a| &a.certificate)).any(|issuer| issuer.issued(one))
    };
    let signer = signed.certificate().map(|c| c.der.clone()).unwrap_or_default();
    if signed.certificates.iter().any(|one| one.der != signer && !vouched(one)) {
        judged.doubt("certificado_ajeno", "Junto a la firma hay certificados que nadie respalda.");
    }
}

fn judge_signer(
    judged: &mut Judged,
    one: &Read1<'_>,
    signed: &SignedData,
    brought: &Brought,
    proofs: &[(u64, Timestamp)],
    context: &Context<'_>,
) {
    tidy(judged, signed, brought, context.trust);
    match signed.binds_certificate() {
        Ok(Some(())) => {}
        Ok(None) if one.format == "ETSI.CAdES.detached" => {
            let text = "La firma no dice con qué certificado se hizo (signing-certificate), como pide PAdES.";
            judged.doubt("sin_certificado_firmado", text);
        }
        Ok(None) => {}
        Err(fault) => {
            holds(judged, Err(fault));
        }
    }
    let Ok(certificate) = signed.certificate() else { return };
    if !certificate.may_sign() {
        judged.doubt("uso_de_clave", "El certificado de quien firma no fue emitido para firmar documentos.");
    }
    signature_stamp(judged, signed, brought, context.trust);
    let own = judged.stamp.as_ref().filter(|stamp| stamp.confiable).map(|stamp| stamp.fecha);
    let end = one.coverage.as_ref().map_or(u64::MAX, |coverage| coverage.end);
    let later = proofs.iter().filter(|(covers, _)| *covers > end).map(|(_, time)| *time);
    let proven = own.into_iter().chain(later).min();
    let claimed = declared(one, signed);
    if claimed.is_some_and(|claimed| claimed > context.now.saturating_add(CLOCK_SKEW).unwrap_or(context.now)) {
        judged.findings.warn("fecha_futura", "La fecha de la firma está en el futuro.");
    }
    let mut others = [&*signed.certificates, &*brought.certificates].concat();
    others.retain(|other| other.der != certificate.der);
    let as_of = proven.unwrap_or(context.now);
    let (chain, path) = context.trust.chain(certificate, &others, as_of);
    in_time(judged, certificate, proven, claimed, context.now);
    match chain {
        Chain::Trusted => vouched(judged, path.last(), as_of, context.trust),
        Chain::NotVouched => judged.doubt(
            "emisor_no_acreditado",
            format!(
                "El emisor del certificado figura en una lista de servicios de confianza, pero el {} no estaba acreditado \
                 para emitirlo.",
                lima::texto(as_of)
            ),
        ),
        Chain::Unknown if context.trust.is_empty() => judged.doubt(
            "sin_anclas",
            "No hay certificados de confianza configurados con los que juzgar al emisor del firmante.",
        ),
        Chain::Unknown => judged.doubt(
            "emisor_desconocido",
            format!(
                "El emisor del certificado, «{}», no lleva a ninguna entidad de confianza.",
                certificate.summary().emisor
            ),
        ),
        Chain::Expired => {
            judged
                .doubt("cadena_vencida", "Un certificado entre el firmante y la entidad de confianza no está vigente.");
        }
        Chain::Broken => {
            judged
                .doubt("cadena_rota", "Los certificados entre el firmante y la entidad de confianza no se sostienen.");
        }
    }
    if let Some(issuer) = path.get(1) {
        let (crls, answers) = signed.revocation();
        let mut evidence: Vec<Evidence> = crls.into_iter().map(Evidence::Crl).collect();
        evidence.extend(answers.into_iter().map(Evidence::Ocsp));
        evidence.extend(brought.evidence.iter().cloned());
        revoked(judged, certificate, (chain, issuer), evidence, proven, context);
    } else {
        judged.findings.info("revocacion_sin_comprobar", "No se pudo comprobar si el certificado fue revocado.");
    }
}

/// Says which service of a trusted list the chain led to, if it did.
fn vouched(judged: &mut Judged, anchor: Option<&openssl::x509::X509>, at: Timestamp, trust: &Trust) {
    let der = anchor.and_then(|anchor| anchor.to_der().ok()).unwrap_or_default();
    if let Some(service) = trust.service(&der, at) {
        let text = format!(
            "Responde por el firmante un servicio de la lista de confianza: «{}», de {}.",
            service.name, service.provider
        );
        judged.findings.info("emisor_en_lista", text);
    }
}

/// The timestamp over the signature itself, if it has one.
fn signature_stamp(judged: &mut Judged, signed: &SignedData, brought: &Brought, trust: &Trust) {
    let Some(der) = signed.timestamp_token() else { return };
    let read = SignedData::parse(der).and_then(|token| {
        let info = TimeInfo::parse(token.content.as_deref().ok_or(Fault::Structure)?)?;
        let imprint = info.digest.of(&signed.signature)?;
        self::token(&token, &info, &imprint)?;
        Ok((token, info))
    });
    match read {
        Ok((token, info)) => {
            let trusted = authority(&token, &info, brought, trust) == Ok(Chain::Trusted);
            judged.stamp = Some(stamp(&token, &info, trusted));
            if !trusted {
                judged.doubt("sello_sin_respaldo", SELLO_SIN_RESPALDO);
            }
        }
        Err(fault) => judged.doubt("sello_invalido", format!("El sello de tiempo de la firma no vale: {fault}.")),
    }
}

/// Whether the signer's certificate was in force when it signed.
fn in_time(
    judged: &mut Judged,
    certificate: &Certificate,
    proven: Option<Timestamp>,
    claimed: Option<Timestamp>,
    now: Timestamp,
) {
    let (from, to) = (lima::texto(certificate.not_before), lima::texto(certificate.not_after));
    let signed_at = proven.or(claimed).unwrap_or(now);
    if !certificate.valid_at(signed_at) {
        let text = format!("Al firmar, el certificado no estaba vigente (vale del {from} al {to}).");
        judged.fail(VeredictoFirma::Invalida, "certificado_no_vigente", text);
    } else if proven.is_none() && !certificate.valid_at(now) {
        let text = format!(
            "El certificado venció el {to} y ningún sello de tiempo confiable prueba que se firmara antes de esa fecha."
        );
        judged.doubt("certificado_vencido", text);
    }
}

/// Whether the signer's certificate was revoked; a source outside is asked only where the document does not tell, and only
/// of a certificate that an anchor vouches for: else whoever makes one would choose whom we ask.
fn revoked(
    judged: &mut Judged,
    certificate: &Certificate,
    (chain, issuer): (Chain, &openssl::x509::X509),
    evidence: Vec<Evidence>,
    proven: Option<Timestamp>,
    context: &Context<'_>,
) {
    let at = proven.unwrap_or(context.now);
    let judge = revocation::Judge { certificate, issuer, trust: context.trust, at, now: context.now };
    let (mut status, mut by) = judge.status(evidence.iter().map(|piece| (piece, None)));
    let mut failed = None;
    if status == Status::Unknown
        && chain == Chain::Trusted
        && let Some(source) = context.revocation
    {
        let asked = source.ask(&certificate.x509, issuer);
        (status, by) = judge.status(asked.evidence.iter().map(|(piece, source)| (piece, Some(source.as_str()))));
        failed = asked.failed;
    }
    let by = by.map(|by| format!(" Lo dice la {by}.")).unwrap_or_default();
    match status {
        Status::Good => {
            judged.findings.info("no_revocado", format!("Consta que el certificado no estaba revocado.{by}"));
        }
        Status::Unknown => {
            let why = failed.map(|why| format!(" ({why})")).unwrap_or_default();
            let text = format!("No se pudo comprobar si el certificado fue revocado{why}.");
            judged.findings.info("revocacion_sin_comprobar", text);
        }
        // Revoked later than the proven time of signing: the signature stands.
        Status::Revoked(Some(since)) if proven.is_some_and(|proven| proven < since) => {
            let text = format!("El certificado fue revocado después de firmar, el {}.{by}", lima::texto(since));
            judged.findings.info("revocado_despues", text);
        }
        Status::Revoked(since) => {
            let when = since.map(|since| format!(" el {}", lima::texto(since))).unwrap_or_default();
            let text = format!("El certificado de quien firma fue revocado{when}.{by}");
            judged.fail(VeredictoFirma::Invalida, "certificado_revocado", text);
        }
    }
}

fn declared(one: &Read1<'_>, signed: &SignedData) -> Option<Timestamp> {
    let written = one.found.dict.get("M").and_then(Object::as_bytes).map(fields::text);
    written.and_then(|text| fields::date(&text)).or_else(|| signed.signing_time())
}

/// What was added to the file after the signature.
fn later<R: Read + Seek>(
    pdf: &mut Pdf<R>,
    one: &Read1<'_>,
    history: &changes::History,
    judged: &mut Judged,
) -> Result<(), Error> {
    if pdf.repaired().is_some() {
        let text = "La estructura del PDF está dañada: no se puede saber si cambió después de firmarlo.";
        judged.fail(VeredictoFirma::NoComprobable, "estructura_danada", text);
        return Ok(());
    }
    let Ok(coverage) = &one.coverage else { return Ok(()) };
    let Some(revision) = coverage.revision else {
        let text = "La firma termina donde no termina ningún guardado del PDF: no cubre el documento que la contiene.";
        judged.fail(VeredictoFirma::Invalida, "no_cubre_su_revision", text);
        return Ok(());
    };
    // The signature must be part of what it covers the end of.
    let earlier = revision.checked_sub(1).and_then(|before| pdf.revisions().get(before)).and_then(|r| r.end);
    if earlier.is_some_and(|end| coverage.gap_start < end) {
        let text = "La firma dice cubrir un guardado del PDF que no es el suyo.";
        judged.fail(VeredictoFirma::Invalida, "no_cubre_su_revision", text);
        return Ok(());
    }
    history.tell(revision, (one.kind, &one.locks), &mut judged.findings, &mut judged.verdict);
    Ok(())
}

fn report<R: Read + Seek>(pdf: &mut Pdf<R>, one: &Read1<'_>, judged: Judged) -> Result<Firma, Error> {
    let text = |pdf: &mut Pdf<R>, key: &str| -> Result<Option<String>, Error> {
        let value = pdf.value(&one.found.dict, key)?;
        Ok(value.as_bytes().map(fields::text).filter(|text| !text.is_empty()))
    };
    let signed = one.signed.as_ref().ok();
    let covers = one.coverage.as_ref().is_ok_and(|coverage| coverage.end == pdf.byte_count());
    Ok(Firma {
        campo: one.found.name.clone(),
        tipo: one.kind,
        formato: one.format.clone(),
        veredicto: judged.verdict,
        firmante: signed.and_then(|signed| signed.certificate().ok()).map(Certificate::person),
        motivo: text(pdf, "Reason")?,
        lugar: text(pdf, "Location")?,
        fecha_declarada: signed.filter(|_| one.kind == TipoFirma::Firma).and_then(|signed| declared(one, signed)),
        sello_de_tiempo: judged.stamp,
        algoritmo: signed.map(SignedData::algorithm),
        cubre_todo: covers && judged.verdict != VeredictoFirma::Invalida,
        revision: one.revision().and_then(|revision| u32::try_from(revision + 1).ok()),
        hallazgos: judged.findings.0,
    })
}

/// The document's security store (DSS): certificates, CRLs and OCSP answers for years to come.
fn brought<R: Read + Seek>(pdf: &mut Pdf<R>) -> Result<Brought, Error> {
    let mut brought = Brought::default();
    let (_, catalog) = pdf.catalog()?;
    let store = pdf.value(&catalog, "DSS")?;
    let Object::Dict(store) = store else { return Ok(brought) };
    let mut room = EVIDENCE_BYTES_MAX;
    for key in ["Certs", "CRLs", "OCSPs"] {
        let list = pdf.value(&store, key)?;
        for id in list.as_array().unwrap_or_default().iter().filter_map(Object::as_ref).take(EVIDENCE_MAX) {
            let data = match pdf.object(id) {
                Ok(Some(object)) => pdf.decoded(&object, room),
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            let data = match data {
                Ok(data) => data,
                Err(error) if error.ends_all() => return Err(error),
                Err(_) => continue,
            };
            room = room.saturating_sub(data.len());
            match key {
                "Certs" => brought.certificates.extend(Certificate::from_der(&data)),
                "CRLs" => brought.evidence.push(Evidence::Crl(data)),
                _ => brought.evidence.push(Evidence::Ocsp(data)),
            }
        }
    }
    Ok(brought)
}
