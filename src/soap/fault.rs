//! SOAP 1.1 faults (SOAP 1.1 §4.4): what is not a valid request is answered with one, and a counterpart may answer with
//! one.

use std::fmt;

use super::{
    envelope::{ENVELOPE_NS, Element},
    writer::{Message, Writer},
};

/// Longest text kept of a counterpart's fault, in characters.
const TEXT_MAX: usize = 2000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultCode {
    /// The message is wrong; sending it again unchanged is no use.
    Client,
    /// Our own failure; the same message may succeed later.
    Server,
    VersionMismatch,
    MustUnderstand,
}

impl FaultCode {
    /// The local name of the code.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "Client",
            Self::Server => "Server",
            Self::VersionMismatch => "VersionMismatch",
            Self::MustUnderstand => "MustUnderstand",
        }
    }

    /// A code as a counterpart writes it: with or without prefix, with or without dotted parts. One that is none of the
    /// four says nothing of whose fault it is: `Server`.
    fn read(text: &str) -> Self {
        let local = text.trim().rsplit(':').next().unwrap_or_default();
        match local.split('.').next().unwrap_or_default() {
            "Client" | "Sender" => Self::Client,
            "VersionMismatch" => Self::VersionMismatch,
            "MustUnderstand" => Self::MustUnderstand,
            _ => Self::Server,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    pub code: FaultCode,
    /// `faultstring`; ours are Spanish sentences.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SOAP fault {}: {}", self.code.name(), self.text)
    }
}

impl Fault {
    pub fn client(text: impl Into<String>) -> Self {
        Self { code: FaultCode::Client, text: text.into() }
    }

    pub fn server(text: impl Into<String>) -> Self {
        Self { code: FaultCode::Server, text: text.into() }
    }

    /// The whole answer; its HTTP status is 500.
    pub fn message(&self) -> Message {
        let mut w = Writer::bare();
        w.open("soap:Fault");
        w.text("faultcode", &format!("soap:{}", self.code.name()));
        w.text("faultstring", &self.text);
        w.close("soap:Fault");
        w.finish()
    }

    /// Whether a Body's child is a fault.
    pub fn is(element: &Element) -> bool {
        element.local == "Fault" && element.namespace == ENVELOPE_NS
    }

    /// A fault from its parts, as a counterpart sent them.
    pub(super) fn from_parts(code: Option<&str>, text: Option<&str>) -> Self {
        let text = text.map_or("", str::trim).chars().take(TEXT_MAX).collect();
        Self { code: FaultCode::read(code.unwrap_or_default()), text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soap::{AnswerError, answer, fixture::Chunks};

    async fn read(xml: &str) -> Fault {
        match answer::open(Chunks::new(xml, 100), None, crate::soap::Limits::SMALL, "opResponse").await {
            Err(AnswerError::Fault(fault)) => fault,
            other => panic!("{:?}", other.err()),
        }
    }

    #[tokio::test]
    async fn our_faults_are_read_back_and_have_the_form_soap_1_1_asks() {
        for code in [FaultCode::Client, FaultCode::Server, FaultCode::VersionMismatch, FaultCode::MustUnderstand] {
            let fault = Fault { code, text: "No se pudo: a < b & «ñ»".into() };
            let xml = String::from_utf8(fault.message().before.to_vec()).unwrap();
            assert!(xml.contains(&format!("<soap:Fault><faultcode>soap:{}</faultcode><faultstring>", code.name())));
            assert_eq!(read(&xml).await, fault);
        }
    }

    #[tokio::test]
    async fn faults_of_others_are_read_however_they_are_written() {
        let inside = |inner: &str| {
            format!(
                "<e:Envelope xmlns:e='{ENVELOPE_NS}'><e:Header/><e:Body><e:Fault>{inner}</e:Fault></e:Body></e:Envelope>"
            )
        };
        for (inner, code, text) in [
            (
                "<faultcode>e:Client.Auth</faultcode><faultstring xml:lang='es'> No </faultstring>",
                FaultCode::Client,
                "No",
            ),
            ("<e:faultstring>x</e:faultstring><e:faultcode>Server</e:faultcode>", FaultCode::Server, "x"),
            ("<faultcode>e:MustUnderstand</faultcode>", FaultCode::MustUnderstand, ""),
            (
                "<faultcode>101503</faultcode><faultstring>Error connecting</faultstring><detail><a>b</a></detail>",
                FaultCode::Server,
                "Error connecting",
            ),
            ("", FaultCode::Server, ""),
        ] {
            assert_eq!(read(&inside(inner)).await, Fault { code, text: text.into() }, "{inner}");
        }
    }
}
