//! Mesa de partes files a received document and answers it with a cargo, which is queued for the sender.

use jiff::Timestamp;

use super::{Actor, Exchange, ExchangeError, dispatch::job, events, examine::demand};
use crate::{
    domain::{
        Cargo, CargoTramite, Contenido, Cuo, Desenlace, Documento, Id, Recepcion, Ruc, lima,
        validation::{self, Defecto, Motivo, textos},
    },
    store::{Change, Job, JobKind, Record, Staged},
};

/// How far ahead of our clock the time of a registration may be: the SGD's clock is another one.
const FECHA_ADELANTO: std::time::Duration = std::time::Duration::from_secs(300);

/// An answer as mesa de partes states it, unjudged. Its PDF comes beside it.
#[derive(Debug, Clone)]
pub struct NuevaRespuesta {
    pub desenlace: Desenlace,
    pub numero_registro: Option<String>,
    /// Absent: this year's.
    pub anio_registro: Option<String>,
    /// Absent: now.
    pub fecha_registro: Option<String>,
    /// The unit the document was passed to.
    pub unidad: Option<String>,
    /// The name of the person who registers.
    pub usuario: Option<String>,
    pub observacion: Option<String>,
    /// What was found where the cargo's PDF should be.
    pub contenido: Contenido,
}

impl Exchange {
    /// Records under which number the SGD filed a received document. The same number again is no error.
    pub async fn registrar(
        &self,
        actor: &Actor,
        entidad: Option<&Ruc>,
        id: Id,
        numero: &str,
        anio: Option<&str>,
    ) -> Result<Recepcion, ExchangeError> {
        let now = self.now();
        let (numero, anio) = (numero.trim(), anio.map_or_else(|| este_anio(now), str::to_owned));
        let defectos = numero_registro(numero, &anio);
        if !defectos.is_empty() {
            return Err(ExchangeError::Defectos(defectos));
        }
        self.change_recepcion(id, |mut recepcion| {
            propia(&recepcion, entidad)?;
            let before = recepcion.version;
            recepcion.registrar(numero, &anio, now)?;
            if recepcion.version == before {
                return Ok((recepcion, None));
            }
            let detalle = Some(format!("Registrado con el número {numero} de {anio}"));
            let fact = events::recepcion(&recepcion, events::RECEPCION_REGISTRADA, actor, now, detalle);
            let records = vec![Record::Recepcion(Box::new(recepcion.clone()))];
            Ok((recepcion, Some(Change { facts: vec![fact], records, ..Change::default() })))
        })
        .await
    }

    /// A person opens a received document: the first time is on record, and only that.
    pub async fn abrir(&self, actor: &Actor, entidad: Option<&Ruc>, id: Id) -> Result<Recepcion, ExchangeError> {
        let now = self.now();
        self.change_recepcion(id, |mut recepcion| {
            propia(&recepcion, entidad)?;
            if !recepcion.ver(now) {
                return Ok((recepcion, None));
            }
            let fact = events::recepcion(&recepcion, events::RECEPCION_VISTA, actor, now, None);
            let records = vec![Record::Recepcion(Box::new(recepcion.clone()))];
            Ok((recepcion, Some(Change { facts: vec![fact], records, ..Change::default() })))
        })
        .await
    }

    /// Answers a received document: `P` becomes `R` or `O`, and the cargo is queued for the sender. Without a PDF the cargo is
    /// made and signed here, if the entity's configuration has it so. Durable when it returns; the same answer again changes
    /// nothing.
    pub async fn responder(
        &self,
        actor: &Actor,
        entidad: Option<&Ruc>,
        id: Id,
        respuesta: &NuevaRespuesta,
        pdf: Option<Staged>,
    ) -> Result<Recepcion, ExchangeError> {
        self.fuera_de_mantenimiento()?;
        let now = self.now();
        let known = self.store.recepcion(id).await?.ok_or(ExchangeError::NoExiste)?;
        propia(&known, entidad)?;
        let (cargo, ours) = self.cargo_juzgado(&known, respuesta, pdf.is_some(), now)?;
        let (pdf, nota) = match (pdf, &known.cargo) {
            (Some(pdf), _) => (Some(pdf), None),
            // Answered before: what was issued then is what is compared.
            (None, Some(_)) => (None, None),
            (None, None) => {
                let emitido = self.emitir(&known, &cargo, now).await?;
                (Some(emitido.pdf), Some(emitido.nota))
            }
        };
        let documento = match &pdf {
            Some(pdf) => Some(self.examinado(format!("cargo-{}.pdf", known.cuo), pdf, None).await),
            None => None,
        };
        if let (Some(given), false) = (&documento, ours) {
            demand(given, self.examiner.demands(&known.entidad).cargo)?;
        }
        let answer = Answer { respuesta, cargo, pdf, documento, ours, nota };
        self.change_recepcion(id, |recepcion| answer.apply(recepcion, actor, now)).await
    }
}

