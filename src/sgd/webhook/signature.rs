//! The signature of Standard Webhooks: HMAC-SHA256 over id, time and body, once with each key, so that a receiver that has the
//! new key or still the old one accepts it.

use bytes::Bytes;
use jiff::Timestamp;
use ring::hmac;

/// The keys that sign.
pub struct Keys(Vec<hmac::Key>);

/// A request as it is sent, but for its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The same each time the same event is told.
    pub id: String,
    /// Seconds since 1970.
    pub timestamp: i64,
    pub signature: String,
    pub body: Bytes,
}

impl Keys {
    pub fn new<K: AsRef<[u8]>>(keys: &[K]) -> Self {
        Self(keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())).collect())
    }

    pub fn sign(&self, id: String, at: Timestamp, body: Vec<u8>) -> Signed {
        let timestamp = at.as_second();
        let one = |key: &hmac::Key| {
            let mut context = hmac::Context::with_key(key);
            context.update(format!("{id}.{timestamp}.").as_bytes());
            context.update(&body);
            format!("v1,{}", base64_simd::STANDARD.encode_to_string(context.sign()))
        };
        let signature = self.0.iter().map(one).collect::<Vec<_>>().join(" ");
        Signed { id, timestamp, signature, body: body.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::webhook::keys;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_RWplbXBsbyBkZSBzZWNyZXRvLCBubyBsbyB1c2Uh";

    fn signed(secrets: &str) -> Signed {
        let keys = Keys::new(&keys(secrets).unwrap());
        let at = Timestamp::from_second(1_614_265_330).unwrap();
        keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek".into(), at, br#"{"test": 2432232314}"#.to_vec())
    }

    #[test]
    fn the_published_example_has_its_published_signature() {
        assert_eq!(signed(SECRET).signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_key_signs_while_keys_are_changed() {
        let both = signed(&format!("{OTHER} {SECRET}")).signature;
        let (new, old) = both.split_once(' ').unwrap();
        assert_eq!((new, old), (signed(OTHER).signature.as_str(), signed(SECRET).signature.as_str()));
    }
}
