//! The signatures of every PDF that goes out, arrives, or comes as a cargo are examined before it is committed, so that the
//! record and its report are one entry: there is no moment at which a document is shown without its report, and no second
//! job that could be lost. Reading a document once more costs little beside receiving it; the work that a hostile one can
//! cause is bounded by the examination itself, and how many are under way at once here.

use std::{
    collections::HashMap,
    fs::File,
    io::Cursor,
    sync::{Arc, PoisonError, RwLock},
};

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::{Exchange, ExchangeError, Live};
use crate::{
    domain::{
        Documento, Ruc,
        firmas::{Exigencia, Informe},
    },
    signing::{
        trust::Trust,
        verify::{self, RevocationSource},
    },
    store::{Staged, StagedBody},
};

/// Examinations at once. Each takes a few MiB, and one of the machine's processors.
const AT_ONCE_MAX: usize = 8;

/// Gives each document whom to ask about revocation, with a time of its own that begins then.
pub type Revocation = Arc<dyn Fn() -> Box<dyn RevocationSource> + Send + Sync>;

/// Whose signatures are believed, and what each entity demands.
#[derive(Clone)]
pub struct Examiner {
    /// Replaced as a whole when it is read anew.
    trust: Arc<RwLock<Trust>>,
    demands: Live<HashMap<Ruc, Demands>>,
    places: Arc<Semaphore>,
    revocation: Option<Revocation>,
}

/// What an entity demands of the signatures of what it sends.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demands {
    /// Of its documents.
    pub salida: Exigencia,
    /// Of the cargos its SGD gives.
    pub cargo: Exigencia,
}

impl Default for Examiner {
    /// Believes nobody and demands nothing.
    fn default() -> Self {
        Self::new(Trust::default(), HashMap::new())
    }
}

impl Examiner {
    pub fn new(trust: Trust, demands: HashMap<Ruc, Demands>) -> Self {
        let trust = Arc::new(RwLock::new(trust));
        let places = Arc::new(Semaphore::new(AT_ONCE_MAX));
        Self { trust, demands: Live::new(demands), places, revocation: None }
    }

    /// With somebody to ask about revocation.
    #[must_use]
    pub fn with_revocation(self, revocation: Option<Revocation>) -> Self {
        Self { revocation, ..self }
    }

    /// Whose signatures are believed now.
    pub fn trust(&self) -> Trust {
        self.trust.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Believes others from now on; what was examined stays as it was judged.
    pub fn set_trust(&self, trust: Trust) {
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = trust;
    }

    /// Demands others from now on.
    pub fn set_demands(&self, demands: HashMap<Ruc, Demands>) {
        self.demands.set(demands);
    }

    pub fn demands(&self, entidad: &Ruc) -> Demands {
        self.demands.get().get(entidad).copied().unwrap_or_default()
    }

    /// Examines a staged PDF, off the runtime's threads.
    async fn examine(&self, staged: &Staged, folios: Option<u64>, now: Timestamp) -> Informe {
        // Held until the end: the semaphore is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (body, begun) = (staged.body.clone(), staged.begun.clone());
        let (trust, bytes) = (self.trust(), staged.bytes);
        let revocation = self.revocation.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            let source = revocation.map(|open| open());
            let context =
                verify::Context { now, trust: &trust, folios, revocation: source.as_deref(), begun: Some(&begun) };
            match &body {
                StagedBody::Memory(bytes) => verify::examine(Cursor::new(bytes), &context),
                StagedBody::File(staged) => match File::open(staged.path()) {
                    Ok(file) => verify::examine(file, &context),
                    Err(error) => unreadable(&error.to_string(), bytes, now),
                },
            }
        });
        // A panic is a fault of ours and stops nothing: the document is kept, and its report says that there is none.
        done.await.unwrap_or_else(|error| unreadable(&error.to_string(), bytes, now))
    }
}

fn unreadable(error: &str, bytes: u64, now: Timestamp) -> Informe {
    tracing::error!(error, "a document could not be examined");
    let text = "El examen del documento falló por un error del servicio.";
    Informe::no_comprobable(now, bytes, "error_del_examen", text.to_owned())
}

impl Exchange {
    /// A staged PDF as a record names it, examined.
    pub(super) async fn examinado(&self, nombre: String, staged: &Staged, folios: Option<u64>) -> Documento {
        let report = self.examiner.examine(staged, folios, self.now()).await;
        let (bytes, sha256) = (staged.bytes, staged.sha256.clone());
        Documento { nombre, bytes, sha256, firmas: Some(Box::new(report)) }
    }

    pub fn examiner(&self) -> &Examiner {
        &self.examiner
    }
}

/// Refuses a document whose signatures are not what its entity demands.
pub(super) fn demand(documento: &Documento, exigencia: Exigencia) -> Result<(), ExchangeError> {
    match documento.firmas.as_ref().map(|report| report.incumple(exigencia)) {
        Some(Some(why)) => Err(ExchangeError::Firmas(why)),
        // Forwarded from before documents were examined.
        None if exigencia != Exigencia::Inform => {
            Err(ExchangeError::Firmas("Las firmas de este documento no se examinaron cuando llegó.".into()))
        }
        _ => Ok(()),
    }
}
