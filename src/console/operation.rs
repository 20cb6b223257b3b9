//! Operación: whether all is well, and what is stuck and why, with what a person may decide about it.

use axum::{
    extract::{Path, Query, Request, State},
    response::{IntoResponse, Redirect, Response},
};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    Console,
    door::{Permiso, Visit},
    failure::Fault,
    forms,
    layout::{self, Field},
    outbox::name_of,
    words::{self, Tone},
};
use crate::{
    domain::{Falla, Id, Ruc},
    exchange::{
        Situacion, Trabajo,
        health::{Estado, Salud},
    },
    store::{Directorio, JobKind, Stage, Standing},
};

/// Deliveries of a page.
const LIMIT: usize = 25;
/// Longest reason of a decision, in characters.
const MOTIVO_MAX: usize = 500;
/// A certificate that ends sooner is told of, in days.
const SOON_DAYS: i64 = 30;
/// Deliveries looked at for what is failing.
const FAILING_MAX: usize = 500;

pub async fn show(State(console): State<Console>, visit: Visit) -> Result<Markup, Fault> {
    visit.exige(Permiso::Operar)?;
    let (exchange, now) = (&console.exchange, console.exchange.now());
    let standing = exchange.store().standing().await;
    let directory = exchange.directorio().await?;
    let limit = visit.acceso.entidad.as_ref();
    let (health, all) = (exchange.health().plataforma(now), exchange.health().todas(limit, now));
    let writable = exchange.store().writable().await;
    let failing = failing(&console, limit).await?;
    Ok(layout::page(
        &console,
        &visit,
        "Operación",
        html! {
            div.titulo { h1 { "Operación" } p.marcas { (layout::badge(overall(&standing, health.estado, writable.is_ok()))) } }
            ul.cifras {
                (figure("Detenidas", count(&standing, |s| s.stage == Stage::Dead), Some("/operacion/cola?solo=detenidas")))
                (figure("Esperan otro intento", count(&standing, |s| s.stage == Stage::Waiting), Some("/operacion/cola")))
                (figure("En marcha", count(&standing, |s| s.stage == Stage::UnderWay), None))
                (figure("Por intentar", count(&standing, |s| s.stage == Stage::New && s.kind != JobKind::PreguntarCargo), None))
                (figure("Por preguntar", count(&standing, |s| s.stage == Stage::New && s.kind == JobKind::PreguntarCargo), None))
            }
            div.rejilla {
                section.tarjeta aria-labelledby="plataforma" {
                    h2 #plataforma { "La plataforma (PIDE)" }
                    p.estado-linea { (layout::badge(state(health.estado))) }
                    dl.datos {
                        dt { "Respondió bien" } dd { (when(health.ultimo_exito, now)) }
                        @if let Some(at) = health.caida_desde { dt { "No responde desde" } dd { (layout::moment(at)) } }
                        @if let Some(at) = health.proxima_prueba { dt { "Se probará" } dd { (layout::moment(at)) } }
                        @if let Some(error) = &health.ultimo_error { dt { "Último error" } dd { (error) br; span.tenue { (when(health.ultimo_fallo, now)) } } }
                    }
                }
                section.tarjeta aria-labelledby="almacen" {
                    h2 #almacen { "Almacén y versión" }
                    p.estado-linea { @match &writable {
                        Ok(()) => (layout::badge(("Guarda con normalidad", words::GOOD))),
                        Err(_) => (layout::badge(("No admite escrituras", words::BAD))),
                    } }
                    @if let Err(error) = &writable { p { (error.cause()) } p { "Libere espacio o devuelva la escritura al disco: lo demás se recupera solo." } }
                    dl.datos {
                        dt { "Asientos" } dd { (*exchange.store().watch().borrow()) }
                        @if let Some((free, all)) = disk(&console.data_dir) { dt { "Disco" } dd { (words::size(free)) " libres de " (words::size(all)) } }
                        dt { "Versión" } dd { "chasqui " (env!("CARGO_PKG_VERSION")) }
                        dt { "Ambiente" } dd { (words::ambiente(exchange.settings().ambiente)) }
                    }
                }
                (certificates(&console, &visit, now))
            }
            (failures(&failing))
            (counterparts(&all, directory.as_deref(), now))
            p.acciones {
                a.boton href="/operacion/cola" { "Ver la cola" }
                @if limit.is_none() { a.boton.plano href="/operacion/configuracion" { "Configuración en uso" } }
            }
        },
    ))
}

