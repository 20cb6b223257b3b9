//! Identities of `fixtures/pki` for tests. Their keys are public.

use super::Identity;

pub const PASSWORD: &str = "solo-para-pruebas";
pub const AGENTE_P12: &[u8] = include_bytes!("../../fixtures/pki/agente-municipalidad.p12");
pub const AGENTE_LEGACY_P12: &[u8] = include_bytes!("../../fixtures/pki/agente-municipalidad-legacy.p12");
pub const AGENTE_CERT: &[u8] = include_bytes!("../../fixtures/pki/agente-municipalidad.cert.pem");
pub const AGENTE_ENCRYPTED_KEY: &[u8] = include_bytes!("../../fixtures/pki/agente-municipalidad-cifrada.key.pem");
pub const PERSONA_EC_CERT: &[u8] = include_bytes!("../../fixtures/pki/persona-gobierno.cert.pem");
pub const PERSONA_EC_KEY: &[u8] = include_bytes!("../../fixtures/pki/persona-gobierno.key.pem");
pub const PERSONA_EC_P12: &[u8] = include_bytes!("../../fixtures/pki/persona-gobierno.p12");
pub const WRONG_USAGE_CERT: &[u8] = include_bytes!("../../fixtures/pki/wrong-usage.cert.pem");
pub const WRONG_USAGE_KEY: &[u8] = include_bytes!("../../fixtures/pki/wrong-usage.key.pem");
pub const UNKNOWN_ROOT: &[u8] = include_bytes!("../../fixtures/pki/unknown-root.cert.pem");
pub const CHAIN: &[u8] = include_bytes!("../../fixtures/pki/chain.pem");

/// The municipality's automated agent (RSA).
pub fn agente() -> Identity {
    Identity::read(AGENTE_P12, Some(PASSWORD)).unwrap()
}

/// A person of the regional government (EC).
pub fn persona() -> Identity {
    Identity::read(PERSONA_EC_P12, Some(PASSWORD)).unwrap()
}

/// A timestamp authority: `openssl ts` with the certificates of `fixtures/pki`.
pub struct Tsa {
    folder: tempfile::TempDir,
    usage: bool,
}

const TSA_CONFIG: &str = "\
[ tsa ]
default_tsa = here
[ here ]
serial = serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.9
other_policies = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ordering = no
tsa_name = no
ess_cert_id_chain = no
ess_cert_id_alg = sha256
";

impl Tsa {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tsa.cnf"), TSA_CONFIG).unwrap();
        std::fs::write(folder.path().join("serial"), "01\n").unwrap();
        Self { folder, usage: true }
    }

    /// Signs with a certificate that is not for timestamps.
    pub fn without_usage() -> Self {
        Self { usage: false, ..Self::new() }
    }

    fn openssl(&self, arguments: &[&str]) -> Result<(), String> {
        let pki = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pki/");
        let arguments = arguments.iter().map(|a| a.replace("PKI/", pki));
        let mut command = std::process::Command::new("openssl");
        let done = command.args(arguments).current_dir(self.folder.path()).output();
        let done = done.expect("the openssl command, which these tests need");
        if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(name)).unwrap()
    }
}

impl super::timestamp::Transport for Tsa {
    fn exchange(&self, question: &[u8]) -> Result<Vec<u8>, String> {
        std::fs::write(self.folder.path().join("question"), question).unwrap();
        let reply = "ts -reply -config tsa.cnf -queryfile question -signer PKI/tsa.cert.pem -inkey PKI/tsa.key.pem -chain \
                     PKI/chain.pem -out answer";
        self.openssl(&reply.split(' ').collect::<Vec<_>>())?;
        if self.usage {
            return Ok(self.read("answer"));
        }
        // openssl ts refuses such a certificate, so what it stated is signed again.
        for step in [
            "ts -reply -config tsa.cnf -in answer -token_out -out token",
            "cms -verify -noverify -binary -inform DER -in token -out info",
            "cms -sign -nodetach -binary -econtent_type 1.2.840.113549.1.9.16.1.4 -in info -signer \
             PKI/tsa-without-usage.cert.pem -inkey PKI/tsa-without-usage.key.pem -outform DER -out token",
        ] {
            self.openssl(&step.split(' ').collect::<Vec<_>>())?;
        }
        let granted = [0x30, 3, 2, 1, 0];
        Ok(super::asn1::sequence(&[&granted, &self.read("token")]))
    }
}
