//! What the platform is asked and what it says, as data: read from and written to the wire by `services`, changed by
//! faults in between.

use crate::{
    contract::{Flavour, Operation, cuo, entidad, iotramite},
    domain::{
        CargoTramite, Categoria, Consulta, Entidad, Tramite,
        cargo::{Respuesta, RespuestaConsulta},
        entidad::TipoDocumento,
    },
    soap::Message,
    store::Staged,
};

use super::faults::{About, Operacion};

/// A request, read whole; its document is in the spool.
#[derive(Debug, Clone)]
pub enum Asked {
    Cuo { flavour: Flavour, ruc: Option<String>, servicio: Option<String> },
    Recepcionar(Box<Tramite>, Option<Staged>),
    Cargo(Box<CargoTramite>, Option<Staged>),
    Consultar(Consulta),
    Lista(Option<Categoria>),
    Validar(Option<String>),
    Tipos,
}

/// An answer, not written yet.
#[derive(Debug, Clone)]
pub enum Said {
    Cuo {
        flavour: Flavour,
        cuo: String,
    },
    Respuesta(Operation, Respuesta),
    Consultar {
        respuesta: Box<RespuestaConsulta>,
        documento: Option<Staged>,
    },
    Lista(Vec<Entidad>),
    /// What `validarEntidad` answers; `None`: as the directory has it.
    Validar {
        registrada: bool,
        codigo: Option<String>,
    },
    Tipos(Vec<TipoDocumento>),
}

fn text(field: &Option<String>) -> String {
    field.as_deref().map(str::trim).unwrap_or_default().to_owned()
}

impl Asked {
    pub fn about(&self) -> About {
        let none = String::new;
        let (operacion, de, a, cuo) = match self {
            Self::Cuo { ruc, .. } => (Operacion::Cuo, text(ruc), none(), none()),
            Self::Recepcionar(t, _) => {
                (Operacion::Recepcionar, text(&t.ruc_remitente), text(&t.ruc_receptor), text(&t.cuo))
            }
            Self::Cargo(c, _) => (Operacion::Cargo, text(&c.ruc_emisor), text(&c.ruc_destino), text(&c.cuo)),
            Self::Consultar(c) => (Operacion::Consultar, text(&c.ruc_remitente), text(&c.ruc_receptor), text(&c.cuo)),
            Self::Lista(_) => (Operacion::ListaEntidades, none(), none(), none()),
            Self::Validar(ruc) => (Operacion::Validar, none(), text(ruc), none()),
            Self::Tipos => (Operacion::Tipos, none(), none(), none()),
        };
        About { operacion, de, a, cuo }
    }

    pub fn documento(&self) -> Option<&Staged> {
        match self {
            Self::Recepcionar(_, documento) | Self::Cargo(_, documento) => documento.as_ref(),
            _ => None,
        }
    }

    /// The answer of this operation that says that nothing was done.
    pub fn failed(&self, respuesta: Respuesta) -> Said {
        match self {
            Self::Cuo { flavour, .. } => Said::Cuo { flavour: *flavour, cuo: "-1".into() },
            Self::Recepcionar(..) => Said::Respuesta(Operation::Recepcionar, respuesta),
            Self::Cargo(..) => Said::Respuesta(Operation::Cargo, respuesta),
            Self::Consultar(_) => Said::consulta(respuesta),
            Self::Lista(_) => Said::Lista(Vec::new()),
            Self::Validar(_) => Said::Validar { registrada: false, codigo: None },
            Self::Tipos => Said::Tipos(Vec::new()),
        }
    }
}

impl Said {
    pub fn consulta(respuesta: Respuesta) -> Self {
        let respuesta = Box::new(RespuestaConsulta { respuesta, ..RespuestaConsulta::default() });
        Self::Consultar { respuesta, documento: None }
    }

    pub fn respuesta(&self) -> Option<&Respuesta> {
        match self {
            Self::Respuesta(_, respuesta) => Some(respuesta),
            Self::Consultar { respuesta, .. } => Some(&respuesta.respuesta),
            _ => None,
        }
    }

    pub fn respuesta_mut(&mut self) -> Option<&mut Respuesta> {
        match self {
            Self::Respuesta(_, respuesta) => Some(respuesta),
            Self::Consultar { respuesta, .. } => Some(&mut respuesta.respuesta),
            _ => None,
        }
    }

    /// The code that goes out, and the text if the operation has one.
    pub fn words(&self) -> (Option<String>, Option<String>) {
        match self {
            Self::Cuo { cuo, .. } => (Some(cuo.clone()), None),
            Self::Validar { registrada, codigo } => {
                let code = if *registrada { entidad::REGISTRADA } else { entidad::NO_REGISTRADA };
                (Some(codigo.clone().unwrap_or_else(|| code.to_owned())), None)
            }
            other => other.respuesta().map_or((None, None), |r| (r.codigo.clone(), r.descripcion.clone())),
        }
    }

    /// Says another code than it did; a cargo in the answer goes with the code that brought it.
    pub fn say(&mut self, code: &str, words: Option<&str>) {
        match self {
            Self::Cuo { cuo, .. } => *cuo = code.to_owned(),
            Self::Validar { codigo, .. } => *codigo = Some(code.to_owned()),
            Self::Consultar { respuesta, documento } if code.trim() != respuesta.respuesta.codigo() => {
                respuesta.cargo = CargoTramite::default();
                *documento = None;
            }
            _ => {}
        }
        if let Some(respuesta) = self.respuesta_mut() {
            respuesta.codigo = Some(code.to_owned());
            if let Some(words) = words {
                respuesta.descripcion = Some(words.to_owned());
            }
        }
    }

    pub fn documento(&self) -> Option<&Staged> {
        match self {
            Self::Consultar { documento, .. } => documento.as_ref(),
            _ => None,
        }
    }

    pub fn message(&self) -> Message {
        match self {
            Self::Cuo { flavour, cuo } => cuo::respuesta(*flavour, cuo),
            Self::Respuesta(operation, respuesta) => iotramite::respuesta(*operation, respuesta),
            Self::Consultar { respuesta, documento } => {
                iotramite::respuesta_consulta(respuesta, documento.as_ref().map(|d| d.bytes))
            }
            Self::Lista(entidades) => entidad::respuesta_lista(entidades),
            Self::Validar { registrada, codigo: None } => entidad::respuesta_validar(*registrada),
            Self::Validar { codigo: Some(code), .. } => entidad::respuesta_validar_con(code),
            Self::Tipos(tipos) => iotramite::respuesta_tipos_documento(tipos),
        }
    }
}
