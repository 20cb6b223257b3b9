//! The parameters of the lists of despachos and recepciones; `exchange::listing` finds what they ask for.

pub use crate::exchange::listing::LOOKED_AT_MAX;

use super::{
    Api, failure, query,
    query::{Edge, Params},
    view::Items,
};
use crate::{
    domain::Ruc,
    exchange::listing::{self, Filter, Registro},
    http::{Acceso, Code, Problem},
};

/// The parameters of both lists.
const PARAMS: [&str; 10] =
    ["limit", "cursor", "entidad", "estado", "cuo", "numero_registro", "ruc", "desde", "hasta", "q"];

/// Longest `q`, in characters.
const WORDS_CHARS_MAX: usize = 200;

/// The records a request asks for, and where the next page begins.
pub async fn find<R: Registro>(api: &Api, acceso: &Acceso, params: Params) -> Result<Items<R>, Problem> {
    let params = params.only(&PARAMS)?;
    let entidad = query::entity(acceso, params.text("entidad"), &api.exchange.settings().entidades)?;
    let (filter, limit, cursor) = (read::<R>(&params)?, params.limit()?, params.cursor()?);
    let page = listing::find::<R>(&**api.exchange.store(), &entidad, &filter, cursor, limit).await;
    let page = page.map_err(failure::store)?;
    Ok(Items { items: page.items, next_cursor: page.next.map(|id| id.to_string()) })
}

fn read<R: Registro>(params: &Params) -> Result<Filter<R::Estado>, Problem> {
    let ruc = params.text("ruc").map(|text| {
        let wrong = |_| Problem::new(Code::ParametroNoValido, "«ruc» debe ser un RUC, de 11 dígitos");
        Ruc::de_contraparte(text).map_err(wrong)
    });
    let words = params.text("q").unwrap_or_default();
    if words.chars().count() > WORDS_CHARS_MAX {
        let detail = format!("«q» debe tener {WORDS_CHARS_MAX} caracteres o menos");
        return Err(Problem::new(Code::ParametroNoValido, detail));
    }
    Ok(Filter {
        estado: params.word("estado", &R::estados())?,
        numero_registro: params.text("numero_registro").map(Into::into),
        ruc: ruc.transpose()?,
        desde: params.time("desde", Edge::First)?,
        hasta: params.time("hasta", Edge::Last)?,
        cuo: params.text("cuo").map(Into::into),
        ..Filter::default()
    }
    .with_words(words))
}
