//! The SGD hands over a document: it is judged, made durable as `P` with its job, and only then accepted.

use jiff::Timestamp;

use super::{Actor, Exchange, ExchangeError, anexos, events, examine::demand};
use crate::{
    domain::{
        Anexo, Archivo, Contenido, Cuo, Despacho, Destinatario, Documento, EntidadPropia, EstadoDespacho, Id, Persona,
        Ruc, Sha256,
        despacho::{NUMERO_REGISTRO_MAX, Suceso},
        lima,
        validation::{self, Contexto, Defecto, Motivo, textos},
    },
    store::{Change, CommitError, Idempotencia, Job, JobKind, Record, Staged, UniqueKey},
    telemetry::log,
};

/// Most destinations of one request.
pub const DESTINOS_MAX: usize = 50;

/// The name of a PDF whose sender gave none.
const NOMBRE_PDF: &str = "documento.pdf";

const FECHA: &str = "No es una fecha: debe ser como 2026-11-21 o 2026-11-21T09:30:00-05:00";

const A_SI_MISMA: &str =
    "El destino es la misma entidad que remite: la plataforma lleva documentos de una entidad a otra";

const DE_EJEMPLO: &str = "Este RUC es de ejemplo: solo existe en el ambiente de simulación";

/// Longest name of a user of the SGD, in characters.
const USUARIO_MAX: usize = 100;

/// A document as the SGD states it, unjudged. Texts absent in the request are `None`.
#[derive(Debug, Clone, Default)]
pub struct NuevoDespacho {
    pub numero_registro: Option<String>,
    /// One despacho is made for each.
    pub destinos: Vec<String>,
    pub unidad_remitente: Option<String>,
    pub codigo_unidad_remitente: Option<String>,
    pub usuario: Option<String>,
    pub remitente: Persona,
    pub destinatario: Destinatario,
    pub tipo_documento: Option<String>,
    pub numero_documento: Option<String>,
    /// Absent: now.
    pub fecha_documento: Option<String>,
    pub asunto: Option<String>,
    /// Absent: 1.
    pub folios: Option<i64>,
    pub nombre_documento: Option<String>,
    /// What was found where the PDF should be.
    pub contenido: Contenido,
    pub anexos: Vec<Option<String>>,
    /// Their files, one for each: then they are served from here. Empty: the SGD publishes them itself.
    pub archivos: Vec<Staged>,
    pub url_anexos: Option<String>,
    /// CUO of the observed document that this one corrects.
    pub referencia: Option<String>,
    /// The failed or withdrawn despacho whose number of registration it takes over.
    pub reemplaza: Option<Id>,
}

impl NuevoDespacho {
    fn nombre(&self) -> String {
        let stated = self.nombre_documento.clone().filter(|nombre| !nombre.trim().is_empty());
        stated.unwrap_or_else(|| NOMBRE_PDF.to_owned())
    }
}

/// An `Idempotency-Key` and the digest of the request it came with.
#[derive(Debug, Clone)]
pub struct Idempotency {
    pub key: String,
    pub huella: Sha256,
}

/// Where the PDF of a despacho is.
#[derive(Debug, Clone)]
pub enum Documentacion {
    /// Just taken in.
    Nueva(Staged),
    /// In the store already: a received document that is sent on.
    EnAlmacen(Documento),
}

impl Exchange {
    /// Accepts a document for each destination and queues it. Durable when it returns. The same idempotency key with the
    /// same request gives what the first one made.
    pub async fn despachar(
        &self,
        actor: &Actor,
        entidad: &Ruc,
        nuevo: &NuevoDespacho,
        documento: Option<Staged>,
        idempotency: Option<&Idempotency>,
    ) -> Result<Vec<Despacho>, ExchangeError> {
        self.despachar_pdf(actor, entidad, nuevo, documento.map(Documentacion::Nueva), idempotency, None).await
    }

    /// What would be sent if this were handed over now: nothing is kept.
    pub async fn revisar_despacho(
        &self,
        entidad: &Ruc,
        nuevo: &NuevoDespacho,
        pdf: Option<Documentacion>,
    ) -> Result<Vec<Despacho>, ExchangeError> {
        let propia = self.propia(entidad).ok_or_else(|| ExchangeError::EntidadAjena(entidad.clone()))?;
        Ok(self.judge(&propia, nuevo, pdf, self.now()).await?.0)
    }

