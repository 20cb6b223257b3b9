//! Made-up entities that answer by themselves: one receives everything, one observes everything, one stores and never
//! answers, one is down. They hold what they received in memory, the newest thousand, and of documents only the digest.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use ring::digest;

use super::{identity::Authority, pdf::Hoja};
use crate::domain::{
    CargoTramite, Categoria, Contenido, Desenlace, Entidad, Ruc, Sha256, Tramite, cargo::Respuesta, lima,
};

/// What the counterpart that observes everything says.
const OBSERVACION: &str = "Documento observado por el simulador: el destinatario indicado no labora en la entidad.";
/// Exchanges a counterpart remembers, of those it received and of those it sent; the oldest is forgotten first.
const RECORDADOS_MAX: usize = 1_000;

/// How a built-in counterpart behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Comportamiento {
    /// Answers every document with a cargo `R`.
    Recepciona,
    /// Answers every document with a cargo `O`.
    Observa,
    /// Stores documents and leaves them `P`.
    Calla,
    /// Cannot be reached.
    Caida,
}

/// An entity that the simulator plays: one of the built-in ones, or another of its directory that a script gave a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contraparte {
    pub ruc: String,
    pub nombre: String,
    pub responde: Comportamiento,
    /// How long its cargo takes, if not as long as all others'.
    pub demora: Option<Duration>,
}

impl From<Comportamiento> for Contraparte {
    fn from(responde: Comportamiento) -> Self {
        let (ruc, nombre) = responde.de();
        Self { ruc: ruc.into(), nombre: nombre.into(), responde, demora: None }
    }
}

impl Comportamiento {
    pub const TODOS: [Self; 4] = [Self::Recepciona, Self::Observa, Self::Calla, Self::Caida];

    fn de(self) -> (&'static str, &'static str) {
        match self {
            Self::Recepciona => ("20900001003", "ENTIDAD SIMULADA QUE RECEPCIONA"),
            Self::Observa => ("20900001011", "ENTIDAD SIMULADA QUE OBSERVA"),
            Self::Calla => ("20900001020", "ENTIDAD SIMULADA QUE NO RESPONDE"),
            Self::Caida => ("20900001038", "ENTIDAD SIMULADA FUERA DE SERVICIO"),
        }
    }

    pub fn ruc(self) -> &'static str {
        self.de().0
    }

    pub fn nombre(self) -> &'static str {
        self.de().1
    }

    /// As scripts call it.
    pub fn palabra(self) -> &'static str {
        match self {
            Self::Recepciona => "recepciona",
            Self::Observa => "observa",
            Self::Calla => "calla",
            Self::Caida => "caida",
        }
    }

    /// What it does, for people.
    pub fn explicacion(self) -> &'static str {
        match self {
            Self::Recepciona => "recepciona todo y devuelve su cargo",
            Self::Observa => "observa todo y devuelve su cargo con la observación",
            Self::Calla => "guarda los documentos y no los responde; una persona puede, en la página del simulador",
            Self::Caida => "no está disponible: la plataforma responde -1",
        }
    }

    /// As it stands in the directory.
    pub fn entidad(self) -> Option<Entidad> {
        let (ruc, nombre) = self.de();
        let (ruc, categoria) = (Ruc::de_contraparte(ruc).ok()?, Categoria::try_from(1).ok()?);
        Some(Entidad { ruc, nombre: nombre.into(), categoria })
    }

    fn desenlace(self) -> Option<Desenlace> {
        match self {
            Self::Recepciona => Some(Desenlace::Recepcionado),
            Self::Observa => Some(Desenlace::Observado),
            Self::Calla | Self::Caida => None,
        }
    }
}

/// A cargo to deliver, with its PDF.
#[derive(Debug, Clone)]
pub struct CargoPorEntregar {
    pub cargo: CargoTramite,
    pub pdf: Bytes,
}

/// What a counterpart holds about a document it received.
#[derive(Debug, Clone)]
struct Recibido {
    huella: Sha256,
    cargo: Option<CargoPorEntregar>,
    /// Enough to answer it by hand, while nobody did.
    espera: Option<Box<Espera>>,
}

/// A document that nobody answers by himself.
#[derive(Debug, Clone)]
struct Espera {
    quien: Contraparte,
    tramite: Tramite,
    sha256: Sha256,
    bytes: u64,
}

/// A document that waits for a person's answer, as it is shown.
#[derive(Debug, Clone)]
pub struct Pendiente {
    pub ruc: String,
    pub nombre: String,
    pub cuo: String,
    pub numero: String,
    pub remitente: String,
    pub asunto: String,
    pub bytes: u64,
    pub sha256: Sha256,
}