impl Exchange {
    /// What [`Exchange::responder`] would issue now: nothing is made, sent or kept. With a PDF, its examination.
    pub async fn revisar_respuesta(
        &self,
        entidad: Option<&Ruc>,
        id: Id,
        respuesta: &NuevaRespuesta,
        pdf: Option<&Staged>,
    ) -> Result<(Recepcion, Cargo), ExchangeError> {
        let now = self.now();
        let known = self.store.recepcion(id).await?.ok_or(ExchangeError::NoExiste)?;
        propia(&known, entidad)?;
        let (mut cargo, _) = self.cargo_juzgado(&known, respuesta, pdf.is_some(), now)?;
        if let Some(pdf) = pdf {
            let given = self.examinado(format!("cargo-{}.pdf", known.cuo), pdf, None).await;
            demand(&given, self.examiner.demands(&known.entidad).cargo)?;
            cargo.documento = Some(given);
        }
        known.clone().responder(cargo.clone(), now)?;
        Ok((known, cargo))
    }

    /// Why this entity's cargos must be given as a signed PDF, if they must.
    pub fn cargo_debe_darse(&self, entidad: &Ruc) -> bool {
        self.emisores.get().falta(entidad).is_some()
    }

    /// The cargo an answer asks for, without its PDF, and whether that is to be made here.
    fn cargo_juzgado(
        &self,
        known: &Recepcion,
        respuesta: &NuevaRespuesta,
        given: bool,
        now: Timestamp,
    ) -> Result<(Cargo, bool), ExchangeError> {
        let ours = !given && respuesta.contenido == Contenido::Ausente;
        let mut stated = stated(respuesta, known, now);
        if ours {
            stated.contenido = Contenido::Pdf { una_vez: true };
        }
        let mut defectos = validation::cargo(&stated);
        defectos.extend(anio_y_fecha(&stated, now));
        if ours && known.cargo.is_none() {
            defectos.extend(self.emisores.get().falta(&known.entidad));
        }
        if !defectos.is_empty() || !(given || ours) {
            return Err(ExchangeError::Defectos(defectos));
        }
        let cargo = stated.cargo(None).ok_or(ExchangeError::NoExiste)?;
        Ok((if ours { same_time_if_repeated(known, cargo, respuesta) } else { cargo }, ours))
    }
}

/// An answer that was judged, with its PDF.
struct Answer<'a> {
    respuesta: &'a NuevaRespuesta,
    /// Without its PDF.
    cargo: Cargo,
    pdf: Option<Staged>,
    documento: Option<Documento>,
    /// Made here: another time it would be another PDF that says the same.
    ours: bool,
    nota: Option<String>,
}

impl Answer<'_> {
    fn apply(
        &self,
        mut recepcion: Recepcion,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<(Recepcion, Option<Change>), ExchangeError> {
        let mut cargo = same_time_if_repeated(&recepcion, self.cargo.clone(), self.respuesta);
        let issued = recepcion.cargo.as_ref().filter(|_| self.ours).and_then(|issued| issued.documento.clone());
        cargo.documento = issued.or_else(|| self.documento.clone());
        if !recepcion.responder(cargo, now)? {
            return Ok((recepcion, None));
        }
        let tipo = match self.respuesta.desenlace {
            Desenlace::Recepcionado => events::RECEPCION_RECEPCIONADA,
            Desenlace::Observado => events::RECEPCION_OBSERVADA,
        };
        let observacion = recepcion.cargo.as_ref().and_then(|c| c.observacion.as_deref());
        let told: Vec<&str> = observacion.into_iter().chain(self.nota.as_deref()).collect();
        let detalle = (!told.is_empty()).then(|| told.join(". "));
        let change = Change {
            facts: vec![events::recepcion(&recepcion, tipo, actor, now, detalle)],
            records: vec![Record::Recepcion(Box::new(recepcion.clone()))],
            jobs: vec![cargo_job(&recepcion, now)],
            documents: self.pdf.iter().cloned().collect(),
            ..Change::default()
        };
        Ok((recepcion, Some(change)))
    }
}

