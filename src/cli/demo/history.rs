//! The two histories of one document, the sender's and the receiver's, as one.

use serde_json::Value;

use super::{
    cast::Cast,
    screen::Screen,
    story::{Exchanged, clock_time},
};
use crate::{
    cli::{Failure, output::text},
    domain::Cuo,
};

/// Width of what happened, in characters.
const WHAT: usize = 42;

pub async fn show(screen: &Screen, cast: &Cast, exchanged: &Exchanged) -> Result<(), Failure> {
    let sender = cast.sender.api.get(&format!("/api/v1/despachos/{}/historial", exchanged.despacho)).await?;
    let receiver = cast.receiver.api.get(&format!("/api/v1/recepciones/{}/historial", exchanged.recepcion)).await?;
    screen.line("");
    screen.line(&format!("   {} · CUO {}", screen.bold(exchanged.title), exchanged.cuo));
    for (who, history) in [("Municipalidad", &sender), ("Gobierno regional", &receiver)] {
        let facts = history["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if facts.is_empty() {
            return Err(Failure::Failed(format!("la historia del documento está vacía ({who})")));
        }
        screen.line(&format!("   {}", screen.dim(who)));
        for fact in facts {
            let time = screen.dim(clock_time(text(fact, "fecha")));
            let (what, state) = (phrase(text(fact, "tipo")), text(fact, "estado"));
            screen.line(&format!("   {time}  {what:<WHAT$} {state}"));
        }
    }
    relayed(screen, cast, exchanged)
}

/// What the platform saw of it.
fn relayed(screen: &Screen, cast: &Cast, exchanged: &Exchanged) -> Result<(), Failure> {
    let cuo = Cuo::parse(&exchanged.cuo).map_err(|error| Failure::Failed(error.to_string()))?;
    let messages = cast.simulator.mensajes(&cuo);
    let refused = messages.iter().find(|m| m.vcodres.as_deref() != Some("0000"));
    if let Some(m) = refused {
        let (code, said) = (m.vcodres.as_deref().unwrap_or("nulo"), m.vdesres.as_deref().unwrap_or_default());
        return Err(Failure::Failed(format!("la plataforma respondió {code} a {}: {said}", m.operacion)));
    }
    screen.line(&format!("   {}", screen.dim("Plataforma")));
    for m in messages {
        let time = crate::domain::lima::texto(m.fecha);
        let time = screen.dim(clock_time(&time));
        let code = Value::from(m.vcodres);
        let code = code.as_str().unwrap_or_default();
        screen.line(&format!("   {time}  {:<WHAT$} respondió {code} en {} ms", m.operacion, m.milisegundos));
    }
    Ok(())
}

/// An event in words.
fn phrase(kind: &str) -> &str {
    match kind {
        "despacho.registrado" => "Aceptó el documento de su sistema",
        "despacho.cuo_asignado" => "Obtuvo el CUO",
        "despacho.envio_iniciado" => "Empezó el envío",
        "despacho.enviado" => "La plataforma lo entregó",
        "despacho.recepcionado" => "Recibió el cargo de recepción",
        "despacho.observado" => "Recibió el cargo de observación",
        "recepcion.recibida" => "Recibió y guardó el documento",
        "recepcion.registrada" => "Mesa de partes lo registró",
        "recepcion.recepcionada" => "Mesa de partes emitió el cargo",
        "recepcion.observada" => "Mesa de partes lo observó",
        "recepcion.cargo_enviado" => "El remitente aceptó el cargo",
        other => other,
    }
}
