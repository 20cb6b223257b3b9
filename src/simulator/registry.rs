//! Who is registered at the simulated platform and how each is reached; and the counter of CUOs.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use reqwest::Url;

use super::{
    counterpart::{Comportamiento, Contraparte},
    directory, faults,
};
use crate::domain::{Categoria, Entidad, Ruc};

/// Most entities that can be registered.
const ENTIDADES_MAX: usize = 10_000;
/// One more than the highest CUO: ten digits.
const CUO_END: u64 = 10_000_000_000;

/// Where documents for an entity go.
#[derive(Debug, Clone)]
pub enum Destino {
    /// Its `wsiotramite` service.
    Servicio(Url),
    /// Played by the simulator.
    Contraparte(Contraparte),
    /// In the directory, and nowhere to be reached.
    Ninguno,
}

#[derive(Debug, Clone)]
pub struct Registrada {
    pub entidad: Entidad,
    pub destino: Destino,
}

pub struct Registry {
    entidades: Mutex<BTreeMap<Ruc, Registrada>>,
    last_cuo: Mutex<u64>,
}

#[derive(Debug, thiserror::Error)]
#[error("no se pueden registrar más de {ENTIDADES_MAX} entidades")]
pub struct Full;

impl Registry {
    /// With the samples and the counterparts in it.
    pub fn new() -> Self {
        let entidades = built_in().map(|r| (r.entidad.ruc.clone(), r)).collect();
        Self { entidades: Mutex::new(entidades), last_cuo: Mutex::new(0) }
    }

    /// Gives entities of the directory their parts, and all others those they began with. Whoever is reached at a service
    /// keeps it. The RUCs that are not in the directory are given back.
    pub fn play(&self, parts: &[faults::Contraparte]) -> Vec<Ruc> {
        let mut entidades = lock(&self.entidades);
        for begun in built_in() {
            if let Some(now) = entidades.get_mut(&begun.entidad.ruc).filter(|r| !r.is_service()) {
                now.destino = begun.destino;
            }
        }
        let mut unknown = Vec::new();
        for part in parts {
            match entidades.get_mut(&part.ruc) {
                Some(now) if !now.is_service() => {
                    now.destino = Destino::Contraparte(Contraparte {
                        ruc: part.ruc.to_string(),
                        nombre: now.entidad.nombre.clone(),
                        responde: part.responde,
                        demora: part.demora,
                    });
                }
                Some(_) => {}
                None => unknown.push(part.ruc.clone()),
            }
        }
        unknown
    }

    /// Registers an entity, or gives a registered one another address.
    pub fn register(&self, entidad: Entidad, url: Url) -> Result<(), Full> {
        let mut entidades = lock(&self.entidades);
        if entidades.len() >= ENTIDADES_MAX && !entidades.contains_key(&entidad.ruc) {
            return Err(Full);
        }
        entidades.insert(entidad.ruc.clone(), Registrada { entidad, destino: Destino::Servicio(url) });
        Ok(())
    }

    /// The entity under a RUC as a message states it.
    pub fn find(&self, ruc: Option<&str>) -> Option<Registrada> {
        let ruc = Ruc::de_contraparte(ruc?).ok()?;
        lock(&self.entidades).get(&ruc).cloned()
    }

    pub fn category(&self, categoria: Categoria) -> Vec<Entidad> {
        self.all().into_iter().map(|r| r.entidad).filter(|e| e.categoria == categoria).collect()
    }

    pub fn all(&self) -> Vec<Registrada> {
        lock(&self.entidades).values().cloned().collect()
    }

    /// A CUO that was never given: ten digits that only grow. The count begins at the clock, a hundred each second, so that
    /// a simulator started anew does not give the CUOs of its last run again.
    pub fn cuo(&self, now: Timestamp) -> String {
        let from_clock = u64::try_from(now.as_millisecond() / 10).unwrap_or(0) % CUO_END;
        let mut last = lock(&self.last_cuo);
        *last = (*last + 1).max(from_clock) % CUO_END;
        format!("{:010}", *last)
    }
}

impl Registrada {
    fn is_service(&self) -> bool {
        matches!(self.destino, Destino::Servicio(_))
    }
}

/// The samples, where nobody is, and the counterparts.
fn built_in() -> impl Iterator<Item = Registrada> {
    let samples = directory::muestra().into_iter().map(|entidad| Registrada { entidad, destino: Destino::Ninguno });
    let counterparts = Comportamiento::TODOS
        .into_iter()
        .filter_map(|c| Some(Registrada { entidad: c.entidad()?, destino: Destino::Contraparte(c.into()) }));
    samples.chain(counterparts)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lima;

    #[test]
    fn cuos_are_ten_digits_grow_and_go_on_after_a_restart() {
        let at = |text| lima::leer(text).unwrap();
        let first = Registry::new();
        let mut cuos: Vec<String> = (0..500).map(|_| first.cuo(at("2026-11-21T10:00:00"))).collect();
        let again = Registry::new();
        cuos.extend((0..500).map(|_| again.cuo(at("2026-11-21T10:00:10"))));
        assert!(cuos.windows(2).all(|pair| pair[0] < pair[1]), "they only grow");
        assert!(cuos.iter().all(|cuo| cuo.len() == 10));
    }

    #[test]
    fn an_entity_is_found_by_what_a_message_states() {
        let registry = Registry::new();
        let ruc = Ruc::de_contraparte("20900000015").unwrap();
        let categoria = Categoria::try_from(8).unwrap();
        assert!(registry.find(Some("20900000015")).is_none());
        let url = Url::parse("http://127.0.0.1:1/x").unwrap();
        registry.register(Entidad { ruc: ruc.clone(), nombre: "X".into(), categoria }, url).unwrap();
        assert_eq!(registry.find(Some(" 20900000015 ")).unwrap().entidad.nombre, "X");
        assert!(registry.category(categoria).iter().any(|e| e.ruc == ruc));
        assert!(registry.find(None).is_none() && registry.find(Some("x")).is_none());
    }
}
