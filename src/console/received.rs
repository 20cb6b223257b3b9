//! The page of a received document: the PDF beside its data, what its signatures are worth in words, its history, and what can
//! be done with it.

use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use http::HeaderMap;
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    Console,
    door::{Permiso, Visit},
    failure::Fault,
    inbox::or_dash,
    layout, words,
};
use crate::{
    domain::{
        Cargo, Desenlace, Documento, EstadoRecepcion, Id, Recepcion,
        firmas::{Firma, Gravedad, Hallazgo, Informe, TipoFirma},
        lima,
    },
    http::{
        download::{self, Manner, not_purged},
        evidence::package,
    },
    store::{FactAt, Record},
};

impl Console {
    /// A received document of the entity that is shown.
    pub async fn recepcion(&self, visit: &Visit, id: &str) -> Result<Recepcion, Fault> {
        let missing = || Fault::missing("ese documento recibido");
        let id = id.parse().map_err(|_| missing())?;
        let found = self.exchange.store().recepcion(id).await?;
        found.filter(|r| visit.acceso.alcanza(&r.entidad)).ok_or_else(missing)
    }
}

#[derive(Debug, Default, Deserialize)]
pub struct Done {
    /// What was just done, to be said.
    hecho: Option<String>,
}

pub async fn show(
    State(console): State<Console>,
    visit: Visit,
    Path(id): Path<String>,
    Query(done): Query<Done>,
) -> Result<Markup, Fault> {
    let mut recepcion = console.recepcion(&visit, &id).await?;
    if recepcion.visto_en.is_none() && visit.puede(Permiso::Responder) {
        // That it could not be noted keeps nobody from reading.
        let limit = Some(&recepcion.entidad).cloned();
        match console.exchange.abrir(visit.actor(), limit.as_ref(), recepcion.id).await {
            Ok(seen) => recepcion = seen,
            Err(error) => tracing::warn!(%error, "that a document was opened could not be recorded"),
        }
    }
    let facts = console.exchange.store().facts_of(recepcion.id).await?;
    let told = console.exchange.se_cuentan(&facts).await?;
    let people = people(&console, &facts).await?;
    Ok(layout::page(
        &console,
        &visit,
        &recepcion.asunto,
        page(
            &console,
            &visit,
            &recepcion,
            &done,
            html! {
                (history(&facts, &told, &people))
            },
        ),
    ))
}

fn page(console: &Console, visit: &Visit, r: &Recepcion, done: &Done, history: Markup) -> Markup {
    let verdict = r.documento.firmas.as_ref().map(|report| report.veredicto);
    html! {
        p.migas { a href="/entrada" { "Bandeja de entrada" } }
        div.titulo {
            h1 { (or_dash(&r.asunto)) }
            p.marcas { (layout::badge(words::recepcion(r.estado))) (layout::signature_badge(verdict)) }
        }
        (changed(&format!("/entrada/{}", r.id), r.id, r.version))
        @if let Some((tone, text)) = said(done.hecho.as_deref()) { (layout::notice(tone, html! { p { (text) } })) }
        @if let Some(purga) = &r.purga {
            (layout::notice(words::CALM, html! { p { "Sus archivos se purgaron el " (layout::moment(purga.en)) " por " (purga.politica) "." } }))
        }
        div.documento {
            section.hoja aria-label="El documento" {
                @if r.purga.is_none() { (viewer(&format!("/entrada/{}/documento", r.id), &r.documento)) }
            }
            div.lado {
                @if r.purga.is_none() { p.angosto { a.boton href={ "/entrada/" (r.id) "/documento" } target="_blank" rel="noopener" { "Abrir el PDF" } } }
                @if r.estado == EstadoRecepcion::Pendiente && r.purga.is_none() && visit.puede(Permiso::Responder) {
                    (super::answering::actions(console, visit, r))
                }
                @if let Some(cargo) = &r.cargo { (issued(r, cargo)) }
                (data(console, r))
                (annexes(visit, r))
                (signatures(r.documento.firmas.as_deref()))
                (history)
                (more(visit, r))
            }
        }
    }
}

