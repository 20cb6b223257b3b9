//! Runs cases one after another, and keeps what was seen. A case that needs what is not there does not run and says so; a
//! case that fails says what was found, what it means and how to mend it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    case::{Aguarda, Caso, Catalogo, Espera, Lado, Necesidad, Paso},
    checks::{self, Visto},
    envelope::{self, Mesa, Operacion},
    evidence, named,
    operator::{NoHecho, Operador},
    platform::{Plataforma, Recibido},
    report::{Evidencia, FORMATO, Fallo, Informe, Objetivo, Resultado, Resumen, Veredicto},
    template::{Cuos, Mundo},
    wire::{self, Destino, Guion},
};
use crate::{domain::Ruc, exchange::Clock};

/// The RUCs of the counterparts that the suite plays begin with this; they exist nowhere else (`domain::ruc`).
const RUC_CONTRAPARTE: &str = "2090009";

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

/// How a step ended, if the case can't simply go on.
#[derive(Debug, Clone)]
pub(super) enum Fin {
    Mal { encontrado: Vec<String>, visto: Box<Visto>, remedio: Option<String> },
    NoAplica(String),
    NoEjecutado(String),
}

/// Steps under way: what they know and what they showed.
pub(super) struct Hilo {
    pub mundo: Mundo,
    pub mensajes: BTreeMap<String, Visto>,
    pub notas: Vec<String>,
    pub tolerado: bool,
    pub evidencia: Vec<Evidencia>,
    /// The evidence of each kept message.
    de_mensaje: BTreeMap<String, Evidencia>,
}

