//! A document arrives: new, repeated, or refused. The answers are those of CONTRACT §6.

use jiff::Timestamp;
use ring::digest;

use super::{Actor, Exchange, RACES_MAX, Testigo, events, sobres::attach};
use crate::{
    domain::{
        Anexo, Cuo, Destinatario, Documento, EntidadPropia, EstadoRecepcion, Recepcion, Ruc, Sha256, Tramite,
        cargo::Respuesta,
        lima,
        recepcion::{Advertencia, Remitente},
        respuestas::Operacion,
        validation::{self, Contexto, Defecto, textos},
    },
    store::{Change, CommitError, Record, Staged, StoreError},
    telemetry::log,
};

impl Exchange {
    /// Decides on a document that was taken in, and answers. `documento` is the staged PDF, if there was one; it is kept
    /// only if the answer says it was stored; with it, what `testigo` saw on the wire.
    pub async fn recibir(
        &self,
        tramite: &Tramite,
        documento: Option<Staged>,
        testigo: Option<Testigo<'_>>,
    ) -> Respuesta {
        match self.try_recibir(tramite, documento, testigo).await {
            Ok(respuesta) => respuesta,
            Err(error) => {
                tracing::error!(%error, "a document could not be stored");
                Respuesta::nueva("-1", sentence(&error))
            }
        }
    }

    /// What is answered when our own store failed before a use case could begin.
    pub fn own_fault(error: &StoreError) -> Respuesta {
        Respuesta::nueva("-1", sentence(error))
    }

