//! Which rows of received documents come over, and as what.

use super::{Juicio, rows::Fila};
use crate::{
    domain::{CargoTramite, Cuo, Ruc, Tramite, lima},
    exchange::{Actor, Exchange, RecepcionAnterior, RespuestaAnterior},
    sgd::tables::{Conexion, Failure, schema::RECEPCION, session::Session},
};

/// Why it was observed, where the row does not say.
const NO_CONSTA: &str = "No consta en las tablas";

/// A row that comes over.
pub struct Tomable {
    cuo: Cuo,
    remitente: Ruc,
    /// With its answer; without one it waits for it, whatever the row says.
    respondida: bool,
    entregada: bool,
    pub reparos: Vec<String>,
}

impl Conexion {
    pub(super) async fn juzgar_recepcion(
        &self,
        exchange: &Exchange,
        session: &Session,
        fila: &Fila,
    ) -> Result<Juicio<Tomable>, Failure> {
        let omite = |motivo: String| Ok(Juicio::Omitir { motivo, rara: true });
        let Ok(remitente) = Ruc::de_contraparte(&fila.text("vrucentrem")) else {
            return omite(format!("vrucentrem «{}» no es un RUC", fila.text("vrucentrem")));
        };
        let Some(cuo) = fila.cuo() else {
            return omite(format!("su CUO, «{}», no es válido", fila.text("vcuo")));
        };
        let known = exchange.store().recepcion_by_arrival(&self.options.entidad, &remitente, &cuo).await?;
        if known.is_some() {
            return Ok(Juicio::YaEsta);
        }
        let answered = match fila.estado() {
            "P" => false,
            "R" | "O" => true,
            other => return omite(format!("su estado, «{other}», no es ninguno de los conocidos")),
        };
        if !answered && let Some(row) = answered_twin(session, fila).await? {
            return omite(format!("el mismo documento está también en la fila {row}, ya respondido"));
        }
        if let Some(motivo) = fila.excesivo(exchange.settings().document_bytes_max) {
            return omite(motivo);
        }
        let mut reparos = fila.reparos();
        let entregada = fila.said("cflgenvcar") == Some("S");
        let respondida = answered && (entregada || fila.tiene_cargo() && !fila.anulada());
        if answered && !fila.tiene_cargo() {
            reparos.push(match entregada {
                true => "sin el PDF de su cargo (bcarstd)".into(),
                false => {
                    "respondida y sin entregar, sin el PDF de su cargo (bcarstd): aquí queda pendiente, y el servicio hace el \
                     cargo si la entidad tiene identidad"
                        .into()
                }
            });
        }
        if fila.anulada() && !respondida {
            reparos.push("anulada en las tablas: aquí queda pendiente".into());
        }
        if respondida && fila.estado() == "O" && fila.said("vobs").is_none() {
            reparos.push("observada sin decir por qué (vobs)".into());
        }
        Ok(Juicio::Tomar(Box::new(Tomable { cuo, remitente, respondida, entregada, reparos })))
    }

    pub(super) async fn tomar_recepcion(
        &self,
        exchange: &Exchange,
        session: &mut Session,
        fila: &Fila,
        tomable: &mut Tomable,
        por: &Actor,
    ) -> Result<(), Failure> {
        let files = fila.archivos(exchange, session, (RECEPCION, "bcarstd")).await?;
        tomable.reparos.extend(files.reparos.iter().map(|what| (*what).to_owned()));
        let anexos = fila.anexos(session).await?;
        let arrived = fila.time("dfecreg").or_else(|| fila.time("dfecdoc")).unwrap_or_else(|| exchange.now());
        let answered = ["dfecregstd", "dfecmod"].iter().find_map(|name| fila.time(name)).unwrap_or(arrived);
        let anio = fila.owned("vanioregstd").unwrap_or_else(|| lima::en_lima(answered).year().to_string());
        let respuesta = RespuestaAnterior { cargo: cargo(fila, tomable, anio.clone()), pdf: files.cargo, en: answered };
        let delivered = fila.time("dfecmod").unwrap_or(answered);
        let anterior = RecepcionAnterior {
            tramite: Tramite { anexos, ..stated(fila) },
            remitente: tomable.remitente.clone(),
            cuo: tomable.cuo.clone(),
            recibido_en: arrived,
            registro: fila.owned("vnumregstd").map(|numero| (numero, anio)),
            respuesta: tomable.respondida.then_some(respuesta),
            entregado_en: tomable.entregada.then_some(delivered),
            documento: files.documento,
        };
        let (actor, entidad) = (self.options.actor_of_row(fila.key), &self.options.entidad);
        let origen = self.origen(RECEPCION, fila, &tomable.reparos, por);
        exchange.importar_recepcion(&actor, entidad, &anterior, &origen).await?;
        Ok(())
    }
}

/// The reference component may have stored a document twice: the answered row is the one that counts.
async fn answered_twin(session: &Session, fila: &Fila) -> Result<Option<i64>, Failure> {
    let table = session.schema.table(RECEPCION)?;
    let sql = format!(
        "SELECT r.\"{key}\"::int8 FROM {} r WHERE trim(r.\"vrucentrem\"::text) = $1 AND trim(r.\"vcuo\"::text) = $2 \
         AND trim(r.\"cflgest\"::text) IN ('R', 'O') ORDER BY 1 LIMIT 1",
        table.full,
        key = table.key
    );
    let found = session.client.query_opt(sql.as_str(), &[&fila.text("vrucentrem"), &fila.text("vcuo")]).await?;
    Ok(found.map(|row| row.try_get(0)).transpose()?)
}

fn stated(fila: &Fila) -> Tramite {
    let number = |name: &str| fila.said(name).and_then(|text| text.parse().ok());
    Tramite {
        nombre_remitente: fila.owned("vnomentemi"),
        unidad_remitente: fila.owned("vuniorgrem"),
        tipo_identidad: fila.owned("ctipdociderem"),
        numero_identidad: fila.owned("vnumdociderem"),
        cuo_referencia: fila.owned("vcuoref"),
        tipo_documento: fila.owned("ccodtipdoc"),
        numero_documento: fila.owned("vnumdoc"),
        fecha_documento: fila.owned("dfecdoc"),
        unidad_destino: fila.owned("vuniorgdst"),
        nombre_destinatario: fila.owned("vnomdst"),
        cargo_destinatario: fila.owned("vnomcardst"),
        asunto: fila.owned("vasu"),
        numero_anexos: number("snumanx"),
        folios: number("snumfol"),
        url_anexos: fila.owned("vurldocanx"),
        nombre_documento: fila.owned("vnomdoc"),
        ..Tramite::default()
    }
}

fn cargo(fila: &Fila, tomable: &Tomable, anio: String) -> CargoTramite {
    let observed = fila.estado() == "O";
    let observacion = fila.owned("vobs").or_else(|| Some(NO_CONSTA.to_owned())).filter(|_| observed);
    CargoTramite {
        cuo: Some(tomable.cuo.to_string()),
        numero_registro: fila.owned("vnumregstd"),
        anio_registro: Some(anio),
        fecha_registro: fila.owned("dfecregstd"),
        unidad: fila.owned("vuniorgstd"),
        usuario: fila.owned("vusuregstd"),
        observacion,
        estado: Some(fila.estado().to_owned()),
        ..CargoTramite::default()
    }
}
