//! `/api/v1/auditoria`: the audit log, entry by entry with its leaf in the tree, and its checkpoints.

use axum::{extract::State, response::Response};
use http::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Api, failure, json,
    query::{Edge, Params},
    view,
};
use crate::{
    audit::{self, checkpoint::Signed, merkle},
    domain::{Sha256, lima},
    http::{Acceso, Code, Problem, evidence::problem},
    store::{Cursor, Fact, FactAt, RawEntry, Seq},
};

/// Most entries looked at for one answer: with a rare filter a page may be short, and `next_cursor` goes on.
const LOOKED_AT_MAX: usize = 20_000;
/// Entries read at a time.
const BATCH: usize = 500;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Asiento")]
pub struct AsientoView<'a> {
    asiento: Seq,
    /// Its leaf's hash, and what that is made of besides the number.
    hoja: Sha256,
    hechos_sha256: Sha256,
    cambio_sha256: Sha256,
    hechos: Vec<view::FactView<'a>>,
}

#[derive(Default)]
struct Filter {
    tipo: Option<String>,
    actor: Option<String>,
    sujeto: Option<crate::domain::Id>,
    cuo: Option<String>,
    desde: Option<Timestamp>,
    hasta: Option<Timestamp>,
}

impl Filter {
    fn wants(&self, fact: &Fact, acceso: &Acceso) -> bool {
        let entity = match (&acceso.entidad, &fact.entidad) {
            (None, _) => true,
            (Some(_), Some(of)) => acceso.alcanza(of),
            (Some(_), None) => false,
        };
        // «despacho» finds every kind of event whose name begins so.
        let tipo = |wanted: &String| {
            fact.tipo.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        entity
            && self.tipo.as_ref().is_none_or(tipo)
            && self.actor.as_ref().is_none_or(|actor| fact.actor == *actor)
            && self.sujeto.is_none_or(|sujeto| fact.sujeto == sujeto)
            && self.cuo.as_ref().is_none_or(|cuo| fact.cuo.as_ref() == Some(cuo))
            && self.desde.is_none_or(|desde| fact.at >= desde)
            && self.hasta.is_none_or(|hasta| fact.at <= hasta)
    }
}

pub async fn list(State(api): State<Api>, acceso: Acceso, params: Params) -> Result<Response, Problem> {
    let params = params.only(&["limit", "cursor", "tipo", "actor", "sujeto", "cuo", "desde", "hasta"])?;
    let filter = Filter {
        tipo: params.text("tipo").map(Into::into),
        actor: params.text("actor").map(Into::into),
        sujeto: params.id("sujeto")?,
        cuo: params.text("cuo").map(Into::into),
        desde: params.time("desde", Edge::First)?,
        hasta: params.time("hasta", Edge::Last)?,
    };
    let limit = params.limit()?;
    let mut after = params.number("cursor", u64::MAX)?.unwrap_or(0);
    let (mut found, mut looked_at) = (Vec::new(), 0);
    while found.len() < limit && looked_at < LOOKED_AT_MAX {
        let entries = api.exchange.store().entries(after, BATCH).await.map_err(failure::store)?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            (after, looked_at) = (entry.seq, looked_at + 1);
            let facts = facts(&entry)?.into_iter().filter(|at| filter.wants(&at.fact, &acceso)).collect::<Vec<_>>();
            if !facts.is_empty() {
                found.push((entry, facts));
            }
            if found.len() == limit {
                break;
            }
        }
    }
    let mut items = Vec::with_capacity(found.len());
    for (entry, facts) in &found {
        let told = api.exchange.se_cuentan(facts).await.map_err(failure::store)?;
        items.push(AsientoView {
            asiento: entry.seq,
            hoja: Sha256::from_digest(&audit::log::leaf(entry).hash),
            hechos_sha256: Sha256::from_digest(&merkle::hash(&[&entry.facts])),
            cambio_sha256: Sha256::from_digest(&merkle::hash(&[&entry.change])),
            hechos: facts.iter().zip(told).map(|(at, told)| view::fact(at, told)).collect(),
        });
    }
    Ok(json(&view::Items { items, next_cursor: Some(after.to_string()) }))
}

fn facts(entry: &RawEntry) -> Result<Vec<FactAt>, Problem> {
    let facts: Vec<Fact> = serde_json::from_slice(&entry.facts).map_err(|error| Problem::internal(&error))?;
    let at = |(n, fact)| FactAt { cursor: Cursor { seq: entry.seq, n }, fact };
    Ok((0..=u8::MAX).zip(facts).map(at).collect())
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PuntoDeControl")]
pub struct PuntoView<'a> {
    asientos: u64,
    ultimo_asiento: Seq,
    raiz: Sha256,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    fecha: Timestamp,
    /// The signed note itself, and the key that it is checked with.
    nota: &'a str,
    clave: String,
}

/// The newest checkpoint.
pub async fn latest(State(api): State<Api>) -> Result<Response, Problem> {
    let found = api.audit.latest().await.map_err(|error| problem(&error))?;
    let found = found.ok_or_else(|| Problem::new(Code::NoExiste, "Todavía no hay ningún punto de control"))?;
    Ok(punto(&api, &found))
}

/// Makes one now, of everything up to this moment.
pub async fn checkpoint(State(api): State<Api>, acceso: Acceso) -> Result<Response, Problem> {
    let made = api.audit.checkpoint(api.exchange.now(), &acceso.actor.0).await.map_err(|error| problem(&error))?;
    api.audit.stamp(&made, api.exchange.now()).await;
    let mut response = punto(&api, &made);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

fn punto(api: &Api, signed: &Signed) -> Response {
    let Signed { checkpoint, note } = signed;
    json(&PuntoView {
        asientos: checkpoint.size,
        ultimo_asiento: checkpoint.last,
        raiz: Sha256::from_digest(&checkpoint.root),
        fecha: checkpoint.at,
        nota: note,
        clave: api.audit.key().to_string(),
    })
}
