//! Until when a received document is to be answered, where the configuration gives a term in business days.

use jiff::civil::Date;

use super::{Console, words, words::Tone};
use crate::{
    domain::{EstadoRecepcion, Recepcion, Ruc, lima},
    exchange::listing::Filter,
};

/// What the inbox may be narrowed to, with its words.
pub const CHOICES: [(&str, &str); 3] =
    [("", "Cualquiera"), ("vencido", "Vencido"), ("por_vencer", "Vence hoy o el siguiente día hábil")];

/// The last day, for what waits for its answer.
pub fn end(console: &Console, r: &Recepcion) -> Option<Date> {
    let waits = r.estado == EstadoRecepcion::Pendiente && r.purga.is_none();
    console.exchange.settings().calendario.plazo(r.fecha_presentacion).filter(|_| waits)
}

/// How near that day is.
pub fn standing(console: &Console, end: Date) -> Option<(&'static str, Tone)> {
    let today = lima::en_lima(console.exchange.now()).date();
    let next = console.exchange.settings().calendario.habil_tras(today, 1);
    if end < today {
        Some(("Plazo vencido", words::BAD))
    } else if end == today {
        Some(("Vence hoy", words::BAD))
    } else if end <= next {
        Some(("Vence el siguiente día hábil", words::FAIR))
    } else {
        None
    }
}

/// Narrows a filter to what is overdue or nearly so: by when it arrived, as ids sort by that.
pub fn narrow(console: &Console, entidad: &Ruc, choice: &str, filter: &mut Filter<EstadoRecepcion>) {
    let (settings, own) = (console.exchange.settings(), console.exchange.propia(entidad));
    let calendar = &settings.calendario;
    let Some(own) = own.filter(|_| calendar.plazo_dias.is_some()) else { return };
    let today = lima::en_lima(console.exchange.now()).date();
    let after_next = calendar.habil_tras(today, 1).tomorrow().unwrap_or(today);
    // What was presented on a business day arrived up to its reception hours' end.
    let arrived = |day: Option<Date>| day.and_then(|day| lima::desde_lima(day.to_datetime(own.cierre)));
    let overdue = arrived(calendar.con_plazo_antes_de(today));
    let (from, to) = match choice {
        "vencido" => (None, overdue),
        "por_vencer" => (overdue, arrived(calendar.con_plazo_antes_de(after_next))),
        _ => return,
    };
    if let Some(from) = from {
        let from = from.checked_add(jiff::SignedDuration::from_nanos(1)).unwrap_or(from);
        filter.desde = Some(filter.desde.map_or(from, |desde| desde.max(from)));
    }
    if let Some(to) = to {
        filter.hasta = Some(filter.hasta.map_or(to, |hasta| hasta.min(to)));
    }
}
