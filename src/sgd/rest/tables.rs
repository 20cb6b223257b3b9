//! `/api/v1/tablas`: bringing over what an earlier system left in the tables of the reference component.

use axum::{
    body::HttpBody,
    extract::{Path, Request, State},
    response::Response,
};

use super::{
    Api, failure,
    fields::Fields,
    json,
    query::{self, Params},
};
use crate::{
    exchange::Actor,
    http::{Acceso, Code, Problem},
    sgd::tables::{Failure, Lugar},
};

fn place(text: Option<&str>) -> Result<Option<Lugar>, Problem> {
    let read = |text: &str| {
        let detail = "«cursor» debe ser el next_cursor de una respuesta anterior";
        Lugar::leer(text).ok_or_else(|| Problem::new(Code::ParametroNoValido, detail))
    };
    text.map(read).transpose()
}

async fn part(
    api: &Api,
    acceso: &Acceso,
    nombre: &str,
    lugar: Option<Lugar>,
    por: Option<&Actor>,
) -> Result<Response, Problem> {
    let found = api.tablas.of(acceso).find(|one| one.nombre() == nombre).ok_or_else(|| query::not_found(nombre))?;
    let part = found.importar(&api.exchange, lugar, por).await.map_err(|error| match error {
        Failure::Store(error) => failure::store(error),
        Failure::Exchange(error) => failure::exchange(error),
        other => {
            let detail = format!("Las tablas no se pudieron leer: {other}. Corríjalo y repita: sigue donde quedó");
            Problem::new(Code::EstadoNoPermite, detail)
        }
    })?;
    Ok(json(&part))
}

/// What would come over now; of many rows only a part, and its cursor goes on.
pub async fn plan(
    State(api): State<Api>,
    acceso: Acceso,
    Path(nombre): Path<String>,
    params: Params,
) -> Result<Response, Problem> {
    let lugar = place(params.only(&["cursor"])?.text("cursor"))?;
    part(&api, &acceso, &nombre, lugar, None).await
}

/// Brings a part over; its cursor goes on.
pub async fn import(
    State(api): State<Api>,
    acceso: Acceso,
    Path(nombre): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let mut lugar = None;
    if request.body().size_hint().exact() != Some(0) {
        let mut fields = Fields::new(api.receive_plain(request).await?, &["cursor"]);
        let cursor = fields.text("cursor");
        fields.finish()?;
        lugar = place(cursor.as_deref())?;
    }
    part(&api, &acceso, &nombre, lugar, Some(&acceso.actor)).await
}
