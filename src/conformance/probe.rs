//! Whether there is a `wsiotramite` at all where a run is about to begin: against anything else each case would fail, or even
//! hold, for a reason that has nothing to do with it.

use std::collections::BTreeMap;

use super::{
    case::Pedido,
    checks::Visto,
    envelope::{self, Mesa, Operacion, SOAP11},
    evidence,
    runner::Corrida,
    wire::{self, Guion},
    wsdl,
};

/// One of its operations, by which a description is known.
const OPERACION: &str = "recepcionarTramiteResponse";

impl Corrida<'_> {
    /// Asks for the description and for a document that nobody sent. One of both answers must be those of the service.
    /// `Err` says who answered instead, or that nobody did.
    pub async fn reconoce(&self) -> Result<(), String> {
        let opciones = self.opciones;
        wire::alcanza(&opciones.destino).await?;
        let mundo = self.mundo("sonda", &opciones.remitente);
        let get = format!(
            "GET {}?wsdl HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            opciones.ruta,
            opciones.destino.autoridad()
        );
        let wsdl = self.oye(&Guion::de(get.into_bytes())).await;
        if describe(&wsdl) {
            return Ok(());
        }
        // Its numbers are given again to the first cases: of this one nothing is kept anywhere.
        let mut cuos = self.cuos.clone();
        let mut mesa = Mesa { mundo: &mundo, cuos: &mut cuos, nuevos: BTreeMap::new() };
        let (guion, _) = envelope::guion(Operacion::Consulta, &Pedido::default(), &mut mesa)?;
        let consulta = self.oye(&guion).await;
        if habla_soap(&consulta) {
            return Ok(());
        }
        Err(evidence::limpio(&nadie(&opciones.url, &wsdl, &consulta)))
    }

    async fn oye(&self, guion: &Guion) -> Visto {
        wire::hablar(&self.opciones.destino, guion, self.opciones.espera).await.into()
    }
}

fn describe(visto: &Visto) -> bool {
    let text = visto.mensaje.as_ref().map(wire::Mensaje::texto).unwrap_or_default();
    wsdl::leer(&text, &[]).is_ok() && text.contains(OPERACION)
}

/// An answer in an envelope, were it a fault.
fn habla_soap(visto: &Visto) -> bool {
    visto.documento().is_some_and(|documento| documento.raiz.local == "Envelope" && documento.raiz.espacio == SOAP11)
}

/// What answered in the place of a component, and what to look at.
fn nadie(url: &str, wsdl: &Visto, consulta: &Visto) -> String {
    let answered = wsdl.mensaje.is_some() || consulta.mensaje.is_some();
    let seen = format!("a «?wsdl» respondió {}; a una consulta, {}", quien(wsdl), quien(consulta));
    let tls = [wsdl, consulta].into_iter().filter_map(|v| v.error.as_deref()).find(|why| why.starts_with("TLS"));
    match (answered, tls) {
        (true, _) => format!(
            "en {url} responde un servidor, pero no es un wsiotramite: {seen}. Revise la ruta de --target, que suele ser \
             /wsiotramite/Tramite; nada se probó. Para correr los casos de todos modos añada --force"
        ),
        (false, Some(why)) => format!(
            "{url}: {why}. Nada se probó. Si el certificado es de pruebas añada --insecure: los demás casos corren y \
             SEC-TLS-01 juzga el certificado"
        ),
        (false, None) => format!(
            "{url} aceptó la conexión y no respondió como un servidor HTTP: {seen}. Revise la dirección de --target; nada se \
             probó. Para correr los casos de todos modos añada --force"
        ),
    }
}

fn quien(visto: &Visto) -> String {
    let Some(mensaje) = &visto.mensaje else {
        return visto.error.clone().unwrap_or_else(|| "nada".into());
    };
    let tipo = mensaje.cabecera("content-type").unwrap_or("sin tipo");
    let como =
        mensaje.comprimido().map(|como| format!(", comprimido con {como} sin que se pidiera")).unwrap_or_default();
    format!("HTTP {} ({tipo}{como})", mensaje.estado().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::wire::Mensaje;

    fn visto(tipo: &str, cuerpo: &str) -> Visto {
        Visto::de(Some(Mensaje {
            linea: "HTTP/1.1 200 OK".into(),
            cabeceras: vec![("Content-Type".into(), tipo.into())],
            cuerpo: cuerpo.as_bytes().to_vec(),
            ..Mensaje::default()
        }))
    }

    #[test]
    fn a_page_is_no_component_and_a_fault_is_one() {
        let page = visto("text/html", "<html><body>recepcionarTramiteResponse</body></html>");
        assert!(!describe(&page) && !habla_soap(&page));
        let fault = format!("<S:Envelope xmlns:S=\"{SOAP11}\"><S:Body><S:Fault/></S:Body></S:Envelope>");
        assert!(habla_soap(&visto("text/xml", &fault)));
        assert!(describe(&visto("text/xml", crate::contract::wsdl::TRAMITE)));
        let said = nadie("http://x/", &page, &Visto::default());
        assert!(said.contains("no es un wsiotramite") && said.contains("HTTP 200 (text/html)"), "{said}");
    }
}