/// A scenario that was run.
struct Hecho {
    mundo: Mundo,
    mensajes: BTreeMap<String, Visto>,
    evidencia: Vec<Evidencia>,
    de_mensaje: BTreeMap<String, Evidencia>,
    notas: Vec<String>,
    fin: Option<Fin>,
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
            resumen: Resumen::de(&casos, self.opciones.solo.is_empty()),
            casos,
        }
    }

    async fn caso(&mut self, caso: &Caso) -> Resultado {
        let (inicio, began) = (self.opciones.clock.now(), Instant::now());
        let mut hilo = Hilo::nuevo(self.mundo(&caso.id, &self.opciones.remitente));
        let fin = match self.impedimento(caso) {
            Some(fin) => Some(fin),
            None => self.desarrolla(caso, &mut hilo).await,
        };
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
            notas: hilo.notas,
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
            encontrado,
            significa: caso.significa.clone(),
            causa: causa.map(|c| c.dice.clone()),
            remedio: remedio.unwrap_or_else(|| caso.remedio.clone()),
        }
    }

    fn mundo(&self, caso: &str, remitente: &str) -> Mundo {
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
            let whole = caso.pasos.is_empty() || caso.pasos.iter().any(|p| p.mira.is_none() || lacks(p));
            if whole {
                hilo.evidencia.clone_from(&hecho.evidencia);
                hilo.notas.clone_from(&hecho.notas);
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
        let Hilo { mundo, mensajes, notas, evidencia, de_mensaje, .. } = hilo;
        self.escenarios.insert(id.to_owned(), Hecho { mundo, mensajes, evidencia, de_mensaje, notas, fin });
    }

    async fn paso(&mut self, paso: &Paso, hilo: &mut Hilo) -> Result<(), Fin> {
        let wrong = |why: String| Fin::NoEjecutado(format!("el caso está mal escrito: {why}"));
        let visto = if let Some(name) = &paso.mira {
            hilo.evidencia.extend(hilo.de_mensaje.get(name).cloned());
            hilo.mensajes.get(name).cloned().ok_or_else(|| wrong(format!("no hay mensaje «{name}»")))?
        } else if let Some(pedido) = &paso.recepcion {
            self.pide(Operacion::Recepcion, pedido, paso, hilo).await?
        } else if let Some(pedido) = &paso.cargo {
            self.pide(Operacion::Cargo, pedido, paso, hilo).await?
        } else if let Some(pedido) = &paso.consulta {
            self.pide(Operacion::Consulta, pedido, paso, hilo).await?
        } else if let Some(crudo) = &paso.crudo {
            let (mundo, mut cuos) = (hilo.mundo.clone(), self.cuos.clone());
            let mut mesa = Mesa { mundo: &mundo, cuos: &mut cuos, nuevos: BTreeMap::new() };
            let (guion, text) = envelope::crudo(crudo, &mut mesa).map_err(wrong)?;
            hilo.mundo.cuos.append(&mut mesa.nuevos);
            self.cuos = cuos;
            self.envia(&guion, &text, paso.que.as_deref().unwrap_or("Enviar bytes"), hilo).await
        } else if let Some(actua) = &paso.actua {
            return self.actua(actua, paso, hilo).await;
        } else if let Some(prepara) = &paso.prepara {
            let plataforma = self.plataforma.clone().ok_or_else(|| wrong("no hay plataforma".into()))?;
            let pdf = self.expande("{pdf:cargo}", hilo).unwrap_or_default();
            plataforma.prepara(&hilo.mundo.remitente, prepara, &pdf);
            return Ok(());
        } else if let Some(aguarda) = &paso.aguarda {
            match self.aguarda(aguarda, paso, hilo).await? {
                Some(visto) => visto,
                None => return Ok(()),
            }
        } else if paso.suelta {
            if let Some(plataforma) = &self.plataforma {
                plataforma.suelta();
            }
            return Ok(());
        } else if let Some(propio) = &paso.propio {
            return named::paso(self, propio, paso, hilo).await;
        } else {
            return Err(wrong("un paso no hace nada".into()));
        };
        if let Some(name) = &paso.guarda {
            hilo.guarda(name, &visto);
        }
        self.juzga(paso, visto, hilo)
    }

    /// Compares with what the step expects, then with what it tolerates.
    pub(super) fn juzga(&mut self, paso: &Paso, visto: Visto, hilo: &mut Hilo) -> Result<(), Fin> {
        if paso.espera.is_empty() {
            return Ok(());
        }
        let mut first = None;
        for espera in &paso.espera {
            let faltas = self.faltas(espera, &visto, hilo);
            if faltas.is_empty() {
                return Ok(());
            }
            first.get_or_insert(faltas);
        }
        for tolera in &paso.tolera {
            if self.faltas(&tolera.si, &visto, hilo).is_empty() {
                hilo.tolerado = true;
                hilo.notas.push(tolera.nota.clone());
                return Ok(());
            }
        }
        let mut encontrado = first.unwrap_or_default();
        if let Some(que) = &paso.que {
            encontrado.insert(0, format!("al paso «{que}»: {}", visto.resumen()));
        }
        Err(Fin::Mal { encontrado, visto: Box::new(visto), remedio: None })
    }

    fn faltas(&mut self, espera: &Espera, visto: &Visto, hilo: &Hilo) -> Vec<String> {
        let mut cuos = self.cuos.clone();
        let mut nuevos = BTreeMap::new();
        let mut expand = |t: &str| hilo.mundo.texto(t, &mut cuos, &mut nuevos).unwrap_or_else(|e| e);
        checks::faltas(espera, visto, &mut expand)
    }

    fn expande(&mut self, plantilla: &str, hilo: &mut Hilo) -> Result<String, String> {
        let mut nuevos = BTreeMap::new();
        let text = hilo.mundo.texto(plantilla, &mut self.cuos, &mut nuevos);
        hilo.mundo.cuos.append(&mut nuevos);
        text
    }

    /// The bytes of a request of this case; its CUOs are kept.
    pub(super) fn guion(
        &mut self,
        operacion: Operacion,
        pedido: &super::case::Pedido,
        hilo: &mut Hilo,
    ) -> Result<(Guion, String), Fin> {
        let mut mesa = Mesa { mundo: &hilo.mundo, cuos: &mut self.cuos, nuevos: BTreeMap::new() };
        let built = envelope::guion(operacion, pedido, &mut mesa);
        let mut nuevos = mesa.nuevos;
        if let Some(plataforma) = &self.plataforma {
            nuevos.values().for_each(|cuo| plataforma.nota_cuo(cuo, &hilo.mundo.remitente));
        }
        hilo.mundo.cuos.append(&mut nuevos);
        built.map_err(|why| Fin::NoEjecutado(format!("el caso está mal escrito: {why}")))
    }

    async fn pide(
        &mut self,
        operacion: Operacion,
        pedido: &super::case::Pedido,
        paso: &Paso,
        hilo: &mut Hilo,
    ) -> Result<Visto, Fin> {
        let (guion, text) = self.guion(operacion, pedido, hilo)?;
        let usual = match operacion {
            Operacion::Recepcion => "Enviar un documento",
            Operacion::Cargo => "Enviar un cargo",
            Operacion::Consulta => "Consultar",
        };
        Ok(self.envia(&guion, &text, paso.que.as_deref().unwrap_or(usual), hilo).await)
    }

    /// Sends, and keeps the evidence.
    pub(super) async fn envia(&self, guion: &Guion, text: &str, que: &str, hilo: &mut Hilo) -> Visto {
        let inicio = self.opciones.clock.now();
        let dicho = wire::hablar(&self.opciones.destino, guion, self.opciones.espera).await;
        let visto = Visto::from(dicho);
        hilo.evidencia.push(Evidencia {
            paso: que.to_owned(),
            inicio,
            milisegundos: visto.ms,
            pedido: evidence::corto(text),
            respuesta: evidence::respuesta(&visto),
        });
        visto
    }

    async fn actua(&mut self, actua: &super::case::Actua, paso: &Paso, hilo: &mut Hilo) -> Result<(), Fin> {
        let bad = |why: String| Fin::NoEjecutado(format!("el caso está mal escrito: {why}"));
        let mut con = BTreeMap::new();
        for (name, value) in &actua.con {
            con.insert(name.clone(), self.expande(value, hilo).map_err(bad)?);
        }
        let numero = format!("{}-{}", self.opciones.prefijo_cuo, self.cuos.numero());
        let usual = [
            ("numero", numero),
            ("destino", hilo.mundo.remitente.clone()),
            ("asunto", format!("{} ({})", super::template::MARCA, hilo.mundo.caso)),
            ("fecha", crate::domain::lima::texto(hilo.mundo.ahora)),
            ("observacion", "Observación de prueba".to_owned()),
        ];
        for (name, value) in usual {
            con.entry(name.to_owned()).or_insert(value);
        }
        let pdf = hilo.mundo.pdf(&actua.accion);
        match self.operador.hacer(&actua.accion, &con, &pdf).await {
            Ok(hecho) => hilo.mundo.valores.extend(hecho),
            Err(NoHecho::NoPuede(why)) => {
                // What only tells more is not missed.
                if actua.accion == "estado" {
                    hilo.notas.push(format!("el estado en la entidad no se pudo ver: {why}"));
                    return Ok(());
                }
                return Err(Fin::NoEjecutado(why));
            }
            Err(NoHecho::Fallo(why)) => {
                return Err(Fin::Mal { encontrado: vec![why], visto: Box::default(), remedio: None });
            }
        }
        match paso.espera.first().and_then(|e| e.campos.get("estado")) {
            Some(expected) => self.estado_llega(actua, &con, expected, hilo).await,
            None => Ok(()),
        }
    }

    /// Asks for the record's state until it is the expected one (any of those parted by `|`).
    async fn estado_llega(
        &self,
        actua: &super::case::Actua,
        con: &BTreeMap<String, String>,
        expected: &str,
        hilo: &mut Hilo,
    ) -> Result<(), Fin> {
        const EVERY: Duration = Duration::from_millis(100);
        let began = Instant::now();
        loop {
            let found = hilo.mundo.valores.get("estado").cloned().unwrap_or_default();
            if expected.split('|').any(|e| e == found) {
                return Ok(());
            }
            if began.elapsed() > self.opciones.espera_operador {
                let encontrado = vec![format!("el estado en la entidad es «{found}» y debía ser «{expected}»")];
                return Err(Fin::Mal { encontrado, visto: Box::default(), remedio: None });
            }
            tokio::time::sleep(EVERY).await;
            if let Ok(hecho) = self.operador.hacer(&actua.accion, con, &[]).await {
                hilo.mundo.valores.extend(hecho);
            }
        }
    }

    /// `None`: none was expected, and none came.
    async fn aguarda(&mut self, aguarda: &Aguarda, paso: &Paso, hilo: &mut Hilo) -> Result<Option<Visto>, Fin> {
        let Some(plataforma) = self.plataforma.clone() else {
            return Err(Fin::NoEjecutado("la suite no hace de plataforma".into()));
        };
        let cuo = hilo.mundo.cuos.get("").cloned();
        let (operacion, ruc) = (aguarda.operacion.as_str(), hilo.mundo.remitente.clone());
        if let Some(seconds) = aguarda.ninguno_en_s {
            let total = Duration::from_secs(seconds);
            let found = plataforma.aguarda(operacion, &ruc, aguarda.n, cuo.as_deref(), total).await;
            return match found {
                None => Ok(None),
                Some(recibido) => {
                    let visto = hilo.recibe(paso, &recibido);
                    let encontrado = vec![format!("la entidad envió «{operacion}» y no debía")];
                    Err(Fin::Mal { encontrado, visto: Box::new(visto), remedio: None })
                }
            };
        }
        let total = self.opciones.espera_operador;
        match plataforma.aguarda(operacion, &ruc, aguarda.n, cuo.as_deref(), total).await {
            Some(recibido) => {
                if operacion.starts_with("recepcionar") {
                    let name = if aguarda.n == 0 { String::new() } else { format!("{}", aguarda.n) };
                    hilo.mundo.cuos.entry(name).or_insert(recibido.cuo.clone());
                }
                Ok(Some(hilo.recibe(paso, &recibido)))
            }
            None => {
                let what = format!(
                    "se esperó {} s un mensaje «{operacion}» (el {}.º) y no llegó",
                    total.as_secs(),
                    aguarda.n + 1
                );
                if aguarda.opcional {
                    return Err(Fin::NoEjecutado(what));
                }
                Err(Fin::Mal { encontrado: vec![what], visto: Box::default(), remedio: None })
            }
        }
    }
}