    async fn try_recibir(
        &self,
        tramite: &Tramite,
        documento: Option<Staged>,
        testigo: Option<Testigo<'_>>,
    ) -> Result<Respuesta, StoreError> {
        let now = self.now();
        let propia = ruc(&tramite.ruc_receptor).and_then(|ruc| self.propia(&ruc));
        let contexto = Contexto { receptora_registrada: Some(propia.is_some()), ..Contexto::nuevo(now) };
        let defectos = validation::tramite(tramite, &contexto);
        if let Some(defecto) = validation::impedimentos(&defectos, self.settings().rigor).next() {
            return Ok(Respuesta::nueva("0003", defecto.texto));
        }
        // Each of these missing is an impediment of its own, found above.
        let cuo = tramite.cuo.as_deref().and_then(|text| Cuo::parse(text).ok());
        let (Some(propia), Some(remitente), Some(cuo), Some(staged)) =
            (propia, ruc(&tramite.ruc_remitente), cuo, documento)
        else {
            return Ok(Respuesta::nueva("0003", textos::DOCUMENTO[0]));
        };
        let huella = huella(tramite, &staged.sha256);
        if let Some(known) = self.store.recepcion_by_arrival(&propia.ruc, &remitente, &cuo).await? {
            log::about(known.id);
            return Ok(repeated(&known, &huella, &staged.sha256, &propia));
        }
        let folios = tramite.folios.and_then(|folios| u64::try_from(folios).ok());
        let nombre = tramite.nombre_documento.clone().unwrap_or_default();
        let documento = self.examinado(nombre, &staged, folios).await;
        let firmas = documento.firmas.as_ref().map(|report| report.resumen.clone());
        let recepcion =
            self.nueva_recepcion(tramite, &propia, remitente.clone(), cuo.clone(), documento, huella, &defectos, now);
        log::about(recepcion.id);
        let fact = events::recepcion(&recepcion, events::RECEPCION_RECIBIDA, &Actor::pide(), now, firmas);
        let (huella, pdf) = (recepcion.huella.clone(), staged.sha256.clone());
        let respuesta = stored(&cuo, &propia);
        let said = self.oido(Operacion::Recepcionar, testigo.as_ref(), &respuesta, &staged.sha256).await?;
        let mut change = Change {
            facts: vec![fact],
            records: vec![Record::Recepcion(Box::new(recepcion))],
            documents: vec![staged],
            ..Change::default()
        };
        attach(&mut change, said);
        match self.store.commit(change).await {
            Ok(_) => Ok(respuesta),
            Err(CommitError::Store(error)) => Err(error),
            // The same CUO arrived twice at once, and the other delivery was first.
            Err(CommitError::Exists { .. } | CommitError::Stale(_)) => {
                match self.store.recepcion_by_arrival(&propia.ruc, &remitente, &cuo).await? {
                    Some(known) => Ok(repeated(&known, &huella, &pdf, &propia)),
                    None => Err(StoreError::Closed),
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // all of what was found out about one arrival
    pub(super) fn nueva_recepcion(
        &self,
        t: &Tramite,
        propia: &EntidadPropia,
        remitente: Ruc,
        cuo: Cuo,
        documento: Documento,
        huella: Sha256,
        defectos: &[Defecto],
        now: Timestamp,
    ) -> Recepcion {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        Recepcion {
            id: self.id(now),
            version: 1,
            entidad: propia.ruc.clone(),
            cuo,
            cuo_referencia: t.cuo_referencia.clone(),
            remitente: Remitente {
                ruc: remitente,
                nombre: text(&t.nombre_remitente),
                unidad: text(&t.unidad_remitente),
                tipo_documento: text(&t.tipo_identidad),
                numero_documento: text(&t.numero_identidad),
            },
            destinatario: Destinatario {
                unidad: text(&t.unidad_destino),
                nombre: text(&t.nombre_destinatario),
                cargo: text(&t.cargo_destinatario),
            },
            tipo_documento: text(&t.tipo_documento),
            numero_documento: text(&t.numero_documento),
            fecha_documento: t.fecha_documento.as_deref().and_then(lima::leer),
            asunto: text(&t.asunto),
            folios: t.folios,
            documento,
            anexos: t.anexos.iter().flatten().map(|nombre| Anexo::from(nombre.as_str())).collect(),
            url_anexos: t.url_anexos.clone().filter(|url| url.trim() != "?"),
            advertencias: advertencias(t, defectos),
            visto_en: None,
            huella,
            estado: EstadoRecepcion::Pendiente,
            recibido_en: now,
            fecha_presentacion: self.settings().calendario.presentacion(now, propia.cierre),
            numero_registro: None,
            anio_registro: None,
            cargo: None,
            anexos_traidos: Vec::new(),
            cargo_entregado_en: None,
            ultimo_error: None,
            bloqueo: None,
            purga: None,
            actualizado_en: now,
        }
    }

    /// Applies `decide` to a recepcion and commits what it gives, again if another writer was faster.
    pub(super) async fn change_recepcion<T>(
        &self,
        id: crate::domain::Id,
        mut decide: impl FnMut(Recepcion) -> Result<(T, Option<Change>), super::ExchangeError>,
    ) -> Result<T, super::ExchangeError> {
        log::about(id);
        for _ in 0..RACES_MAX {
            let recepcion = self.store.recepcion(id).await?.ok_or(super::ExchangeError::NoExiste)?;
            let (result, change) = decide(recepcion)?;
            let Some(change) = change else { return Ok(result) };
            match self.store.commit(change).await {
                Ok(_) => return Ok(result),
                Err(CommitError::Stale(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(CommitError::Stale(id).into())
    }
}

fn ruc(text: &Option<String>) -> Option<Ruc> {
    Ruc::de_contraparte(text.as_deref()?).ok()
}

/// Digest of everything stated and of the PDF: what "the same content" means.
fn huella(tramite: &Tramite, pdf: &Sha256) -> Sha256 {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&tramite.canonico());
    context.update(pdf.as_str().as_bytes());
    Sha256::from_digest(context.finish().as_ref())
}

/// Of an exchange that was imported only the PDF tells that it is the same.
fn repeated(known: &Recepcion, huella: &Sha256, pdf: &Sha256, propia: &EntidadPropia) -> Respuesta {
    if [huella, pdf].contains(&&known.huella) {
        stored(&known.cuo, propia)
    } else {
        Respuesta::nueva("0003", textos::CUO_NO_VALIDO)
    }
}

fn stored(cuo: &Cuo, propia: &EntidadPropia) -> Respuesta {
    Respuesta::nueva(
        "0000",
        format!(
            "El documento N° CUO {cuo} se encuentra a disposición para la recepción formal de la entidad destinataria \
             {} en los horarios de atención de su Mesa de Partes.",
            propia.nombre
        ),
    )
}

fn advertencias(t: &Tramite, defectos: &[Defecto]) -> Vec<Advertencia> {
    let mut advertencias: Vec<Advertencia> =
        defectos.iter().map(|d| Advertencia { campo: d.campo.into(), detalle: d.texto.into() }).collect();
    if let Some(remitente) = ruc(&t.ruc_remitente)
        && !remitente.digito_correcto()
    {
        let detalle = "El dígito verificador del RUC del remitente no corresponde".into();
        advertencias.push(Advertencia { campo: "remitente.ruc".into(), detalle });
    }
    advertencias
}

/// Our own fault in a sentence that lets the other side act, without paths or internals.
pub(super) fn sentence(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unwritable(_) | StoreError::Database(_) | StoreError::Index(_) => {
            "El servicio de la entidad no puede guardar documentos en este momento; vuelva a intentarlo más tarde."
        }
        _ => "El servicio de la entidad tuvo un error interno y no registró la operación; vuelva a intentarlo.",
    }
}
