//! Counterparts that do more than answer: what a person answers for them by hand, and what they send by themselves.

use std::sync::{Arc, PoisonError};

use tokio::time::{Duration, sleep};

use super::{faults, relay::Core, send::Envio};
use crate::domain::Desenlace;

#[derive(Debug, thiserror::Error)]
pub enum ResponderError {
    #[error("ese documento no espera respuesta: no está, o alguien ya lo respondió")]
    NoEspera,
}

impl Core {
    /// A person answers a document that a counterpart holds; the cargo leaves at once.
    pub fn responder(
        self: &Arc<Self>,
        ruc: &str,
        cuo: &str,
        desenlace: Desenlace,
        observacion: &str,
    ) -> Result<(), ResponderError> {
        let observacion = (desenlace == Desenlace::Observado).then(|| observacion.to_owned());
        let made = self.counterparts.responder(ruc, cuo, (desenlace, observacion), self.clock.now());
        self.deliver_later(made.ok_or(ResponderError::NoEspera)?, Duration::ZERO);
        Ok(())
    }

    /// Has the counterparts of a script send by themselves, instead of those of the script before.
    pub fn send_regularly(self: &Arc<Self>, parts: &[faults::Contraparte]) {
        let round = self.stop.child_token();
        let before = std::mem::replace(&mut *self.rounds.lock().unwrap_or_else(PoisonError::into_inner), round.clone());
        before.cancel();
        for part in parts {
            let (Some(a), Some(cada)) = (&part.envia_a, part.cada) else { continue };
            let (core, round) = (Arc::clone(self), round.clone());
            let envio = Envio { de: part.ruc.to_string(), a: a.to_string(), ..Envio::default() };
            self.tasks.spawn(async move {
                loop {
                    tokio::select! {
                        () = round.cancelled() => return,
                        () = sleep(cada) => {}
                    }
                    if let Err(error) = core.enviar(&envio).await {
                        tracing::warn!(de = envio.de, %error, "a counterpart could not send");
                    }
                }
            });
        }
    }
}