/// A document that a counterpart sent, with what its cargo said.
#[derive(Debug, Clone)]
pub struct Respondida {
    pub ruc: String,
    pub cuo: String,
    pub estado: Option<String>,
    pub numero: Option<String>,
}

/// A document a counterpart sent.
#[derive(Debug, Clone)]
struct Enviado {
    cargo: Option<Respondido>,
}

/// Enough of a cargo to know it again.
#[derive(Debug, Clone, PartialEq)]
struct Respondido {
    estado: Option<String>,
    numero_registro: Option<String>,
    sha256: Option<Sha256>,
}

/// Receiver (or sender), and CUO padded to ten.
type Key = (String, String);

#[derive(Default)]
pub struct Counterparts {
    inner: Mutex<Inner>,
    /// Signs the cargos; without it they go unsigned.
    authority: Option<Arc<Authority>>,
}

#[derive(Default)]
struct Inner {
    recibidos: Bounded<Recibido>,
    enviados: Bounded<Enviado>,
    /// Counts registrations, over all counterparts.
    registros: u32,
}

/// A map that forgets its oldest entries.
struct Bounded<T> {
    entries: HashMap<Key, T>,
    order: VecDeque<Key>,
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Bounded<T> {
    fn insert(&mut self, key: Key, value: T) {
        if self.entries.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > RECORDADOS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}

impl<T> Bounded<T> {
    fn newest(&self) -> impl Iterator<Item = (&Key, &T)> {
        self.order.iter().rev().filter_map(|key| self.entries.get_key_value(key))
    }
}

/// A document's digest and size.
pub struct Recepcionado<'a> {
    pub sha256: &'a Sha256,
    pub bytes: u64,
}

impl Counterparts {
    pub fn signing(authority: Arc<Authority>) -> Self {
        Self { inner: Mutex::default(), authority: Some(authority) }
    }

    /// A document arrives; the second part is the cargo it will be answered with, if it is new and will be.
    pub fn recibir(
        &self,
        quien: &Contraparte,
        tramite: &Tramite,
        documento: &Recepcionado<'_>,
        now: Timestamp,
    ) -> (Respuesta, Option<CargoPorEntregar>) {
        let huella = huella(tramite, documento.sha256);
        let key = key(&quien.ruc, tramite.cuo.as_deref());
        let mut inner = self.lock();
        if let Some(known) = inner.recibidos.entries.get(&key) {
            let same = known.huella == huella;
            return (
                if same { a_disposicion(quien, tramite) } else { Respuesta::nueva("0003", "CUO no valido") },
                None,
            );
        }
        inner.registros += 1;
        let numero = format!("{:06}", inner.registros);
        let cargo = quien.responde.desenlace().map(|desenlace| {
            let observacion = (desenlace == Desenlace::Observado).then(|| OBSERVACION.to_owned());
            cargo(quien, (desenlace, observacion), &numero, tramite, documento, now)
        });
        let cargo = cargo.map(|unsigned| self.signed(quien, unsigned, now));
        let espera = cargo.is_none().then(|| {
            // What stands in lists is of no use for a cargo.
            let tramite = Tramite { anexos: Vec::new(), url_anexos: None, ..tramite.clone() };
            Box::new(Espera { quien: quien.clone(), tramite, sha256: documento.sha256.clone(), bytes: documento.bytes })
        });
        inner.recibidos.insert(key, Recibido { huella, cargo: cargo.clone(), espera });
        (a_disposicion(quien, tramite), cargo)
    }

    fn signed(&self, quien: &Contraparte, unsigned: CargoPorEntregar, now: Timestamp) -> CargoPorEntregar {
        match &self.authority {
            Some(authority) => {
                let pdf = authority.sign(&quien.ruc, &quien.nombre, unsigned.pdf.to_vec(), now).into();
                CargoPorEntregar { pdf, ..unsigned }
            }
            None => unsigned,
        }
    }

    /// Answers by hand a document that waits. `None` if it does not, or not any more.
    pub fn responder(
        &self,
        ruc: &str,
        cuo: &str,
        (desenlace, observacion): (Desenlace, Option<String>),
        now: Timestamp,
    ) -> Option<CargoPorEntregar> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let known = inner.recibidos.entries.get_mut(&key(ruc, Some(cuo)))?;
        let Espera { quien, tramite, sha256, bytes } = *known.espera.take()?;
        inner.registros += 1;
        let facts = Recepcionado { sha256: &sha256, bytes };
        let numero = format!("{:06}", inner.registros);
        let made = cargo(&quien, (desenlace, observacion), &numero, &tramite, &facts, now);
        let made = self.signed(&quien, made, now);
        known.cargo = Some(made.clone());
        Some(made)
    }

