//! `chasqui send`: one document through a running daemon, and what became of it.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use futures_util::TryStreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::multipart::{Form, Part};
use serde_json::{Map, Value, json};
use tokio::{fs::File, time::Instant};
use tokio_util::io::ReaderStream;

use super::{ConfigOption, Failure, Format, FormatOption, causes::in_spanish, client::Api, output, runtime};
use crate::{domain::lima, exchange::Clock, exchange::SystemClock};

/// How long one question for the state waits at the daemon, in seconds.
const ASK_S: u64 = 10;

/// The file is read in pieces of this many bytes.
const PIECE_BYTES: usize = 64 * 1024;

#[derive(Args)]
pub struct Send {
    /// El documento, un PDF firmado
    #[arg(value_name = "ARCHIVO.pdf")]
    file: PathBuf,
    /// RUC de la entidad destinataria; se repite para enviarlo a varias
    #[arg(long, value_name = "RUC", required = true)]
    to: Vec<String>,
    /// Documento de identidad de quien remite: DNI, o carné con --remitente-tipo-documento 2
    #[arg(long, value_name = "NÚMERO", visible_alias = "dni")]
    remitente_numero_documento: String,
    /// Tipo de ese documento: 1 DNI, 2 carné de extranjería [si no se da: 1]
    #[arg(long, value_name = "TIPO", default_value = "1", hide_default_value = true)]
    remitente_tipo_documento: String,
    /// Número de registro en el sistema propio [si no se da: uno con la fecha y la hora]
    #[arg(long, value_name = "NÚMERO")]
    numero_registro: Option<String>,
    /// Asunto [si no se da: el nombre del archivo]
    #[arg(long, value_name = "TEXTO")]
    asunto: Option<String>,
    /// Tipo de documento: 01 oficio, 02 carta, … [si no se da: 01]
    #[arg(long, value_name = "CÓDIGO", default_value = "01", hide_default_value = true)]
    tipo_documento: String,
    /// Número del documento [si no se da: el nombre del archivo]
    #[arg(long, value_name = "TEXTO")]
    numero_documento: Option<String>,
    /// Fecha del documento, como 2026-11-21 [si no se da: ahora]
    #[arg(long, value_name = "FECHA")]
    fecha_documento: Option<String>,
    /// Folios [si no se da: 1]
    #[arg(long, value_name = "N", default_value_t = 1, hide_default_value = true)]
    folios: u32,
    /// Unidad que remite [si no se da: MESA DE PARTES]
    #[arg(long, value_name = "TEXTO", default_value = "MESA DE PARTES", hide_default_value = true)]
    unidad_remitente: String,
    /// Usuario que despacha [si no se da: el de esta sesión]
    #[arg(
        long,
        value_name = "TEXTO",
        env = "USER",
        default_value = "chasqui",
        hide_default_value = true,
        hide_env = true
    )]
    usuario: String,
    /// Unidad destinataria [si no se da: MESA DE PARTES]
    #[arg(long, value_name = "TEXTO", default_value = "MESA DE PARTES", hide_default_value = true)]
    destinatario_unidad: String,
    /// Persona destinataria [si no se da: A QUIEN CORRESPONDA]
    #[arg(long, value_name = "TEXTO", default_value = "A QUIEN CORRESPONDA", hide_default_value = true)]
    destinatario_nombre: String,
    /// Cargo de esa persona [si no se da: RESPONSABLE]
    #[arg(long, value_name = "TEXTO", default_value = "RESPONSABLE", hide_default_value = true)]
    destinatario_cargo: String,
    /// Nombre de un anexo publicado en --url-anexos; se repite
    #[arg(long, value_name = "NOMBRE", requires = "url_anexos")]
    anexo: Vec<String>,
    /// Dirección de la que se descargan los anexos
    #[arg(long, value_name = "URL")]
    url_anexos: Option<String>,
    /// CUO del documento observado que este corrige
    #[arg(long, value_name = "CUO")]
    referencia: Option<String>,
    /// RUC de la entidad que envía, si la clave no es de una sola
    #[arg(long, value_name = "RUC")]
    entidad: Option<String>,
    /// Cuánto se espera la respuesta de la plataforma, en segundos; 0 no espera. Si pasado ese tiempo aún no se confirma que
    /// llegó, termina con el código 4: está aceptado y el servicio sigue solo [si no se da: 120]
    #[arg(long, value_name = "SEGUNDOS", default_value_t = 120, hide_default_value = true)]
    wait: u64,
    /// Dirección de la API del servicio [si no se da: el servicio de esta máquina]
    #[arg(long, value_name = "URL", env = "CHASQUI_URL", hide_env = true, requires = "key")]
    url: Option<String>,
    /// Clave de la API; mejor en la variable CHASQUI_KEY que a la vista
    #[arg(long, value_name = "CLAVE", env = "CHASQUI_KEY", hide_env = true, hide_env_values = true)]
    key: Option<String>,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

