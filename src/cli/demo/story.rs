//! The story, step by step, through the APIs of both entities. Whatever is said was checked on what they answered and on
//! the bytes they gave.

use std::time::{Duration, Instant};

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    cast::{Cast, Member},
    history,
    papers::{self, Paper, sha256},
    screen::{Screen, span, thousands},
};
use crate::{
    cli::{Failure, output::text},
    domain::firmas::{Informe, Veredicto},
};

/// How long any state may take.
const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

const DESPACHOS: &str = "/api/v1/despachos";
const RECEPCIONES: &str = "/api/v1/recepciones";

/// One document on both sides.
pub struct Exchanged {
    pub title: &'static str,
    pub cuo: String,
    /// Id of the despacho at its sender.
    pub despacho: String,
    /// Id of the recepcion at its receiver.
    pub recepcion: String,
}

/// Tells it all, and gives the first document; an error is the first thing that was not as it must be.
pub async fn tell(screen: &mut Screen, cast: &Cast) -> Result<Exchanged, Failure> {
    let first = oficio(screen, cast).await?;
    let second = carta(screen, cast).await?;
    screen.step("Lo que cada entidad recuerda");
    for exchanged in [&first, &second] {
        history::show(screen, cast, exchanged).await?;
    }
    Ok(first)
}

async fn oficio(screen: &mut Screen, cast: &Cast) -> Result<Exchanged, Failure> {
    let (sender, receiver) = (&cast.sender, &cast.receiver);
    let paper = papers::oficio();

    screen.step("La municipalidad despacha un oficio");
    let datos = json!({
        "numero_registro": "2026-000123", "destino": receiver.ruc, "tipo_documento": "01",
        "numero_documento": "OFICIO N.º 001-2026-MDE/OTI", "folios": 2, "usuario": "jperez",
        "asunto": "Intercambio de documentos electrónicos entre nuestras entidades",
        "unidad_remitente": "OFICINA DE TECNOLOGÍAS DE LA INFORMACIÓN",
        "remitente": {"tipo_documento": "1", "numero_documento": "40633367"},
        "destinatario": {"unidad": "UNIDAD DE GESTIÓN DOCUMENTAL", "nombre": "MARÍA ELENA ÑAUPARI GÜERE", "cargo": "JEFA"},
    });
    let despacho = dispatch(screen, sender, &paper, &datos).await?;
    signatures(screen, &despacho)?;

    screen.step("El gobierno regional lo recibe, idéntico");
    let recepcion = arrival(screen, receiver, &despacho, &paper).await?;
    signatures(screen, &recepcion)?;

    screen.step("Su mesa de partes lo registra y emite el cargo");
    let filed = json!({"numero_registro": "2026-004517"});
    let path = format!("{RECEPCIONES}/{}", text(&recepcion, "id"));
    let registered = receiver.post(&format!("{path}/registrar"), &filed).await?;
    must(screen, registered["numero_registro"] == filed["numero_registro"], || {
        format!("se registró como {}", registered["numero_registro"])
    })?;
    let (number, year) = (text(&registered, "numero_registro"), text(&registered, "anio_registro"));
    screen.fact("Registro", &format!("N.º {number}, año {year}"));
    let answer = json!({
        "numero_registro": "2026-004517", "unidad": "UNIDAD DE GESTIÓN DOCUMENTAL", "usuario": "Rosa Ñahui Quispe",
    });
    let cargo = answer_with(screen, receiver, &recepcion, "recepcionar", &answer).await?;

    screen.step("El cargo vuelve a la municipalidad");
    let closed = closed(screen, sender, &despacho, "recepcionado", "R").await?;
    let back = &closed["cargo"];
    must(screen, back["numero_registro"] == answer["numero_registro"] && back["usuario"] == answer["usuario"], || {
        "el cargo no trae el registro con que se emitió".to_owned()
    })?;
    let (number, user) = (text(back, "numero_registro"), text(back, "usuario"));
    screen.more(&format!("registrado con el N.º {number} por {user}"));
    cargo_back(screen, cast, &despacho, &recepcion, &cargo).await?;
    Ok(exchanged("Oficio N.º 001-2026-MDE/OTI", &despacho, &recepcion))
}

