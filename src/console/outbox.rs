//! Bandeja de salida: what was sent, the newest first.

use axum::{
    Json,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    Console,
    door::{Permiso, Visit},
    failure::Fault,
    inbox::{Asked, LIMIT, or_dash, search, tabs},
    layout, words,
};
use crate::{
    domain::{Despacho, EstadoDespacho, Ruc, lima},
    exchange::listing,
    store::{Directorio, Page},
};

const TABS: [(&str, &str, Option<EstadoDespacho>); 7] = [
    ("", "Todos", None),
    ("pendiente", "En cola", Some(EstadoDespacho::Pendiente)),
    ("por_confirmar", "Por confirmar", Some(EstadoDespacho::PorConfirmar)),
    ("enviado", "Esperan cargo", Some(EstadoDespacho::Enviado)),
    ("recepcionado", "Recepcionados", Some(EstadoDespacho::Recepcionado)),
    ("observado", "Observados", Some(EstadoDespacho::Observado)),
    ("fallido", "Fallidos", Some(EstadoDespacho::Fallido)),
];

pub async fn list(State(console): State<Console>, visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let tab = Asked::text(&asked.estado).to_owned();
    let estado = TABS.iter().find(|(word, ..)| *word == tab).and_then(|(.., estado)| *estado);
    let (filter, wrong) = asked.filter(estado);
    let store = &**console.exchange.store();
    let page = listing::find::<Despacho>(store, &visit.entidad, &filter, asked.cursor(), LIMIT).await?;
    let directory = console.exchange.directorio().await?;
    let rows = rows(&page, directory.as_deref(), console.exchange.now());
    if asked.filas.is_some() {
        return Ok(Json(serde_json::json!({ "html": rows.into_string() })).into_response());
    }
    Ok(layout::page(&console, &visit, "Bandeja de salida", html! {
        div.titulo {
            h1 { "Bandeja de salida" }
            @if visit.puede(Permiso::Despachar) { a.boton.principal href="/salida/nuevo" { "Enviar un documento" } }
        }
        (tabs("/salida", &TABS.map(|(word, name, _)| (word, name)), &tab, &asked))
        (search("/salida", &asked, &tab, "Asunto, CUO, número, destinatario…", false))
        @for wrong in &wrong { (layout::notice(words::FAIR, html! { p { (wrong) } })) }
        div #vivo data-vivo="despacho" { (rows) }
        @if page.items.is_empty() {
            div.vacio {
                @if page.next.is_some() { p { strong { "Nada en esta parte de la lista." } } p { "Siga en «Más antiguos», o precise la búsqueda." } }
                @else if asked.filtered() { p { strong { "Nada coincide con la búsqueda." } } p { "Pruebe con menos palabras, o quite filtros." } }
                @else { p { strong { "No hay documentos enviados aquí." } } p { "Los que envíe su sistema o esta consola aparecerán en esta lista." } }
            }
        }
        (layout::pager("/salida", &asked.query(), page.next, asked.cursor.is_none()))
    })
    .into_response())
}

/// The name of an entity as the directory has it.
pub fn name_of<'a>(directory: Option<&'a Directorio>, ruc: &Ruc) -> Option<&'a str> {
    directory?.entidades.iter().find(|entidad| entidad.ruc == *ruc).map(|entidad| entidad.nombre.as_str())
}

fn rows(page: &Page<Despacho>, directory: Option<&Directorio>, now: Timestamp) -> Markup {
    html! {
        @if !page.items.is_empty() {
            ul.lista { @for despacho in &page.items { (row(despacho, directory, now)) } }
        }
    }
}

fn row(d: &Despacho, directory: Option<&Directorio>, now: Timestamp) -> Markup {
    html! {
        li.fila {
            a.principal href={ "/salida/" (d.id) } { span.asunto { (or_dash(&d.asunto)) } }
            p.otra { "A " (name_of(directory, &d.destino).unwrap_or("RUC")) @if name_of(directory, &d.destino).is_none() { " " (d.destino) } }
            p.senas { (or_dash(&d.numero_documento)) " · Reg. " (d.numero_registro) @if let Some(cuo) = &d.cuo { " · CUO " (cuo) } }
            p.marcas { (layout::badge(words::despacho(d.estado))) @if d.subsanado_por.is_some() && d.estado == EstadoDespacho::Observado { (layout::badge(("Subsanándose", words::CALM))) } }
            p.cuando {
                time datetime=(lima::texto(d.creado_en)) title=(words::moment(d.creado_en)) { (words::ago(d.creado_en, now)) }
                span.tenue { "por " (or_dash(&d.usuario)) }
            }
        }
    }
}
