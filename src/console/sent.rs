//! The page of a sent document: how far it came, its cargo, and what can still be done.

use axum::{
    extract::{Path, Query, Request, State},
    response::{IntoResponse, Redirect, Response},
};
use http::HeaderMap;
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    Console,
    door::{Permiso, Visit},
    failure::Fault,
    forms,
    inbox::or_dash,
    layout,
    outbox::name_of,
    received::{self, How, history, people, viewer},
    words,
};
use crate::{
    domain::{Despacho, EstadoDespacho, lima},
    exchange::{ExchangeError, Trabajo},
    http::{
        download::{self, not_purged},
        evidence::package,
    },
    store::Record,
};

impl Console {
    /// A sent document of an entity that the person may see.
    pub async fn despacho(&self, visit: &Visit, id: &str) -> Result<Despacho, Fault> {
        let missing = || Fault::missing("ese documento enviado");
        let id = id.parse().map_err(|_| missing())?;
        let found = self.exchange.store().despacho(id).await?;
        found.filter(|d| visit.acceso.alcanza(&d.entidad)).ok_or_else(missing)
    }
}

#[derive(Debug, Default, Deserialize)]
pub struct Done {
    hecho: Option<String>,
}

pub async fn show(
    State(console): State<Console>,
    visit: Visit,
    Path(id): Path<String>,
    Query(done): Query<Done>,
) -> Result<Markup, Fault> {
    let despacho = console.despacho(&visit, &id).await?;
    let facts = console.exchange.store().facts_of(despacho.id).await?;
    let told = console.exchange.se_cuentan(&facts).await?;
    let people = people(&console, &facts).await?;
    let directory = console.exchange.directorio().await?;
    let name = name_of(directory.as_deref(), &despacho.destino).map(str::to_owned);
    let job = match console.exchange.trabajo(Some(&despacho.entidad), despacho.id).await {
        Ok(job) => Some(job),
        Err(ExchangeError::Terminado(_) | ExchangeError::NoExiste) => None,
        Err(error) => return Err(error.into()),
    };
    let d = &despacho;
    // What it answered is told as it is on record, never as an address says.
    let asked = facts.iter().zip(&told).rfind(|(at, told)| **told && at.fact.tipo == "despacho.consultado");
    let answer = asked.filter(|_| done.hecho.as_deref() == Some("consultado"));
    let answer = answer.and_then(|(at, _)| at.fact.detalle.as_deref());
    Ok(layout::page(
        &console,
        &visit,
        &d.asunto,
        html! {
            p.migas { a href="/salida" { "Bandeja de salida" } }
            div.titulo {
                h1 { (or_dash(&d.asunto)) }
                p.marcas { (layout::badge(words::despacho(d.estado))) }
            }
            (received::changed(&format!("/salida/{}", d.id), d.id, d.version))
            @if let Some(text) = said(done.hecho.as_deref()) { (layout::notice(words::GOOD, html! { p { (text) } })) }
            @if let Some(text) = answer { (layout::notice(words::CALM, html! { p { strong { "Se preguntó a la otra entidad. " } (text) "." } })) }
            (steps(d))
            @if d.purga.is_none() { p.angosto { a.boton href={ "/salida/" (d.id) "/documento" } target="_blank" rel="noopener" { "Abrir el PDF" } } }
            div.documento {
                section.hoja aria-label="El documento" {
                    @if d.purga.is_none() { (viewer(&format!("/salida/{}/documento", d.id), &d.documento)) }
                }
                div.lado {
                    (why(d, job.as_ref()))
                    @if let Some(cargo) = &d.cargo {
                        section.tarjeta aria-labelledby="cargo" {
                            h2 #cargo { "Cargo de la otra entidad" }
                            (received::cargo_data(cargo, "Registrado"))
                            @if cargo.documento.is_some() && d.purga.is_none() {
                                p.acciones { a.boton href={ "/salida/" (d.id) "/cargo" } target="_blank" rel="noopener" { "Ver el cargo" } a.boton.plano href={ "/salida/" (d.id) "/cargo?descargar=1" } { "Descargar" } }
                            }
                        }
                    }
                    @if visit.puede(Permiso::Despachar) { (actions(&visit, d)) }
                    (data(d, name.as_deref()))
                    (received::signatures(d.documento.firmas.as_deref()))
                    (history(&facts, &told, &people))
                    section.tarjeta aria-labelledby="mas" {
                        h2 #mas { "Más" }
                        p.acciones { a.boton.plano href={ "/salida/" (d.id) "/evidencia" } { "Descargar la evidencia" } }
                    }
                }
            }
        },
    ))
}