/// What an action says once it is done; nothing else is ever said this way.
fn said(what: Option<&str>) -> Option<(words::Tone, &'static str)> {
    let text = match what? {
        "registrado" => "El documento quedó registrado.",
        "ya_registrado" => {
            let text = "El documento ya tenía el número de registro que ve en «Datos», y un número no se cambia.";
            return Some((words::FAIR, text));
        }
        "recepcionado" => "El cargo se emitió y está en camino al remitente. Se insistirá hasta que lo reciba.",
        "observado" => "La observación se emitió y está en camino al remitente. Se insistirá hasta que la reciba.",
        _ => return None,
    };
    Some((words::GOOD, text))
}

/// What the script shows once this document changes elsewhere: a link, because a form may be half filled in.
pub fn changed(address: &str, id: Id, version: u32) -> Markup {
    html! {
        div #cambiado.aviso.regular.novedad-viva role="status" data-sujeto=(id) data-version=(version) hidden {
            p { "Este documento cambió: " a href=(address) { "volver a cargar" } "." }
        }
    }
}

/// A PDF as the browser shows it, and how to have it otherwise.
pub fn viewer(address: &str, document: &Documento) -> Markup {
    html! {
        div.barra-hoja {
            span.nombre { (or_dash(&document.nombre)) " " span.tenue { (words::size(document.bytes)) } }
            a.boton.menor href=(address) target="_blank" rel="noopener" { "Abrir aparte" }
            a.boton.menor href=(format!("{address}?descargar=1")) { "Descargar" }
        }
        iframe.pdf src={ (address) "#navpanes=0&view=FitH" } title={ "Documento " (document.nombre) } {}
    }
}

fn data(console: &Console, r: &Recepcion) -> Markup {
    let end = super::terms::end(console, r);
    let (from, to) = (&r.remitente, &r.destinatario);
    html! {
        section.tarjeta aria-labelledby="datos" {
            h2 #datos { "Datos" }
            dl.datos {
                dt { "De" } dd { strong { (or_dash(&from.nombre)) } br; "RUC " (from.ruc) br; (or_dash(&from.unidad)) br; span.tenue { (identity(&from.tipo_documento, &from.numero_documento)) } }
                dt { "Para" } dd { (or_dash(&to.nombre)) br; (or_dash(&to.cargo)) br; span.tenue { (or_dash(&to.unidad)) } }
                dt { "Documento" } dd { (or_dash(&r.numero_documento)) @if let Some(at) = r.fecha_documento { br; span.tenue { "del " (words::day(lima::en_lima(at).date())) } } }
                dt { "Folios" } dd { @if let Some(folios) = r.folios { (folios) } @else { "—" } }
                dt { "CUO" } dd { code { (r.cuo) } @if let Some(of) = &r.cuo_referencia { br; span.tenue { "corrige al CUO " (of) } } }
                dt { "Llegó" } dd { (layout::moment(r.recibido_en)) br; span.tenue { "presentado formalmente el " (words::day(r.fecha_presentacion)) } }
                @if let Some(end) = end {
                    dt { "Plazo" } dd { "hasta el " (words::day(end)) @if let Some(near) = super::terms::standing(console, end) { " " (layout::badge(near)) } }
                }
                dt { "Registro" } dd { @match (&r.numero_registro, &r.anio_registro) {
                    (Some(n), Some(year)) => { (n) " de " (year) }
                    (Some(n), None) => (n),
                    _ => span.tenue { "sin registrar" },
                } }
            }
            @if !r.advertencias.is_empty() {
                (layout::notice(words::FAIR, html! {
                    p { strong { "Llegó con datos que no cumplen la especificación, y se recibió igual:" } }
                    ul { @for found in &r.advertencias { li { (found.detalle) } } }
                }))
            }
        }
    }
}

fn identity(kind: &str, number: &str) -> String {
    match kind {
        "1" => format!("DNI {number}"),
        "2" => format!("Carné de extranjería {number}"),
        _ => number.to_owned(),
    }
}

