//! `chasqui limits`: every limit in force with its unit and where it was set. Reads the configuration, asks no daemon; a
//! daemon shows the same numbers at `/metrics` as `chasqui_limit`.

use std::time::Duration;

use clap::Args;
use humantime_serde::re::humantime;
use serde::Serialize;

use super::{ConfigOption, Failure, Format, FormatOption, output};
use crate::{
    config::{self, Config, Loaded, Origin},
    domain::recepcion::ANEXOS_TRAIDOS_MAX,
    exchange::DESTINOS_MAX,
    http::{limits, server, tls},
    sgd::{
        annexes, bridge,
        rest::{ANNEXES_MAX, listing, statistics, stream},
        tables, webhook,
    },
    signing::{trusted_list, xml},
    soap::{self, envelope},
    store::embedded,
    telemetry::Metrics,
    wsiotramite::body,
};

#[derive(Args)]
pub struct LimitsCommand {
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

/// How much, and of what.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Amount {
    Bytes(u64),
    Time(Duration),
    /// So many of these.
    Count(u64, &'static str),
}

/// One limit: its key or name, how much, and what it bounds.
type Limit = (&'static str, Amount, &'static str);

#[derive(Serialize)]
struct Row {
    nombre: &'static str,
    valor: f64,
    unidad: &'static str,
    /// `archivo`, `entorno`, `omision`, `calculado` (follows from others) or `fijo` (of the program).
    origen: &'static str,
    /// The line or the variable.
    lugar: Option<String>,
    descripcion: &'static str,
    #[serde(skip)]
    texto: String,
}

impl LimitsCommand {
    pub fn run(&self) -> Result<(), Failure> {
        let rows = rows(&self.config.load()?);
        if self.format.format == Format::Json {
            return output::json(&serde_json::json!({ "items": rows }));
        }
        let line = |row: &Row| {
            let origin = match (row.origen, &row.lugar) {
                (_, Some(place)) => place.clone(),
                ("omision", None) => "valor por omisión".into(),
                (word, None) => word.to_owned(),
            };
            [row.nombre.to_owned(), row.texto.clone(), origin, row.descripcion.to_owned()].into()
        };
        output::table(&["LÍMITE", "VALOR", "FIJADO EN", "QUÉ LIMITA"], &rows.iter().map(line).collect::<Vec<_>>());
        Ok(())
    }
}

/// Shows the limits of the listeners among the metrics.
pub fn show(limits: &config::Limits, metrics: &Metrics) {
    for (name, amount, _) in of_listeners(limits) {
        metrics.limit(name.trim_start_matches("limits."), amount.whole());
    }
}

impl Amount {
    fn whole(self) -> u64 {
        match self {
            Self::Bytes(n) | Self::Count(n, _) => n,
            Self::Time(time) => time.as_secs(),
        }
    }