async fn carta(screen: &mut Screen, cast: &Cast) -> Result<Exchanged, Failure> {
    let (sender, receiver) = (&cast.sender, &cast.receiver);
    let paper = papers::carta(sender.name, receiver.name);

    screen.step("Un segundo documento es observado");
    let datos = json!({
        "numero_registro": "2026-000124", "destino": receiver.ruc, "tipo_documento": "02",
        "numero_documento": "CARTA N.º 002-2026-MDE/OTI", "folios": 1, "usuario": "jperez",
        "asunto": "Remite el plan de pruebas y su cronograma (anexo 2)",
        "unidad_remitente": "OFICINA DE TECNOLOGÍAS DE LA INFORMACIÓN",
        "remitente": {"tipo_documento": "1", "numero_documento": "40633367"},
        "destinatario": {"unidad": "UNIDAD DE GESTIÓN DOCUMENTAL", "nombre": "MARÍA ELENA ÑAUPARI GÜERE", "cargo": "JEFA"},
    });
    let despacho = dispatch(screen, sender, &paper, &datos).await?;
    let recepcion = arrival(screen, receiver, &despacho, &paper).await?;
    let observacion = "Falta el anexo 2 que menciona el documento.";
    let answer = json!({
        "numero_registro": "2026-004518", "unidad": "UNIDAD DE GESTIÓN DOCUMENTAL", "usuario": "Rosa Ñahui Quispe",
        "observacion": observacion,
    });
    let cargo = answer_with(screen, receiver, &recepcion, "observar", &answer).await?;
    let closed = closed(screen, sender, &despacho, "observado", "O").await?;
    must(screen, closed["cargo"]["observacion"] == observacion, || {
        "la observación no llegó como se escribió".to_owned()
    })?;
    screen.more(&format!("«{observacion}»"));
    cargo_back(screen, cast, &despacho, &recepcion, &cargo).await?;
    Ok(exchanged("Carta N.º 002-2026-MDE/OTI", &despacho, &recepcion))
}

/// Hands a document to the sender's API and waits until the platform took it.
async fn dispatch(screen: &mut Screen, sender: &Member, paper: &Paper, datos: &Value) -> Result<Value, Failure> {
    screen.fact("Documento", &format!("{}, {} bytes", paper.name, thousands(paper.len())));
    screen.more(&format!("SHA-256 {}", paper.sha256));
    let began = Instant::now();
    let form = Form::new().text("datos", datos.to_string()).part("documento", pdf_part(paper));
    let accepted = sender.api.form(DESPACHOS, form).await?;
    let took = span(began.elapsed());
    must(screen, accepted["documento"]["sha256"] == paper.sha256.as_str(), || {
        format!("la API guardó otro documento: {}", accepted["documento"]["sha256"])
    })?;
    screen.fact("API", &format!("lo guardó en {took}; estado {}", state(&accepted)));
    let path = format!("{DESPACHOS}/{}", text(&accepted, "id"));
    let is_sent = |d: &Value| d["estado"] == "enviado";
    let sent = until(screen, sender, "la plataforma entrega el documento", &path, is_sent).await?;
    screen.fact("CUO", &format!("{}, asignado por la plataforma", text(&sent, "cuo")));
    let at = clock_time(text(&sent, "enviado_en"));
    screen.fact("Entrega", &format!("estado {} a las {at}, {} después", state(&sent), span(began.elapsed())));
    Ok(sent)
}

/// The report on the signatures of a document: its signer is vouched for, and nothing was changed.
fn signatures(screen: &mut Screen, record: &Value) -> Result<(), Failure> {
    let report: Informe = serde_json::from_value(record["firmas"].clone())
        .map_err(|error| wrong(screen, &format!("no trae el informe de sus firmas: {error}")))?;
    must(screen, report.veredicto == Veredicto::Confiable, || format!("sus firmas no valen:\n{}", report.texto()))?;
    screen.fact("Firmas", report.veredicto.titulo());
    // The verdict in its first line is said already.
    report.texto().lines().skip(1).filter(|line| !line.trim().is_empty()).for_each(|line| screen.more(line.trim()));
    Ok(())
}

