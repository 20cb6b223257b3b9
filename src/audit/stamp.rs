//! Timestamps of checkpoints (RFC 3161): what they say and whether they hold.

use openssl::{
    cms::{CMSOptions, CmsContentInfo},
    error::ErrorStack,
    x509::{X509, store::X509Store},
};

use super::{
    evidence::{
        Report,
        verify::{anchors, reason},
    },
    merkle::Hash,
};
use crate::{domain::lima, signing::timestamp::TstInfo};

/// Whether a token is of this digest, whole, and of somebody trusted.
pub fn judge(token: &[u8], digest: &Hash, trusted: &[X509], report: &mut Report) {
    let Ok(content) = open(token, None, CMSOptions::NO_SIGNER_CERT_VERIFY) else {
        report.fail("El sello de tiempo no está íntegro.");
        return;
    };
    let Some(info) = TstInfo::read(&content).ok().filter(|info| info.imprint == digest) else {
        report.fail("El sello de tiempo es de otra cosa, no de este punto de control.");
        return;
    };
    let when = lima::texto(info.at);
    report.proven(format!("El punto de control ya existía el {when}, según su sello de tiempo."));
    if trusted.is_empty() {
        report.warn("Que la autoridad del sello de tiempo sea auténtica: no se dieron raíces de confianza (--trust).");
        return;
    }
    match anchors(trusted, info.at).and_then(|store| open(token, Some(&store), CMSOptions::empty()).map(drop)) {
        Ok(()) => report.proven(
            "El certificado del sello de tiempo lleva a una de sus raíces de confianza y estaba vigente cuando lo dio.",
        ),
        Err(error) => {
            report.fail(format!(
                "El certificado del sello de tiempo no lleva a sus raíces de confianza: {}",
                reason(&error)
            ));
        }
    }
}

/// What a token states, if it is whole.
fn open(token: &[u8], store: Option<&X509Store>, options: CMSOptions) -> Result<Vec<u8>, ErrorStack> {
    let mut content = Vec::new();
    let mut info = CmsContentInfo::from_der(token)?;
    let store = store.map(|store| &**store);
    info.verify(None, store, None, Some(&mut content), CMSOptions::BINARY | options)?;
    Ok(content)
}
