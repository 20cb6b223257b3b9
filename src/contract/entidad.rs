//! The platform's directory: `PcmIMgdEntidad` in production, `Entidad` for tests, where both operations have a first
//! string `vipent`.

use tokio::io::AsyncRead;

use super::{Flavour, Incoming, Outgoing, Tolerancias, finish, return_text};
use crate::{
    domain::{Categoria, Entidad, Ruc},
    soap::{AnswerError, EnvelopeReader, Limits, Message, ReadError, answer, writer::Writer},
};

pub const NAMESPACE: &str = "http://ws.wsentidad.segdi.gob.pe/";
const LISTA: &str = "getListaEntidad";
const LISTA_RESPONSE: &str = "getListaEntidadResponse";
const VALIDAR: &str = "validarEntidad";
const VALIDAR_RESPONSE: &str = "validarEntidadResponse";
/// What `validarEntidad` answers for an entity that is registered.
pub const REGISTRADA: &str = "0000";
/// What it answers for one that is not.
pub const NO_REGISTRADA: &str = "-1";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The category as it was written; `None` if absent.
    Lista {
        categoria: Option<String>,
    },
    Validar {
        ruc: Option<String>,
    },
}

/// Reads a request as the platform does, of either flavour.
pub async fn read<R: AsyncRead + Unpin + Send>(
    mut envelope: EnvelopeReader<R>,
) -> Result<Incoming<Request>, ReadError> {
    let element = envelope.operation().clone();
    let lista = match (element.namespace.as_str(), element.local.as_str()) {
        (NAMESPACE, LISTA) => true,
        (NAMESPACE, VALIDAR) => false,
        _ => return Err(ReadError::UnknownOperation { namespace: element.namespace, local: element.local }),
    };
    let (mut categoria, mut ruc) = (None, None);
    while let Some(field) = envelope.child().await? {
        match field.local.as_str() {
            "sidcatent" => categoria = envelope.text().await?.map(|t| t.trim().to_owned()),
            "vrucent" => ruc = envelope.text().await?.map(|t| t.trim().to_owned()),
            _ => envelope.skip().await?,
        }
    }
    let request = if lista { Request::Lista { categoria } } else { Request::Validar { ruc } };
    finish(envelope, request, Tolerancias::default()).await
}

/// The answer to [`Request::Lista`].
pub fn respuesta_lista(entidades: &[Entidad]) -> Message {
    let mut w = Writer::new(NAMESPACE, LISTA_RESPONSE);
    for (n, entidad) in (1..).zip(entidades) {
        w.open("return");
        w.number("sident", n);
        w.number("sidpadent", 0);
        w.text("vnoment", &entidad.nombre);
        w.text("vrucent", entidad.ruc.as_str());
        w.close("return");
    }
    w.finish()
}

/// The answer to [`Request::Validar`].
pub fn respuesta_validar(registrada: bool) -> Message {
    respuesta_validar_con(if registrada { REGISTRADA } else { NO_REGISTRADA })
}

/// The same with any code, as services out of order answer.
pub fn respuesta_validar_con(codigo: &str) -> Message {
    let mut w = Writer::new(NAMESPACE, VALIDAR_RESPONSE);
    w.text("return", codigo);
    w.finish()
}

/// Asks for the entities of a category.
pub fn lista(flavour: Flavour, categoria: Categoria) -> Outgoing {
    let mut w = Writer::new(NAMESPACE, LISTA);
    write_ip(flavour, &mut w);
    w.number("sidcatent", i64::from(categoria.numero()));
    outgoing(flavour, LISTA, w)
}

/// Asks whether an entity is registered.
pub fn validar(flavour: Flavour, ruc: &Ruc) -> Outgoing {
    let mut w = Writer::new(NAMESPACE, VALIDAR);
    write_ip(flavour, &mut w);
    w.text("vrucent", ruc.as_str());
    outgoing(flavour, VALIDAR, w)
}

/// The test flavour's first parameter, the caller's address; what stands in it is not looked at there.
fn write_ip(flavour: Flavour, w: &mut Writer) {
    if flavour == Flavour::Test {
        w.text("vipent", "");
    }
}

fn outgoing(flavour: Flavour, name: &'static str, w: Writer) -> Outgoing {
    let soap_action = match flavour {
        Flavour::Production => name,
        Flavour::Test => "",
    };
    Outgoing { soap_action, message: w.finish() }
}

/// The answer to [`lista`]. Rows whose RUC is `0` or none at all are left out (CONTRACT §4).
pub async fn read_lista<R: AsyncRead + Unpin + Send>(
    body: R,
    charset: Option<&str>,
    categoria: Categoria,
) -> Result<Vec<Entidad>, AnswerError> {
    let mut r = answer::open(body, charset, Limits::LIST, LISTA_RESPONSE).await?;
    let mut entidades = Vec::new();
    while let Some(row) = r.child().await? {
        if row.local != "return" {
            r.skip().await?;
            continue;
        }
        let (mut nombre, mut ruc) = (None, None);
        while let Some(field) = r.child().await? {
            match field.local.as_str() {
                "vnoment" => nombre = r.text().await?,
                "vrucent" => ruc = r.text().await?,
                _ => r.skip().await?,
            }
        }
        if let Ok(ruc) = Ruc::de_contraparte(ruc.as_deref().unwrap_or_default()) {
            let nombre = nombre.map(|n| n.trim().to_owned()).unwrap_or_default();
            entidades.push(Entidad { ruc, nombre, categoria });
        }
    }
    r.finish().await?;
    Ok(entidades)
}

