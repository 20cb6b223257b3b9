//! Auditoría: the log with search, the newest first, its checkpoints, and a proof on demand that nothing of it was changed.

use axum::{
    extract::{Query, Request, State},
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    Console,
    door::{Permiso, Visit, encoded},
    failure::Fault,
    forms,
    inbox::Asked as Filters,
    layout, received, words,
};
use crate::{
    audit::{AuditError, verify::verify_dir},
    http::{Problem, evidence::problem},
    store::{Cursor, Fact, FactAt, Seq, Usuario},
};

/// Entries looked at for one page, those read at a time, and facts of a page.
const LOOKED_AT_MAX: u64 = 5_000;
const BATCH: u64 = 250;
const LIMIT: usize = 50;

#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    tipo: Option<String>,
    q: Option<String>,
    desde: Option<String>,
    hasta: Option<String>,
    /// Entries below this one.
    antes: Option<Seq>,
    hecho: Option<String>,
}

const KINDS: [(&str, &str); 9] = [
    ("", "Todo"),
    ("recepcion", "Documentos recibidos"),
    ("despacho", "Documentos enviados"),
    ("trabajo", "Decisiones sobre entregas"),
    ("sesion", "Ingresos a la consola"),
    ("usuario", "Personas"),
    ("clave", "Claves de la API"),
    ("acceso", "Accesos rechazados"),
    ("configuracion", "Configuración"),
];

fn audit_fault(error: &AuditError) -> Fault {
    problem(error).into()
}

