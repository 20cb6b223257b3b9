//! What was filled in and not confirmed yet: the exact thing that a confirmation sends, files included, so that what a person
//! saw is what leaves. In memory, for one person, for a while; a file that is never confirmed leaves nothing behind.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    domain::{Id, Ruc},
    exchange::{NuevaRespuesta, NuevoDespacho},
    store::Staged,
};

/// How long something waits for its confirmation.
pub const WAITS_MAX: Duration = Duration::from_secs(45 * 60);
/// Of one person, and of all.
pub const PER_PERSON_MAX: usize = 6;
pub const ALL_MAX: usize = 256;
/// Bytes of the files of all.
pub const BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// What a confirmation does.
#[derive(Debug, Clone)]
pub enum Que {
    Responder { recepcion: Id, respuesta: Box<NuevaRespuesta>, pdf: Option<Staged> },
    Despachar { nuevo: Box<NuevoDespacho>, pdf: Option<Staged> },
    Subsanar { observado: Id, nuevo: Box<NuevoDespacho>, pdf: Option<Staged> },
    Derivar { recepcion: Id, nuevo: Box<NuevoDespacho> },
}

impl Que {
    fn bytes(&self) -> u64 {
        let (pdf, nuevo) = match self {
            Self::Responder { pdf, .. } => (pdf.as_ref(), None),
            Self::Despachar { nuevo, pdf } | Self::Subsanar { nuevo, pdf, .. } => (pdf.as_ref(), Some(nuevo)),
            Self::Derivar { nuevo, .. } => (None, Some(nuevo)),
        };
        let annexes = nuevo.iter().flat_map(|nuevo| &nuevo.archivos).map(|file| file.bytes).sum::<u64>();
        pdf.map_or(0, |pdf| pdf.bytes) + annexes
    }
}

#[derive(Debug, Clone)]
pub struct Draft {
    pub usuario: Id,
    pub entidad: Ruc,
    pub que: Que,
    /// Once confirmed: where what came of it is shown. A second confirmation goes there.
    pub hecho: Option<String>,
    /// The page that shows it as it would leave.
    pub pagina: Option<Arc<str>>,
    began: Duration,
}

/// Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Drafts(Arc<Mutex<HashMap<String, Draft>>>);

impl Drafts {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Draft>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps one; returns the name it is confirmed by, which nobody can guess.
    pub fn keep(&self, usuario: Id, entidad: Ruc, que: Que, secret: [u8; 32], now: Duration) -> String {
        let name: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut known = self.known();
        known.retain(|_, draft| now < draft.began + WAITS_MAX);
        while known.values().filter(|draft| draft.usuario == usuario).count() >= PER_PERSON_MAX {
            drop_oldest(&mut known, Some(usuario));
        }
        let bytes = que.bytes();
        let full = |known: &HashMap<String, Draft>| {
            let held = known.values().map(|draft| draft.que.bytes()).sum::<u64>();
            known.len() >= ALL_MAX || (held + bytes > BYTES_MAX && !known.is_empty())
        };
        while full(&known) {
            drop_oldest(&mut known, None);
        }
        known.insert(name.clone(), Draft { usuario, entidad, que, hecho: None, pagina: None, began: now });
        name
    }

    /// What a person looks at before it is confirmed.
    pub fn show(&self, name: &str, page: String) {
        if let Some(draft) = self.known().get_mut(name) {
            draft.pagina = Some(page.into());
        }
    }

    /// The draft of this name, of this person.
    pub fn find(&self, name: &str, usuario: Id, now: Duration) -> Option<Draft> {
        let known = self.known();
        known.get(name).filter(|draft| draft.usuario == usuario && now < draft.began + WAITS_MAX).cloned()
    }

    /// It was confirmed: its files are let go, and what came of it is shown at this address.
    pub fn done(&self, name: &str, address: &str) {
        if let Some(draft) = self.known().get_mut(name) {
            draft.hecho = Some(address.to_owned());
            draft.pagina = None;
            match &mut draft.que {
                Que::Responder { pdf, .. } => *pdf = None,
                Que::Despachar { nuevo, pdf } | Que::Subsanar { nuevo, pdf, .. } => {
                    *pdf = None;
                    nuevo.archivos.clear();
                }
                Que::Derivar { .. } => {}
            }
        }
    }
}

fn drop_oldest(known: &mut HashMap<String, Draft>, of: Option<Id>) {
    let those = known.iter().filter(|(_, draft)| of.is_none_or(|id| draft.usuario == id));
    if let Some(oldest) = those.min_by_key(|(_, draft)| draft.began).map(|(name, _)| name.clone()) {
        known.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples::{id, ruc};

    #[test]
    fn a_draft_is_of_one_person_for_a_while_and_one_too_many_drops_the_oldest() {
        let (drafts, rosa, luis) = (Drafts::default(), id(), id());
        let second = Duration::from_secs(1);
        let que = || Que::Derivar { recepcion: id(), nuevo: Box::default() };
        let names: Vec<String> =
            (0..7_u8).map(|n| drafts.keep(rosa, ruc(1), que(), [n; 32], second * n.into())).collect();
        let now = second * 10;
        assert!(drafts.find(&names[0], rosa, now).is_none() && drafts.find(&names[1], rosa, now).is_some());
        assert!(drafts.find(&names[1], luis, now).is_none());
        assert!(drafts.find(&names[6], rosa, WAITS_MAX + second * 10).is_none());
        drafts.done(&names[6], "/salida/1");
        assert_eq!(drafts.find(&names[6], rosa, now).unwrap().hecho.as_deref(), Some("/salida/1"));
    }
}