    fn row(self) -> (f64, &'static str, String) {
        match self {
            // Exact up to 2^53, which is more bytes than anybody sets.
            Self::Bytes(n) => (number(n), "bytes", config::Size::from_bytes(n).to_string()),
            Self::Count(n, of) => (number(n), of, format!("{n} {of}")),
            Self::Time(time) => (time.as_secs_f64(), "segundos", humantime::format_duration(time).to_string()),
        }
    }
}

#[allow(clippy::cast_precision_loss)] // nobody sets a limit of 2^53
fn number(n: u64) -> f64 {
    n as f64
}

fn rows(loaded: &Loaded) -> Vec<Row> {
    let config = &loaded.config;
    let set = of_listeners(&config.limits).into_iter().chain(of_work(config));
    let set = set.map(|limit| {
        let (origin, place) = origin(loaded, limit.0);
        row(limit, origin, place)
    });
    let follows = calculated(&config.limits).into_iter().map(|limit| row(limit, "calculado", None));
    let fixed = fixed().into_iter().map(|limit| row(limit, "fijo", None));
    set.chain(follows).chain(fixed).collect()
}

fn row((nombre, amount, descripcion): Limit, origen: &'static str, lugar: Option<String>) -> Row {
    let (valor, unidad, texto) = amount.row();
    Row { nombre, valor, unidad, origen, lugar, descripcion, texto }
}

fn origin(loaded: &Loaded, key: &str) -> (&'static str, Option<String>) {
    match loaded.origins.get(key) {
        Some(Origin::Variable(name)) => ("entorno", Some(name.clone())),
        Some(Origin::Line(line)) if loaded.file != config::EMBEDDED => {
            ("archivo", Some(format!("{}:{line}", loaded.file)))
        }
        Some(Origin::Line(_)) | None => ("omision", None),
    }
}

/// All of `[limits]`.
fn of_listeners(l: &config::Limits) -> Vec<Limit> {
    use Amount::{Bytes, Count, Time};
    vec![
        ("limits.document_max", Bytes(l.document_max.bytes()), "documento PDF"),
        ("limits.json_max", Bytes(l.json_max.bytes()), "JSON de una petición REST, sin sus documentos"),
        ("limits.bytes_in_flight_max", Bytes(l.bytes_in_flight_max.bytes()), "bytes de peticiones a medio recibir"),
        ("limits.connections_max", Count(l.connections_max.into(), "conexiones"), "abiertas a la vez en cada puerto"),
        (
            "limits.connections_per_peer_max",
            Count(l.connections_per_peer_max.into(), "conexiones"),
            "de una misma dirección IP",
        ),
        ("limits.requests_max", Count(l.requests_max.into(), "llamadas"), "SOAP que se atienden a la vez"),
        (
            "limits.requests_per_peer_max",
            Count(l.requests_per_peer_max.into(), "llamadas"),
            "SOAP a la vez de una misma dirección IP",
        ),
        ("limits.gzip_ratio_max", Count(l.gzip_ratio_max.into(), "veces"), "lo que crece un mensaje con gzip"),
        ("limits.key_rate", Count(l.key_rate.into(), "peticiones/s"), "con una misma clave de API, en promedio"),
        ("limits.key_burst", Count(l.key_burst.into(), "peticiones"), "de golpe con una misma clave de API"),
        ("limits.headers_max", Count(l.headers_max.into(), "cabeceras"), "de una petición HTTP"),
        ("limits.header_bytes_max", Bytes(l.header_bytes_max.bytes()), "cabeceras de una petición HTTP"),
        ("limits.header_timeout", Time(l.header_timeout), "para recibir las cabeceras, o sin pedir nada"),
        ("limits.body_idle_timeout", Time(l.body_idle_timeout), "sin recibir nada de un cuerpo"),
        ("limits.body_total_timeout", Time(l.body_total_timeout), "para recibir un cuerpo entero"),
        ("limits.response_idle_timeout", Time(l.response_idle_timeout), "sin que el otro lado reciba la respuesta"),
        ("limits.drain_timeout", Time(l.drain_timeout), "para terminar lo que está en curso al detenerse"),
    ]
}

/// The limits of other sections.
fn of_work(config: &Config) -> Vec<Limit> {
    use Amount::{Count, Time};
    let (pide, retry) = (&config.pide, &config.retry);
    vec![
        ("pide.connect_timeout", Time(pide.connect_timeout), "para conectar con la plataforma"),
        ("pide.total_timeout", Time(pide.total_timeout), "para una llamada entera a la plataforma"),
        ("retry.workers", Count(retry.workers.into(), "envíos"), "simultáneos"),
        (
            "retry.workers_per_destination",
            Count(retry.workers_per_destination.into(), "envíos"),
            "simultáneos a una misma entidad",
        ),
        ("retry.delay_max", Time(retry.delay_max), "entre dos reintentos"),
        (
            "trust.revocation_budget",
            Time(config.trust.revocation_budget),
            "preguntando por la revocación, en cada documento",
        ),
        ("retry.dead_after", Time(retry.dead_after), "insistiendo sin éxito en una entrega"),
    ]
}

fn calculated(limits: &config::Limits) -> Vec<Limit> {
    use Amount::Bytes;
    vec![
        ("soap.message_max", Bytes(limits.envelope_max().bytes()), "mensaje SOAP, con su documento en base64"),
        ("rest.request_max", Bytes(limits.request_max().bytes()), "petición REST, con sus documentos"),
    ]
}

fn fixed() -> Vec<Limit> {
    use Amount::{Bytes, Count, Time};
    let count = |n: usize, of| Count(n as u64, of);
    let bytes = |n: usize| Bytes(n as u64);
    vec![
        ("soap.structure_max", Bytes(soap::Limits::SMALL.structure_bytes), "etiquetas y campos de un mensaje SOAP"),
        ("soap.depth_max", count(envelope::DEPTH_MAX, "niveles"), "de elementos anidados"),
        ("soap.attributes_max", count(soap::ATTRIBUTES_MAX, "atributos"), "de un elemento"),
        ("soap.name_max", bytes(soap::NAME_BYTES_MAX), "nombre de un elemento o atributo"),
        ("soap.event_max", bytes(envelope::EVENT_BYTES_MAX), "un comentario o instrucción"),
        ("soap.tag_max", bytes(envelope::TAG_BYTES_MAX), "una etiqueta con sus atributos"),
        ("soap.field_max", bytes(envelope::FIELD_BYTES_MAX), "un campo de texto"),
        ("soap.drain_max", Bytes(body::DRAIN_BYTES_MAX), "lo que se lee tras rechazar un mensaje, sin guardarlo"),
        ("soap.drain_timeout", Time(body::DRAIN_TIME_MAX), "leyendo lo que se rechazó"),
        ("http.body_rate_min", Count(limits::RATE_BYTES_PER_S_MIN, "bytes/s"), "mínimo al recibir un cuerpo"),
        (
            "http.body_rate_grace",
            Time(limits::RATE_GRACE),
            "antes de exigir ese mínimo (o body_idle_timeout si es más)",
        ),
        ("http.refusals_max", count(server::REFUSALS_MAX, "conexiones"), "de más, a las que se responde 503"),
        ("http.refusals_per_peer_max", count(server::REFUSALS_PER_PEER_MAX, "conexiones"), "de esas, por dirección IP"),
        ("http.refusal_timeout", Time(server::REFUSAL_HEADER_TIMEOUT), "para las cabeceras de esas conexiones"),
        ("tls.handshake_timeout", Time(tls::HANDSHAKE_TIMEOUT), "para acordar TLS (o header_timeout si es menos)"),
        ("tls.file_max", Bytes(tls::files::FILE_BYTES_MAX), "archivo de certificados o de una clave de TLS"),
        ("http.retry_after", Time(Duration::from_secs(server::RETRY_AFTER_S)), "que se pide esperar con un 503"),
        (
            "rest.looked_at_max",
            count(listing::LOOKED_AT_MAX, "documentos"),
            "que se miran para una página de una lista",
        ),
        ("rest.statistics_max", count(statistics::RECORDS_MAX, "documentos"), "que se cuentan en unas estadísticas"),
        ("rest.streams_max", count(stream::STREAMS_MAX, "conexiones"), "que siguen los sucesos a la vez"),
        ("rest.streams_per_key_max", count(stream::STREAMS_PER_KEY_MAX, "conexiones"), "de esas, con una misma clave"),
        ("rest.destinos_max", count(DESTINOS_MAX, "destinos"), "de un despacho"),
        ("webhook.held_max", count(webhook::HELD_MAX, "documentos"), "retenidos en un webhook; con más, espera entero"),
        ("webhook.page_max", count(webhook::PAGE, "sucesos"), "que se leen y se avisan cada vez"),
        ("webhook.answer_max", bytes(webhook::ANSWER_BYTES_MAX), "respuesta de un webhook que se lee"),
        (
            "tables.held_max",
            count(tables::HELD_MAX, "documentos"),
            "que la base de datos rechaza; con más, espera todo",
        ),
        ("tables.page_max", count(tables::PAGE, "sucesos"), "que se leen y se escriben en las tablas cada vez"),
        ("tables.piece_max", bytes(tables::PIECE_BYTES), "pedazo de un PDF hacia o desde las tablas"),
        ("rest.anexos_max", count(ANNEXES_MAX, "anexos"), "con su archivo en un despacho"),
        (
            "anexos.lookups_max",
            Count(annexes::LOOKUPS_PER_MINUTE.into(), "búsquedas/min"),
            "de anexos por dirección IP",
        ),
        ("anexos.fetched_max", count(ANEXOS_TRAIDOS_MAX, "anexos"), "que se descargan de un documento recibido"),
        ("anexos.fetches_max", count(annexes::fetch::AT_ONCE, "descargas"), "de esos anexos a la vez"),
        ("bridge.token_max", bytes(bridge::TOKEN_BYTES_MAX), "token del puente"),
        ("bridge.access_max", Bytes(bridge::ACCESS_BYTES_MAX), "petición de un token del puente"),
        (
            "bridge.wrong_max",
            Count(bridge::WRONG_PER_MINUTE.into(), "llaves/min"),
            "equivocadas por dirección IP, en el puente",
        ),
        ("bridge.access_timeout", Time(bridge::ACCESS_TIME_MAX), "para que llegue"),
        (
            "bridge.numbered_max",
            count(bridge::NUMBERED_MAX, "documentos"),
            "que se miran con un mismo número en el puente",
        ),
        ("trust.list_max", bytes(trusted_list::LIST_BYTES_MAX), "lista de servicios de confianza"),
        ("trust.list_depth_max", count(xml::tree::DEPTH_MAX, "niveles"), "de elementos anidados en una lista"),
        ("trust.list_nodes_max", count(xml::tree::NODES_MAX, "nodos"), "de una lista"),
        ("store.queue_max", count(embedded::WAITING_MAX, "escrituras"), "que esperan al disco"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str, environment: &[(&str, &str)]) -> Loaded {
        let entity = "[[entity]]\nruc = \"20168999926\"\nname = \"PCM\"\n";
        let environment: Vec<_> = environment.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        config::parse("chasqui.toml", &format!("{entity}{text}"), &environment, &|_| unreachable!()).unwrap()
    }

    fn found<'a>(rows: &'a [Row], name: &str) -> &'a Row {
        rows.iter().find(|row| row.nombre == name).unwrap()
    }