    /// `corrected` is the observed despacho that the new one corrects.
    pub(super) async fn despachar_pdf(
        &self,
        actor: &Actor,
        entidad: &Ruc,
        nuevo: &NuevoDespacho,
        pdf: Option<Documentacion>,
        idempotency: Option<&Idempotency>,
        corrected: Option<Despacho>,
    ) -> Result<Vec<Despacho>, ExchangeError> {
        let propia = self.propia(entidad).ok_or_else(|| ExchangeError::EntidadAjena(entidad.clone()))?;
        if let Some(made) = self.made_before(entidad, idempotency).await? {
            return Ok(made);
        }
        self.fuera_de_mantenimiento()?;
        let now = self.now();
        let (despachos, pdf) = self.judge(&propia, nuevo, pdf, now).await?;
        let corrected = match corrected {
            Some(corrected) => Some(corrected),
            None => self.corrected_by(&despachos).await?,
        };
        let mut documents = match pdf {
            Documentacion::Nueva(staged) => vec![staged],
            Documentacion::EnAlmacen(_) => Vec::new(),
        };
        documents.extend(nuevo.archivos.iter().cloned());
        if let Some(first) = despachos.first() {
            log::about(first.id);
        }
        let mut change = Change { documents, ..Change::default() };
        for despacho in &despachos {
            change.facts.push(events::despacho(despacho, events::DESPACHO_REGISTRADO, actor, now, None));
            change.jobs.push(job(JobKind::Despachar, despacho.id, entidad, &despacho.destino, now));
            change.records.push(Record::Despacho(Box::new(despacho.clone())));
        }
        if let (Some(id), Some(first)) = (nuevo.reemplaza, despachos.first()) {
            self.give_number(id, first, actor, &mut change, now).await?;
        }
        // In the same entry: of two corrections at the same moment, one finds the record changed.
        let correction = |corrected: &Despacho| {
            despachos.iter().find(|d| d.destino == corrected.destino).or(despachos.first()).map(|d| d.id)
        };
        if let Some((mut corrected, por)) = corrected.and_then(|found| correction(&found).map(|por| (found, por))) {
            let begun = corrected.aplicar(Suceso::SubsanacionIniciada { por }, now);
            begun.map_err(|error| ExchangeError::Estado(error.to_string()))?;
            let tipo = events::DESPACHO_SUBSANACION_INICIADA;
            change.facts.push(events::despacho(&corrected, tipo, actor, now, None));
            change.records.push(Record::Despacho(Box::new(corrected)));
        }
        if let Some(Idempotency { key, huella }) = idempotency {
            change.records.push(Record::Idempotencia(Idempotencia {
                id: self.id(now),
                entidad: entidad.clone(),
                key: key.clone(),
                huella: huella.clone(),
                sujetos: despachos.iter().map(|d| d.id).collect(),
                creada_en: now,
            }));
        }
        match self.store.commit(change).await {
            Ok(_) => Ok(despachos),
            Err(CommitError::Exists { key, id }) => {
                // The same request at the same moment: the other was first.
                if let Some(made) = self.made_before(entidad, idempotency).await? {
                    return Ok(made);
                }
                match key {
                    UniqueKey::NumeroRegistro { .. } => Err(ExchangeError::Duplicado { id }),
                    other => Err(CommitError::Exists { key: other, id }.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Has a failed or withdrawn despacho give its number of registration to another.
    async fn give_number(
        &self,
        id: Id,
        by: &Despacho,
        actor: &Actor,
        change: &mut Change,
        now: Timestamp,
    ) -> Result<(), ExchangeError> {
        let mut over = self.despacho_propio(Some(&by.entidad), id).await?;
        let replaced = over.aplicar(Suceso::Reemplazado { por: by.id }, now);
        replaced.map_err(|error| ExchangeError::Estado(error.to_string()))?;
        let detalle = Some(format!("Se registró de nuevo con el mismo número, como {}", by.id));
        change.facts.push(events::despacho(&over, events::DESPACHO_REEMPLAZADO, actor, now, detalle));
        change.jobs_done.push(Job::id_for(JobKind::Despachar, id));
        change.records.push(Record::Despacho(Box::new(over)));
        Ok(())
    }

    /// The observed despacho that a new one corrects by its reference alone. One correction at a time, whatever the way it
    /// was asked for.
    async fn corrected_by(&self, despachos: &[Despacho]) -> Result<Option<Despacho>, ExchangeError> {
        let Some((entidad, cuo)) = despachos.first().and_then(|d| Some((&d.entidad, d.cuo_referencia.as_ref()?)))
        else {
            return Ok(None);
        };
        let found = self.store.despacho_by_cuo(entidad, cuo).await?;
        let observed = |d: &Despacho| {
            d.estado == EstadoDespacho::Observado && despachos.iter().any(|made| made.destino == d.destino)
        };
        let Some(found) = found.filter(observed) else { return Ok(None) };
        self.not_being_corrected(&found).await?;
        Ok(Some(found))
    }

    pub(super) async fn made_before(
        &self,
        entidad: &Ruc,
        idempotency: Option<&Idempotency>,
    ) -> Result<Option<Vec<Despacho>>, ExchangeError> {
        let Some(Idempotency { key, huella }) = idempotency else { return Ok(None) };
        let Some(known) = self.store.idempotencia(entidad, key).await? else { return Ok(None) };
        if known.huella != *huella {
            return Err(ExchangeError::IdempotencyReused);
        }
        let mut made = Vec::with_capacity(known.sujetos.len());
        for id in known.sujetos {
            made.push(self.store.despacho(id).await?.ok_or(ExchangeError::NoExiste)?);
        }
        Ok(Some(made))
    }

    /// Judges strictly, as the platform will, and builds the records.
    async fn judge(
        &self,
        propia: &EntidadPropia,
        nuevo: &NuevoDespacho,
        pdf: Option<Documentacion>,
        now: Timestamp,
    ) -> Result<(Vec<Despacho>, Documentacion), ExchangeError> {
        let (destinos, mut defectos) = self.destinos(propia, nuevo);
        numero_y_usuario(nuevo, &mut defectos);
        let base = self.anexos_base.as_deref();
        archivos(nuevo, base, &mut defectos);
        let tipos: Vec<String> = self.tipos_documento().await?.into_iter().map(|t| t.codigo).collect();
        let draft = Draft { propia, nuevo, now, base };
        // One judgement serves all destinations: they differ only in the RUC, judged above. The CUO is the platform's to
        // give, later.
        let contexto = Contexto { tipos_documento: &tipos, ..Contexto::nuevo(now) };
        let judged = validation::tramite(&draft.tramite(destinos.first()), &contexto);
        defectos.extend(judged.into_iter().filter(|d| d.campo != "cuo" && d.campo != "destino").map(|d| {
            // The specification has one sentence for a date that is missing and one that is none.
            let unread = d.campo == "fecha_documento" && d.motivo == Motivo::NoEspecificado;
            if unread { Defecto { motivo: Motivo::NoValido, texto: FECHA, ..d } } else { d }
        }));
        let (Some(pdf), true) = (pdf, defectos.is_empty()) else {
            return Err(ExchangeError::Defectos(defectos));
        };
        let documento = match &pdf {
            Documentacion::Nueva(staged) => {
                let folios = nuevo.folios.and_then(|folios| u64::try_from(folios).ok());
                self.examinado(nuevo.nombre(), staged, folios).await
            }
            Documentacion::EnAlmacen(stored) => Documento { nombre: nuevo.nombre(), ..stored.clone() },
        };
        demand(&documento, self.examiner.demands(&propia.ruc).salida)?;
        let referencia = nuevo.referencia.as_deref().and_then(|text| Cuo::parse(text).ok());
        let despachos = destinos
            .into_iter()
            .map(|destino| {
                let (id, secret) = (self.id(now), self.ids.secret());
                let mut despacho = draft.despacho(id, destino, documento.clone(), referencia.clone());
                if let (Some(base), false) = (base, nuevo.archivos.is_empty()) {
                    despacho.url_anexos = Some(anexos::address(base, &anexos::token(id, &secret)));
                }
                despacho
            })
            .collect();
        Ok((despachos, pdf))
    }

    fn destinos(&self, propia: &EntidadPropia, nuevo: &NuevoDespacho) -> (Vec<Ruc>, Vec<Defecto>) {
        let [falta, longitud, desconocida] = textos::RUC_RECEPTOR;
        let defecto = |motivo, texto| Defecto { campo: "destino", motivo, texto, impide: true };
        let (mut destinos, mut defectos) = (Vec::new(), Vec::new());
        if nuevo.destinos.is_empty() {
            defectos.push(defecto(Motivo::NoEspecificado, falta));
        }
        if nuevo.destinos.len() > DESTINOS_MAX {
            defectos.push(defecto(Motivo::Excede, "Son más destinos de los que admite una petición: 50"));
        }
        for text in nuevo.destinos.iter().take(DESTINOS_MAX) {
            use crate::domain::ruc::RucInvalido as R;
            match Ruc::parse(text, self.settings().ambiente) {
                Ok(ruc) if destinos.contains(&ruc) => {
                    defectos.push(defecto(Motivo::NoValido, "El mismo destino está dos veces"));
                }
                Ok(ruc) if ruc == propia.ruc => defectos.push(defecto(Motivo::NoValido, A_SI_MISMA)),
                Ok(ruc) => destinos.push(ruc),
                Err(R::Vacio) => defectos.push(defecto(Motivo::NoEspecificado, falta)),
                Err(R::Longitud(_)) => defectos.push(defecto(Motivo::NoValido, longitud)),
                Err(R::Digito(_)) => {
                    let texto = "El dígito verificador del RUC de destino no corresponde";
                    defectos.push(defecto(Motivo::NoValido, texto));
                }
                Err(R::DePrueba(_)) => defectos.push(defecto(Motivo::NoValido, desconocida)),
                Err(R::DeEjemplo(_)) => defectos.push(defecto(Motivo::NoValido, DE_EJEMPLO)),
            }
        }
        (destinos, defectos)
    }
}

/// A job that is due at once.
pub(super) fn job(kind: JobKind, sujeto: Id, entidad: &Ruc, destino: &Ruc, now: Timestamp) -> Job {
    Job {
        id: Job::id_for(kind, sujeto),
        kind,
        sujeto,
        entidad: entidad.clone(),
        destino: destino.clone(),
        creado_en: now,
        proximo_en: now,
        intentos: 0,
        falla: None,
        ultimo_error: None,
        muerto_en: None,
    }
}

/// What the wire does not carry, and so the specification does not judge.
fn numero_y_usuario(nuevo: &NuevoDespacho, defectos: &mut Vec<Defecto>) {
    let mut juzga = |campo, valor: &Option<String>, max: usize, falta, excede| {
        let largo = valor.as_deref().map_or(0, |text| text.trim().chars().count());
        let (motivo, texto) = match largo {
            0 => (Motivo::NoEspecificado, falta),
            n if n > max => (Motivo::Excede, excede),
            _ => return,
        };
        defectos.push(Defecto { campo, motivo, texto, impide: true });
    };
    let (falta, excede) = ("Número de registro no especificado", "El número de registro excede los 30 caracteres");
    juzga("numero_registro", &nuevo.numero_registro, NUMERO_REGISTRO_MAX, falta, excede);
    let (falta, excede) = ("Usuario no especificado", "El usuario excede los 100 caracteres");
    juzga("usuario", &nuevo.usuario, USUARIO_MAX, falta, excede);
}

/// What the specification does not know: files that are served from here.
fn archivos(nuevo: &NuevoDespacho, base: Option<&str>, defectos: &mut Vec<Defecto>) {
    if nuevo.archivos.is_empty() {
        return;
    }
    let mut wrong = |campo, texto| defectos.push(Defecto { campo, motivo: Motivo::NoValido, texto, impide: true });
    if nuevo.archivos.len() != nuevo.anexos.len() {
        wrong("anexos", "Dé el contenido de todos los anexos, o el de ninguno y su dirección en «url_anexos»");
    }
    if nuevo.url_anexos.as_deref().is_some_and(|url| !url.trim().is_empty()) {
        wrong("url_anexos", "Los anexos se publican aquí: no dé otra dirección");
    }
    if base.is_none() {
        wrong(
            "anexos",
            "Este servicio no publica anexos: falta su dirección pública (listen.soap_public_url). Publíquelos y dé «url_anexos»",
        );
    }
}

/// One request on its way to being records.
pub(super) struct Draft<'a> {
    pub propia: &'a EntidadPropia,
    pub nuevo: &'a NuevoDespacho,
    pub now: Timestamp,
    /// Where annexes are served.
    pub base: Option<&'a str>,
}

impl Draft<'_> {
    pub fn nombre(&self) -> String {
        self.nuevo.nombre()
    }

    /// As the wire would carry it.
    fn tramite(&self, destino: Option<&Ruc>) -> crate::domain::Tramite {
        let n = self.nuevo;
        let some = |text: &str| (!text.trim().is_empty()).then(|| text.to_owned());
        crate::domain::Tramite {
            ruc_remitente: Some(self.propia.ruc.to_string()),
            ruc_receptor: destino.map(ToString::to_string),
            nombre_remitente: Some(self.propia.nombre.clone()),
            unidad_remitente: n.unidad_remitente.clone(),
            tipo_identidad: some(&n.remitente.tipo_documento),
            numero_identidad: some(&n.remitente.numero_documento),
            cuo: None,
            cuo_referencia: n.referencia.clone(),
            tipo_documento: n.tipo_documento.clone(),
            numero_documento: n.numero_documento.clone(),
            fecha_documento: Some(n.fecha_documento.clone().unwrap_or_else(|| lima::texto(self.now))),
            unidad_destino: some(&n.destinatario.unidad),
            nombre_destinatario: some(&n.destinatario.nombre),
            cargo_destinatario: some(&n.destinatario.cargo),
            asunto: n.asunto.clone(),
            numero_anexos: i64::try_from(n.anexos.len()).ok(),
            folios: Some(n.folios.unwrap_or(1)),
            // Each despacho will have its own, of this length.
            url_anexos: match n.archivos.as_slice() {
                [] => n.url_anexos.clone(),
                _ => Some(anexos::address(self.base.unwrap_or_default(), &anexos::token(Id::nil(), &[0; 32]))),
            },
            nombre_documento: Some(n.nombre()),
            contenido: n.contenido,
            anexos: n.anexos.clone(),
        }
    }

    fn annexes(&self) -> Vec<Anexo> {
        let file = |n: usize| self.nuevo.archivos.get(n);
        let archivo = |staged: &Staged| Archivo { bytes: staged.bytes, sha256: staged.sha256.clone() };
        let names = self.nuevo.anexos.iter().enumerate();
        names.filter_map(|(n, nombre)| Some(Anexo { nombre: nombre.clone()?, archivo: file(n).map(archivo) })).collect()
    }

    pub fn despacho(&self, id: Id, destino: Ruc, documento: Documento, referencia: Option<Cuo>) -> Despacho {
        let n = self.nuevo;
        let text = |field: &Option<String>| field.as_deref().map(str::trim).unwrap_or_default().to_owned();
        Despacho {
            id,
            version: 1,
            entidad: self.propia.ruc.clone(),
            numero_registro: text(&n.numero_registro),
            codigo_unidad_remitente: n.codigo_unidad_remitente.clone(),
            unidad_remitente: text(&n.unidad_remitente),
            usuario: text(&n.usuario),
            remitente: n.remitente.clone(),
            destino,
            destinatario: n.destinatario.clone(),
            tipo_documento: text(&n.tipo_documento),
            numero_documento: text(&n.numero_documento),
            fecha_documento: n.fecha_documento.as_deref().and_then(lima::leer).unwrap_or(self.now),
            asunto: text(&n.asunto),
            folios: n.folios.and_then(|f| u32::try_from(f).ok()).unwrap_or(1),
            documento,
            anexos: self.annexes(),
            url_anexos: n.url_anexos.clone().filter(|url| !url.trim().is_empty()),
            cuo_referencia: referencia,
            cuo: None,
            cuos_anteriores: Vec::new(),
            cuos_inciertos: Vec::new(),
            estado: EstadoDespacho::Pendiente,
            intentos: 0,
            intentos_con_cuo: 0,
            consultas: 0,
            envio_iniciado_en: None,
            envio_incierto_en: None,
            enviado_en: None,
            cargo: None,
            ultimo_error: None,
            falla: None,
            subsanado_por: None,
            reemplazado_por: None,
            bloqueo: None,
            purga: None,
            creado_en: self.now,
            actualizado_en: self.now,
        }
    }
}
