//! The files that TLS is made of, read whole and within a bound. Also lent to the client of the platform.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use zeroize::Zeroizing;

use super::TlsError;
use crate::config::{ListenerTls, causes::in_spanish};

/// Largest file of certificates or of a key, in bytes.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Most certificates taken from one file: a chain has a few, a file of authorities some hundreds.
pub const CERTIFICATES_MAX: usize = 1000;

/// What the files of a listener hold.
pub struct Material {
    own: PathBuf,
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    /// Who may have issued the callers' certificates, by file.
    pub authorities: Vec<(PathBuf, Vec<CertificateDer<'static>>)>,
}

impl PartialEq for Material {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain
            && self.key.secret_der() == other.key.secret_der()
            && self.authorities == other.authorities
    }
}

impl Material {
    pub fn read(options: &ListenerTls) -> Result<Self, TlsError> {
        let (own, key) = (options.certificate.clone().unwrap_or_default(), options.key.clone().unwrap_or_default());
        let authorities =
            options.client_ca.iter().map(|path| Ok((path.clone(), certificates(path)?))).collect::<Result<_, _>>()?;
        Ok(Self { chain: certificates(&own)?, key: private_key(&key)?, own, authorities })
    }

    /// Ours, and those that say who may call.
    pub fn certificates(&self) -> Vec<(PathBuf, CertificateDer<'static>)> {
        let own = self.chain.iter().map(|der| (self.own.clone(), der.clone()));
        let others = self.authorities.iter();
        own.chain(others.flat_map(|(path, found)| found.iter().map(|der| (path.clone(), der.clone())))).collect()
    }
}

/// The certificates of a PEM file; at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |why: &str| TlsError::File { path: path.to_owned(), why: why.to_owned() };
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).take(CERTIFICATES_MAX + 1).collect();
    let found = found.map_err(|_| failed("no se puede leer como PEM"))?;
    if found.len() > CERTIFICATES_MAX {
        return Err(failed(&format!("tiene más de {CERTIFICATES_MAX} certificados")));
    }
    if found.is_empty() {
        let why = "no tiene ningún certificado en PEM (-----BEGIN CERTIFICATE-----)";
        return Err(failed(why));
    }
    for der in &found {
        openssl::x509::X509::from_der(der).map_err(|_| failed("tiene un certificado que no se entiende"))?;
    }
    Ok(found)
}

/// The private key of a PEM file.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        let sealed = text.windows(9).any(|window| window.eq_ignore_ascii_case(b"encrypted"));
        let why = if sealed {
            "la clave tiene contraseña; quítesela: openssl pkey -in CLAVE -out CLAVE_SIN, y deje ese archivo solo para el usuario del servicio"
        } else {
            "no tiene una clave privada en PEM (-----BEGIN PRIVATE KEY-----)"
        };
        TlsError::File { path: path.to_owned(), why: why.into() }
    })
}

/// A file as it is.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let failed = |why: String| TlsError::File { path: path.to_owned(), why };
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(|error| failed(in_spanish(&error)))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failed(in_spanish(&error)))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(format!("tiene más de {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}