    #[test]
    fn every_key_of_the_section_is_told_and_no_name_twice() {
        let rows = rows(&loaded("", &[]));
        let keys = serde_json::to_value(config::Limits::default()).unwrap();
        for key in keys.as_object().unwrap().keys() {
            found(&rows, &format!("limits.{key}"));
        }
        let mut names: Vec<_> = rows.iter().map(|row| row.nombre).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), rows.len());
    }

    #[test]
    fn each_limit_tells_its_unit_and_where_it_was_set() {
        let text = "[limits]\nconnections_max = 7\nheader_timeout = \"1500ms\"\n";
        let rows = rows(&loaded(text, &[("CHASQUI__LIMITS__DOCUMENT_MAX", "3MiB")]));
        let told = |name| {
            let row = found(&rows, name);
            (row.valor, row.unidad, row.origen, row.lugar.as_deref(), row.texto.as_str())
        };
        assert_eq!(
            told("limits.connections_max"),
            (7.0, "conexiones", "archivo", Some("chasqui.toml:5"), "7 conexiones")
        );
        assert_eq!(told("limits.header_timeout").0, 1.5);
        let variable = Some("CHASQUI__LIMITS__DOCUMENT_MAX");
        assert_eq!(told("limits.document_max"), (3_145_728.0, "bytes", "entorno", variable, "3MiB"));
        assert_eq!(told("limits.body_idle_timeout").2, "omision");
        assert_eq!((told("soap.message_max").2, told("soap.depth_max").2), ("calculado", "fijo"));
    }
}
