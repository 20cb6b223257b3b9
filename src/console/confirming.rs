//! The confirmation: does exactly what was shown, once.

use axum::{
    extract::{Query, Request, State},
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, PreEscaped};
use ring::digest;
use serde::Deserialize;

use super::{
    Console,
    door::{Permiso, Visit},
    drafts::{Draft, Que},
    failure::Fault,
    forms,
};
use crate::{
    domain::{Desenlace, Despacho, Ruc, Sha256},
    exchange::Idempotency,
};

impl Console {
    /// Keeps what waits for its confirmation; returns the name it is confirmed by.
    pub fn keep(&self, visit: &Visit, entidad: Ruc, que: Que) -> String {
        self.drafts.keep(visit.usuario.id, entidad, que, self.exchange.secret(), self.exchange.uptime())
    }

    pub fn draft(&self, visit: &Visit, name: &str) -> Option<Draft> {
        self.drafts.find(name, visit.usuario.id, self.exchange.uptime())
    }
}

impl Console {
    /// Leads to where a draft is looked at: an address of its own, so that going back sends nothing again.
    pub fn to_review(&self, name: &str, page: Markup) -> Response {
        self.drafts.show(name, page.into_string());
        Redirect::to(&format!("/confirmar?borrador={name}")).into_response()
    }
}

fn gone() -> Fault {
    Fault::wrong("Pasó demasiado tiempo desde que lo revisó, o ya no está. No se envió nada: llénelo otra vez")
}

#[derive(Debug, Deserialize)]
pub struct Wanted {
    #[serde(default)]
    borrador: String,
}

/// What is to be confirmed, as it would leave; once confirmed, what came of it.
pub async fn review(
    State(console): State<Console>,
    visit: Visit,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Fault> {
    let draft = console.draft(&visit, &wanted.borrador).ok_or_else(gone)?;
    match (draft.hecho, draft.pagina) {
        (Some(address), _) => Ok(Redirect::to(&address).into_response()),
        // A template made it: what came from outside is escaped in it.
        (None, Some(page)) => Ok(PreEscaped(page.to_string()).into_response()),
        (None, None) => Err(gone()),
    }
}

pub async fn confirm(State(console): State<Console>, visit: Visit, request: Request) -> Result<Redirect, Fault> {
    let sent = forms::read(&console.exchange, &visit.csrf, request).await?;
    let name = sent.text("borrador").to_owned();
    let draft = console.draft(&visit, &name).ok_or_else(gone)?;
    if let Some(address) = &draft.hecho {
        return Ok(Redirect::to(address));
    }
    let address = act(&console, &visit, &draft, &name).await?;
    console.drafts.done(&name, &address);
    Ok(Redirect::to(&address))
}

/// Does it; returns where what came of it is shown.
async fn act(console: &Console, visit: &Visit, draft: &Draft, name: &str) -> Result<String, Fault> {
    // Pressed twice at the same moment, the second finds what the first one made.
    let digest = digest::digest(&digest::SHA256, name.as_bytes());
    let once = Idempotency { key: format!("consola-{name}"), huella: Sha256::from_digest(digest.as_ref()) };
    let (exchange, actor, limit) = (&console.exchange, visit.actor(), Some(&draft.entidad));
    match &draft.que {
        Que::Responder { recepcion, respuesta, pdf } => {
            visit.exige(Permiso::Responder)?;
            exchange.responder(actor, limit, *recepcion, respuesta, pdf.clone()).await?;
            let done = match respuesta.desenlace {
                Desenlace::Recepcionado => "recepcionado",
                Desenlace::Observado => "observado",
            };
            Ok(format!("/entrada/{recepcion}?hecho={done}"))
        }
        Que::Despachar { nuevo, pdf } => {
            visit.exige(Permiso::Despachar)?;
            let made = exchange.despachar(actor, &draft.entidad, nuevo, pdf.clone(), Some(&once)).await?;
            Ok(sent_to(&made))
        }
        Que::Subsanar { observado, nuevo, pdf } => {
            visit.exige(Permiso::Despachar)?;
            let made = exchange.subsanar(actor, limit, *observado, nuevo, pdf.clone(), Some(&once)).await?;
            Ok(sent_to(&[made]))
        }
        Que::Derivar { recepcion, nuevo } => {
            visit.exige(Permiso::Despachar)?;
            let made = exchange.derivar(actor, limit, *recepcion, nuevo, Some(&once)).await?;
            Ok(sent_to(&made))
        }
    }
}

fn sent_to(made: &[Despacho]) -> String {
    match made {
        [one] => format!("/salida/{}?hecho=enviado", one.id),
        _ => "/salida".into(),
    }
}