fn issued(r: &Recepcion, cargo: &Cargo) -> Markup {
    let (title, by) = match cargo.desenlace {
        Desenlace::Recepcionado => ("Cargo de recepción", "Recepcionado"),
        Desenlace::Observado => ("Cargo de observación", "Observado"),
    };
    html! {
        section.tarjeta aria-labelledby="cargo" {
            h2 #cargo { (title) }
            (cargo_data(cargo, by))
            @if cargo.documento.is_some() && r.purga.is_none() {
                p.acciones { a.boton href={ "/entrada/" (r.id) "/cargo" } target="_blank" rel="noopener" { "Ver el cargo" } a.boton.plano href={ "/entrada/" (r.id) "/cargo?descargar=1" } { "Descargar" } }
            }
            @match r.cargo_entregado_en {
                Some(at) => p.estado-linea { (layout::badge(("Entregado al remitente", words::GOOD))) " " (layout::moment(at)) },
                None => {
                    p.estado-linea { (layout::badge(("En camino al remitente", words::FAIR))) }
                    @if let Some(error) = &r.ultimo_error { p.tenue { "Último intento: " (error) } }
                }
            }
        }
    }
}

/// What a cargo says.
pub fn cargo_data(cargo: &Cargo, by: &str) -> Markup {
    html! {
        @if let Some(text) = cargo.observacion.as_deref().filter(|text| !text.trim().is_empty()) {
            blockquote.observacion { (text) }
        }
        dl.datos {
            dt { (by) } dd { @if let Some(at) = cargo.fecha_registro { (layout::moment(at)) } @else { "—" } }
            dt { "Registro" } dd { (or_dash(cargo.numero_registro.as_deref().unwrap_or_default())) @if let Some(year) = &cargo.anio_registro { " de " (year) } }
            dt { "Pasó a" } dd { (or_dash(cargo.unidad.as_deref().unwrap_or_default())) }
            dt { "Por" } dd { (or_dash(cargo.usuario.as_deref().unwrap_or_default())) }
        }
    }
}

fn annexes(visit: &Visit, r: &Recepcion) -> Markup {
    // An address from outside is followed only where it is one for browsers.
    let link = r.url_anexos.as_deref().filter(|url| url.starts_with("https://") || url.starts_with("http://"));
    html! {
        @if !r.anexos.is_empty() || r.url_anexos.is_some() {
            section.tarjeta aria-labelledby="anexos" {
                h2 #anexos { "Anexos" }
                @if !r.anexos.is_empty() { ul { @for anexo in &r.anexos { li { (anexo.nombre) } } } }
                @if let Some(url) = link {
                    p.tenue { "Los tiene el remitente; por la plataforma viaja solo su dirección. Abrirla sale de esta entidad:" }
                    p { a href=(url) target="_blank" rel="noopener noreferrer nofollow" { (url) } }
                } @else if let Some(text) = &r.url_anexos {
                    p.tenue { "El remitente no dio una dirección que se pueda abrir: " code { (text) } }
                }
                @if !r.anexos_traidos.is_empty() && r.purga.is_none() {
                    h3 { "Guardados aquí" }
                    ul { @for traido in &r.anexos_traidos {
                        li { a href={ "/entrada/" (r.id) "/anexos/" (traido.sha256) } { (traido.nombre) } " " span.tenue { (words::size(traido.bytes)) } }
                    } }
                    p.tenue { "Nadie revisó su contenido: ábralos con cuidado." }
                }
                @if visit.puede(Permiso::Responder) && link.is_none() && r.url_anexos.is_none() && !r.anexos.is_empty() {
                    p.tenue { "El remitente los nombra y no dice de dónde bajarlos: puede observar el documento." }
                }
            }
        }
    }
}

/// The report on signatures, in words.
pub fn signatures(report: Option<&Informe>) -> Markup {
    html! {
        section.tarjeta aria-labelledby="firmas" {
            h2 #firmas { "Firmas" }
            @match report {
                None => p.tenue { "Este documento es de antes de que se examinaran las firmas." },
                Some(report) => {
                    p { (layout::signature_badge(Some(report.veredicto))) }
                    p { (report.resumen) }
                    (findings(&report.hallazgos))
                    @for firma in &report.firmas { (signature(firma)) }
                }
            }
        }
    }
}

fn findings(found: &[Hallazgo]) -> Markup {
    html! {
        @if !found.is_empty() {
            ul.hallazgos { @for one in found {
                li class=(match one.gravedad { Gravedad::Informacion => "sereno", Gravedad::Aviso => "regular", Gravedad::Grave => "malo" }) {
                    @match one.gravedad { Gravedad::Informacion => "", Gravedad::Aviso => strong { "Aviso: " }, Gravedad::Grave => strong { "Problema: " } }
                    (one.detalle)
                }
            } }
        }
    }
}