impl Send {
    pub fn run(&self) -> Result<(), Failure> {
        runtime()?.block_on(async {
            let (sent, lost) = self.send(&self.api().await?).await?;
            if self.format.format == Format::Json {
                output::json(&if self.to.len() == 1 {
                    sent.first().cloned().unwrap_or_default()
                } else {
                    json!(sent)
                })?;
            } else {
                sent.iter().for_each(report);
            }
            verdict(&sent, self.wait, lost.as_ref())
        })
    }

    /// With a key, the daemon at the address; without, the one of this machine over its control socket.
    async fn api(&self) -> Result<Api, Failure> {
        let Some(key) = &self.key else {
            let api = Api::local(&self.config.load()?.config).await?;
            if matches!(api, Api::Here { .. }) {
                api.close().await?;
                return Err(Failure::Unreachable("el servicio no está en marcha: inícielo con «chasqui serve»".into()));
            }
            return Ok(api);
        };
        match &self.url {
            Some(url) => Api::network(url, key.clone()),
            None => Api::network(&format!("http://{}", self.config.load()?.config.listen.api), key.clone()),
        }
    }

    /// What was accepted, as it was last known; and why nothing later is known, if the daemon went away meanwhile.
    async fn send(&self, api: &Api) -> Result<(Vec<Value>, Option<Failure>), Failure> {
        let bar = bar();
        let data = self.data();
        let form = self.form(&bar, &data).await?;
        let accepted = api.form("/api/v1/despachos", form).await;
        bar.finish_and_clear();
        let accepted = accepted.map_err(|failure| perhaps_accepted(failure, &data))?;
        let mut sent = match accepted.get("items").and_then(Value::as_array) {
            Some(items) => items.clone(),
            None => vec![accepted],
        };
        let deadline = Instant::now() + Duration::from_secs(self.wait);
        let spinner = spinner();
        let mut lost = None;
        for despacho in &mut sent {
            while unsettled(despacho) && lost.is_none() && Instant::now() < deadline {
                spinner.set_message(format!(
                    "{}: {}",
                    output::text(despacho, "destino"),
                    output::text(despacho, "estado")
                ));
                let left = deadline.saturating_duration_since(Instant::now()).as_secs().clamp(1, ASK_S);
                let path = format!("/api/v1/despachos/{}?esperar={left}", output::text(despacho, "id"));
                match api.get(&path).await {
                    Ok(now) => *despacho = now,
                    Err(failure) => lost = Some(failure),
                }
            }
        }
        spinner.finish_and_clear();
        Ok((sent, lost))
    }

