//! `/api/v1/eventos`: everything that happened, in order, from a cursor on, page by page or as a stream.

use axum::{extract::State, response::Response};
use http::HeaderMap;

use super::{Api, failure, json, query, query::Params, stream, view};
use crate::{
    domain::Id,
    http::{Acceso, Code, Problem},
    store::{Cursor, Store},
};

/// What a stream that was cut names its place in.
const LAST_EVENT_ID: &str = "last-event-id";

/// The `desde` of a caller that wants only what comes.
const NOW: &str = "ahora";

/// The store's word for a journal that lost its end.
const RECORTADO: &str = "almacen.recortado";

/// A page of the feed. `next_cursor` is always there: asking again with it gives what happened since.
pub async fn page(
    State(api): State<Api>,
    acceso: Acceso,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = params.only(&["desde", "limit", "entidad"])?;
    let settings = api.exchange.settings();
    let ours = &settings.entidades;
    // A key of no entity sees all of them, unless it asks for one.
    let entidad = match (&acceso.entidad, params.text("entidad")) {
        (None, None) => None,
        (_, stated) => Some(query::entity(&acceso, stated, ours)?),
    };
    let streaming = stream::wanted(&headers);
    // A stream that was cut goes on where it was, whatever its address says.
    let last_seen = headers.get(LAST_EVENT_ID).filter(|_| streaming).and_then(|value| value.to_str().ok());
    let asked = match last_seen.or(params.text("desde")) {
        None => Place::default(),
        Some(NOW) => Place { at: Cursor { seq: *api.exchange.store().watch().borrow(), n: u8::MAX }, mark: None },
        Some(text) => place(text)?,
    };
    let after = known(&**api.exchange.store(), asked).await?;
    if streaming {
        return stream::follow(api, &acceso, entidad, after);
    }
    let facts = api.exchange.store().facts(after, entidad.as_ref(), params.limit()?).await.map_err(failure::store)?;
    let same = || match params.text("desde").filter(|text| after == asked.at && *text != NOW) {
        Some(text) => text.to_owned(),
        None => format!("{}.{}", after.seq, after.n),
    };
    let next = facts.last().map_or_else(same, view::cursor);
    let told = api.exchange.se_cuentan(&facts).await.map_err(failure::store)?;
    let items = view::facts(&facts, &told).collect();
    Ok(json(&view::Items { items, next_cursor: Some(next) }))
}

/// Where a caller has come to: `0.0` is the beginning.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place {
    pub at: Cursor,
    /// Of the fact it saw there; `None`: it was not told.
    mark: Option<u32>,
}

pub fn place(text: &str) -> Result<Place, Problem> {
    let read = || {
        let (cursor, mark) = text.split_once('-').map_or((text, None), |(cursor, mark)| (cursor, Some(mark)));
        let (seq, n) = cursor.split_once('.')?;
        let mark = mark.map(|mark| u32::from_str_radix(mark, 16)).transpose().ok()?;
        Some(Place { at: Cursor { seq: seq.parse().ok()?, n: n.parse().ok()? }, mark })
    };
    read().ok_or_else(|| {
        Problem::new(Code::ParametroNoValido, "«desde» debe ser el next_cursor de una respuesta anterior, o «ahora»")
    })
}

/// From where a caller has seen everything. If what it saw is gone with the journal's end, that is before the first fact
/// that took its place: what it tells twice is better than what it leaves out.
async fn known(store: &dyn Store, place: Place) -> Result<Cursor, Problem> {
    let Place { at, mark: Some(mark) } = place else { return Ok(place.at) };
    let found = store.facts(before(at), None, 1).await.map_err(failure::store)?;
    if found.first().is_some_and(|found| found.cursor == at && view::mark(&found.fact) == mark) {
        return Ok(at);
    }
    let of_store = store.facts_of(Id::nil()).await.map_err(failure::store)?;
    let cut = of_store.iter().find(|found| found.fact.tipo == RECORTADO && found.cursor.seq <= at.seq);
    cut.map(|cut| before(cut.cursor)).ok_or_else(|| {
        let detail = "«desde» nombra un suceso que este almacén no tiene (¿se restauró una copia?); pida desde 0.0 o desde \
                      un cursor anterior";
        Problem::new(Code::ParametroNoValido, detail)
    })
}

/// The place just before another.
fn before(at: Cursor) -> Cursor {
    match at.n.checked_sub(1) {
        Some(n) => Cursor { n, ..at },
        None => Cursor { seq: at.seq.saturating_sub(1), n: u8::MAX },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_with_and_without_its_mark() {
        let read = |text| place(text).map(|place| (place.at, place.mark)).ok();
        let at = Cursor { seq: 7, n: 2 };
        assert_eq!(read("7.2-0000000a"), Some((at, Some(10))));
        assert_eq!(read("7.2"), Some((at, None)));
        for wrong in ["", "7", "7.", "7.2-", "7.2-x", "7.256", "-1.2", "7.2-1ffffffff"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(before(at), Cursor { seq: 7, n: 1 });
        assert_eq!(before(Cursor { seq: 7, n: 0 }), Cursor { seq: 6, n: 255 });
    }
}