/// Room on the disk of the data, in bytes: free, and in all. `None`: it does not say.
fn disk(data_dir: &std::path::Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(data_dir).ok()?;
    Some((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
}

/// Deliveries whose last attempt failed the same way.
struct Failing {
    falla: Falla,
    jobs: usize,
    /// What the newest of them met.
    detail: Option<String>,
}

/// What keeps deliveries waiting, the most frequent first, as far as the oldest deliveries tell.
async fn failing(console: &Console, entidad: Option<&Ruc>) -> Result<Vec<Failing>, Fault> {
    let jobs = console.exchange.store().jobs(None, FAILING_MAX).await?.items;
    let mut found: Vec<Failing> = Vec::new();
    for job in jobs.into_iter().filter(|job| entidad.is_none_or(|ruc| job.entidad == *ruc)) {
        let Some(falla) = job.falla else { continue };
        match found.iter_mut().find(|one| one.falla == falla) {
            Some(one) => (one.jobs, one.detail) = (one.jobs + 1, job.ultimo_error.or(one.detail.take())),
            None => found.push(Failing { falla, jobs: 1, detail: job.ultimo_error }),
        }
    }
    found.sort_by_key(|one| std::cmp::Reverse(one.jobs));
    Ok(found)
}

fn failures(failing: &[Failing]) -> Markup {
    html! {
        section.tarjeta aria-labelledby="fallas" {
            h2 #fallas { "Qué está fallando" }
            @if failing.is_empty() { p.tenue { "Ninguna entrega espera por una falla." } }
            @for one in failing {
                @let entry = one.falla.entrada();
                details {
                    summary { strong { (entry.titulo) } span.tenue { " " (one.jobs) @if one.jobs == 1 { " entrega" } @else { " entregas" } } }
                    @if let Some(text) = &one.detail { p { "Lo último que se supo: " (text) } }
                    p { (entry.causa) }
                    p { strong { "Qué hacer: " } (entry.remedio) }
                    p.tenue { "Código: " code { (one.falla.codigo()) } ". Se reintenta: " (entry.reintento.palabras()) "." }
                }
            }
        }
    }
}

fn overall(standing: &[Standing], platform: Estado, writable: bool) -> (&'static str, Tone) {
    if !writable {
        ("No se puede guardar", words::BAD)
    } else if platform == Estado::NoResponde {
        ("La plataforma no responde", words::BAD)
    } else if standing.iter().any(|s| s.stage == Stage::Dead) {
        ("Hay entregas detenidas", words::FAIR)
    } else {
        ("Todo en orden", words::GOOD)
    }
}

fn count(standing: &[Standing], which: impl Fn(&Standing) -> bool) -> u64 {
    standing.iter().filter(|s| which(s)).map(|s| s.jobs).sum()
}

fn figure(name: &str, count: u64, path: Option<&str>) -> Markup {
    html! { li { strong { (count) } @if let Some(path) = path { a href=(path) { (name) } } @else { (name) } } }
}

fn state(estado: Estado) -> (&'static str, Tone) {
    match estado {
        Estado::SinDatos => ("Sin datos aún", words::CALM),
        Estado::Bien => ("Responde bien", words::GOOD),
        Estado::ConErrores => ("Responde con errores", words::FAIR),
        Estado::NoResponde => ("No responde", words::BAD),
    }
}

fn when(at: Option<Timestamp>, now: Timestamp) -> Markup {
    html! { @match at { Some(at) => { (words::ago(at, now)) }, None => span.tenue { "—" } } }
}

fn certificates(console: &Console, visit: &Visit, now: Timestamp) -> Markup {
    let settings = console.exchange.settings();
    let ours = settings.entidades.iter().filter(|own| visit.acceso.alcanza(&own.ruc));
    html! {
        section.tarjeta aria-labelledby="certificados" {
            h2 #certificados { "Certificados con que se firma" }
            @for own in ours {
                h3 { (own.nombre) }
                @match console.exchange.identidad(&own.ruc) {
                    None => p.tenue { "Sin identidad: los cargos se firman fuera de chasqui." },
                    Some(identity) => {
                        @let days = identity.valida_hasta().duration_since(now).as_hours() / 24;
                        p.estado-linea {
                            @if identity.valida_hasta() <= now { (layout::badge(("Vencido", words::BAD))) }
                            @else if days < SOON_DAYS { (layout::badge(("Por vencer", words::FAIR))) }
                            @else { (layout::badge(("Vigente", words::GOOD))) }
                            @if identity.valida_hasta() > now { (days) " días" }
                        }
                        dl.datos {
                            dt { "Titular" } dd { (identity.titular().nombre) }
                            dt { "Emisor" } dd { (identity.emisor()) }
                            dt { "Hasta" } dd { (layout::moment(identity.valida_hasta())) }
                        }
                    }
                }
            }
        }
    }
}

fn counterparts(all: &[Salud], directory: Option<&Directorio>, now: Timestamp) -> Markup {
    html! {
        section.tarjeta aria-labelledby="entidades" {
            h2 #entidades { "Las demás entidades" }
            @if all.is_empty() { p.tenue { "Todavía no se envió nada a ninguna desde que el servicio arrancó." } }
            @else {
                div.desplaza tabindex="0" role="region" aria-labelledby="entidades" { table {
                    thead { tr { th scope="col" { "Entidad" } th scope="col" { "Estado" } th scope="col" { "Respondió bien" } th.numero scope="col" { "Mediana" } th.numero scope="col" { "p95" } th scope="col" { "Último error" } } }
                    tbody { @for one in all {
                        tr {
                            th scope="row" { (name_of(directory, &one.ruc).unwrap_or("—")) br; span.tenue { (one.ruc) } }
                            td { (layout::badge(state(one.estado))) @if let Some(at) = one.reabre_en { br; span.tenue { "se prueba el " (words::moment(at)) } } }
                            td { (when(one.ultimo_exito, now)) }
                            td.numero { (millis(one.p50_ms)) }
                            td.numero { (millis(one.p95_ms)) }
                            td { (one.ultimo_error.as_deref().unwrap_or("—")) }
                        }
                    } }
                } }
            }
        }
    }
}

fn millis(ms: Option<u64>) -> String {
    ms.map_or_else(|| "—".into(), |ms| format!("{ms} ms"))
}

#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    cursor: Option<String>,
    solo: Option<String>,
    hecho: Option<String>,
}

/// Deliveries, each with why it is where it is.
pub async fn queue(State(console): State<Console>, visit: Visit, Query(asked): Query<Asked>) -> Result<Markup, Fault> {
    visit.exige(Permiso::Operar)?;
    let after: Option<Id> = asked.cursor.as_deref().and_then(|text| text.parse().ok());
    let (mut jobs, next) = console.exchange.trabajos(visit.acceso.entidad.as_ref(), after, LIMIT).await?;
    let stopped = asked.solo.as_deref() == Some("detenidas");
    if stopped {
        jobs.retain(|job| job.situacion() == Situacion::Detenido);
    }
    let directory = console.exchange.directorio().await?;
    let now = console.exchange.now();
    let query: &[(&str, &str)] = if stopped { &[("solo", "detenidas")] } else { &[] };
    Ok(layout::page(
        &console,
        &visit,
        "Cola de entregas",
        html! {
            p.migas { a href="/operacion" { "Operación" } }
            h1 { "Cola de entregas" }
            @match asked.hecho.as_deref() {
                Some("reintentado") => (layout::notice(words::GOOD, html! { p { "Se intentará ahora." } })),
                Some("descartado") => (layout::notice(words::CALM, html! { p { "La entrega se abandonó; queda en el historial con su motivo." } })),
                _ => {}
            }
            nav.pestanas aria-label="Qué se muestra" { ul {
                li { a href="/operacion/cola" aria-current=[(!stopped).then_some("page")] { "Todas" } }
                li { a href="/operacion/cola?solo=detenidas" aria-current=[stopped.then_some("page")] { "Detenidas" } }
            } }
            @if jobs.is_empty() { div.vacio { p { strong { @if next.is_some() { "Nada en esta parte de la cola." } @else { "No hay entregas pendientes." } } } } }
            @else { ul.lista { @for job in &jobs { (row(job, directory.as_deref(), now)) } } }
            (layout::pager("/operacion/cola", query, next, after.is_none()))
        },
    ))
}

pub fn situation(job: &Trabajo) -> (&'static str, Tone) {
    match job.situacion() {
        Situacion::Pendiente if job.job.kind == JobKind::PreguntarCargo => ("Por preguntar", words::CALM),
        Situacion::Pendiente => ("Por intentar", words::CALM),
        Situacion::Esperando => ("Espera otro intento", words::FAIR),
        Situacion::Detenido => ("Detenida", words::BAD),
    }
}

fn kind(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Despachar => "Enviar un documento",
        JobKind::EntregarCargo => "Entregar un cargo",
        JobKind::PreguntarCargo => "Preguntar por un cargo",
    }
}

