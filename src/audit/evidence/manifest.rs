//! The ASiC manifest and the seal: which bytes belong to the package.

use std::fmt::Write;

use base64_simd::STANDARD;

use super::{MANIFEST, SIGNATURE};
use crate::{audit::merkle::Hash, domain::Sha256};

/// The manifest's reference to one file.
pub fn reference(name: &str, digest: &Hash) -> String {
    let mime = match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("pdf") => "application/pdf",
        Some("json") => "application/json",
        Some("txt" | "note") => "text/plain",
        Some("pem") => "application/x-pem-file",
        _ => "application/octet-stream",
    };
    format!(
        "<asic:DataObjectReference URI=\"{name}\" MimeType=\"{mime}\"><ds:DigestMethod \
         Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"/><ds:DigestValue>{}</ds:DigestValue>\
         </asic:DataObjectReference>",
        STANDARD.encode_to_string(digest)
    )
}

/// The whole manifest, in its one form.
pub fn manifest(files: &[(String, Hash)]) -> String {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<asic:ASiCManifest xmlns:asic=\"http://uri.etsi.org/02918/v1.2.1#\" \
         xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><asic:SigReference URI=\"{SIGNATURE}\" \
         MimeType=\"application/pkcs7-signature\"/>"
    );
    for (name, digest) in files {
        write!(xml, "\n{}", reference(name, digest)).ok();
    }
    xml.push_str("\n</asic:ASiCManifest>\n");
    xml
}

/// What the log's key signs: the manifest and the signature over it, or `ninguna`.
pub fn seal(origin: &str, manifest: &Hash, signature: Option<&Hash>) -> String {
    let signature = signature.map_or_else(|| "ninguna".to_owned(), |digest| Sha256::from_digest(digest).to_string());
    let manifest = Sha256::from_digest(manifest);
    format!("chasqui evidencia 1\n{origin}\n{MANIFEST} {manifest}\n{SIGNATURE} {signature}\n")
}
