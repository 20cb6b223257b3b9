//! Runs cases one after another, and keeps what was seen. A case that needs what is not there does not run and says so; a
//! case that fails says what was found, what it means and how to mend it. What one step of a case does is in `steps`.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    case::{Aguarda, Caso, Catalogo, Espera, Lado, Necesidad, Paso},
    checks::{self, Visto},
    evidence,
    operator::Operador,
    platform::Plataforma,
    report::{Evidencia, FORMATO, Fallo, Informe, Objetivo, Resultado, Resumen, Veredicto},
    steps::{Fin, Hilo, evidencia_de},
    template::{Cuos, Mundo},
    wire::{self, Destino},
};
use crate::{domain::Ruc, exchange::Clock};

/// The RUCs of the counterparts that the suite plays begin with this; they exist nowhere else (`domain::ruc`).
const RUC_CONTRAPARTE: &str = "2090009";

/// Of what was found wrong in one case: sentences kept, and the characters of each. They hold texts of the component.
const ENCONTRADO_MAX: usize = 20;
const ENCONTRADO_CHARS_MAX: usize = 400;

/// What is run, against what.
pub struct Opciones {
    pub url: String,
    pub destino: Destino,
    pub ruta: String,
    pub ruc: String,
    /// The sender's RUC of what is sent to the entity.
    pub remitente: String,
    pub perfil: Perfil,
    /// Beginnings of ids, or groups; empty: all.
    pub solo: Vec<String>,
    pub intrusivo: bool,
    /// How long an answer may take, and what the entity or its person does.
    pub espera: Duration,
    pub espera_operador: Duration,
    /// How long after a scenario no message may come that it forbids.
    pub calma: Duration,
    pub prefijo_cuo: String,
    /// Known deviations: case and reason.
    pub esperados: BTreeMap<String, String>,
    pub clock: Arc<dyn Clock>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Perfil {
    Receptor,
    Emisor,
    Completo,
}

impl Perfil {
    pub fn texto(self) -> &'static str {
        match self {
            Self::Receptor => "receptor",
            Self::Emisor => "emisor",
            Self::Completo => "completo",
        }
    }

    fn abarca(self, lado: Lado) -> bool {
        match self {
            Self::Completo => true,
            Self::Receptor => lado == Lado::Receptor,
            Self::Emisor => lado == Lado::Emisor,
        }
    }
}

/// A scenario that was run.
struct Hecho {
    mundo: Mundo,
    mensajes: BTreeMap<String, Visto>,
    evidencia: Vec<Evidencia>,
    de_mensaje: BTreeMap<String, Evidencia>,
    notas: Vec<String>,
    sin_ver: Option<String>,
    fin: Option<Fin>,
    /// What was not to come, not even later.
    prohibidos: Vec<Aguarda>,
    acabo: Instant,
}

/// Whether a case is meant by what was asked for: the beginning of its id, or its group.
pub fn pedido(caso: &Caso, solo: &str) -> bool {
    let begins = caso.id.get(..solo.len()).is_some_and(|start| start.eq_ignore_ascii_case(solo));
    begins || caso.grupo.eq_ignore_ascii_case(solo)
}

pub struct Corrida<'a> {
    pub catalogo: &'a Catalogo,
    pub opciones: &'a Opciones,
    pub plataforma: Option<Arc<Plataforma>>,
    pub operador: Operador,
    pub cuos: Cuos,
    escenarios: BTreeMap<String, Hecho>,
    contrapartes: u32,
}

impl<'a> Corrida<'a> {
    pub fn nueva(
        catalogo: &'a Catalogo,
        opciones: &'a Opciones,
        plataforma: Option<Arc<Plataforma>>,
        operador: Operador,
    ) -> Self {
        let cuos = Cuos::new(opciones.prefijo_cuo.clone());
        let mut corrida =
            Self { catalogo, opciones, plataforma, operador, cuos, escenarios: BTreeMap::new(), contrapartes: 0 };
        corrida.presenta_contrapartes();
        corrida
    }

    /// The directory shows all counterparts from the start: who fetches it once must find them.
    fn presenta_contrapartes(&mut self) {
        let Some(plataforma) = &self.plataforma else { return };
        for n in 0..self.catalogo.escenarios.len() {
            let ruc = contraparte(u32::try_from(n).unwrap_or(0));
            plataforma.prepara(&ruc, &super::case::Prepara::default(), "");
        }
        plataforma.prepara(&self.opciones.remitente, &super::case::Prepara::default(), "");
    }

