//! A counterpart sends a document to a registered entity, so that an entity under test has something to receive.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    counterpart::Contraparte,
    pdf::Hoja,
    registry::Destino,
    relay::{self, Core},
    request::Asked,
};
use crate::domain::{Contenido, Sha256, Tramite, lima, validation::largo};

/// What is to be sent. Only the two ends are mandatory.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envio {
    /// RUC of a built-in counterpart.
    pub de: String,
    /// RUC of the entity that receives.
    pub a: String,
    pub asunto: Option<String>,
    /// CUO of the observed document that this one corrects.
    pub referencia: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Enviado {
    pub cuo: String,
    pub sha256: String,
    pub bytes: u64,
    pub vcodres: Option<String>,
    pub vdesres: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum EnviarError {
    #[error("«{0}» no es el RUC de una contraparte del simulador")]
    NoEsContraparte(String),
    #[error("el simulador no pudo preparar el documento")]
    Documento,
}

impl Core {
    pub async fn enviar(self: &Arc<Self>, envio: &Envio) -> Result<Enviado, EnviarError> {
        let quien = match self.registry.find(Some(&envio.de)).map(|r| r.destino) {
            Some(Destino::Contraparte(quien)) => quien,
            _ => return Err(EnviarError::NoEsContraparte(envio.de.chars().take(20).collect())),
        };
        let cuo = self.registry.cuo(self.clock.now());
        let tramite = self.tramite(&quien, envio, &cuo);
        let staged = self.spool.keep(&pdf(&quien, &tramite)).await.map_err(|error| {
            relay::our_fault(&error);
            EnviarError::Documento
        })?;
        let (sha256, bytes): (Sha256, u64) = (staged.sha256.clone(), staged.bytes);
        self.counterparts.enviado(&quien, &cuo);
        let (said, plan) = self.attend(Asked::Recepcionar(Box::new(tramite), Some(staged))).await;
        let (vcodres, vdesres) = if plan.answers() { said.words() } else { (None, None) };
        Ok(Enviado { cuo, sha256: sha256.to_string(), bytes, vcodres, vdesres })
    }

    fn tramite(&self, quien: &Contraparte, envio: &Envio, cuo: &str) -> Tramite {
        let some = |text: &str| Some(text.to_owned());
        let now = self.clock.now();
        let asunto = envio.asunto.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let asunto = asunto.unwrap_or("Documento de prueba enviado por el simulador");
        let anio = lima::en_lima(now).year();
        Tramite {
            ruc_remitente: some(&quien.ruc),
            ruc_receptor: some(envio.a.trim()),
            nombre_remitente: some(&quien.nombre),
            unidad_remitente: some("OFICINA DE GESTIÓN DOCUMENTAL"),
            tipo_identidad: some("1"),
            numero_identidad: some("40000001"),
            cuo: Some(cuo.to_string()),
            cuo_referencia: envio.referencia.clone(),
            tipo_documento: some("01"),
            numero_documento: Some(format!("OFICIO {cuo}-{anio}-SIM")),
            fecha_documento: Some(lima::texto(now)),
            unidad_destino: some("MESA DE PARTES"),
            nombre_destinatario: some("A QUIEN CORRESPONDA"),
            cargo_destinatario: some("JEFATURA"),
            asunto: Some(asunto.chars().take(largo::ASUNTO).collect()),
            numero_anexos: Some(0),
            folios: Some(1),
            nombre_documento: Some(format!("oficio-{cuo}.pdf")),
            contenido: Contenido::Pdf { una_vez: false },
            ..Tramite::default()
        }
    }
}

fn pdf(quien: &Contraparte, t: &Tramite) -> Vec<u8> {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let hoja = Hoja {
        membrete: quien.nombre.clone(),
        titulo: text(&t.numero_documento),
        datos: vec![
            ("Para".to_owned(), format!("{} (RUC {})", text(&t.unidad_destino), text(&t.ruc_receptor))),
            ("Asunto".to_owned(), text(&t.asunto)),
            ("CUO".to_owned(), text(&t.cuo)),
            ("Fecha".to_owned(), text(&t.fecha_documento)),
        ],
        parrafos: vec![
            "Este documento lo generó el simulador para probar la recepción: su mesa de partes puede registrarlo y \
             responderlo como cualquier otro, y el cargo volverá a la entidad simulada."
                .to_owned(),
        ],
        pie: "Documento de prueba del simulador de chasqui; no está firmado y no tiene valor legal.".to_owned(),
    };
    hoja.render()
}
