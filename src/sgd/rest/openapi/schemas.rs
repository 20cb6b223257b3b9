//! What requests bring, as the document shows it (the handlers read them member by member, to say everything that is wrong
//! at once), and the schemas of our own kinds of text. Tests hold the names here to those that the handlers take.

#![allow(dead_code)] // shapes, never values

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    domain::{Destinatario, Id, Persona, Ruc, Sha256},
    http::Code,
    store::Rol,
};

/// Characters of a CUO, of which older ones have less.
const CUO: &str = "^[0-9A-Za-z]{1,10}$";

macro_rules! text {
    ($type:ty, $name:literal, $schema:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

text!(Ruc, "Ruc", json_schema!({"type": "string", "pattern": "^[0-9]{11}$"}));
text!(Sha256, "Sha256", json_schema!({"type": "string", "pattern": "^[0-9a-f]{64}$"}));

/// A file in base64.
pub struct Base64;
text!(
    Base64,
    "Base64",
    json_schema!({"type": "string", "contentEncoding": "base64", "contentMediaType": "application/pdf"})
);

/// A file of any kind in base64.
pub struct ArchivoEnBase64;
text!(
    ArchivoEnBase64,
    "ArchivoEnBase64",
    json_schema!({"type": "string", "minLength": 4, "contentEncoding": "base64"})
);

/// `cflgest`, as the wire has it.
pub struct Letra;
text!(Letra, "Letra", json_schema!({"type": "string", "enum": ["P", "E", "R", "O", "S"]}));

pub struct Cuo;
text!(Cuo, "Cuo", json_schema!({"type": "string", "pattern": CUO}));

/// `minLength` and `maxLength` of texts that the specification bounds.
pub struct Texto<const MAX: u32>;

impl<const MAX: u32> JsonSchema for Texto<MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Texto{MAX}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": MAX})
    }
}

#[derive(JsonSchema)]
pub struct DocumentoNuevo {
    nombre: Texto<200>,
    contenido: Base64,
}

#[derive(JsonSchema)]
pub struct NombreDeDocumento {
    nombre: Option<Texto<200>>,
}

#[derive(JsonSchema)]
pub struct AnexoNuevo {
    nombre: Texto<100>,
    contenido: Option<ArchivoEnBase64>,
}

/// A new despacho; `D` is how its document comes.
#[derive(JsonSchema)]
#[schemars(rename = "DespachoCon{D}")]
pub struct DespachoCon<D> {
    entidad: Option<Ruc>,
    numero_registro: Texto<30>,
    destino: Option<Ruc>,
    destinos: Option<Vec<Ruc>>,
    unidad_remitente: Texto<250>,
    codigo_unidad_remitente: Option<String>,
    usuario: String,
    remitente: Persona,
    destinatario: Destinatario,
    tipo_documento: Texto<2>,
    numero_documento: Texto<100>,
    fecha_documento: Option<Timestamp>,
    asunto: Texto<500>,
    folios: Option<u32>,
    documento: D,
    anexos: Option<Vec<AnexoNuevo>>,
    url_anexos: Option<Texto<200>>,
    referencia: Option<Cuo>,
}

pub type DespachoNuevo = DespachoCon<DocumentoNuevo>;
/// As `datos` of a form, or of a document that is here already.
pub type DatosDeDespacho = DespachoCon<Option<NombreDeDocumento>>;

#[derive(JsonSchema)]
pub struct AnexoPedido {
    url: Option<String>,
}

#[derive(JsonSchema)]
pub struct CargoNuevo {
    contenido: Base64,
}

#[derive(JsonSchema)]
pub struct NuevaRecepcionada {
    numero_registro: Texto<14>,
    anio_registro: Option<Texto<4>>,
    fecha_registro: Option<Timestamp>,
    unidad: Texto<250>,
    codigo_unidad: Option<String>,
    usuario: Texto<100>,
    cargo: Option<CargoNuevo>,
}

#[derive(JsonSchema)]
pub struct NuevaObservada {
    numero_registro: Texto<14>,
    anio_registro: Option<Texto<4>>,
    fecha_registro: Option<Timestamp>,
    unidad: Texto<250>,
    codigo_unidad: Option<String>,
    usuario: Texto<100>,
    observacion: Texto<250>,
    cargo: Option<CargoNuevo>,
}

#[derive(JsonSchema)]
pub struct NuevoRegistro {
    numero_registro: Texto<14>,
    anio_registro: Option<Texto<4>>,
}

#[derive(JsonSchema)]
pub struct Motivo {
    motivo: Option<String>,
}

#[derive(JsonSchema)]
pub struct MotivoObligatorio {
    motivo: Texto<1000>,
}

#[derive(JsonSchema)]
pub struct MantenimientoPedido {
    motivo: Texto<1000>,
    hasta: Option<Timestamp>,
}

#[derive(JsonSchema)]
pub struct PurgaPedida {
    corrida: Option<Id>,
    cursor: Option<String>,
}

#[derive(JsonSchema)]
pub struct ImportacionPedida {
    cursor: Option<String>,
}

#[derive(JsonSchema)]
pub struct ClaveNueva {
    nombre: Texto<100>,
    rol: Rol,
    entidad: Option<Ruc>,
}

#[derive(JsonSchema)]
pub struct UsuarioNuevo {
    cuenta: Texto<64>,
    nombre: Texto<100>,
    rol: Rol,
    entidad: Option<Ruc>,
    contrasena: Option<String>,
}

#[derive(JsonSchema)]
pub struct OtraContrasena {
    contrasena: Option<String>,
}

#[derive(JsonSchema)]
pub struct Repeticion {
    desde: Option<String>,
    id: Option<Id>,
}

/// Where one or several were asked for.
#[derive(JsonSchema)]
#[serde(untagged)]
pub enum UnoOVarios<U, V> {
    Uno(U),
    Varios(V),
}

#[derive(JsonSchema)]
pub struct Vivo {
    estado: String,
}

#[derive(JsonSchema)]
#[schemars(rename = "CampoNoValido")]
pub struct Campo {
    field: String,
    code: String,
    detail: String,
}

/// An error, as RFC 9457 has it.
#[derive(JsonSchema)]
#[schemars(rename = "Problema")]
pub struct Problema {
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    #[schemars(with = "Codigo")]
    code: Code,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Campo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

pub struct Codigo;

impl JsonSchema for Codigo {
    fn schema_name() -> Cow<'static, str> {
        "Codigo".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "enum": Code::ALL.map(Code::word)})
    }
}
