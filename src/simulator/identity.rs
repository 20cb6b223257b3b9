//! With what the counterparts sign their cargos: an authority made when the simulator starts, and an identity for each
//! counterpart when it first signs. Worth nothing beyond this process; its root is given to whoever wants to believe it.

use std::{
    collections::HashMap,
    io::Cursor,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use openssl::{
    asn1::{Asn1Integer, Asn1Time},
    bn::{BigNum, MsbOption},
    ec::{EcGroup, EcKey},
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    x509::{
        X509, X509Builder, X509Name, X509NameBuilder,
        extension::{BasicConstraints, KeyUsage},
    },
};

use crate::signing::{
    Identity,
    pades::{self, Order},
};

/// How long the certificates last; the simulator ends sooner.
const LASTS: SignedDuration = SignedDuration::from_hours(365 * 24);
/// They began a day ago: clocks differ.
const SINCE: SignedDuration = SignedDuration::from_hours(24);
/// Identities held at once.
const IDENTITIES_MAX: usize = 256;

pub struct Authority {
    key: PKey<Private>,
    root: X509,
    made: Mutex<HashMap<String, Arc<Identity>>>,
    now: Timestamp,
}

impl Authority {
    pub fn new(now: Timestamp) -> Result<Self, ErrorStack> {
        let (key, name) =
            (key()?, name(&[("O", "SIMULADOR DE CHASQUI SIN VALOR LEGAL"), ("CN", "RAIZ DEL SIMULADOR")])?);
        let mut builder = certificate(&name, &name, &key, now)?;
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self { key, root: builder.build(), made: Mutex::default(), now })
    }

    /// The root, in PEM.
    pub fn root(&self) -> Vec<u8> {
        self.root.to_pem().unwrap_or_default()
    }

    /// Signs a PDF as an entity's automated agent. Without a signature if that is not possible: a simulator goes on.
    pub fn sign(&self, ruc: &str, entity: &str, pdf: Vec<u8>, now: Timestamp) -> Vec<u8> {
        match self.try_sign(ruc, entity, &pdf, now) {
            Ok(signed) => signed,
            Err(error) => {
                tracing::warn!(ruc, error, "the cargo of a counterpart goes unsigned");
                pdf
            }
        }
    }

    fn try_sign(&self, ruc: &str, entity: &str, pdf: &[u8], now: Timestamp) -> Result<Vec<u8>, String> {
        let identity = self.identity(ruc, entity)?;
        let order = Order { at: now, reason: Some("Cargo de recepción"), ..Order::default() };
        let mut signed = Vec::new();
        pades::sign(Cursor::new(pdf), &mut signed, &identity, &order).map_err(|error| error.to_string())?;
        Ok(signed)
    }

    fn identity(&self, ruc: &str, entity: &str) -> Result<Arc<Identity>, String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.get(ruc) {
            return Ok(Arc::clone(known));
        }
        let pem = self.issue(ruc, entity).map_err(|error| error.to_string())?;
        let identity = Arc::new(Identity::read(&pem, None).map_err(|error| error.to_string())?);
        if made.len() < IDENTITIES_MAX {
            made.insert(ruc.to_owned(), Arc::clone(&identity));
        }
        Ok(identity)
    }

    /// Key, certificate and root in PEM; named as the agents of entities are (CONTRACT §8).
    fn issue(&self, ruc: &str, entity: &str) -> Result<Vec<u8>, ErrorStack> {
        let key = key()?;
        // 64 is what an organization's name may have (X.520).
        let organization: String = entity.chars().take(64).collect();
        let (tax, agent) = (format!("NTRPE-{ruc}"), format!("AGENTE AUTOMATIZADO {ruc} soft"));
        let subject = name(&[("C", "PE"), ("O", &organization), ("2.5.4.97", &tax), ("CN", &agent)])?;
        let mut builder =
            certificate(&subject, &X509Name::from_der(&self.root.subject_name().to_der()?)?, &key, self.now)?;
        builder.append_extension(BasicConstraints::new().critical().build()?)?;
        builder.append_extension(KeyUsage::new().critical().digital_signature().non_repudiation().build()?)?;
        builder.sign(&self.key, MessageDigest::sha256())?;
        Ok([key.private_key_to_pem_pkcs8()?, builder.build().to_pem()?, self.root.to_pem()?].concat())
    }
}

fn key() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

fn name(parts: &[(&str, &str)]) -> Result<X509Name, ErrorStack> {
    let mut name = X509NameBuilder::new()?;
    for (key, value) in parts {
        name.append_entry_by_text(key, value)?;
    }
    Ok(name.build())
}

fn certificate(
    subject: &X509Name,
    issuer: &X509Name,
    key: &PKey<Private>,
    now: Timestamp,
) -> Result<X509Builder, ErrorStack> {
    let at = |time: Result<Timestamp, jiff::Error>| Asn1Time::from_unix(time.unwrap_or(now).as_second());
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    let serial = Asn1Integer::from_bn(&serial)?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(subject)?;
    builder.set_issuer_name(issuer)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(&*at(now.checked_sub(SINCE))?)?;
    builder.set_not_after(&*at(now.checked_add(LASTS))?)?;
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::firmas::Veredicto,
        signing::{
            trust::Trust,
            verify::{Context, examine},
        },
        simulator::pdf::Hoja,
    };

    #[test]
    fn what_a_counterpart_signs_is_trusted_by_who_believes_the_simulator() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let authority = Authority::new(now).unwrap();
        let pdf = Hoja { titulo: "Cargo".into(), ..Hoja::default() }.render();
        let signed = authority.sign(
            "20900001003",
            "ENTIDAD SIMULADA QUE RECEPCIONA CON UN NOMBRE MUY LARGO QUE NO CABE",
            pdf,
            now,
        );
        let mut trust = Trust::default();
        trust.with(&authority.root(), "simulador").unwrap();
        let report =
            examine(Cursor::new(signed), &Context { now, trust: &trust, folios: None, revocation: None, begun: None });
        assert_eq!(report.veredicto, Veredicto::Confiable, "{report:?}");
        let signer = report.firmas[0].firmante.as_ref().unwrap();
        assert_eq!(signer.ruc.as_deref(), Some("20900001003"));
        assert!(signer.entidad.as_deref().unwrap().starts_with("ENTIDAD SIMULADA QUE RECEPCIONA"));
    }
}