/// The answer to [`validar`]: whether the entity is registered.
pub async fn read_validar<R: AsyncRead + Unpin + Send>(body: R, charset: Option<&str>) -> Result<bool, AnswerError> {
    let r = answer::open(body, charset, Limits::SMALL, VALIDAR_RESPONSE).await?;
    // Only a plain "no" may end a document; a service out of order answers other codes.
    match return_text(r).await?.as_str() {
        REGISTRADA => Ok(true),
        NO_REGISTRADA => Ok(false),
        "" => Err(AnswerError::Null),
        other => Err(AnswerError::Code(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::fixture::{envelope, text};

    fn categoria(n: u8) -> Categoria {
        n.try_into().unwrap()
    }

    fn ruc(text: &str) -> Ruc {
        Ruc::de_contraparte(text).unwrap()
    }

    async fn receive(xml: &str) -> Result<Request, ReadError> {
        let envelope = EnvelopeReader::open(xml.as_bytes(), None, Limits::SMALL).await?;
        Ok(read(envelope).await?.request)
    }

    #[tokio::test]
    async fn both_flavours_ask_in_their_own_form() {
        let production = lista(Flavour::Production, categoria(8));
        assert_eq!(production.soap_action, "getListaEntidad");
        assert!(text(&production.message).contains("<sidcatent>8</sidcatent></ns:getListaEntidad>"));
        assert!(!text(&production.message).contains("vipent"));
        let test = validar(Flavour::Test, &ruc("20168999926"));
        assert_eq!(test.soap_action, "");
        assert!(text(&test.message).contains("<vipent></vipent><vrucent>20168999926</vrucent>"));
        for flavour in [Flavour::Production, Flavour::Test] {
            let asked = receive(&text(&lista(flavour, categoria(3)).message)).await.unwrap();
            assert_eq!(asked, Request::Lista { categoria: Some("3".into()) });
            let asked = receive(&text(&validar(flavour, &ruc("20168999926")).message)).await.unwrap();
            assert_eq!(asked, Request::Validar { ruc: Some("20168999926".into()) });
        }
        let other = format!("<a:borrarEntidad xmlns:a='{NAMESPACE}'/>");
        assert_eq!(receive(&envelope(&other)).await.err().unwrap().code(), "unknown_operation");
    }

    #[tokio::test]
    async fn a_list_is_read_back_and_rows_without_a_ruc_are_dropped() {
        let sent = [("20168999926", "PCM & «ñ»"), ("20900000015", "MUNICIPALIDAD")].map(|(r, n)| Entidad {
            ruc: ruc(r),
            nombre: n.into(),
            categoria: categoria(1),
        });
        let xml = text(&respuesta_lista(&sent));
        assert_eq!(read_lista(xml.as_bytes(), None, categoria(1)).await.unwrap(), sent);
        let rows = ["0", "", "123", "2016899992X", " 20168999926 "]
            .map(|r| format!("<return><sident>1</sident><vrucent>{r}</vrucent><vnoment> A </vnoment></return>"));
        let odd = envelope(&format!("<getListaEntidadResponse>{}<return/></getListaEntidadResponse>", rows.concat()));
        let read = read_lista(odd.as_bytes(), None, categoria(1)).await.unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].ruc.as_str(), read[0].nombre.as_str()), ("20168999926", "A"));
        let none = envelope("<getListaEntidadResponse/>");
        assert_eq!(read_lista(none.as_bytes(), None, categoria(1)).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_list_of_thousands_fits() {
        let row = |n: u64| Entidad {
            ruc: ruc(&format!("{}", 20_000_000_000 + n)),
            nombre: "MUNICIPALIDAD DISTRITAL DE NOMBRE MUY LARGO ".repeat(3),
            categoria: categoria(8),
        };
        let sent: Vec<Entidad> = (0..10_000).map(row).collect();
        let xml = text(&respuesta_lista(&sent));
        assert_eq!(read_lista(xml.as_bytes(), None, categoria(8)).await.unwrap().len(), 10_000);
    }

    #[tokio::test]
    async fn only_0000_means_registered_and_only_minus_one_that_it_is_not() {
        for (registrada, expected) in [(true, true), (false, false)] {
            let xml = text(&respuesta_validar(registrada));
            assert_eq!(read_validar(xml.as_bytes(), None).await.unwrap(), expected);
        }
        let answer = |text: &str| envelope(&format!("<validarEntidadResponse>{text}</validarEntidadResponse>"));
        assert!(read_validar(answer("<return> 0000 </return>").as_bytes(), None).await.unwrap());
        for odd in ["0001", "9999", "ERROR"] {
            let told = read_validar(answer(&format!("<return>{odd}</return>")).as_bytes(), None).await;
            assert!(matches!(told, Err(AnswerError::Code(code)) if code == odd));
        }
        for empty in ["<return/>", "<return></return>", "<return> </return>"] {
            let null = read_validar(answer(empty).as_bytes(), None).await;
            assert!(matches!(null, Err(AnswerError::Null)), "{empty}");
        }
    }
}