fn said(what: Option<&str>) -> Option<&'static str> {
    Some(match what? {
        "enviado" => "El documento quedó guardado y en cola: se envía ahora, y si no se puede se insistirá.",
        "reintentado" => "Se intentará enviarlo ahora.",
        "anulado" => "El documento se anuló antes de enviarse.",
        _ => return None,
    })
}

/// How far it came.
fn steps(d: &Despacho) -> Markup {
    use EstadoDespacho as E;
    let sent = matches!(d.estado, E::Enviado | E::Recepcionado | E::Observado | E::Subsanado);
    let (last, answered) = match d.estado {
        E::Observado => ("Observado", Some("malo")),
        E::Subsanado => ("Observado y subsanado", Some("hecho")),
        E::Recepcionado => ("Recepcionado", Some("hecho")),
        E::Fallido => ("No se pudo enviar", Some("malo")),
        E::Anulado => ("Anulado", Some("malo")),
        _ => ("Cargo de la otra entidad", None),
    };
    let answered_at = d.cargo.as_ref().and_then(|cargo| cargo.fecha_registro);
    let step = |title: &str, class: &str, detail: Markup| {
        html! { li class=(class) { strong { (title) } span.tenue { (detail) } } }
    };
    let done = |holds: bool| if holds { "hecho" } else { "" };
    html! {
        ol.pasos aria-label="Cómo va" {
            (step("Registrado", "hecho", layout::moment(d.creado_en)))
            (step("CUO asignado", done(d.cuo.is_some()), html! { @if let Some(cuo) = &d.cuo { (cuo) } @else { "todavía no" } }))
            (step("Entregado", done(sent), html! { @if let Some(at) = d.enviado_en { (layout::moment(at)) } @else { "todavía no" } }))
            (step(last, answered.unwrap_or_default(), html! { @if let Some(at) = answered_at { (layout::moment(at)) } @else if answered.is_none() { "todavía no" } }))
        }
    }
}

/// Why it is where it is, where somebody may ask.
fn why(d: &Despacho, job: Option<&Trabajo>) -> Markup {
    let failed = d.estado == EstadoDespacho::Fallido;
    html! {
        @if failed {
            @let entry = d.falla.map(|falla| falla.entrada());
            div.aviso.malo {
                p { strong { (entry.as_ref().map_or("No se pudo enviar", |entry| entry.titulo)) } }
                @if let Some(text) = &d.ultimo_error { p { (text) } }
                @if let Some(entry) = &entry { p { (entry.remedio) } }
            }
        } @else if let Some(job) = job.filter(|job| job.job.intentos > 0 || job.job.muerto_en.is_some()) {
            section.tarjeta aria-labelledby="porque" {
                h2 #porque { "Por qué está así" }
                p { (job.explicacion) }
            }
        }
    }
}

fn actions(visit: &Visit, d: &Despacho) -> Markup {
    use EstadoDespacho as E;
    let act = |path: &str, label: &str, class: &str| {
        html! {
            form method="post" action={ "/salida/" (d.id) "/" (path) } enctype="multipart/form-data" {
                (layout::token(visit))
                button class={ "boton " (class) } type="submit" { (label) }
            }
        }
    };
    let correct = d.estado == E::Observado && d.subsanado_por.is_none() && d.purga.is_none();
    let again = matches!(d.estado, E::Fallido | E::Pendiente | E::PorConfirmar) && d.reemplazado_por.is_none();
    let ask = d.cuo.is_some() && matches!(d.estado, E::Enviado | E::PorConfirmar | E::Fallido);
    let withdraw = d.estado == E::Pendiente && d.intentos == 0;
    html! {
        @if correct || again || ask || withdraw || d.subsanado_por.is_some() {
            section.tarjeta aria-labelledby="acciones" {
                h2 #acciones { "Qué puede hacer" }
                @if let Some(id) = d.subsanado_por { p { "Lo corrige " a href={ "/salida/" (id) } { "otro documento" } "." } }
                div.acciones {
                    @if correct { a.boton.principal href={ "/salida/" (d.id) "/subsanar" } { "Subsanar" } }
                    @if again { (act("reintentar", "Intentar ahora", "")) }
                    @if ask { (act("consultar", "Preguntar a la otra entidad", "")) }
                    @if withdraw { (act("anular", "Anular", "peligro")) }
                }
                @if correct { p.ayuda { "Se abre el formulario con los datos de este documento; usted adjunta el PDF corregido." } }
            }
        }
    }
}