    /// What waits for a person's answer, newest first.
    pub fn pendientes(&self) -> Vec<Pendiente> {
        let inner = self.lock();
        let text = |field: &Option<String>| field.as_deref().map(str::trim).unwrap_or_default().to_owned();
        let waiting = inner.recibidos.newest().filter_map(|(_, recibido)| recibido.espera.as_ref());
        waiting
            .map(|espera| Pendiente {
                ruc: espera.quien.ruc.clone(),
                nombre: espera.quien.nombre.clone(),
                cuo: text(&espera.tramite.cuo),
                numero: text(&espera.tramite.numero_documento),
                remitente: text(&espera.tramite.nombre_remitente),
                asunto: text(&espera.tramite.asunto),
                bytes: espera.bytes,
                sha256: espera.sha256.clone(),
            })
            .collect()
    }

    /// What the counterparts sent, newest first.
    pub fn enviados(&self) -> Vec<Respondida> {
        let inner = self.lock();
        let sent = inner.enviados.newest().map(|((ruc, cuo), enviado)| Respondida {
            ruc: ruc.clone(),
            cuo: cuo.clone(),
            estado: enviado.cargo.as_ref().and_then(|cargo| cargo.estado.clone()),
            numero: enviado.cargo.as_ref().and_then(|cargo| cargo.numero_registro.clone()),
        });
        sent.collect()
    }

    /// The state of a document that was received: `None` if there is no such document, else the cargo if it has one.
    pub fn consultar(&self, quien: &Contraparte, cuo: Option<&str>) -> Option<Option<CargoPorEntregar>> {
        self.lock().recibidos.entries.get(&key(&quien.ruc, cuo)).map(|recibido| recibido.cargo.clone())
    }

    /// A counterpart sent a document.
    pub fn enviado(&self, quien: &Contraparte, cuo: &str) {
        self.lock().enviados.insert(key(&quien.ruc, Some(cuo)), Enviado { cargo: None });
    }