/// What passes the filters, the newest first, and below which entry the list goes on.
async fn find(
    console: &Console,
    visit: &Visit,
    asked: &Asked,
    users: &[Usuario],
) -> Result<(Vec<FactAt>, Option<Seq>, Vec<String>), Fault> {
    let filters = Filters { desde: asked.desde.clone(), hasta: asked.hasta.clone(), ..Filters::default() };
    let (filter, wrong) = filters.filter::<crate::domain::EstadoDespacho>(None);
    let sought = Filters::text(&asked.q).to_lowercase();
    let tipo = Filters::text(&asked.tipo);
    let wants = |fact: &Fact| {
        let entity = match (&visit.acceso.entidad, &fact.entidad) {
            (None, _) => true,
            (Some(_), Some(of)) => visit.acceso.alcanza(of),
            (Some(_), None) => false,
        };
        let whom = subject(fact, users).map(|person| person.cuenta.as_str());
        let text = || [Some(fact.actor.as_str()), fact.cuo.as_deref(), fact.detalle.as_deref(), Some(&fact.tipo), whom];
        entity
            && (tipo.is_empty()
                || fact.tipo.strip_prefix(tipo).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
            && filter.desde.is_none_or(|desde| fact.at >= desde)
            && filter.hasta.is_none_or(|hasta| fact.at <= hasta)
            && (sought.is_empty()
                || fact.sujeto.to_string() == sought
                || text().into_iter().flatten().any(|text| text.to_lowercase().contains(&sought)))
    };
    let store = console.exchange.store();
    let newest = *store.watch().borrow();
    let mut below = asked.antes.unwrap_or(newest + 1).min(newest + 1);
    let (mut found, mut looked_at) = (Vec::new(), 0);
    while below > 1 && found.len() < LIMIT && looked_at < LOOKED_AT_MAX {
        let first = below.saturating_sub(BATCH).max(1);
        let mut entries = Vec::new();
        let mut after = first - 1;
        // A page of entries may be cut short where they are large.
        while after + 1 < below {
            let wanted = usize::try_from(below - 1 - after).unwrap_or(1);
            let read = store.entries(after, wanted).await?;
            let Some(last) = read.last() else { break };
            after = last.seq;
            entries.extend(read);
        }
        looked_at += below - first;
        for entry in entries.iter().rev() {
            let facts: Vec<Fact> = serde_json::from_slice(&entry.facts).map_err(|error| Problem::internal(&error))?;
            let at = |(n, fact)| FactAt { cursor: Cursor { seq: entry.seq, n }, fact };
            let all: Vec<FactAt> = (0..=u8::MAX).zip(facts).map(at).collect();
            found.extend(all.into_iter().rev().filter(|at| wants(&at.fact)));
            below = entry.seq;
            if found.len() >= LIMIT {
                break;
            }
        }
        if found.len() < LIMIT {
            below = first;
        }
    }
    Ok((found, (below > 1).then_some(below), wrong))
}

pub async fn show(State(console): State<Console>, visit: Visit, Query(asked): Query<Asked>) -> Result<Markup, Fault> {
    visit.exige(Permiso::Auditar)?;
    let users = console.exchange.usuarios().await?;
    let (found, next, wrong) = find(&console, &visit, &asked, &users).await?;
    let told = console.exchange.se_cuentan(&found).await?;
    let people = received::people(&console, &found).await?;
    let t = Filters::text;
    let address = |antes: Option<Seq>| {
        let pairs =
            [("tipo", t(&asked.tipo)), ("q", t(&asked.q)), ("desde", t(&asked.desde)), ("hasta", t(&asked.hasta))];
        let kept: Vec<String> =
            pairs.iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| format!("{n}={}", encoded(v))).collect();
        format!("/auditoria?{}{}", kept.join("&"), antes.map(|seq| format!("&antes={seq}")).unwrap_or_default())
    };
    Ok(layout::page(
        &console,
        &visit,
        "Auditoría",
        html! {
            h1 { "Registro de auditoría" }
            @if asked.hecho.as_deref() == Some("punto") { (layout::notice(words::GOOD, html! { p { "Se firmó un punto de control con todo lo de hasta ahora." } })) }
            (checkpoint(&console, &visit).await?)
            form.busqueda method="get" action="/auditoria" role="search" {
                div.campo.crece { label for="q" { "Buscar" } input #q type="search" name="q" value=(t(&asked.q)) placeholder="CUO, identificador, palabra…"; }
                div.campo { label for="tipo" { "Qué" } select #tipo name="tipo" { @for (word, name) in KINDS { option value=(word) selected[word == t(&asked.tipo)] { (name) } } } }
                div.campo { label for="desde" { "Desde" } input #desde type="date" name="desde" value=(t(&asked.desde)); }
                div.campo { label for="hasta" { "Hasta" } input #hasta type="date" name="hasta" value=(t(&asked.hasta)); }
                button.boton type="submit" { "Buscar" }
            }
            @for wrong in &wrong { (layout::notice(words::FAIR, html! { p { (wrong) } })) }
            @if found.is_empty() { div.vacio { p { strong { "Nada coincide" @if next.is_some() { " en esta parte; siga en «Más antiguos»" } "." } } } }
            @else {
            p.ayuda { "Un asiento puede contener varios hechos y algunos son internos del servicio: por eso un número puede repetirse o faltar en la lista." }
            div.desplaza tabindex="0" role="region" aria-label="Asientos" { table {
                thead { tr { th.numero scope="col" { "Asiento" } th scope="col" { "Cuándo" } th scope="col" { "Qué" } th scope="col" { "Quién" } th scope="col" { "CUO" } } }
                tbody { @for (at, told) in found.iter().zip(&told) { tr {
                    td.numero { (at.cursor.seq) }
                    td.fijo { (layout::moment(at.fact.at)) }
                    td { @match link(&at.fact) { Some(address) => a href=(address) { (words::fact(&at.fact.tipo)) }, None => (words::fact(&at.fact.tipo)) }
                        @if let Some(person) = subject(&at.fact, &users) { br; "Cuenta " strong.fijo { (person.cuenta) } ", " (words::rol(person.rol)) }
                        @if let Some(text) = at.fact.detalle.as_deref().filter(|_| *told) { br; span.tenue { (text) } } }
                    td { (who(&at.fact, &people, &users)) }
                    td.fijo { (at.fact.cuo.as_deref().unwrap_or("—")) }
                } } }
            } } }
            nav.paginas aria-label="Páginas" {
                @if asked.antes.is_some() { a.boton href=(address(None)) { "Al principio" } }
                @if let Some(next) = next { a.boton href=(address(Some(next))) rel="next" { "Más antiguos" } }
            }
        },
    ))
}

/// Whom a fact about a person is about.
fn subject<'a>(fact: &Fact, users: &'a [Usuario]) -> Option<&'a Usuario> {
    let about = fact.tipo.starts_with("usuario.") || fact.tipo.starts_with("sesion.");
    users.iter().find(|person| about && person.id == fact.sujeto)
}

/// Who did it. Of a password that was not the account's nobody knows who typed it.
fn who(fact: &Fact, people: &[(String, String)], users: &[Usuario]) -> String {
    match subject(fact, users) {
        Some(person) if fact.tipo == "sesion.rechazada" => format!("alguien, con la cuenta {}", person.cuenta),
        _ => received::who(&fact.actor, people).to_owned(),
    }
}

/// Where what a fact is about is shown.
fn link(fact: &Fact) -> Option<String> {
    match fact.tipo.split('.').next()? {
        "recepcion" => Some(format!("/entrada/{}", fact.sujeto)),
        "despacho" => Some(format!("/salida/{}", fact.sujeto)),
        _ => None,
    }
}

async fn checkpoint(console: &Console, visit: &Visit) -> Result<Markup, Fault> {
    let latest = console.audit.latest().await.map_err(|error| audit_fault(&error))?;
    Ok(html! {
        section.tarjeta aria-labelledby="punto" {
            h2 #punto { "Punto de control" }
            @match &latest {
                None => p.tenue { "Todavía no hay ninguno." },
                Some(signed) => dl.datos {
                    dt { "Firmado" } dd { (layout::moment(signed.checkpoint.at)) }
                    dt { "Cubre" } dd { (signed.checkpoint.size) " asientos" }
                    dt { "Clave" } dd { code { (console.audit.key().to_string()) } }
                },
            }
            div.acciones {
                form method="post" action="/auditoria/punto" enctype="multipart/form-data" { (layout::token(visit)) button.boton type="submit" { "Firmar uno ahora" } }
                form method="post" action="/auditoria/verificar" enctype="multipart/form-data" { (layout::token(visit)) button.boton type="submit" { "Verificar todo el registro" } }
            }
            p.ayuda { "Verificar lee el registro y cada documento: en un almacén grande tarda minutos." }
        }
    })
}

pub async fn sign(State(console): State<Console>, visit: Visit, request: Request) -> Result<Response, Fault> {
    visit.exige(Permiso::Auditar)?;
    forms::read(&console.exchange, &visit.csrf, request).await?;
    let now = console.exchange.now();
    let made = console.audit.checkpoint(now, &visit.actor().0).await.map_err(|error| audit_fault(&error))?;
    console.audit.stamp(&made, console.exchange.now()).await;
    Ok(Redirect::to("/auditoria?hecho=punto").into_response())
}

/// Reads everything and compares, as `chasqui audit verify` does; one at a time.
pub async fn verify(State(console): State<Console>, visit: Visit, request: Request) -> Result<Markup, Fault> {
    visit.exige(Permiso::Auditar)?;
    forms::read(&console.exchange, &visit.csrf, request).await?;
    let busy = || Fault::wrong("Ya hay una verificación en marcha: espere a que termine");
    let _turn = console.verifying.clone().try_acquire_owned().map_err(|_| busy())?;
    let dir = console.data_dir.clone();
    let found = tokio::task::spawn_blocking(move || verify_dir(&dir, None, None, &mut |_| {})).await;
    let found = found.map_err(|error| Problem::internal(&error))?;
    let report = found.map_err(|error| Problem::internal(&error))?;
    Ok(layout::page(
        &console,
        &visit,
        "Verificación",
        html! {
            p.migas { a href="/auditoria" { "Auditoría" } }
            h1 { "Verificación del registro" }
            @if report.is_whole() { (layout::notice(words::GOOD, html! { p { strong { "Está íntegro. " } "Ni un asiento ni un documento cambió desde que se guardó." } })) }
            @else { (layout::notice(words::BAD, html! { p { strong { "Hay algo que no corresponde." } } ul { @for text in report.store.damage.iter().chain(&report.problems) { li { (text) } } } })) }
            section.tarjeta { dl.datos {
                dt { "Asientos leídos" } dd { (report.store.entries) }
                dt { "Documentos leídos" } dd { (report.store.documents) ", de ellos " (report.store.purged) " purgados con certificado" }
                dt { "Bytes" } dd { (words::size(report.store.bytes)) }
                dt { "Puntos de control" } dd { (report.checkpoints) " válidos; cubren hasta el asiento " (report.covered) }
                @if let Some(key) = &report.key { dt { "Clave" } dd { code { (key) } } }
            } }
            @if !report.store.remarks.is_empty() { p.tenue { "Notas:" } ul { @for text in &report.store.remarks { li { (text) } } } }
        },
    ))
}
