//! The messages in which something was said, kept as they were on the wire with what the exchange learnt from them: in the
//! same commit, named by its fact, so that the entry commits to them.

use super::Exchange;
use crate::{
    domain::{Sha256, cargo::Respuesta, respuestas::Operacion},
    soap::{
        capture::Sobre,
        conversation::{Conversacion, Mensaje, Sentido},
    },
    store::{Change, Staged, StoreError},
};

/// Largest conversation that is kept, in bytes: two messages with what [`crate::soap::capture`] keeps of each, as JSON.
const CONVERSATION_MAX: u64 = 4 * 1024 * 1024;

/// What one call had on the wire.
#[derive(Debug, Default)]
pub struct Sobres {
    pub peticion: Option<Sobre>,
    /// As far as it was read.
    pub respuesta: Option<Sobre>,
}

/// What somebody who calls us had on the wire, and how we answer.
pub struct Testigo<'a> {
    pub peticion: Sobre,
    pub respuesta: &'a (dyn Fn(&Respuesta) -> Sobre + Send + Sync),
}

/// As the service calls it.
fn name(operacion: Operacion) -> &'static str {
    match operacion {
        Operacion::Recepcionar => "recepcionarTramiteResponse",
        Operacion::Cargo => "cargoResponse",
        Operacion::Consultar => "consultarTramiteResponse",
    }
}

impl Exchange {
    /// A call of the platform's, ready to be committed with its outcome. `documento`: what came with it.
    pub(super) async fn oido(
        &self,
        operacion: Operacion,
        testigo: Option<&Testigo<'_>>,
        respuesta: &Respuesta,
        documento: &Sha256,
    ) -> Result<Option<Staged>, StoreError> {
        let Some(testigo) = testigo else { return Ok(None) };
        let conversacion = Conversacion {
            version: Conversacion::VERSION,
            operacion: name(operacion).into(),
            sentido: Sentido::Recibida,
            peticion: Mensaje { documento: Some(documento.clone()), sobre: testigo.peticion.clone() },
            respuesta: Some(Mensaje { documento: None, sobre: (testigo.respuesta)(respuesta) }),
        };
        self.conversacion(&conversacion).await.map(Some)
    }

    /// A call of ours, ready to be committed with what was learnt from it. The documents: what went with it, and what came
    /// with its answer.
    pub(super) async fn dicho(
        &self,
        operacion: Operacion,
        sobres: Sobres,
        (sent, came): (Option<&Sha256>, Option<&Sha256>),
    ) -> Result<Option<Staged>, StoreError> {
        let Some(peticion) = sobres.peticion else { return Ok(None) };
        let mensaje = |documento: Option<&Sha256>, sobre| Mensaje { documento: documento.cloned(), sobre };
        let conversacion = Conversacion {
            version: Conversacion::VERSION,
            operacion: name(operacion).into(),
            sentido: Sentido::Enviada,
            peticion: mensaje(sent, peticion),
            respuesta: sobres.respuesta.map(|sobre| mensaje(came, sobre)),
        };
        self.conversacion(&conversacion).await.map(Some)
    }

    async fn conversacion(&self, conversacion: &Conversacion) -> Result<Staged, StoreError> {
        let json = serde_json::to_vec(conversacion).map_err(|error| StoreError::Io(error.into()))?;
        let mut writer = self.store.stage(CONVERSATION_MAX);
        writer.write(&json).await?;
        writer.finish().await
    }
}

/// Names the messages in the first fact of a change, and commits them with it.
pub(super) fn attach(change: &mut Change, messages: Option<Staged>) {
    if let (Some(fact), Some(messages)) = (change.facts.first_mut(), messages) {
        fact.sobres.push(messages.sha256.clone());
        change.documents.push(messages);
    }
}