    async fn form(&self, bar: &ProgressBar, data: &Value) -> Result<Form, Failure> {
        let file = File::open(&self.file).await.map_err(|error| unreadable(&self.file, &error))?;
        let bytes = file.metadata().await.map_err(|error| unreadable(&self.file, &error))?.len();
        let name = self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        bar.set_length(bytes);
        let shown = bar.clone();
        let pieces = ReaderStream::with_capacity(file, PIECE_BYTES)
            .inspect_ok(move |piece| shown.inc(u64::try_from(piece.len()).unwrap_or_default()));
        let part = Part::stream_with_length(reqwest::Body::wrap_stream(pieces), bytes).file_name(name);
        Ok(Form::new().text("datos", data.to_string()).part("documento", part))
    }

    fn data(&self) -> Value {
        let stem = self.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let now = SystemClock.now();
        let numbered = || lima::en_lima(now).strftime("CLI-%Y%m%d-%H%M%S-%3f").to_string();
        let mut data = json!({
            "numero_registro": self.numero_registro.clone().unwrap_or_else(numbered),
            "unidad_remitente": self.unidad_remitente,
            "usuario": self.usuario,
            "remitente": {
                "tipo_documento": self.remitente_tipo_documento,
                "numero_documento": self.remitente_numero_documento,
            },
            "destinatario": {
                "unidad": self.destinatario_unidad,
                "nombre": self.destinatario_nombre,
                "cargo": self.destinatario_cargo,
            },
            "tipo_documento": self.tipo_documento,
            "numero_documento": self.numero_documento.as_ref().unwrap_or(&stem),
            "asunto": self.asunto.as_ref().unwrap_or(&stem),
            "folios": self.folios,
            "anexos": self.anexo.iter().map(|nombre| json!({ "nombre": nombre })).collect::<Vec<_>>(),
        });
        if let Some(data) = data.as_object_mut() {
            self.optional(data);
        }
        data
    }

    fn optional(&self, data: &mut Map<String, Value>) {
        match self.to.as_slice() {
            [one] => data.insert("destino".into(), json!(one)),
            many => data.insert("destinos".into(), json!(many)),
        };
        let optional = [
            ("fecha_documento", &self.fecha_documento),
            ("url_anexos", &self.url_anexos),
            ("referencia", &self.referencia),
            ("entidad", &self.entidad),
        ];
        data.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?)))));
    }
}

/// The platform has not answered yet.
fn unsettled(despacho: &Value) -> bool {
    matches!(despacho["estado"].as_str(), Some("pendiente" | "enviando" | "por_confirmar"))
}

fn report(despacho: &Value) {
    let text = |member| output::text(despacho, member);
    output::say(&format!("{} → {}", text("entidad"), text("destino")));
    output::say(&format!("  estado            {} ({})", text("estado"), text("cflgest")));
    output::say(&format!("  CUO               {}", text("cuo")));
    output::say(&format!("  número de registro {}", text("numero_registro")));
    output::say(&format!("  id                {}", text("id")));
    let document = &despacho["documento"];
    output::say(&format!("  SHA-256           {} ({} bytes)", output::text(document, "sha256"), document["bytes"]));
    if let Some(error) = despacho["ultimo_error"].as_str() {
        output::say(&format!("  último error      {error}"));
    }
}

/// A call that broke may have been accepted: repeated under the same number it cannot become a second document.
fn perhaps_accepted(failure: Failure, data: &Value) -> Failure {
    let Failure::Unreachable(why) = failure else { return failure };
    let numero = output::text(data, "numero_registro");
    Failure::Unreachable(format!(
        "{why}. Si lo envía otra vez, hágalo con --numero-registro {numero}: así no puede salir dos veces"
    ))
}

/// Accepted is enough for who did not want to wait; else the platform must have taken each.
fn verdict(sent: &[Value], wait: u64, lost: Option<&Failure>) -> Result<(), Failure> {
    let failed = sent.iter().find(|d| matches!(d["estado"].as_str(), Some("fallido" | "anulado")));
    if let Some(failed) = failed {
        let why = output::text(failed, "ultimo_error");
        return Err(Failure::Failed(format!("el envío a {} falló: {why}", output::text(failed, "destino"))));
    }
    match sent.iter().find(|despacho| unsettled(despacho)) {
        Some(despacho) if wait > 0 => Err(Failure::Pending(pending(despacho, wait, lost))),
        _ => Ok(()),
    }
}

