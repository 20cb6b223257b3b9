//! TLS towards a component: verified by the system's roots, or, where a tester says so, taken on trust.

use std::{io, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::config::causes;

/// Why a session was not made.
pub fn razon(error: &io::Error) -> String {
    use rustls::CertificateError as C;
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return causes::in_spanish(error);
    };
    match tls {
        Error::InvalidCertificate(why) => match why {
            C::UnknownIssuer => "nadie en quien se confíe avala su certificado".into(),
            C::Expired | C::ExpiredContext { .. } => "su certificado está vencido".into(),
            C::NotValidYet | C::NotValidYetContext { .. } => "su certificado aún no vale".into(),
            C::NotValidForName | C::NotValidForNameContext { .. } => "su certificado no es de ese nombre".into(),
            C::Revoked => "su certificado está revocado".into(),
            C::BadSignature => "la firma de su certificado no es válida".into(),
            other => format!("su certificado no se acepta ({other:?})"),
        },
        Error::AlertReceived(alert) => format!("rechazó la conexión (alerta {alert:?})"),
        Error::InvalidMessage(_) => "lo que responde no es TLS".into(),
        Error::PeerIncompatible(_) => "no habla TLS 1.2 ni 1.3 como se le pide".into(),
        other => format!("la negociación falló ({other:?})"),
    }
}

/// A client; `confia`: any certificate will do.
pub fn client(confia: bool) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| format!("TLS: {e}"))?;
    let config = if confia {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Trusting(provider))).with_no_client_auth()
    } else {
        let verified = builder.with_platform_verifier();
        verified.map_err(|e| format!("no se pueden leer los certificados raíz del sistema: {e}"))?.with_no_client_auth()
    };
    Ok(Arc::new(config))
}

/// Takes every certificate; signatures are still checked, so that the session is with who holds its key.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
