//! Which rows of despachos come over, and as what.

use jiff::Timestamp;

use super::{Juicio, rows::Fila};
use crate::{
    domain::{CargoTramite, Cuo, Destinatario, Persona, Ruc, despacho::NUMERO_REGISTRO_MAX},
    exchange::{Actor, DespachoAnterior, Exchange, ExchangeError, FinAnterior, NuevoDespacho, RespuestaAnterior},
    sgd::tables::{Conexion, Failure, outgoing, schema::DESPACHO, session::Session},
    store::Numbered,
};

/// The user of a row that names none.
const USER: &str = "sgd";
/// Despachos looked at under one number.
const NUMBERED_MAX: usize = 64;

/// A row that comes over.
pub struct Tomable {
    cuo: Cuo,
    destino: Ruc,
    numero: String,
    fin: Fin,
    pub reparos: Vec<String>,
}

enum Fin {
    Incierto(String),
    Enviado,
    Respondido { subsanado: bool },
}

impl Conexion {
    pub(super) async fn juzgar_despacho(&self, exchange: &Exchange, fila: &Fila) -> Result<Juicio<Tomable>, Failure> {
        let omite = |motivo: String| Ok(Juicio::Omitir { motivo, rara: true });
        let Ok(destino) = Ruc::de_contraparte(&fila.text("vrucentrec")) else {
            return omite(format!("vrucentrec «{}» no es un RUC", fila.text("vrucentrec")));
        };
        let numero = outgoing::number(&fila.text("vnumregstd"), &fila.text("vanioregstd"));
        let holder = self.under_number(exchange, &numero, &destino).await?;
        if let Some(id) = holder
            && self.row_of(exchange, id).await? == Some(fila.key)
        {
            return Ok(Juicio::YaEsta);
        }
        let fin = match (fila.estado(), fila.cuo()) {
            ("P", _) if fila.anulada() => return Ok(ordinary("anulada antes de enviarse")),
            ("P", None) if tried(fila) => {
                let what =
                    "quedó con error y sin CUO: no salió. Si aún debe enviarse, el SGD vuelve a poner cflgenv = N";
                return omite(what.into());
            }
            ("P", None) => return Ok(ordinary("por enviar: las recoge el servicio")),
            ("P", Some(_)) => Fin::Incierto(uncertain(fila)),
            ("E", _) => Fin::Enviado,
            ("R" | "O", _) => Fin::Respondido { subsanado: false },
            ("S", _) => Fin::Respondido { subsanado: true },
            (other, _) => return omite(format!("su estado, «{other}», no es ninguno de los conocidos")),
        };
        let Some(cuo) = fila.cuo() else {
            return omite(format!("su CUO, «{}», no es válido", fila.text("vcuo")));
        };
        if let Some(known) = exchange.store().despacho_by_cuo(&self.options.entidad, &cuo).await? {
            return match self.row_of(exchange, known.id).await? {
                Some(row) if row == fila.key => Ok(Juicio::YaEsta),
                Some(row) => omite(format!("su CUO es también el de la fila {row}, que ya está")),
                None => omite(format!("su CUO es el de un despacho de aquí ({})", known.id)),
            };
        }
        if let Some(motivo) = fila.excesivo(exchange.settings().document_bytes_max) {
            return omite(motivo);
        }
        let mut reparos = fila.reparos();
        let numero = match (numero.is_empty(), holder) {
            (false, None) => numero,
            (empty, _) => {
                let other = of_row(&numero, fila.key);
                let why = if empty { "no tiene número de registro" } else { "su número de registro es de otro" };
                reparos.push(format!("{why}: aquí es «{other}»"));
                other
            }
        };
        if matches!(fin, Fin::Respondido { .. }) && !fila.tiene_cargo() {
            reparos.push("sin el PDF de su cargo (bcarstdrec)".into());
        }
        if matches!(fin, Fin::Incierto(_)) {
            let what =
                "no consta si llegó: aquí queda «fallido», y antes de enviarla otra vez se le pregunta al receptor";
            reparos.push(what.into());
        }
        Ok(Juicio::Tomar(Box::new(Tomable { cuo, destino, numero, fin, reparos })))
    }

