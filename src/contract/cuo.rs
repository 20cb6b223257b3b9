//! The platform's `PcmCuo`: one CUO for each document that is dispatched. `getCUOEntidad` in production, `getCUO` for
//! tests.

use tokio::io::AsyncRead;

use super::{Flavour, Incoming, Outgoing, Tolerancias, finish, return_text};
use crate::{
    domain::Ruc,
    soap::{AnswerError, EnvelopeReader, Limits, Message, ReadError, answer, writer::Writer},
};

pub const NAMESPACE: &str = "http://pcm.pide.gob.pe/webservice";
/// The service a CUO is asked for.
pub const SERVICIO: &str = "3011";
const PRODUCTION: &str = "getCUOEntidad";
const TEST: &str = "getCUO";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which of the two operations was called.
    pub flavour: Flavour,
    pub ruc: Option<String>,
    pub servicio: Option<String>,
}

/// Reads a request as the platform does.
pub async fn read<R: AsyncRead + Unpin + Send>(
    mut envelope: EnvelopeReader<R>,
) -> Result<Incoming<Request>, ReadError> {
    let element = envelope.operation().clone();
    let flavour = match (element.namespace.as_str(), element.local.as_str()) {
        (NAMESPACE, PRODUCTION) => Flavour::Production,
        (NAMESPACE, TEST) => Flavour::Test,
        _ => return Err(ReadError::UnknownOperation { namespace: element.namespace, local: element.local }),
    };
    let (mut ruc, mut servicio) = (None, None);
    while let Some(field) = envelope.child().await? {
        match field.local.as_str() {
            "ruc" => ruc = envelope.text().await?.map(|t| t.trim().to_owned()),
            "servicio" => servicio = envelope.text().await?.map(|t| t.trim().to_owned()),
            _ => envelope.skip().await?,
        }
    }
    finish(envelope, Request { flavour, ruc, servicio }, Tolerancias::default()).await
}

/// The answer to a request.
pub fn respuesta(flavour: Flavour, cuo: &str) -> Message {
    let mut w = Writer::new(NAMESPACE, &answer_name(flavour));
    w.text("return", cuo);
    w.finish()
}

/// Asks for a CUO.
pub fn pedir(flavour: Flavour, ruc: &Ruc) -> Outgoing {
    let mut w = Writer::new(NAMESPACE, name(flavour));
    w.text("ruc", ruc.as_str());
    w.text("servicio", SERVICIO);
    let soap_action = match flavour {
        Flavour::Production => "http://pcm.pide.gob.pe/webservice#ShowArchivos",
        Flavour::Test => "http://pcm.pide.gob.pe/webservice#ShowArchivo",
    };
    Outgoing { soap_action, message: w.finish() }
}

/// The answer to [`pedir`], trimmed and unjudged: whether it is a CUO is for `domain::Cuo` to say.
pub async fn read_respuesta<R: AsyncRead + Unpin + Send>(
    body: R,
    charset: Option<&str>,
    flavour: Flavour,
) -> Result<String, AnswerError> {
    let r = answer::open(body, charset, Limits::SMALL, &answer_name(flavour)).await?;
    return_text(r).await
}

fn name(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Production => PRODUCTION,
        Flavour::Test => TEST,
    }
}

fn answer_name(flavour: Flavour) -> String {
    format!("{}Response", name(flavour))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::fixture::{envelope, text};

    const CASES: [(Flavour, &str, &str); 2] =
        [(Flavour::Production, "getCUOEntidad", "ShowArchivos"), (Flavour::Test, "getCUO", "ShowArchivo")];

    #[tokio::test]
    async fn each_flavour_has_its_operation_and_its_soap_action() {
        let ruc = Ruc::de_contraparte("20168999926").unwrap();
        for (flavour, name, action) in CASES {
            let asked = pedir(flavour, &ruc);
            assert_eq!(asked.soap_action, format!("http://pcm.pide.gob.pe/webservice#{action}"));
            let xml = text(&asked.message);
            assert!(
                xml.contains(&format!("<ns:{name} xmlns:ns=\"{NAMESPACE}\"><ruc>20168999926</ruc><servicio>3011<"))
            );
            let reader = EnvelopeReader::open(xml.as_bytes(), None, Limits::SMALL).await.unwrap();
            let expected = Request { flavour, ruc: Some("20168999926".into()), servicio: Some(SERVICIO.into()) };
            assert_eq!(read(reader).await.unwrap().request, expected);
            let answer = text(&respuesta(flavour, "0000012345"));
            assert_eq!(read_respuesta(answer.as_bytes(), None, flavour).await.unwrap(), "0000012345");
        }
    }

    #[tokio::test]
    async fn an_answer_without_a_cuo_is_null() {
        for body in ["<getCUOResponse/>", "<getCUOResponse><return> </return></getCUOResponse>"] {
            let answer = read_respuesta(envelope(body).as_bytes(), None, Flavour::Test).await;
            assert!(matches!(answer, Err(AnswerError::Null)), "{body}");
        }
        let other = read_respuesta(envelope("<getCUOResponse/>").as_bytes(), None, Flavour::Production).await;
        assert!(matches!(other, Err(AnswerError::Unexpected(_))), "the other flavour's answer");
    }

    #[tokio::test]
    async fn the_form_of_before_2025_is_read_without_ruc() {
        let xml = envelope(&format!("<a:getCUO xmlns:a='{NAMESPACE}'><ip>10.0.0.1</ip></a:getCUO>"));
        let reader = EnvelopeReader::open(xml.as_bytes(), None, Limits::SMALL).await.unwrap();
        let expected = Request { flavour: Flavour::Test, ruc: None, servicio: None };
        assert_eq!(read(reader).await.unwrap().request, expected);
    }
}
