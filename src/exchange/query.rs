//! Somebody asks for the state of a document we received.

use super::{Exchange, receive::sentence};
use crate::{
    domain::{
        CargoTramite, Consulta, Contenido, Cuo, Recepcion, Ruc,
        cargo::{Respuesta, RespuestaConsulta},
        lima,
    },
    store::{BlobReader, StoreError},
};

/// The answer, with the cargo's PDF if there is one.
pub struct ConsultaRespondida {
    pub respuesta: RespuestaConsulta,
    pub documento: Option<BlobReader>,
}

impl Exchange {
    pub async fn responder_consulta(&self, consulta: &Consulta) -> ConsultaRespondida {
        match self.try_responder_consulta(consulta).await {
            Ok(answered) => answered,
            Err(error) => {
                tracing::error!(%error, "a query could not be answered");
                sin_documento(Respuesta::nueva("-1", sentence(&error)))
            }
        }
    }

    async fn try_responder_consulta(&self, consulta: &Consulta) -> Result<ConsultaRespondida, StoreError> {
        let found = match consulta.cuo.as_deref().and_then(|text| Cuo::parse(text).ok()) {
            Some(cuo) => self.recepcion_de(&cuo, consulta).await?,
            None => None,
        };
        let Some(recepcion) = found else {
            return Ok(sin_documento(Respuesta::nueva("0001", "DATOS NO ENCONTRADOS")));
        };
        // Of a purged one the state is told and its PDF is not there any more.
        let kept = recepcion.cargo.as_ref().filter(|_| recepcion.purga.is_none());
        let documento = match kept.and_then(|c| c.documento.as_ref()) {
            Some(pdf) => Some(self.store.open_document(&pdf.sha256).await?),
            None => None,
        };
        let respuesta = Respuesta::nueva("0000", "DATOS ENCONTRADOS");
        Ok(ConsultaRespondida { respuesta: RespuestaConsulta { respuesta, cargo: stated(&recepcion) }, documento })
    }

    /// The arrival the question is about: by CUO among our entities, narrowed by the RUCs where the question names them.
    async fn recepcion_de(&self, cuo: &Cuo, consulta: &Consulta) -> Result<Option<Recepcion>, StoreError> {
        let named = |text: &Option<String>| text.as_deref().and_then(|text| Ruc::de_contraparte(text).ok());
        let (remitente, receptor) = (named(&consulta.ruc_remitente), named(&consulta.ruc_receptor));
        for propia in &self.settings().entidades {
            if receptor.as_ref().is_some_and(|ruc| *ruc != propia.ruc) {
                continue;
            }
            let arrivals = self.store.recepciones_by_cuo(&propia.ruc, cuo).await?;
            let found = arrivals.into_iter().rfind(|r| remitente.as_ref().is_none_or(|ruc| *ruc == r.remitente.ruc));
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

fn sin_documento(respuesta: Respuesta) -> ConsultaRespondida {
    ConsultaRespondida { respuesta: RespuestaConsulta { respuesta, cargo: CargoTramite::default() }, documento: None }
}

fn stated(r: &Recepcion) -> CargoTramite {
    let base = CargoTramite {
        cuo: Some(r.cuo.to_string()),
        cuo_referencia: r.cuo_referencia.clone(),
        estado: Some(r.estado.letra().into()),
        ..CargoTramite::default()
    };
    let Some(cargo) = &r.cargo else { return base };
    CargoTramite {
        numero_registro: cargo.numero_registro.clone(),
        anio_registro: cargo.anio_registro.clone(),
        fecha_registro: cargo.fecha_registro.map(lima::texto),
        unidad: cargo.unidad.clone(),
        usuario: cargo.usuario.clone(),
        contenido: if cargo.documento.is_some() && r.purga.is_none() {
            Contenido::Pdf { una_vez: false }
        } else {
            Contenido::Ausente
        },
        observacion: cargo.observacion.clone(),
        ..base
    }
}