fn data(d: &Despacho, name: Option<&str>) -> Markup {
    let to = &d.destinatario;
    html! {
        section.tarjeta aria-labelledby="datos" {
            h2 #datos { "Datos" }
            dl.datos {
                dt { "Para" } dd { strong { (name.unwrap_or("Entidad")) } br; "RUC " (d.destino) br; (or_dash(&to.nombre)) ", " (or_dash(&to.cargo)) br; span.tenue { (or_dash(&to.unidad)) } }
                dt { "De" } dd { (or_dash(&d.unidad_remitente)) br; span.tenue { "registró " (or_dash(&d.usuario)) } }
                dt { "Documento" } dd { (or_dash(&d.numero_documento)) br; span.tenue { "del " (words::day(lima::en_lima(d.fecha_documento).date())) ", " (d.folios) @if d.folios == 1 { " folio" } @else { " folios" } } }
                dt { "Registro" } dd { (d.numero_registro) }
                dt { "CUO" } dd { @if let Some(cuo) = &d.cuo { code { (cuo) } } @else { span.tenue { "todavía no" } } @if let Some(of) = &d.cuo_referencia { br; span.tenue { "corrige al CUO " (of) } } }
                @if !d.anexos.is_empty() { dt { "Anexos" } dd { ul { @for anexo in &d.anexos { li { (anexo.nombre) } } } } }
            }
        }
    }
}

pub async fn document(
    State(console): State<Console>,
    visit: Visit,
    Path(id): Path<String>,
    Query(how): Query<How>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let despacho = console.despacho(&visit, &id).await?;
    not_purged(despacho.purga.as_deref())?;
    Ok(download::pdf(&**console.exchange.store(), &despacho.documento, how.manner(), &headers).await?)
}

pub async fn cargo(
    State(console): State<Console>,
    visit: Visit,
    Path(id): Path<String>,
    Query(how): Query<How>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let despacho = console.despacho(&visit, &id).await?;
    not_purged(despacho.purga.as_deref())?;
    let document = despacho.cargo.as_ref().and_then(|cargo| cargo.documento.as_ref());
    let document = document.ok_or_else(|| Fault::missing("el cargo de este documento"))?;
    Ok(download::pdf(&**console.exchange.store(), document, how.manner(), &headers).await?)
}

pub async fn evidence(State(console): State<Console>, visit: Visit, Path(id): Path<String>) -> Result<Response, Fault> {
    let despacho = console.despacho(&visit, &id).await?;
    Ok(package(&console.audit, &console.exchange, visit.actor(), Record::Despacho(Box::new(despacho))).await?)
}

/// What a person decides about one: `reintentar`, `anular`, `consultar`.
pub async fn decide(
    State(console): State<Console>,
    visit: Visit,
    Path((id, what)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Fault> {
    visit.exige(Permiso::Despachar)?;
    let despacho = console.despacho(&visit, &id).await?;
    forms::read(&console.exchange, &visit.csrf, request).await?;
    let (exchange, actor, limit) = (&console.exchange, visit.actor(), Some(&despacho.entidad));
    let done = match what.as_str() {
        "reintentar" => exchange.reintentar_despacho(actor, limit, despacho.id).await.map(|_| "reintentado")?,
        "anular" => exchange.anular(actor, limit, despacho.id, None).await.map(|_| "anulado")?,
        "consultar" => exchange.preguntar(actor, limit, despacho.id).await.map(|_| "consultado")?,
        _ => return Err(Fault::missing("esa acción")),
    };
    Ok(Redirect::to(&format!("/salida/{id}?hecho={done}")).into_response())
}