/// The document at its receiver: the same bytes under the same CUO.
async fn arrival(screen: &mut Screen, receiver: &Member, despacho: &Value, paper: &Paper) -> Result<Value, Failure> {
    let cuo = text(despacho, "cuo");
    let found = receiver.api.get(&format!("{RECEPCIONES}?cuo={cuo}")).await?;
    let recepcion = found["items"].get(0).cloned().unwrap_or_default();
    must(screen, recepcion["estado"] == "pendiente", || format!("el documento con CUO {cuo} no está en la entidad"))?;
    must(screen, recepcion["asunto"] == despacho["asunto"], || "el asunto llegó cambiado".to_owned())?;
    screen.fact("Recepción", &format!("estado {}; «{}»", state(&recepcion), text(&recepcion, "asunto")));
    screen.more(&format!(
        "presentado el {} según el horario de la entidad",
        date(text(&recepcion, "fecha_presentacion"))
    ));
    let bytes = receiver.api.bytes(&format!("{RECEPCIONES}/{}/documento", text(&recepcion, "id"))).await?;
    same(screen, "Documento", "descargado de su API", &bytes, paper)?;
    Ok(recepcion)
}

/// Mesa de partes answers; its daemon makes the cargo and signs it with the entity's identity.
async fn answer_with(
    screen: &mut Screen,
    receiver: &Member,
    recepcion: &Value,
    how: &str,
    answer: &Value,
) -> Result<Paper, Failure> {
    let path = format!("{RECEPCIONES}/{}", text(recepcion, "id"));
    let answered = receiver.post(&format!("{path}/{how}"), answer).await?;
    let cargo = papers::cargo(receiver.api.bytes(&format!("{path}/cargo")).await?);
    must(screen, answered["cargo"]["documento"]["sha256"] == cargo.sha256.as_str(), || {
        "la API guardó otro cargo".to_owned()
    })?;
    let history = receiver.api.get(&format!("{path}/historial")).await?;
    let told = history["items"].as_array().and_then(|items| items.last()).map(|last| text(last, "detalle").to_owned());
    let signed = told.as_deref().and_then(|told| told.find("Cargo firmado").and_then(|at| told.get(at..)));
    let signed = signed.ok_or_else(|| wrong(screen, "el cargo no se firmó"))?;
    let (name, bytes) = (cargo.name, thousands(cargo.len()));
    screen.fact("Cargo", &format!("{name}, {bytes} bytes, hecho aquí; estado {}", state(&answered)));
    screen.more(signed);
    screen.more(&format!("SHA-256 {}", cargo.sha256));
    Ok(cargo)
}

/// The despacho once its cargo came back.
async fn closed(
    screen: &mut Screen,
    sender: &Member,
    despacho: &Value,
    word: &str,
    letter: &str,
) -> Result<Value, Failure> {
    let path = format!("{DESPACHOS}/{}", text(despacho, "id"));
    let is_closed = |d: &Value| d["estado"] == word;
    let closed = until(screen, sender, "el cargo vuelve por la plataforma", &path, is_closed).await?;
    must(screen, closed["cflgest"] == letter, || format!("el estado es {}", closed["cflgest"]))?;
    screen.fact("Despacho", &format!("estado {}", state(&closed)));
    Ok(closed)
}

/// The cargo at the sender is the one that was issued, and the receiver knows that it was taken.
async fn cargo_back(
    screen: &mut Screen,
    cast: &Cast,
    despacho: &Value,
    recepcion: &Value,
    cargo: &Paper,
) -> Result<(), Failure> {
    let bytes = cast.sender.api.bytes(&format!("{DESPACHOS}/{}/cargo", text(despacho, "id"))).await?;
    same(screen, "Cargo", "descargado de su API", &bytes, cargo)?;
    let path = format!("{RECEPCIONES}/{}", text(recepcion, "id"));
    let is_delivered = |r: &Value| r["cargo_entregado_en"].is_string();
    until(screen, &cast.receiver, "la entrega del cargo queda registrada", &path, is_delivered).await.map(|_| ())
}