fn row(job: &Trabajo, directory: Option<&Directorio>, now: Timestamp) -> Markup {
    html! {
        li.fila {
            a.principal href={ "/operacion/cola/" (job.job.id) } { span.asunto { (kind(job.job.kind)) " a " (name_of(directory, &job.job.destino).unwrap_or(job.job.destino.as_str())) } }
            p.otra { (job.job.ultimo_error.as_deref().unwrap_or("Todavía sin intentos fallidos")) }
            p.senas { "Reg. " (job.numero_registro.as_deref().unwrap_or("—")) " · CUO " (job.cuo.as_deref().unwrap_or("—")) " · " (job.job.intentos) @if job.job.intentos == 1 { " intento" } @else { " intentos" } }
            p.marcas { (layout::badge(situation(job))) }
            p.cuando { (words::ago(job.job.creado_en, now)) @if job.job.muerto_en.is_none() { span.tenue { "sigue el " (words::moment(job.proximo_en)) } } }
        }
    }
}

/// One delivery, explained, and what may be decided about it.
pub async fn job(State(console): State<Console>, visit: Visit, Path(id): Path<String>) -> Result<Markup, Fault> {
    visit.exige(Permiso::Operar)?;
    let id: Id = id.parse().map_err(|_| Fault::missing("esa entrega"))?;
    let found = console.exchange.trabajo(visit.acceso.entidad.as_ref(), id).await?;
    let job = &found.job;
    let subject = match job.kind {
        JobKind::EntregarCargo => format!("/entrada/{}", job.sujeto),
        JobKind::Despachar | JobKind::PreguntarCargo => format!("/salida/{}", job.sujeto),
    };
    let decide = |what: &str, label: &str, class: &str, help: &str| {
        html! {
            form method="post" action={ "/operacion/cola/" (job.id) "/" (what) } enctype="multipart/form-data" {
                (layout::token(&visit))
                (Field::new("motivo", "Motivo", "").max(MOTIVO_MAX).required().help(help).within(what).show(&[]))
                button class={ "boton " (class) } type="submit" { (label) }
            }
        }
    };
    Ok(layout::page(
        &console,
        &visit,
        kind(job.kind),
        html! {
            p.migas { a href="/operacion" { "Operación" } " › " a href="/operacion/cola" { "Cola de entregas" } }
            div.titulo { h1 { (kind(job.kind)) } p.marcas { (layout::badge(situation(&found))) } }
            div.rejilla {
                section.tarjeta aria-labelledby="porque" {
                    h2 #porque { "Por qué está así" }
                    p { (found.explicacion) }
                    p { a href=(subject) { "Ver el documento" } }
                }
                section.tarjeta aria-labelledby="decidir" {
                    h2 #decidir { "Decidir" }
                    details name="decision" open { summary { strong { "Intentar ahora" } } (decide("reintentar", "Intentar ahora", "principal", "Queda en el registro de auditoría.")) }
                    details name="decision" { summary { strong { "Abandonar la entrega" } } (decide("descartar", "Abandonar para siempre", "peligro", "No se puede deshacer. Queda en el registro de auditoría.")) }
                }
            }
        },
    ))
}

pub async fn decide(
    State(console): State<Console>,
    visit: Visit,
    Path((id, what)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Fault> {
    visit.exige(Permiso::Operar)?;
    let id: Id = id.parse().map_err(|_| Fault::missing("esa entrega"))?;
    let sent = forms::read(&console.exchange, &visit.csrf, request).await?;
    let motivo = sent.text("motivo");
    if motivo.is_empty() || motivo.chars().count() > MOTIVO_MAX {
        return Err(Fault::wrong("Diga el motivo, en 500 caracteres o menos: queda en el registro de auditoría"));
    }
    let (exchange, actor, limit) = (&console.exchange, visit.actor(), visit.acceso.entidad.as_ref());
    let done = match what.as_str() {
        "reintentar" => exchange.reintentar_trabajo(actor, limit, id, motivo).await.map(|_| "reintentado")?,
        "descartar" => exchange.descartar_trabajo(actor, limit, id, motivo).await.map(|()| "descartado")?,
        _ => return Err(Fault::missing("esa acción")),
    };
    Ok(Redirect::to(&format!("/operacion/cola?hecho={done}")).into_response())
}