fn signature(firma: &Firma) -> Markup {
    let name = firma.firmante.as_ref().map_or(firma.campo.as_str(), |person| person.nombre.as_str());
    html! {
        details.firma {
            summary { @if firma.tipo == TipoFirma::Firma { "Firmó " } @else { "Sello de tiempo de " } strong { (or_dash(name)) } " — " (firma.veredicto.frase()) }
            dl.datos {
                @if let Some(person) = &firma.firmante {
                    @if let Some(dni) = &person.dni { dt { "DNI" } dd { (dni) } }
                    @if let Some(entity) = &person.entidad { dt { "Por" } dd { (entity) @if let Some(ruc) = &person.ruc { br; span.tenue { "RUC " (ruc) } } } }
                    dt { "Certificado" } dd { (person.certificado.emisor) br; span.tenue { "vigente hasta el " (words::moment(person.certificado.hasta)) } }
                }
                @if let Some(reason) = &firma.motivo { dt { "Motivo" } dd { (reason) } }
                @match (&firma.sello_de_tiempo, firma.fecha_declarada) {
                    (Some(stamp), _) => { dt { "Fecha" } dd { (layout::moment(stamp.fecha)) br; span.tenue { "según " (stamp.autoridad) } } }
                    (None, Some(at)) => { dt { "Fecha" } dd { (layout::moment(at)) br; span.tenue { "según el equipo de quien firmó" } } }
                    (None, None) => {}
                }
            }
            (findings(&firma.hallazgos))
        }
    }
}

/// Names of the people among those who did what these facts tell.
pub async fn people(console: &Console, facts: &[FactAt]) -> Result<Vec<(String, String)>, Fault> {
    if !facts.iter().any(|at| at.fact.actor.starts_with("usuario:")) {
        return Ok(Vec::new());
    }
    let people = console.exchange.usuarios().await?;
    Ok(people.into_iter().map(|person| (format!("usuario:{}", person.id), person.nombre)).collect())
}

/// Who did something, for people.
pub fn who<'a>(actor: &'a str, people: &'a [(String, String)]) -> &'a str {
    let known = people.iter().find(|(known, _)| known == actor).map(|(_, name)| name.as_str());
    known.unwrap_or(match actor {
        "pide" => "La plataforma",
        "chasqui" => "chasqui",
        "local" => "La línea de órdenes",
        "desconocido" => "Alguien que no se sabe quién es",
        actor if actor.starts_with("clave:") => "Un sistema, con su clave",
        actor if actor.starts_with("usuario:") => "Una persona",
        other => other,
    })
}

/// The same thing told several times, with nothing between.
struct Run<'a> {
    newest: &'a FactAt,
    oldest: &'a FactAt,
    told: bool,
    times: usize,
}

/// What happened in runs, the newest first.
fn runs<'a>(facts: &'a [FactAt], told: &[bool]) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'a>> = Vec::new();
    for (at, told) in facts.iter().zip(told).rev() {
        let same = |run: &Run<'_>| {
            let (a, b) = (&run.newest.fact, &at.fact);
            run.told == *told && a.tipo == b.tipo && a.detalle == b.detalle && a.actor == b.actor
        };
        match runs.last_mut().filter(|run| same(run)) {
            Some(run) => {
                run.oldest = at;
                run.times += 1;
            }
            None => runs.push(Run { newest: at, oldest: at, told: *told, times: 1 }),
        }
    }
    runs
}

/// What happened, the newest first.
pub fn history(facts: &[FactAt], told: &[bool], people: &[(String, String)]) -> Markup {
    html! {
        section.tarjeta aria-labelledby="historial" {
            h2 #historial { "Historial" }
            ol.historial { @for run in runs(facts, told) {
                @let fact = &run.newest.fact;
                li {
                    p.que { (words::fact(&fact.tipo)) }
                    @if let Some(text) = fact.detalle.as_deref().filter(|_| run.told) { p.detalle { (text) } }
                    p.tenue {
                        @if run.times > 1 { (run.times) " veces: la última el " (layout::moment(fact.at)) ", la primera el " (layout::moment(run.oldest.fact.at)) }
                        @else { (layout::moment(fact.at)) }
                        " · " (who(&fact.actor, people))
                    }
                }
            } }
        }
    }
}

