//! Bandeja de entrada: what arrived, the newest first.

use axum::{
    Json,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use jiff::civil::Date;
use maud::{Markup, html};
use serde::Deserialize;

use super::{Console, door::Visit, failure::Fault, layout, terms, words};
use crate::{
    domain::{EstadoRecepcion, Id, Recepcion, Ruc, lima},
    exchange::listing::{self, Filter},
    store::Page,
};

/// Documents of a page.
pub const LIMIT: usize = 25;
/// Most of `q`, in characters.
pub const WORDS_MAX: usize = 200;

/// What a list is asked for; what cannot be read is left out and said.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    pub estado: Option<String>,
    pub q: Option<String>,
    pub ruc: Option<String>,
    pub desde: Option<String>,
    pub hasta: Option<String>,
    /// Of the inbox: how near the end of the term is.
    pub plazo: Option<String>,
    pub cursor: Option<String>,
    /// The rows alone, for the script.
    pub filas: Option<String>,
}

impl Asked {
    pub fn text(of: &Option<String>) -> &str {
        of.as_deref().unwrap_or_default().trim()
    }

    /// The filter, and what of it makes no sense.
    pub fn filter<E: Copy + PartialEq>(&self, estado: Option<E>) -> (Filter<E>, Vec<String>) {
        let mut wrong = Vec::new();
        let ruc = Some(Self::text(&self.ruc)).filter(|text| !text.is_empty()).and_then(|text| {
            let read = Ruc::de_contraparte(text).ok();
            if read.is_none() {
                wrong.push("El RUC debe tener 11 dígitos; no se filtró por él.".to_owned());
            }
            read
        });
        let mut day = |of: &Option<String>, last: bool| {
            let text = Self::text(of);
            let day: Option<Date> = text.parse().ok();
            if day.is_none() && !text.is_empty() {
                wrong.push(format!("«{text}» no es una fecha; no se filtró por ella."));
            }
            let at = |day: Date| if last { day.at(23, 59, 59, 999_999_999) } else { day.at(0, 0, 0, 0) };
            day.and_then(|day| lima::desde_lima(at(day)))
        };
        let (desde, hasta) = (day(&self.desde, false), day(&self.hasta, true));
        let words: String = Self::text(&self.q).chars().take(WORDS_MAX).collect();
        (Filter { estado, ruc, desde, hasta, ..Filter::default() }.with_words(&words), wrong)
    }

    pub fn cursor(&self) -> Option<Id> {
        self.cursor.as_deref().and_then(|text| text.parse().ok())
    }

    /// The same list, from another place.
    pub fn query(&self) -> Vec<(&str, &str)> {
        let t = Self::text;
        vec![
            ("estado", t(&self.estado)),
            ("q", t(&self.q)),
            ("ruc", t(&self.ruc)),
            ("desde", t(&self.desde)),
            ("hasta", t(&self.hasta)),
            ("plazo", t(&self.plazo)),
        ]
    }

    pub fn filtered(&self) -> bool {
        self.query().iter().skip(1).any(|(_, value)| !value.is_empty())
    }
}

const TABS: [(&str, &str, Option<EstadoRecepcion>); 4] = [
    ("", "Por atender", Some(EstadoRecepcion::Pendiente)),
    ("recepcionado", "Recepcionados", Some(EstadoRecepcion::Recepcionado)),
    ("observado", "Observados", Some(EstadoRecepcion::Observado)),
    ("todos", "Todos", None),
];

pub async fn list(State(console): State<Console>, visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let tab = Asked::text(&asked.estado).to_owned();
    let estado = TABS.iter().find(|(word, ..)| *word == tab).map_or(Some(EstadoRecepcion::Pendiente), |(.., e)| *e);
    let (mut filter, wrong) = asked.filter(estado);
    terms::narrow(&console, &visit.entidad, Asked::text(&asked.plazo), &mut filter);
    let store = &**console.exchange.store();
    let page = listing::find::<Recepcion>(store, &visit.entidad, &filter, asked.cursor(), LIMIT).await?;
    let rows = rows(&console, &page);
    if asked.filas.is_some() {
        return Ok(Json(serde_json::json!({ "html": rows.into_string() })).into_response());
    }
    Ok(layout::page(
        &console,
        &visit,
        "Bandeja de entrada",
        html! {
            div.titulo { h1 { "Bandeja de entrada" } }
            (tabs("/entrada", &TABS.map(|(word, name, _)| (word, name)), &tab, &asked))
            (search("/entrada", &asked, &tab, "Asunto, CUO, número, entidad…", console.exchange.settings().calendario.plazo_dias.is_some()))
            @for wrong in &wrong { (layout::notice(words::FAIR, html! { p { (wrong) } })) }
            div #vivo data-vivo="recepcion" {
                (rows)
            }
            @if page.items.is_empty() { (nothing(&asked, &tab, page.next.is_some())) }
            (layout::pager("/entrada", &asked.query(), page.next, asked.cursor.is_none()))
        },
    )
    .into_response())
}