/// Looks again and again until it is as wanted.
async fn until(
    screen: &mut Screen,
    member: &Member,
    what: &str,
    path: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value, Failure> {
    let began = Instant::now();
    screen.waiting(what);
    loop {
        let found = member.api.get(path).await;
        let settled = found.as_ref().map_or(true, &wanted);
        if settled || began.elapsed() > PATIENCE {
            screen.arrived();
            screen.checked();
            let found = found?;
            return if settled { Ok(found) } else { Err(too_late(screen, what, &found)) };
        }
        sleep(BETWEEN_LOOKS).await;
    }
}

fn too_late(screen: &Screen, what: &str, last: &Value) -> Failure {
    let error = last["ultimo_error"].as_str().map(|error| format!("; último error: {error}")).unwrap_or_default();
    let waited = PATIENCE.as_secs();
    wrong(screen, &format!("pasaron {waited} s y no ocurrió que {what}; el estado es {}{error}", state(last)))
}

/// The bytes are those of the paper, by length and by digest.
fn same(screen: &mut Screen, name: &str, from: &str, bytes: &[u8], paper: &Paper) -> Result<(), Failure> {
    let found = sha256(bytes);
    must(screen, found == paper.sha256 && bytes.len() == paper.bytes.len(), || {
        format!("{} no es el mismo: {} bytes con SHA-256 {found}, y no {}", paper.name, bytes.len(), paper.sha256)
    })?;
    screen.fact(name, &format!("{from}: {} bytes, los mismos", thousands(bytes.len() as u64)));
    screen.more(&format!("SHA-256 {found}"));
    Ok(())
}

/// One check; its failure ends the demo.
fn must(screen: &mut Screen, holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    screen.checked();
    if holds { Ok(()) } else { Err(wrong(screen, &otherwise())) }
}

fn wrong(screen: &Screen, what: &str) -> Failure {
    Failure::Failed(format!("la demostración falló en «{}»: {what}", screen.current()))
}

fn pdf_part(paper: &Paper) -> Part {
    Part::bytes(paper.bytes.clone()).file_name(paper.name)
}

fn exchanged(title: &'static str, despacho: &Value, recepcion: &Value) -> Exchanged {
    let own = |value: &Value, member: &str| text(value, member).to_owned();
    Exchanged { title, cuo: own(despacho, "cuo"), despacho: own(despacho, "id"), recepcion: own(recepcion, "id") }
}

/// `«enviado» (E)`
fn state(record: &Value) -> String {
    format!("«{}» ({})", text(record, "estado"), text(record, "cflgest"))
}

/// The time of day in a date and time of the API.
pub fn clock_time(at: &str) -> &str {
    at.get(11..19).unwrap_or(at)
}

/// `2026-11-23` as people here write it.
fn date(text: &str) -> String {
    match text.split('-').collect::<Vec<_>>().as_slice() {
        [year, month, day] => format!("{day}/{month}/{year}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_end_the_demo_and_say_where_and_which() {
        let mut screen = Screen::new();
        let paper = papers::carta("A", "B");
        let mut changed = paper.bytes.clone();
        changed[100] ^= 1;
        let Err(Failure::Failed(text)) = same(&mut screen, "Documento", "descargado", &changed, &paper) else {
            panic!("a changed byte went unnoticed")
        };
        assert!(text.contains("carta.pdf no es el mismo") && text.contains(&paper.sha256), "{text}");
        assert!(same(&mut screen, "Documento", "descargado", &changed[..50], &paper).is_err());
    }

    #[test]
    fn a_state_that_is_not_reached_is_told_with_the_last_error() {
        let last = json!({"estado": "por_confirmar", "cflgest": "P", "ultimo_error": "X no respondió"});
        let Failure::Failed(text) = too_late(&Screen::new(), "el cargo vuelve", &last) else { panic!() };
        let expected = "pasaron 60 s y no ocurrió que el cargo vuelve; el estado es «por_confirmar» (P); último error: X no \
             respondió";
        assert!(text.ends_with(expected), "{text}");
    }
}