    /// The cases that were asked for, in their order.
    pub fn elegidos(&self) -> Vec<&'a Caso> {
        let chosen = |caso: &&Caso| {
            let solo = &self.opciones.solo;
            self.opciones.perfil.abarca(caso.perfil) && (solo.is_empty() || solo.iter().any(|s| pedido(caso, s)))
        };
        self.catalogo.casos.iter().filter(chosen).collect()
    }

    pub fn objetivo(&self) -> Objetivo {
        let o = self.opciones;
        Objetivo {
            url: o.url.clone(),
            ruc: o.ruc.clone(),
            perfil: o.perfil.texto().into(),
            intrusivo: o.intrusivo,
            plataforma: self.plataforma.as_ref().map(|p| p.base.clone()),
            operador: self.operador.nombre().into(),
            prefijo_cuo: o.prefijo_cuo.clone(),
            remitente: o.remitente.clone(),
            solo: o.solo.clone(),
        }
    }

    /// Runs what was asked for and is not in `hechos`. `avanza` is told of each.
    pub async fn correr(
        &mut self,
        inicio: Timestamp,
        mut hechos: BTreeMap<String, Resultado>,
        avanza: &mut dyn FnMut(usize, usize, &Resultado, u32),
    ) -> Informe {
        let elegidos = self.elegidos();
        let mut casos = Vec::with_capacity(elegidos.len());
        for (n, caso) in elegidos.iter().enumerate() {
            let resultado = match hechos.remove(&caso.id) {
                Some(known) => known,
                None => {
                    let resultado = self.caso(caso).await;
                    avanza(n + 1, elegidos.len(), &resultado, self.cuos.dados());
                    resultado
                }
            };
            casos.push(resultado);
        }
        for n in self.tardios(&elegidos, &mut casos).await {
            if let Some(resultado) = casos.get(n) {
                avanza(n + 1, elegidos.len(), resultado, self.cuos.dados());
            }
        }
        if let Some(plataforma) = &self.plataforma {
            plataforma.suelta();
        }
        Informe {
            formato: FORMATO,
            chasqui: env!("CARGO_PKG_VERSION").into(),
            catalogo_sha256: self.catalogo.sha256.clone(),
            inicio,
            fin: self.opciones.clock.now(),
            objetivo: self.objetivo(),
            programa: None,
            resumen: Resumen::de(&casos, self.opciones.solo.is_empty()),
            casos,
        }
    }

    /// Who sends once more what had arrived may take his time: what scenarios forbid is looked for again when all is done,
    /// and the cases that had held are judged anew. Returns which.
    async fn tardios(&self, elegidos: &[&Caso], casos: &mut [Resultado]) -> Vec<usize> {
        let Some(plataforma) = &self.plataforma else { return Vec::new() };
        let watched =
            || self.escenarios.iter().filter(|(_, hecho)| !hecho.prohibidos.is_empty() && hecho.fin.is_none());
        let Some(last) = watched().map(|(_, hecho)| hecho.acabo).max() else { return Vec::new() };
        tokio::time::sleep(self.opciones.calma.saturating_sub(last.elapsed())).await;
        let mut changed = Vec::new();
        for (id, hecho) in watched() {
            let came = |no: &Aguarda| plataforma.mensaje(&no.operacion, &hecho.mundo.remitente, no.n, None);
            let Some(recibido) = hecho.prohibidos.iter().find_map(came) else { continue };
            let why = format!("la entidad volvió a enviar «{}» más tarde, y no debía", recibido.operacion);
            let evidencia = evidencia_de(&recibido, "Lo que la entidad envió después");
            let of = elegidos.iter().zip(casos.iter_mut()).enumerate();
            for (n, (caso, resultado)) in of.filter(|(_, (caso, _))| caso.escenario.as_ref() == Some(id)) {
                // What came shows that it does not hold, whatever else could not be seen.
                let held = match resultado.veredicto {
                    Veredicto::Cumple | Veredicto::ConTolerancia => true,
                    Veredicto::NoEjecutado => hecho.sin_ver.is_some(),
                    _ => false,
                };
                if !held || !mira_todo(caso, hecho) {
                    continue;
                }
                resultado.fallo =
                    Some(self.explica(caso, vec![why.clone()], &Visto::de(Some(recibido.mensaje.clone())), None));
                resultado.veredicto = Veredicto::NoCumple;
                resultado.esperado = self.opciones.esperados.get(&caso.id).cloned();
                resultado.evidencia.push(evidencia.clone());
                changed.push(n);
            }
        }
        changed
    }

    async fn caso(&mut self, caso: &Caso) -> Resultado {
        let (inicio, began) = (self.opciones.clock.now(), Instant::now());
        let mut hilo = Hilo::nuevo(self.mundo(&caso.id, &self.opciones.remitente));
        let fin = match self.impedimento(caso) {
            Some(fin) => Some(fin),
            None => self.desarrolla(caso, &mut hilo).await,
        };
        let fin = fin.or_else(|| hilo.sin_ver.take().map(Fin::NoEjecutado));
        // Who was not reached showed nothing, a known deviation neither.
        let mut alcanzado = true;
        let (veredicto, fallo) = match fin {
            None if caso.informativo => (Veredicto::Informativo, None),
            None if hilo.tolerado => (Veredicto::ConTolerancia, None),
            None => (Veredicto::Cumple, None),
            Some(Fin::NoAplica(why)) => {
                hilo.notas.push(why);
                (Veredicto::NoAplica, None)
            }
            Some(Fin::NoEjecutado(why)) => {
                hilo.notas.push(why);
                (Veredicto::NoEjecutado, None)
            }
            Some(Fin::Mal { encontrado, visto, remedio }) => {
                alcanzado = !visto.error.as_ref().is_some_and(|error| error.starts_with(wire::SIN_CONEXION));
                (Veredicto::NoCumple, Some(self.explica(caso, encontrado, &visto, remedio)))
            }
        };
        Resultado {
            id: caso.id.clone(),
            grupo: caso.grupo.clone(),
            titulo: caso.titulo.clone(),
            exige: caso.exige.clone(),
            fuente: caso.fuente.clone(),
            requisitos: caso.requisitos.clone(),
            severidad: caso.severidad,
            intrusivo: caso.intrusivo,
            veredicto,
            notas: hilo.notas.iter().map(|nota| evidence::limpio(nota)).collect(),
            esperado: self.opciones.esperados.get(&caso.id).filter(|_| fallo.is_some() && alcanzado).cloned(),
            fallo,
            inicio,
            milisegundos: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            evidencia: hilo.evidencia,
        }
    }

    /// Why a case does not run at all.
    fn impedimento(&self, caso: &Caso) -> Option<Fin> {
        if caso.intrusivo && !self.opciones.intrusivo {
            return Some(Fin::NoEjecutado("es un ataque o una carga: pídalo con --intrusive".into()));
        }
        let needs = |n: Necesidad| caso.necesita.contains(&n);
        if needs(Necesidad::Https) && !self.opciones.destino.https {
            return Some(Fin::NoAplica("la dirección es http: no hay TLS que probar".into()));
        }
        if (needs(Necesidad::Plataforma) || caso.escenario.is_some()) && self.plataforma.is_none() {
            return Some(Fin::NoEjecutado("la suite no hace de plataforma: dé --platform DIRECCIÓN".into()));
        }
        let nobody = matches!(self.operador, Operador::Nadie);
        if (needs(Necesidad::Operador) || caso.escenario.is_some()) && nobody {
            let why = "nadie actúa por la entidad: dé --api y --api-key, o --send-command, o --ask";
            return Some(Fin::NoEjecutado(why.into()));
        }
        None
    }

    fn explica(&self, caso: &Caso, encontrado: Vec<String>, visto: &Visto, remedio: Option<String>) -> Fallo {
        let mundo = self.mundo(&caso.id, &self.opciones.remitente);
        let mut cuos = self.cuos.clone();
        let mut expand = |t: &str| mundo.texto(t, &mut cuos, &mut BTreeMap::new()).unwrap_or_default();
        // One that asks for nothing holds of whatever failed, also where no message was seen.
        let always = Espera::default();
        let causa = caso.causas.iter().find(|c| c.si == always || checks::faltas(&c.si, visto, &mut expand).is_empty());
        Fallo {
            encontrado: encontrado.iter().take(ENCONTRADO_MAX).map(|one| breve(one)).collect(),
            significa: caso.significa.clone(),
            causa: comprimida(visto).or_else(|| causa.map(|c| c.dice.clone())),
            remedio: remedio.unwrap_or_else(|| caso.remedio.clone()),
        }
    }

    pub(super) fn mundo(&self, caso: &str, remitente: &str) -> Mundo {
        Mundo {
            caso: caso.to_owned(),
            ruc: self.opciones.ruc.clone(),
            remitente: remitente.to_owned(),
            ruta: self.opciones.ruta.clone(),
            autoridad: self.opciones.destino.autoridad(),
            ahora: self.opciones.clock.now(),
            cuos: BTreeMap::new(),
            valores: BTreeMap::new(),
        }
    }

    async fn desarrolla(&mut self, caso: &Caso, hilo: &mut Hilo) -> Option<Fin> {
        if let Some(id) = &caso.escenario {
            self.escenario(id).await;
            let hecho = self.escenarios.get(id)?;
            hilo.mundo = Mundo { caso: caso.id.clone(), ..hecho.mundo.clone() };
            hilo.mensajes.clone_from(&hecho.mensajes);
            hilo.de_mensaje.clone_from(&hecho.de_mensaje);
            let lacks = |p: &Paso| p.mira.as_ref().is_some_and(|name| !hecho.mensajes.contains_key(name));
            if mira_todo(caso, hecho) {
                hilo.evidencia.clone_from(&hecho.evidencia);
                hilo.notas.clone_from(&hecho.notas);
                hilo.sin_ver.clone_from(&hecho.sin_ver);
                if let Some(fin) = &hecho.fin {
                    return Some(fin.clone());
                }
            }
            if let Some(missing) = caso.pasos.iter().find(|p| lacks(p)) {
                let name = missing.mira.clone().unwrap_or_default();
                return Some(Fin::NoEjecutado(format!("el escenario no produjo el mensaje «{name}»")));
            }
        }
        for paso in &caso.pasos {
            if let Err(fin) = self.paso(paso, hilo).await {
                return Some(fin);
            }
        }
        None
    }

    /// Runs a scenario, once.
    async fn escenario(&mut self, id: &str) {
        if self.escenarios.contains_key(id) {
            return;
        }
        let Some(escenario) = self.catalogo.escenarios.get(id) else { return };
        let ruc = contraparte(self.contrapartes);
        self.contrapartes += 1;
        let mut hilo = Hilo::nuevo(self.mundo(id, &ruc));
        let mut fin = None;
        for paso in &escenario.pasos {
            if let Err(end) = self.paso(paso, &mut hilo).await {
                fin = Some(end);
                break;
            }
        }
        if let Some(plataforma) = &self.plataforma {
            plataforma.suelta();
        }
        let Hilo { mundo, mensajes, notas, evidencia, de_mensaje, sin_ver, prohibidos, .. } = hilo;
        let acabo = Instant::now();
        let hecho = Hecho { mundo, mensajes, evidencia, de_mensaje, notas, sin_ver, fin, prohibidos, acabo };
        self.escenarios.insert(id.to_owned(), hecho);
    }
}