/// What is known of one that was accepted and has no end yet.
fn pending(despacho: &Value, wait: u64, lost: Option<&Failure>) -> String {
    let known = match despacho["estado"].as_str() {
        Some("enviando") => "se está enviando",
        Some("por_confirmar") => "se envió, no hubo una respuesta clara y se preguntará si llegó",
        _ => "espera su turno para salir",
    };
    let (destino, id) = (output::text(despacho, "destino"), output::text(despacho, "id"));
    let waited = match lost {
        Some(failure) => format!("el servicio dejó de atender mientras se esperaba ({}), y antes", failure.message()),
        None => format!("pasados {wait} s"),
    };
    format!(
        "el documento para {destino} está aceptado y guardado, y {waited} aún no se confirmaba que llegó: {known}. \
         No lo envíe de nuevo: el servicio sigue solo. Vea cómo va con «chasqui queue show {id}»"
    )
}

fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("enviando {bar:30} {bytes}/{total_bytes}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn spinner() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("no se puede leer {}: {}", file.display(), in_spanish(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_told_in_spanish() {
        let file = Path::new("/no/hay/oficio.pdf");
        let Failure::Usage(said) = unreadable(file, &std::fs::File::open(file).unwrap_err()) else {
            panic!("it is the caller's mistake")
        };
        assert_eq!(said, "no se puede leer /no/hay/oficio.pdf: no existe");
    }

    #[test]
    fn only_what_the_platform_took_ends_well_unless_nobody_waits() {
        let one = |estado: &str| vec![json!({"estado": estado, "destino": "20168999926", "ultimo_error": "no"})];
        for (estado, wait, well) in [
            ("enviado", 120, true),
            ("recepcionado", 120, true),
            ("observado", 120, true),
            ("pendiente", 0, true),
            ("fallido", 0, false),
        ] {
            assert_eq!(verdict(&one(estado), wait, None).is_ok(), well, "{estado} {wait}");
        }
    }

    #[test]
    fn what_is_not_confirmed_yet_is_no_failure_and_says_what_is_known() {
        for (estado, known) in [("pendiente", "espera su turno"), ("por_confirmar", "se preguntará si llegó")] {
            let sent = [json!({"estado": estado, "destino": "20168999926", "id": "019a"})];
            let Err(end) = verdict(&sent, 120, None) else { panic!("{estado} has no end yet") };
            assert_eq!(end.code(), 4);
            let said = end.message();
            assert!(said.contains(known) && said.contains("No lo envíe de nuevo") && said.contains("019a"), "{said}");
        }
    }
    #[test]
    fn a_daemon_that_goes_away_after_accepting_is_no_reason_to_send_again() {
        let lost = Failure::Unreachable("se interrumpió la llamada".into());
        let sent = [json!({"estado": "pendiente", "destino": "20168999926", "id": "019a"})];
        let Err(end) = verdict(&sent, 120, Some(&lost)) else { panic!("its end is not known") };
        assert_eq!(end.code(), 4);
        assert!(end.message().contains("dejó de atender") && end.message().contains("No lo envíe de nuevo"));
    }

    #[test]
    fn a_call_that_broke_names_the_number_to_repeat_it_under() {
        let data = json!({"numero_registro": "CLI-1"});
        let end = perhaps_accepted(Failure::Unreachable("se interrumpió la llamada".into()), &data);
        assert_eq!(end.code(), 3);
        assert!(end.message().ends_with("--numero-registro CLI-1: así no puede salir dos veces"));
        assert!(matches!(perhaps_accepted(Failure::Failed("no".into()), &data), Failure::Failed(said) if said == "no"));
    }
}
