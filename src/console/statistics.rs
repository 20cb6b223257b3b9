//! Estadísticas: what was sent and received per day, and how long cargos take, drawn by the server, with the tables beside it.

use axum::{
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use jiff::civil::Date;
use maud::{Markup, html};
use serde::Deserialize;

use super::{Console, door::Visit, failure::Fault, inbox::Asked as Filters, layout, words};
use crate::{
    domain::lima,
    exchange::statistics::{CountError, Counted, Por, Row},
    http::{Code, Problem, csv},
};

/// The drawing's size and margins, in its own units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 36.0;
const BOTTOM: f64 = 24.0;
const TOP: f64 = 10.0;

#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    desde: Option<String>,
    hasta: Option<String>,
    formato: Option<String>,
}

impl From<CountError> for Fault {
    fn from(error: CountError) -> Self {
        match error {
            CountError::Busy => Problem::new(Code::ServicioOcupado, error.to_string()).into(),
            CountError::Range | CountError::TooMany => Self::wrong(error.to_string()),
            CountError::Store(error) => error.into(),
        }
    }
}

pub async fn show(State(console): State<Console>, visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let filters = Filters { desde: asked.desde.clone(), hasta: asked.hasta.clone(), ..Filters::default() };
    let (filter, wrong) = filters.filter::<crate::domain::EstadoDespacho>(None);
    let own = std::slice::from_ref(&visit.entidad);
    let days = console.exchange.contar(own, Por::Dia, filter.desde, filter.hasta).await?;
    if asked.formato.as_deref() == Some("csv") {
        return Ok(csv::statistics(&days));
    }
    let others = console.exchange.contar(own, Por::Contraparte, filter.desde, filter.hasta).await?;
    let t = Filters::text;
    let (sent, received) = (&days.totales.despachos, &days.totales.recepciones);
    let answered = sent.recepcionados + sent.observados + sent.subsanados;
    Ok(layout::page(&console, &visit, "Estadísticas", html! {
        h1 { "Estadísticas" }
        p.tenue { "Del " (words::moment(days.desde)) " al " (words::moment(days.hasta)) ", por el día en que se registró cada documento y como está ahora." }
        form.busqueda method="get" action="/estadisticas" {
            div.campo { label for="desde" { "Desde" } input #desde type="date" name="desde" value=(t(&asked.desde)); }
            div.campo { label for="hasta" { "Hasta" } input #hasta type="date" name="hasta" value=(t(&asked.hasta)); }
            button.boton type="submit" { "Ver" }
            a.boton.plano href=(format!("/estadisticas?formato=csv&desde={}&hasta={}", super::door::encoded(t(&asked.desde)), super::door::encoded(t(&asked.hasta)))) { "Descargar CSV" }
        }
        @for wrong in &wrong { (layout::notice(words::FAIR, html! { p { (wrong) } })) }
        ul.cifras {
            (figure("Enviados", sent.total.to_string()))
            (figure("Recibidos", received.total.to_string()))
            (figure("Observados, de lo respondido", share(sent.observados + sent.subsanados, answered)))
            (figure("No se pudieron enviar", sent.fallidos.to_string()))
            (figure("Mediana hasta el cargo", hours(sent.horas_al_cargo.mediana)))
            (figure("Por atender", received.pendientes.to_string()))
        }
        section.tarjeta aria-labelledby="por-dia" {
            h2 #por-dia { "Por día" }
            (chart(&days))
            ul.leyenda { li { "Enviados" } li.serie-2 { "Recibidos" } }
            details { summary { "Ver la tabla" } (table("Documentos por día", &days.items, |row| row.fecha.map(words::day).unwrap_or_default())) }
        }
        section.tarjeta aria-labelledby="por-entidad" {
            h2 #por-entidad { "Por entidad" }
            @if others.items.is_empty() { p.tenue { "Ningún documento en esas fechas." } }
            @else { (table("Documentos por entidad", &others.items, |row| {
                row.nombre.clone().or_else(|| row.contraparte.as_ref().map(ToString::to_string)).unwrap_or_default()
            })) }
        }
    })
    .into_response())
}

fn figure(name: &str, value: String) -> Markup {
    html! { li { strong { (value) } (name) } }
}

fn share(part: u64, of: u64) -> String {
    part.saturating_mul(100).checked_div(of).map_or_else(|| "—".into(), |percent| format!("{percent} %"))
}

fn hours(hours: Option<f64>) -> String {
    match hours {
        None => "—".into(),
        Some(h) if h < 1.0 => format!("{:.0} min", h * 60.0),
        Some(h) if h < 48.0 => format!("{h:.1} h").replace('.', ","),
        Some(h) => format!("{:.1} días", h / 24.0).replace('.', ","),
    }
}

fn table(caption: &str, rows: &[Row], name: impl Fn(&Row) -> String) -> Markup {
    html! {
        div.desplaza tabindex="0" role="region" aria-label=(caption) { table {
            caption.oculto { (caption) }
            thead { tr {
                th scope="col" { "" } th.numero scope="col" { "Enviados" } th.numero scope="col" { "Recepcionados" } th.numero scope="col" { "Observados" }
                th.numero scope="col" { "Fallidos" } th.numero scope="col" { "Mediana al cargo" } th.numero scope="col" { "p90" } th.numero scope="col" { "Recibidos" } th.numero scope="col" { "Por atender" }
            } }
            tbody { @for row in rows {
                @let (sent, received) = (&row.despachos, &row.recepciones);
                tr {
                    th scope="row" { (name(row)) }
                    td.numero { (sent.total) } td.numero { (sent.recepcionados) } td.numero { (sent.observados + sent.subsanados) } td.numero { (sent.fallidos) }
                    td.numero { (hours(sent.horas_al_cargo.mediana)) } td.numero { (hours(sent.horas_al_cargo.p90)) }
                    td.numero { (received.total) } td.numero { (received.pendientes) }
                }
            } }
        } }
    }
}

fn number(n: u64) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

/// Two bars for each day of the range, also for days without documents.
fn chart(counted: &Counted) -> Markup {
    let (first, last) = (lima::en_lima(counted.desde).date(), lima::en_lima(counted.hasta).date());
    let mut days: Vec<Date> = Vec::new();
    let mut day = first;
    // A range has at most 366 days; the bound keeps the end of the calendar from looping.
    while day <= last && days.len() < 400 {
        days.push(day);
        match day.tomorrow() {
            Ok(next) => day = next,
            Err(_) => break,
        }
    }
    let of = |day: Date| {
        let row = counted.items.iter().find(|row| row.fecha == Some(day));
        row.map_or((0, 0), |row| (row.despachos.total, row.recepciones.total))
    };
    let most = days.iter().map(|day| of(*day)).map(|(a, b)| a.max(b)).max().unwrap_or(0).max(4);
    let step = (WIDTH - LEFT) / number(days.len().max(1) as u64);
    let height = |n: u64| (HEIGHT - TOP - BOTTOM) * number(n) / number(most);
    let (bar, base) = ((step * 0.38).min(18.0), HEIGHT - BOTTOM);
    let every = days.len().div_ceil(8).max(1);
    let total =
        format!("Enviados y recibidos por día: como máximo {most} en un día. La tabla de abajo tiene los números");
    html! {
        svg.grafico viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(total) {
            @for quarter in 0..=4_u64 {
                @let at = base - (HEIGHT - TOP - BOTTOM) * number(quarter) / 4.0;
                line.eje x1=(LEFT) x2=(WIDTH) y1=(at) y2=(at) {}
                text x=(LEFT - 6.0) y=(at + 4.0) text-anchor="end" { (most * quarter / 4) }
            }
            @for (n, day) in days.iter().enumerate() {
                @let (sent, received) = of(*day);
                @let x = LEFT + step * number(n as u64) + step / 2.0;
                @if sent > 0 { rect.serie-1 x=(x - bar) y=(base - height(sent)) width=(bar) height=(height(sent)) rx="2" { title { (words::day(*day)) ": " (sent) " enviados" } } }
                @if received > 0 { rect.serie-2 x=(x) y=(base - height(received)) width=(bar) height=(height(received)) rx="2" { title { (words::day(*day)) ": " (received) " recibidos" } } }
                @if n % every == 0 { text x=(x) y=(HEIGHT - 6.0) text-anchor="middle" { (day.strftime("%d/%m").to_string()) } }
            }
        }
    }
}