    pub(super) async fn tomar_despacho(
        &self,
        exchange: &Exchange,
        session: &mut Session,
        fila: &Fila,
        tomable: &mut Tomable,
        por: &Actor,
    ) -> Result<(), Failure> {
        let files = fila.archivos(exchange, session, (DESPACHO, "bcarstdrec")).await?;
        tomable.reparos.extend(files.reparos.iter().map(|what| (*what).to_owned()));
        let nuevo = NuevoDespacho { anexos: fila.anexos(session).await?, ..stated(fila, tomable) };
        let created = fila.time("dfecreg").or_else(|| fila.time("dfecenv")).unwrap_or_else(|| exchange.now());
        let mut anterior = DespachoAnterior {
            nuevo,
            destino: tomable.destino.clone(),
            cuo: tomable.cuo.clone(),
            creado_en: created,
            enviado_en: fila.time("dfecenv").unwrap_or(created),
            fin: match &tomable.fin {
                Fin::Incierto(motivo) => FinAnterior::Incierto { motivo: motivo.clone() },
                Fin::Enviado => FinAnterior::Enviado,
                Fin::Respondido { subsanado } => {
                    let en = answered_at(fila).unwrap_or(created);
                    let respuesta = RespuestaAnterior { cargo: cargo(fila, tomable), pdf: files.cargo, en };
                    FinAnterior::Respondido { respuesta: Box::new(respuesta), subsanado: *subsanado }
                }
            },
            documento: files.documento,
        };
        let (actor, entidad) = (self.options.actor_of_row(fila.key), &self.options.entidad);
        let origen = self.origen(DESPACHO, fila, &tomable.reparos, por);
        match exchange.importar_despacho(&actor, entidad, &anterior, &origen).await {
            // A row before it has the same number.
            Err(ExchangeError::Duplicado { .. }) => {
                let other = of_row(&tomable.numero, fila.key);
                tomable.reparos.push(format!("su número de registro es de otro: aquí es «{other}»"));
                anterior.nuevo.numero_registro = Some(other);
                let origen = self.origen(DESPACHO, fila, &tomable.reparos, por);
                exchange.importar_despacho(&actor, entidad, &anterior, &origen).await?;
            }
            done => drop(done?),
        }
        Ok(())
    }

    async fn under_number(
        &self,
        exchange: &Exchange,
        numero: &str,
        destino: &Ruc,
    ) -> Result<Option<crate::domain::Id>, Failure> {
        let (entidad, numero) = (self.options.entidad.clone(), numero.to_owned());
        let numbered = Numbered { entidad, numero, after: None, limit: NUMBERED_MAX };
        let found = exchange.store().despachos_by_numero(numbered).await?.items;
        let mut found = found.into_iter().filter(|d| d.destino == *destino && d.reemplazado_por.is_none());
        Ok(found.next().map(|d| d.id))
    }
}

fn ordinary(motivo: &str) -> Juicio<Tomable> {
    Juicio::Omitir { motivo: motivo.into(), rara: false }
}

/// Whether the earlier system tried to send it and failed.
fn tried(fila: &Fila) -> bool {
    fila.said("cflgenv").is_some_and(|letter| letter != "N")
}

fn uncertain(fila: &Fila) -> String {
    let why = fila.said("vobs").map(|said| format!(": {said}")).unwrap_or_default();
    format!("El sistema anterior lo dejó sin enviar, con CUO, y no consta si llegó{why}")
}

/// A number of its own for a row whose number another one has.
fn of_row(numero: &str, row: i64) -> String {
    let end = format!("#{row}");
    let room = NUMERO_REGISTRO_MAX.saturating_sub(end.chars().count());
    numero.chars().take(room).chain(end.chars()).collect()
}

fn answered_at(fila: &Fila) -> Option<Timestamp> {
    ["dfecregstdrec", "dfecmod", "dfecenv"].iter().find_map(|name| fila.time(name))
}

fn stated(fila: &Fila, tomable: &Tomable) -> NuevoDespacho {
    let text = |name: &str| fila.text(name);
    NuevoDespacho {
        numero_registro: Some(tomable.numero.clone()),
        unidad_remitente: fila.owned("vuniorgrem"),
        codigo_unidad_remitente: fila.owned("vcoduniorgrem"),
        usuario: Some(fila.owned("vusureg").unwrap_or_else(|| USER.to_owned())),
        remitente: Persona { tipo_documento: text("ctipdociderem"), numero_documento: text("vnumdociderem") },
        destinatario: Destinatario { unidad: text("vuniorgdst"), nombre: text("vnomdst"), cargo: text("vnomcardst") },
        tipo_documento: fila.owned("ccodtipdoc"),
        numero_documento: fila.owned("vnumdoc"),
        fecha_documento: fila.owned("dfecdoc"),
        asunto: fila.owned("vasu"),
        folios: fila.said("snumfol").and_then(|text| text.parse().ok()),
        nombre_documento: fila.owned("vnomdoc"),
        url_anexos: fila.owned("vurldocanx"),
        referencia: fila.owned("vcuoref"),
        ..NuevoDespacho::default()
    }
}

fn cargo(fila: &Fila, tomable: &Tomable) -> CargoTramite {
    let accepted = fila.estado() == "R";
    CargoTramite {
        cuo: Some(tomable.cuo.to_string()),
        numero_registro: fila.owned("vnumregstdrec"),
        anio_registro: fila.owned("vanioregstdrec"),
        fecha_registro: fila.owned("dfecregstdrec"),
        unidad: fila.owned("vuniorgstdrec"),
        usuario: fila.owned("vusuregstdrec"),
        observacion: fila.owned("vobs"),
        // Only what was observed can have been corrected.
        estado: Some(if accepted { "R" } else { "O" }.to_owned()),
        anexos: fila.owned("vdesanxstdrec"),
        ..CargoTramite::default()
    }
}

#[cfg(test)]
mod tests {
    use super::of_row;

    #[test]
    fn a_number_that_is_taken_keeps_its_beginning_and_never_grows_too_long() {
        assert_eq!(of_row("2026-000123", 77), "2026-000123#77");
        assert_eq!(of_row("", 5), "#5");
        assert_eq!(of_row(&"9".repeat(30), 32_767), format!("{}#32767", "9".repeat(24)));
    }
}
