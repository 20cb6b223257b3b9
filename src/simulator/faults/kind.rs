//! The kinds of fault and the operations they strike, as data: names, what each does, and the keys that go with it.

use serde::{Serialize, Serializer};

/// What the platform can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operacion {
    Cuo,
    Recepcionar,
    Cargo,
    Consultar,
    ListaEntidades,
    Validar,
    Tipos,
}

impl Operacion {
    pub const TODAS: [Self; 7] =
        [Self::Cuo, Self::Recepcionar, Self::Cargo, Self::Consultar, Self::ListaEntidades, Self::Validar, Self::Tipos];

    pub fn nombre(self) -> &'static str {
        match self {
            Self::Cuo => "cuo",
            Self::Recepcionar => "recepcionar",
            Self::Cargo => "cargo",
            Self::Consultar => "consultar",
            Self::ListaEntidades => "lista-entidades",
            Self::Validar => "validar",
            Self::Tipos => "tipos",
        }
    }
}

impl Serialize for Operacion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.nombre())
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Demora,
    Corte,
    CorteAMedias,
    Fallo500,
    Error503,
    Html,
    Vacia,
    Nula,
    SinVdesres,
    Codigo,
    Caida,
    Duplicada,
    CargoAntes,
    CargoDistinto,
    Gzip,
    CierraConexion,
    Charset,
    Reloj,
}

/// What the manual and the reader of scripts know of a kind.
pub struct Form {
    pub nombre: &'static str,
    pub explicacion: &'static str,
    /// Keys that only some kinds have.
    pub claves: &'static [&'static str],
    pub operaciones: &'static [Operacion],
}

use Operacion as O;

const ANY: &[O] = &O::TODAS;
const MESSAGES: &[O] = &[O::Recepcionar, O::Cargo, O::Consultar];
const WITH_CODE: &[O] = &[O::Recepcionar, O::Cargo, O::Consultar, O::Cuo, O::Validar];

impl Kind {
    pub const TODAS: [Self; 18] = [
        Self::Demora,
        Self::Corte,
        Self::CorteAMedias,
        Self::Fallo500,
        Self::Error503,
        Self::Html,
        Self::Vacia,
        Self::Nula,
        Self::SinVdesres,
        Self::Codigo,
        Self::Caida,
        Self::Duplicada,
        Self::CargoAntes,
        Self::CargoDistinto,
        Self::Gzip,
        Self::CierraConexion,
        Self::Charset,
        Self::Reloj,
    ];

    pub fn form(self) -> Form {
        let (nombre, claves, operaciones, explicacion): (_, &[&str], _, _) = match self {
            Self::Demora => ("demora", &["tiempo", "antes"], ANY, "la respuesta tarda; con antes = true, la entrega"),
            Self::Corte => ("corte", &[], ANY, "la conexión se cierra sin respuesta"),
            Self::CorteAMedias => ("corte_a_medias", &[], ANY, "la conexión se cierra a mitad de la respuesta"),
            Self::Fallo500 => ("fallo_500", &["texto"], ANY, "HTTP 500 con un fallo SOAP"),
            Self::Error503 => {
                ("error_503", &["reintentar_en"], ANY, "HTTP 503, con Retry-After si se da reintentar_en")
            }
            Self::Html => ("html", &[], ANY, "HTTP 200 con una página web"),
            Self::Vacia => ("vacia", &[], ANY, "HTTP 202 sin nada"),
            Self::Nula => ("nula", &[], ANY, "la operación responde null"),
            Self::SinVdesres => ("sin_vdesres", &[], MESSAGES, "la respuesta trae vdesres vacío"),
            Self::Codigo => {
                ("codigo", &["valor", "texto"], WITH_CODE, "la respuesta trae el código que se dé en valor")
            }
            Self::Caida => ("caida", &["texto"], MESSAGES, "la entidad de destino no está: -1 y nada se entrega"),
            Self::Duplicada => {
                ("duplicada", &["copias", "a_la_vez"], &[O::Recepcionar, O::Cargo], "se entrega varias veces")
            }
            Self::CargoAntes => {
                let what = "la respuesta espera a que haya pasado el cargo del documento";
                ("cargo_antes", &["tiempo"], &[O::Recepcionar], what)
            }
            Self::CargoDistinto => {
                ("cargo_distinto", &[], &[O::Cargo], "tras el cargo se entrega otro con distinto contenido")
            }
            Self::Gzip => ("gzip", &[], ANY, "la respuesta llega comprimida"),
            Self::CierraConexion => {
                ("cierra_conexion", &[], ANY, "la conexión se cierra tras la respuesta sin haberlo anunciado")
            }
            Self::Charset => {
                ("charset", &["declarado", "real"], ANY, "la codificación que se declara no es la que se usa")
            }
            Self::Reloj => ("reloj", &["desfase"], MESSAGES, "el reloj de la plataforma va adelantado o atrasado"),
        };
        Form { nombre, explicacion, claves, operaciones }
    }

    pub fn nombre(self) -> &'static str {
        self.form().nombre
    }

    /// Whether the receiver gets the message all the same, where a rule does not say.
    pub fn delivers(self) -> bool {
        !matches!(self, Self::Error503 | Self::Caida)
    }

    /// Whether what the service said never reaches the caller whole.
    pub fn hides_answer(self) -> bool {
        matches!(
            self,
            Self::Corte | Self::CorteAMedias | Self::Fallo500 | Self::Error503 | Self::Html | Self::Vacia | Self::Nula
        )
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.nombre())
    }
}
