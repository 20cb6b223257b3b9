//! The steps of a case: each does one thing (sends, waits, has the entity act), keeps what was seen as evidence, and compares
//! it with what is expected. `runner` says which steps are done and what their end means.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    case::{Actua, Aguarda, Espera, Paso, Pedido},
    checks::{self, Visto},
    envelope::{self, Mesa, Operacion},
    evidence, named,
    operator::NoHecho,
    platform::Recibido,
    report::Evidencia,
    runner::Corrida,
    template::{MARCA, Mundo},
    wire::{self, Guion},
};

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
    /// Why something that the case demands could not be seen: it shows nothing then.
    pub sin_ver: Option<String>,
    /// What did not come and must not come later either.
    pub prohibidos: Vec<Aguarda>,
    pub evidencia: Vec<Evidencia>,
    /// The evidence of each kept message.
    pub de_mensaje: BTreeMap<String, Evidencia>,
}

impl Corrida<'_> {
    pub(super) async fn paso(&mut self, paso: &Paso, hilo: &mut Hilo) -> Result<(), Fin> {
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
        pedido: &Pedido,
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
        pedido: &Pedido,
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

    async fn actua(&mut self, actua: &Actua, paso: &Paso, hilo: &mut Hilo) -> Result<(), Fin> {
        let bad = |why: String| Fin::NoEjecutado(format!("el caso está mal escrito: {why}"));
        let mut con = BTreeMap::new();
        for (name, value) in &actua.con {
            con.insert(name.clone(), self.expande(value, hilo).map_err(bad)?);
        }
        let numero = format!("{}-{}", self.opciones.prefijo_cuo, self.cuos.numero());
        let usual = [
            ("numero", numero),
            ("destino", hilo.mundo.remitente.clone()),
            ("asunto", format!("{} ({})", MARCA, hilo.mundo.caso)),
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
                // The rest is done all the same: other cases look at the messages that it leads to.
                if actua.accion == "estado" {
                    hilo.sin_ver.get_or_insert(format!("el estado en la entidad no se pudo ver: {why}"));
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
        actua: &Actua,
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
                None => {
                    hilo.prohibidos.push(aguarda.clone());
                    Ok(None)
                }
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
                if plataforma.perdidos() > 0 {
                    let full = "la plataforma de la suite llegó a su límite y dejó de guardar mensajes";
                    return Err(Fin::NoEjecutado(format!("{what}; {full}")));
                }
                if aguarda.opcional {
                    return Err(Fin::NoEjecutado(what));
                }
                Err(Fin::Mal { encontrado: vec![what], visto: Box::default(), remedio: None })
            }
        }
    }
}

/// A message of the entity and what it was told.
pub(super) fn evidencia_de(recibido: &Recibido, que: &str) -> Evidencia {
    Evidencia {
        paso: que.to_owned(),
        inicio: recibido.inicio,
        milisegundos: recibido.ms,
        pedido: evidence::corto(&recibido.mensaje.entero()),
        respuesta: evidence::corto(&recibido.respuesta),
    }
}

impl Hilo {
    pub fn nuevo(mundo: Mundo) -> Self {
        Self {
            mundo,
            mensajes: BTreeMap::new(),
            notas: Vec::new(),
            tolerado: false,
            sin_ver: None,
            prohibidos: Vec::new(),
            evidencia: Vec::new(),
            de_mensaje: BTreeMap::new(),
        }
    }

    /// A message of the entity, with its evidence.
    fn recibe(&mut self, paso: &Paso, recibido: &Recibido) -> Visto {
        let mut visto = Visto::de(Some(recibido.mensaje.clone()));
        visto.ms = recibido.ms;
        let que = paso.que.clone().unwrap_or_else(|| format!("La entidad envía «{}»", recibido.operacion));
        let evidencia = evidencia_de(recibido, &que);
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