    /// A cargo arrives for a document that a counterpart sent.
    pub fn recibir_cargo(&self, quien: &Contraparte, cargo: &CargoTramite, sha256: Option<&Sha256>) -> Respuesta {
        let stated = Respondido {
            estado: cargo.estado.clone(),
            numero_registro: cargo.numero_registro.clone(),
            sha256: sha256.cloned(),
        };
        let mut inner = self.lock();
        let Some(enviado) = inner.enviados.entries.get_mut(&key(&quien.ruc, cargo.cuo.as_deref())) else {
            return Respuesta::nueva("-1", "NO SE PUDO REGISTRAR EL CARGO");
        };
        match &enviado.cargo {
            None => {
                enviado.cargo = Some(stated);
                Respuesta::nueva("0000", "RECEPCION DE CARGO EXITOSO")
            }
            Some(known) if *known == stated => Respuesta::nueva("0000", "EL CARGO YA SE ENCUENTRA REGISTRADO"),
            Some(_) => Respuesta::nueva("0002", "EL CARGO YA SE ENCUENTRA REGISTRADO"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(ruc: &str, cuo: Option<&str>) -> Key {
    (ruc.to_owned(), format!("{:0>10}", cuo.unwrap_or_default().trim()))
}

fn huella(tramite: &Tramite, pdf: &Sha256) -> Sha256 {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&tramite.canonico());
    context.update(pdf.as_str().as_bytes());
    Sha256::from_digest(context.finish().as_ref())
}

fn a_disposicion(quien: &Contraparte, tramite: &Tramite) -> Respuesta {
    let text = format!(
        "El documento N° CUO {} se encuentra a disposición para la recepción formal de la entidad destinataria {} en \
         los horarios de atención de su Mesa de Partes.",
        tramite.cuo.as_deref().unwrap_or_default().trim(),
        quien.nombre
    );
    Respuesta::nueva("0000", text)
}

/// The cargo of a counterpart, with the facts practice puts in one (CONTRACT §8).
fn cargo(
    quien: &Contraparte,
    (desenlace, observacion): (Desenlace, Option<String>),
    numero: &str,
    t: &Tramite,
    documento: &Recepcionado<'_>,
    now: Timestamp,
) -> CargoPorEntregar {
    let text = |field: &Option<String>| field.as_deref().map(str::trim).unwrap_or_default().to_owned();
    let anio = lima::en_lima(now).year().to_string();
    let (unidad, usuario) = ("MESA DE PARTES VIRTUAL", "OPERADOR SIMULADO");
    let mut datos = vec![
        ("N.º de registro".to_owned(), format!("{numero}-{anio}")),
        ("Fecha y hora".to_owned(), lima::en_lima(now).strftime("%d/%m/%Y %H:%M:%S (hora de Lima)").to_string()),
        ("Unidad".to_owned(), unidad.to_owned()),
        ("Registrado por".to_owned(), usuario.to_owned()),
        ("CUO".to_owned(), text(&t.cuo)),
        ("Remitente".to_owned(), format!("{} (RUC {})", text(&t.nombre_remitente), text(&t.ruc_remitente))),
        ("Documento".to_owned(), text(&t.numero_documento)),
        ("Asunto".to_owned(), text(&t.asunto)),
        ("Folios".to_owned(), t.folios.map_or_else(String::new, |n| n.to_string())),
        ("Tamaño".to_owned(), format!("{} bytes", documento.bytes)),
        ("SHA-256".to_owned(), documento.sha256.to_string()),
    ];
    datos.extend(observacion.clone().map(|o| ("Observación".to_owned(), o)));
    let titulo = match desenlace {
        Desenlace::Recepcionado => "Cargo de recepción",
        Desenlace::Observado => "Cargo de observación",
    };
    let hoja = Hoja {
        membrete: quien.nombre.clone(),
        titulo: titulo.to_owned(),
        datos,
        parrafos: Vec::new(),
        pie: "Cargo de prueba emitido por el simulador de chasqui; no tiene valor legal.".to_owned(),
    };
    let cargo = CargoTramite {
        ruc_emisor: Some(quien.ruc.clone()),
        ruc_destino: t.ruc_remitente.clone(),
        cuo: t.cuo.clone(),
        cuo_referencia: t.cuo_referencia.clone(),
        numero_registro: Some(numero.to_owned()),
        anio_registro: Some(anio),
        fecha_registro: Some(lima::texto(now)),
        unidad: Some(unidad.to_owned()),
        usuario: Some(usuario.to_owned()),
        contenido: Contenido::Pdf { una_vez: false },
        observacion,
        estado: Some(desenlace.letra().to_owned()),
        anexos: None,
    };
    CargoPorEntregar { cargo, pdf: hoja.render().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::validation;

    fn tramite(cuo: usize) -> Tramite {
        let some = |t: &str| Some(t.to_owned());
        Tramite {
            cuo: Some(cuo.to_string()),
            ruc_remitente: some("20900000015"),
            asunto: some("Año"),
            ..Tramite::default()
        }
    }

    fn receive(all: &Counterparts, who: Comportamiento, t: &Tramite) -> (Respuesta, Option<CargoPorEntregar>) {
        let sha256 = Sha256::from_digest(&[1; 32]);
        all.recibir(&who.into(), t, &Recepcionado { sha256: &sha256, bytes: 7 }, lima::leer("2026-11-21").unwrap())
    }

    #[test]
    fn a_repeated_document_is_answered_the_same_without_a_second_cargo() {
        let all = Counterparts::default();
        let (first, cargo) = receive(&all, Comportamiento::Recepciona, &tramite(19));
        assert!(cargo.is_some());
        let (second, none) = receive(&all, Comportamiento::Recepciona, &tramite(19));
        assert_eq!(first, second);
        assert!(none.is_none());
        let other = Tramite { asunto: None, ..tramite(19) };
        assert_eq!(receive(&all, Comportamiento::Recepciona, &other).0.codigo(), "0003");
    }

    #[test]
    fn the_cargos_of_counterparts_are_such_as_the_specification_wants() {
        for who in [Comportamiento::Recepciona, Comportamiento::Observa] {
            let all = Counterparts::default();
            let (_, cargo) = receive(&all, who, &tramite(19));
            let cargo = cargo.unwrap();
            assert_eq!(validation::cargo(&cargo.cargo), []);
            assert!(cargo.pdf.starts_with(b"%PDF"));
            assert_eq!(all.consultar(&who.into(), Some("0000000019")).unwrap().unwrap().cargo, cargo.cargo);
        }
    }

    #[test]
    fn the_silent_one_has_it_and_says_nothing() {
        let all = Counterparts::default();
        assert!(receive(&all, Comportamiento::Calla, &tramite(19)).1.is_none());
        assert!(matches!(all.consultar(&Comportamiento::Calla.into(), Some("19")), Some(None)));
        assert!(all.consultar(&Comportamiento::Calla.into(), Some("20")).is_none());
    }

    #[test]
    fn only_the_newest_are_remembered() {
        let all = Counterparts::default();
        for n in 0..=RECORDADOS_MAX {
            receive(&all, Comportamiento::Calla, &tramite(n + 1));
        }
        assert!(all.consultar(&Comportamiento::Calla.into(), Some("1")).is_none());
        assert!(all.consultar(&Comportamiento::Calla.into(), Some("2")).is_some());
    }
}