pub(super) fn cargo_job(r: &Recepcion, now: Timestamp) -> Job {
    job(JobKind::EntregarCargo, r.id, &r.entidad, &r.remitente.ruc, now)
}

/// A caller sees only its entity's documents; another's do not exist for it.
fn propia(recepcion: &Recepcion, entidad: Option<&Ruc>) -> Result<(), ExchangeError> {
    match entidad {
        Some(ruc) if *ruc != recepcion.entidad => Err(ExchangeError::NoExiste),
        _ => Ok(()),
    }
}

/// A caller that repeats its answer did not state a time; ours of the first one stands.
fn same_time_if_repeated(recepcion: &Recepcion, mut cargo: Cargo, respuesta: &NuevaRespuesta) -> Cargo {
    if let (Some(issued), None) = (&recepcion.cargo, &respuesta.fecha_registro) {
        cargo.fecha_registro = issued.fecha_registro;
    }
    cargo
}

fn stated(r: &NuevaRespuesta, recepcion: &Recepcion, now: Timestamp) -> CargoTramite {
    let trimmed = |text: &Option<String>| text.as_deref().map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned);
    CargoTramite {
        cuo: Some(recepcion.cuo.to_string()),
        // What the sender wrote there may be no CUO; it is kept on record, and a cargo must go out all the same.
        cuo_referencia: recepcion.cuo_referencia.clone().filter(|text| Cuo::parse(text).is_ok()),
        numero_registro: trimmed(&r.numero_registro).or_else(|| recepcion.numero_registro.clone()),
        anio_registro: trimmed(&r.anio_registro)
            .or_else(|| recepcion.anio_registro.clone())
            .or_else(|| Some(este_anio(now))),
        fecha_registro: Some(r.fecha_registro.clone().unwrap_or_else(|| lima::texto(now))),
        unidad: trimmed(&r.unidad),
        usuario: trimmed(&r.usuario),
        contenido: r.contenido,
        observacion: trimmed(&r.observacion),
        estado: Some(r.desenlace.letra().into()),
        ..CargoTramite::default()
    }
}

fn este_anio(now: Timestamp) -> String {
    lima::en_lima(now).year().to_string()
}

fn numero_registro(numero: &str, anio: &str) -> Vec<Defecto> {
    let [falta, excede] = textos::NUMERO_REGISTRO;
    let defecto = |campo, motivo, texto| Defecto { campo, motivo, texto, impide: true };
    let mut defectos = Vec::new();
    match numero.chars().count() {
        0 => defectos.push(defecto("numero_registro", Motivo::NoEspecificado, falta)),
        n if n > validation::largo::NUMERO_REGISTRO => {
            defectos.push(defecto("numero_registro", Motivo::Excede, excede));
        }
        _ => {}
    }
    if !es_anio(anio) {
        defectos.push(defecto("anio_registro", Motivo::NoValido, ANIO));
    }
    defectos
}

const ANIO: &str = "El año de registro son cuatro dígitos";

fn es_anio(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit())
}

/// What a cargo that arrives is not judged by, and ours must not go out with.
fn anio_y_fecha(stated: &CargoTramite, now: Timestamp) -> Vec<Defecto> {
    let defecto = |campo, texto| Defecto { campo, motivo: Motivo::NoValido, texto, impide: true };
    let mut defectos = Vec::new();
    if !stated.anio_registro.as_deref().is_some_and(es_anio) {
        defectos.push(defecto("anio_registro", ANIO));
    }
    let fecha = stated.fecha_registro.as_deref().and_then(lima::leer);
    if fecha.is_some_and(|at| at > super::retry::later(now, FECHA_ADELANTO)) {
        defectos.push(defecto("fecha_registro", "La fecha de registro no debe ser mayor que la fecha actual"));
    }
    defectos
}