fn more(visit: &Visit, r: &Recepcion) -> Markup {
    html! {
        section.tarjeta aria-labelledby="mas" {
            h2 #mas { "Más" }
            p.acciones {
                @if visit.puede(Permiso::Despachar) && r.purga.is_none() { a.boton href={ "/entrada/" (r.id) "/derivar" } { "Derivar a otra entidad" } }
                a.boton.plano href={ "/entrada/" (r.id) "/evidencia" } { "Descargar la evidencia" }
            }
            p.tenue { "La evidencia prueba el intercambio por sí sola: documento, cargo, mensajes e historial firmados." }
        }
    }
}

#[derive(Debug, Default, Deserialize)]
pub struct How {
    descargar: Option<String>,
}

impl How {
    pub fn manner(&self) -> Manner {
        if self.descargar.is_some() { Manner::Attachment } else { Manner::Inline }
    }
}

pub async fn document(
    State(console): State<Console>,
    visit: Visit,
    Path(id): Path<String>,
    Query(how): Query<How>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let recepcion = console.recepcion(&visit, &id).await?;
    not_purged(recepcion.purga.as_deref())?;
    Ok(download::pdf(&**console.exchange.store(), &recepcion.documento, how.manner(), &headers).await?)
}

pub async fn cargo(
    State(console): State<Console>,
    visit: Visit,
    Path(id): Path<String>,
    Query(how): Query<How>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let recepcion = console.recepcion(&visit, &id).await?;
    not_purged(recepcion.purga.as_deref())?;
    let document = recepcion.cargo.as_ref().and_then(|cargo| cargo.documento.as_ref());
    let document = document.ok_or_else(|| Fault::missing("el cargo de este documento"))?;
    Ok(download::pdf(&**console.exchange.store(), document, how.manner(), &headers).await?)
}

/// An annex that was downloaded, as a file that no browser opens.
pub async fn annex(
    State(console): State<Console>,
    visit: Visit,
    Path((id, sha256)): Path<(String, String)>,
) -> Result<Response, Fault> {
    let recepcion = console.recepcion(&visit, &id).await?;
    not_purged(recepcion.purga.as_deref())?;
    let found = recepcion.anexos_traidos.iter().find(|traido| traido.sha256.as_str() == sha256);
    let found = found.ok_or_else(|| Fault::missing("ese anexo"))?;
    let reader = console.exchange.store().open_document(&found.sha256).await?;
    Ok(download::attachment(&found.nombre, reader))
}

pub async fn evidence(State(console): State<Console>, visit: Visit, Path(id): Path<String>) -> Result<Response, Fault> {
    let recepcion = console.recepcion(&visit, &id).await?;
    Ok(package(&console.audit, &console.exchange, visit.actor(), Record::Recepcion(Box::new(recepcion))).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Cursor, Fact};

    fn fact(n: u64, tipo: &str, detalle: &str) -> FactAt {
        let fact = Fact {
            at: "2026-11-22T14:30:00Z".parse().unwrap(),
            tipo: tipo.into(),
            actor: "chasqui".into(),
            entidad: None,
            sujeto: Id::nil(),
            cuo: None,
            estado: None,
            detalle: Some(detalle.into()),
            documentos: Vec::new(),
            sobres: Vec::new(),
        };
        FactAt { cursor: Cursor { seq: n, n: 0 }, fact }
    }

    #[test]
    fn the_same_failure_again_and_again_is_one_line_and_another_between_ends_it() {
        let facts = [
            fact(1, "despacho.sin_respuesta", "a"),
            fact(2, "despacho.sin_respuesta", "a"),
            fact(3, "despacho.sin_respuesta", "b"),
            fact(4, "despacho.sin_respuesta", "a"),
        ];
        let runs = runs(&facts, &[true; 4]);
        let found: Vec<_> = runs.iter().map(|run| (run.times, run.oldest.cursor.seq, run.newest.cursor.seq)).collect();
        assert_eq!(found, [(1, 4, 4), (1, 3, 3), (2, 1, 2)]);
    }
}