/// Whether a case is about all of its scenario and not about some messages of it.
fn mira_todo(caso: &Caso, hecho: &Hecho) -> bool {
    let lacks = |p: &Paso| p.mira.as_ref().is_some_and(|name| !hecho.mensajes.contains_key(name));
    caso.pasos.is_empty() || caso.pasos.iter().any(|p| p.mira.is_none() || lacks(p))
}

/// The cause before all others: what is compressed was not read at all.
fn comprimida(visto: &Visto) -> Option<String> {
    let como = visto.mensaje.as_ref().filter(|_| visto.documento().is_none())?.comprimido()?;
    Some(format!(
        "La respuesta viene comprimida ({}) aunque no se pidió: ningún pedido de la suite, ni de la plataforma, trae \
         Accept-Encoding. Suele hacerlo un proxy inverso.",
        breve(como)
    ))
}

/// A sentence as long as people read it.
fn breve(text: &str) -> String {
    match text.char_indices().nth(ENCONTRADO_CHARS_MAX) {
        Some((end, _)) => evidence::limpio(&format!("{}…", text.get(..end).unwrap_or_default())),
        None => evidence::limpio(text),
    }
}

/// The RUC of the `n`th counterpart, with its check digit.
pub fn contraparte(n: u32) -> String {
    let stem = format!("{RUC_CONTRAPARTE}{:03}", n % 1000);
    let right = |d: &u32| Ruc::de_contraparte(&format!("{stem}{d}")).is_ok_and(|ruc| ruc.digito_correcto());
    let digit = (0..10).find(right).unwrap_or(0);
    format!("{stem}{digit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counterparts_have_right_rucs_of_their_own() {
        let all: std::collections::BTreeSet<String> = (0..50).map(contraparte).collect();
        assert_eq!(all.len(), 50);
        assert!(all.iter().all(|r| Ruc::de_contraparte(r).unwrap().digito_correcto()));
    }
}