pub fn tabs(path: &str, all: &[(&str, &str)], here: &str, asked: &Asked) -> Markup {
    let address = |word: &str| {
        let rest = asked.query().into_iter().skip(1).filter(|(_, value)| !value.is_empty());
        let own = Some(("estado", word)).filter(|_| !word.is_empty());
        let pairs: Vec<String> = own
            .into_iter()
            .chain(rest)
            .map(|(name, value)| format!("{name}={}", super::door::encoded(value)))
            .collect();
        if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
    };
    html! {
        nav.pestanas aria-label="Estados" {
            ul { @for (word, name) in all {
                li { a href=(address(word)) aria-current=[(*word == here).then_some("page")] { (name) } }
            } }
        }
    }
}

pub fn search(path: &str, asked: &Asked, tab: &str, hint: &str, terms: bool) -> Markup {
    let t = Asked::text;
    html! {
        form.busqueda method="get" action=(path) role="search" {
            @if !tab.is_empty() { input type="hidden" name="estado" value=(tab); }
            div.campo.crece { label for="q" { "Buscar" } input #q name="q" type="search" value=(t(&asked.q)) placeholder=(hint) maxlength=(WORDS_MAX); }
            details open[!t(&asked.plazo).is_empty() || !t(&asked.ruc).is_empty() || !t(&asked.desde).is_empty() || !t(&asked.hasta).is_empty()] {
                summary { "Más filtros" }
                div.campos {
                    div.campo { label for="ruc" { "RUC de la otra entidad" } input #ruc name="ruc" inputmode="numeric" value=(t(&asked.ruc)) maxlength="11"; }
                    div.campo { label for="desde" { "Desde" } input #desde name="desde" type="date" value=(t(&asked.desde)); }
                    div.campo { label for="hasta" { "Hasta" } input #hasta name="hasta" type="date" value=(t(&asked.hasta)); }
                    @if terms {
                        div.campo { label for="plazo" { "Plazo" } select #plazo name="plazo" {
                            @for (word, name) in terms::CHOICES { option value=(word) selected[t(&asked.plazo) == word] { (name) } }
                        } }
                    }
                }
            }
            button.boton type="submit" { "Buscar" }
            @if asked.filtered() { a.boton.plano href=(if tab.is_empty() { path.to_owned() } else { format!("{path}?estado={tab}") }) { "Quitar filtros" } }
        }
    }
}

fn nothing(asked: &Asked, tab: &str, more: bool) -> Markup {
    html! {
        div.vacio {
            @if more {
                p { strong { "Nada en esta parte de la lista." } }
                p { "Siga en «Más antiguos», o precise la búsqueda." }
            } @else if asked.filtered() {
                p { strong { "Nada coincide con la búsqueda." } }
                p { "Pruebe con menos palabras, o quite filtros." }
            } @else if tab.is_empty() {
                p { strong { "No hay documentos por atender." } }
                p { "Cuando llegue uno aparecerá aquí, sin recargar la página." }
            } @else {
                p { strong { "Todavía no hay documentos en este estado." } }
            }
        }
    }
}

fn rows(console: &Console, page: &Page<Recepcion>) -> Markup {
    html! {
        @if !page.items.is_empty() {
            ul.lista { @for recepcion in &page.items { (row(console, recepcion)) } }
        }
    }
}

fn row(console: &Console, r: &Recepcion) -> Markup {
    let now = console.exchange.now();
    let end = terms::end(console, r);
    let unread = r.visto_en.is_none();
    let verdict = r.documento.firmas.as_ref().map(|report| report.veredicto);
    html! {
        li.fila.nueva[unread] {
            a.principal href={ "/entrada/" (r.id) } {
                @if unread { span.punto { span.oculto { "Sin abrir. " } } }
                span.asunto { (or_dash(&r.asunto)) }
            }
            p.otra { (or_dash(&r.remitente.nombre)) }
            p.senas { (or_dash(&r.numero_documento)) " · CUO " (r.cuo) @if let Some(n) = &r.numero_registro { " · Reg. " (n) } }
            p.marcas {
                (layout::badge(words::recepcion(r.estado)))
                @if let Some(near) = end.and_then(|end| terms::standing(console, end)) { (layout::badge(near)) }
                (layout::signature_badge(verdict))
                @if r.cargo.is_some() && r.cargo_entregado_en.is_none() { (layout::badge(("Cargo por entregar", words::FAIR))) }
                @if !r.advertencias.is_empty() { (layout::badge(("Con advertencias", words::FAIR))) }
            }
            p.cuando {
                time datetime=(lima::texto(r.recibido_en)) title=(words::moment(r.recibido_en)) { (words::ago(r.recibido_en, now)) }
                span.tenue { "presentado el " (words::day(r.fecha_presentacion)) @if let Some(end) = end { ", plazo hasta el " (words::day(end)) } }
            }
        }
    }
}

pub fn or_dash(text: &str) -> &str {
    if text.trim().is_empty() { "—" } else { text }
}