impl Hilo {
    fn nuevo(mundo: Mundo) -> Self {
        Self {
            mundo,
            mensajes: BTreeMap::new(),
            notas: Vec::new(),
            tolerado: false,
            evidencia: Vec::new(),
            de_mensaje: BTreeMap::new(),
        }
    }

    /// A message of the entity, with its evidence.
    fn recibe(&mut self, paso: &Paso, recibido: &Recibido) -> Visto {
        let mut visto = Visto::de(Some(recibido.mensaje.clone()));
        visto.ms = recibido.ms;
        let evidencia = Evidencia {
            paso: paso.que.clone().unwrap_or_else(|| format!("La entidad envía «{}»", recibido.operacion)),
            inicio: recibido.inicio,
            milisegundos: recibido.ms,
            pedido: evidence::corto(&recibido.mensaje.entero()),
            respuesta: evidence::corto(&recibido.respuesta),
        };
        if let Some(name) = &paso.guarda {
            self.de_mensaje.insert(name.clone(), evidencia.clone());
        }
        self.evidencia.push(evidencia);
        visto
    }

    /// Under a name, with its short fields as values.
    fn guarda(&mut self, name: &str, visto: &Visto) {
        const VALOR_MAX: usize = 500;
        for field in visto.estructura().iter().flat_map(|e| &e.hijos).filter(|h| h.texto.len() <= VALOR_MAX) {
            self.mundo.valores.insert(format!("{name}.{}", field.local), field.texto.trim().to_owned());
        }
        self.mensajes.insert(name.to_owned(), visto.clone());
        if let Some(last) = self.evidencia.last() {
            self.de_mensaje.entry(name.to_owned()).or_insert_with(|| last.clone());
        }
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
