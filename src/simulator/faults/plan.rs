//! All that strikes one request, applied in the order in which the request passes: to the delivery, to what is said, to
//! the answer's bytes.

use std::{sync::Arc, time::Duration};

use axum::response::Response;
use jiff::Timestamp;

use super::{
    kind::Kind,
    script::{Charset, Rule},
    wire,
};
use crate::{
    domain::{cargo::Respuesta, lima},
    http::server::Hangup,
    simulator::request::{Asked, Said},
    soap::Fault,
};

/// How long an answer waits for a cargo where its rule does not say.
const ESPERA_DEL_CARGO: Duration = Duration::from_secs(10);
const COPIAS: u32 = 2;
/// The number of registration of the cargo that is not the first.
const OTRO_NUMERO: &str = "999999";
const SIN_COMUNICACION: &str = "No se pudo establecer comunicación con la entidad de destino";

#[derive(Debug, Clone, Default)]
pub struct Plan(Vec<Arc<Rule>>);

/// How often a message goes to its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copies {
    pub copias: u32,
    /// All at the same moment, not one after the other.
    pub a_la_vez: bool,
}

impl Plan {
    pub(super) fn new(rules: Vec<Arc<Rule>>) -> Self {
        Self(rules)
    }

    /// Names of the faults in it.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|rule| rule.falla.nombre()).collect()
    }

    fn find(&self, kind: Kind) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.falla == kind).map(|rule| &**rule)
    }

    fn delay(&self, before: bool) -> Duration {
        let delays = self.0.iter().filter(|rule| rule.falla == Kind::Demora && rule.detalle.antes == before);
        delays.filter_map(|rule| rule.detalle.tiempo).sum()
    }

    /// How long to wait before the message goes on.
    pub fn delay_before(&self) -> Duration {
        self.delay(true)
    }

    /// How long the answer takes once the message was delivered.
    pub fn delay_after(&self) -> Duration {
        self.delay(false)
    }

    /// Whether the message reaches its receiver.
    pub fn delivers(&self) -> bool {
        self.0.iter().all(|rule| rule.entregada)
    }

    pub fn copies(&self) -> Copies {
        match self.find(Kind::Duplicada) {
            Some(rule) => Copies { copias: rule.detalle.copias.unwrap_or(COPIAS), a_la_vez: rule.detalle.a_la_vez },
            None => Copies { copias: 1, a_la_vez: false },
        }
    }

    /// How long the answer is held back for the document's cargo.
    pub fn waits_for_cargo(&self) -> Option<Duration> {
        self.find(Kind::CargoAntes).map(|rule| rule.detalle.tiempo.unwrap_or(ESPERA_DEL_CARGO))
    }

    /// The second cargo, with other content, that follows the one in a request.
    pub fn another_cargo(&self, asked: &Asked) -> Option<Asked> {
        self.find(Kind::CargoDistinto)?;
        let Asked::Cargo(cargo, documento) = asked else { return None };
        let mut other = cargo.clone();
        other.numero_registro = Some(OTRO_NUMERO.into());
        Some(Asked::Cargo(other, documento.clone()))
    }

    /// A request as it goes on: a cargo's date follows the platform's clock.
    pub fn dated(&self, asked: &Asked) -> Asked {
        let mut asked = asked.clone();
        if let Asked::Cargo(cargo, _) = &mut asked {
            self.shift(&mut cargo.fecha_registro);
        }
        asked
    }

    fn shift(&self, date: &mut Option<String>) {
        if self.find(Kind::Reloj).is_some()
            && let Some(at) = date.as_deref().and_then(lima::leer)
        {
            *date = Some(lima::texto(self.clock(at)));
        }
    }

    /// The platform's clock.
    pub fn clock(&self, now: Timestamp) -> Timestamp {
        let offsets = self.0.iter().filter(|rule| rule.falla == Kind::Reloj).filter_map(|rule| rule.detalle.desfase);
        offsets.fold(now, |at, offset| offset.of(at))
    }

    /// What the platform says of a message that it did not deliver. The caller mostly does not get to read it.
    pub fn undelivered(&self, asked: &Asked) -> Said {
        let text = self.find(Kind::Caida).and_then(|rule| rule.detalle.texto.as_deref());
        asked.failed(Respuesta::nueva("-1", text.unwrap_or(SIN_COMUNICACION)))
    }

    /// Changes what is said.
    pub fn alter(&self, said: &mut Said) {
        if let Some(rule) = self.find(Kind::Codigo) {
            said.say(rule.detalle.valor.as_deref().unwrap_or_default(), rule.detalle.texto.as_deref());
        }
        if let Some(respuesta) = said.respuesta_mut()
            && self.find(Kind::SinVdesres).is_some()
        {
            respuesta.descripcion = Some(String::new());
        }
        if let Said::Consultar { respuesta, .. } = said {
            self.shift(&mut respuesta.cargo.fecha_registro);
        }
    }

    /// Whether the caller reads what was said. A caller that is no connection of HTTP is told by this.
    pub fn answers(&self) -> bool {
        !self.0.iter().any(|rule| rule.falla.hides_answer())
    }

    /// Whether the operation answers null.
    pub fn null(&self) -> bool {
        self.find(Kind::Nula).is_some()
    }

    /// The answer as it leaves, if any does; `hangup` cuts the connection.
    pub async fn send(&self, response: Response, hangup: Hangup) -> Response {
        let instead = self.0.iter().find(|rule| rule.falla.hides_answer());
        let mut response = match instead.map(|rule| (rule.falla, &rule.detalle)) {
            Some((Kind::Corte, _)) => {
                hangup.cut();
                return std::future::pending().await;
            }
            Some((Kind::CorteAMedias, _)) => return wire::cut_short(response),
            Some((Kind::Fallo500, detail)) => {
                let text = detail.texto.as_deref().unwrap_or("Error interno del servicio (falla del simulador)");
                wire::fault(&Fault::server(text))
            }
            Some((Kind::Error503, detail)) => wire::busy(detail.reintentar_en),
            Some((Kind::Html, _)) => wire::page(),
            Some((Kind::Vacia, _)) => wire::nothing(),
            _ => response,
        };
        if let Some(rule) = self.find(Kind::Charset) {
            let detail = &rule.detalle;
            // Without a word on either: the text is not what it says it is.
            let declared = detail.declarado.unwrap_or(Charset::Utf8);
            response = wire::charset(response, declared, detail.real.unwrap_or(Charset::Latin1));
        }
        if self.find(Kind::Gzip).is_some() {
            response = wire::gzip(response);
        }
        if self.find(Kind::CierraConexion).is_some() {
            wire::close_after(hangup);
        }
        response
    }
}
