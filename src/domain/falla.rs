//! The catalogue of what goes wrong in an exchange: for each kind a stable code, what it means, who must act, whether it may
//! be tried again, and what to do. docs/fallas.md is written from it; a test holds them together.

use serde::{Deserialize, Serialize};

use super::cargo::Respuesta;

/// One kind of failure between two entities. Stored with jobs; the names never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, schemars::JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Falla {
    SinConexion,
    TiempoAgotado,
    ConexionCortada,
    Ocupada,
    ErrorHttp,
    PaginaWeb,
    RespuestaVacia,
    FalloSoap,
    RespuestaIlegible,
    SinCodigo,
    CodigoDesconocido,
    ErrorDeLaReceptora,
    CuoNoValido,
    CampoNoValido,
    RemitenteNoRegistrada,
    ReceptoraNoRegistrada,
    CargoNoReconocido,
    SinCargo,
    NegadoTrasAceptar,
    RespuestaAjena,
    CuoRepetido,
    EnvioInterrumpido,
    Almacen,
    EntidadNoConfigurada,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reintento {
    /// The same, with the same CUO.
    Si,
    /// It may have arrived: only after a consulta.
    PreguntarAntes,
    /// Not before somebody changed something.
    No,
}

/// Who must act for it to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Responsable {
    /// Nobody: it ends by itself.
    Nadie,
    /// Whoever runs this service.
    Operador,
    /// Whoever prepared the document in the SGD.
    Sgd,
    /// The other entity.
    OtraEntidad,
    /// The national platform's help desk.
    Plataforma,
}

/// What the catalogue says of a kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entrada {
    /// One line.
    pub titulo: &'static str,
    pub causa: &'static str,
    pub quien: Responsable,
    pub reintento: Reintento,
    pub remedio: &'static str,
}

impl Reintento {
    pub fn palabras(self) -> &'static str {
        match self {
            Self::Si => "sí, con el mismo CUO",
            Self::PreguntarAntes => "sí, pero antes se pregunta si llegó",
            Self::No => "no, hasta que alguien corrija la causa",
        }
    }
}

impl Responsable {
    pub fn palabras(self) -> &'static str {
        match self {
            Self::Nadie => "nadie (se resuelve solo)",
            Self::Operador => "quien opera este servicio",
            Self::Sgd => "quien preparó el documento en el SGD",
            Self::OtraEntidad => "la otra entidad",
            Self::Plataforma => "la mesa de ayuda de la plataforma",
        }
    }
}

impl Falla {
    pub const TODAS: [Self; 24] = [
        Self::SinConexion,
        Self::TiempoAgotado,
        Self::ConexionCortada,
        Self::Ocupada,
        Self::ErrorHttp,
        Self::PaginaWeb,
        Self::RespuestaVacia,
        Self::FalloSoap,
        Self::RespuestaIlegible,
        Self::SinCodigo,
        Self::CodigoDesconocido,
        Self::ErrorDeLaReceptora,
        Self::CuoNoValido,
        Self::CampoNoValido,
        Self::RemitenteNoRegistrada,
        Self::ReceptoraNoRegistrada,
        Self::CargoNoReconocido,
        Self::SinCargo,
        Self::NegadoTrasAceptar,
        Self::RespuestaAjena,
        Self::CuoRepetido,
        Self::EnvioInterrumpido,
        Self::Almacen,
        Self::EntidadNoConfigurada,
    ];

    /// The stable code.
    pub fn codigo(self) -> &'static str {
        match self {
            Self::SinConexion => "sin_conexion",
            Self::TiempoAgotado => "tiempo_agotado",
            Self::ConexionCortada => "conexion_cortada",
            Self::Ocupada => "ocupada",
            Self::ErrorHttp => "error_http",
            Self::PaginaWeb => "pagina_web",
            Self::RespuestaVacia => "respuesta_vacia",
            Self::FalloSoap => "fallo_soap",
            Self::RespuestaIlegible => "respuesta_ilegible",
            Self::SinCodigo => "sin_codigo",
            Self::CodigoDesconocido => "codigo_desconocido",
            Self::ErrorDeLaReceptora => "error_de_la_receptora",
            Self::CuoNoValido => "cuo_no_valido",
            Self::CampoNoValido => "campo_no_valido",
            Self::RemitenteNoRegistrada => "remitente_no_registrada",
            Self::ReceptoraNoRegistrada => "receptora_no_registrada",
            Self::CargoNoReconocido => "cargo_no_reconocido",
            Self::SinCargo => "sin_cargo",
            Self::NegadoTrasAceptar => "negado_tras_aceptar",
            Self::RespuestaAjena => "respuesta_ajena",
            Self::CuoRepetido => "cuo_repetido",
            Self::EnvioInterrumpido => "envio_interrumpido",
            Self::Almacen => "almacen",
            Self::EntidadNoConfigurada => "entidad_no_configurada",
        }
    }

    /// The failure an answer means that is neither success nor "not found" (CONTRACT §6 and §7). Texts are only used to say
    /// more about a refusal, never to decide what is sent.
    pub fn de_respuesta(respuesta: &Respuesta) -> Self {
        let text = respuesta.descripcion().to_lowercase();
        match respuesta.codigo() {
            "" => Self::SinCodigo,
            "-1" if text.contains("no se pudo registrar el cargo") => Self::CargoNoReconocido,
            "-1" => Self::ErrorDeLaReceptora,
            "0003" if text.starts_with("cuo no v") => Self::CuoNoValido,
            "0003" if text.contains("no se encuentra registrada") && text.contains("remitente") => {
                Self::RemitenteNoRegistrada
            }
            "0003" if text.contains("no se encuentra registrada") => Self::ReceptoraNoRegistrada,
            "0003" => Self::CampoNoValido,
            _ => Self::CodigoDesconocido,
        }
    }

    #[allow(clippy::too_many_lines)] // a table
    pub fn entrada(self) -> Entrada {
        use Reintento as R;
        use Responsable as Q;
        let (titulo, causa, quien, reintento, remedio) = match self {
            Self::SinConexion => (
                "No se pudo conectar con la plataforma",
                "La red, el cortafuegos o la plataforma no dejaron abrir la conexión; nada salió de aquí.",
                Q::Operador,
                R::Si,
                "Compruebe la salida a Internet y que la IP pública de la entidad siga autorizada en la plataforma. En el \
                 ambiente de simulación, compruebe que «chasqui simulator» esté en marcha.",
            ),
            Self::TiempoAgotado => (
                "La respuesta no llegó a tiempo",
                "La plataforma o la otra entidad tardaron más de lo configurado; el documento pudo haber llegado.",
                Q::Nadie,
                R::PreguntarAntes,
                "Si se repite con documentos grandes, aumente pide.total_timeout.",
            ),
            Self::ConexionCortada => (
                "La conexión se cortó antes de la respuesta",
                "La red o el otro extremo cerraron la conexión; el documento pudo haber llegado.",
                Q::Nadie,
                R::PreguntarAntes,
                "Espere: se consultará si llegó. Si se repite, revise la red con su proveedor.",
            ),
            Self::Ocupada => (
                "La plataforma pidió esperar",
                "Está saturada o en mantenimiento (HTTP 503).",
                Q::Nadie,
                R::PreguntarAntes,
                "Espere: se vuelve a intentar cuando ella indica.",
            ),
            Self::ErrorHttp => (
                "La plataforma respondió con un error HTTP",
                "Falla suya o de un intermediario; no dice si el documento llegó.",
                Q::Plataforma,
                R::PreguntarAntes,
                "Si dura más de una hora, escriba a la mesa de ayuda con la hora y el CUO.",
            ),
            Self::PaginaWeb => (
                "Llegó una página web en lugar de la respuesta",
                "Un cortafuegos, proxy o pantalla de mantenimiento contestó en vez del servicio.",
                Q::Operador,
                R::PreguntarAntes,
                "Revise si un proxy de la entidad intercepta la salida; si no, espere a que la plataforma se recupere.",
            ),
            Self::RespuestaVacia => (
                "La respuesta llegó vacía",
                "La plataforma aceptó la petición y no dijo qué pasó; el documento pudo haber llegado.",
                Q::Nadie,
                R::PreguntarAntes,
                "Espere: se consultará si llegó.",
            ),
            Self::FalloSoap => (
                "El servicio respondió con un fallo SOAP",
                "La petición no pudo tratarse; suele ser una falla interna del otro extremo.",
                Q::Plataforma,
                R::PreguntarAntes,
                "Si se repite, envíe el texto del fallo a la mesa de ayuda.",
            ),
            Self::RespuestaIlegible => (
                "La respuesta no se entiende",
                "No es el XML que el servicio debe devolver.",
                Q::Plataforma,
                R::PreguntarAntes,
                "Compruebe las direcciones de [pide]; si son correctas, avise a la mesa de ayuda.",
            ),
            Self::SinCodigo => (
                "La respuesta no trae código",
                "El componente de la otra entidad falló y devolvió null o vacío; es un defecto conocido del componente de 2018.",
                Q::OtraEntidad,
                R::PreguntarAntes,
                "Espere: se consultará si llegó. Si sigue, pida a la otra entidad que revise su wsiotramite.",
            ),
            Self::CodigoDesconocido => (
                "La respuesta trae un código que no existe",
                "La otra entidad usa un código fuera de la especificación.",
                Q::OtraEntidad,
                R::PreguntarAntes,
                "Espere: se consultará si llegó. Avise a la otra entidad con el código que devuelve.",
            ),
            Self::ErrorDeLaReceptora => (
                "La otra entidad respondió con un error (-1)",
                "Su servicio está caído, o falló al registrar.",
                Q::OtraEntidad,
                R::PreguntarAntes,
                "Espere: se insiste solo. Si dura, llame a la mesa de partes o a la oficina de TI de esa entidad.",
            ),
            Self::CuoNoValido => (
                "El CUO no fue aceptado",
                "El número ya se usó para otro documento, o la plataforma no lo reconoce.",
                Q::Nadie,
                R::No,
                "Se pide otro CUO automáticamente; si se rechazan varios, avise a la mesa de ayuda de la plataforma.",
            ),
            Self::CampoNoValido => (
                "Un dato del documento fue rechazado",
                "La plataforma o la otra entidad no aceptan un campo; la respuesta dice cuál.",
                Q::Sgd,
                R::No,
                "Corrija el dato en el SGD y registre un despacho nuevo.",
            ),
            Self::RemitenteNoRegistrada => (
                "La plataforma no reconoce a nuestra entidad",
                "El RUC remitente no está dado de alta para este servicio.",
                Q::Operador,
                R::No,
                "Compruebe el RUC en [[entity]] y pida el alta a la mesa de ayuda; después reintente.",
            ),
            Self::ReceptoraNoRegistrada => (
                "La entidad de destino no está en la plataforma",
                "Su RUC no está dado de alta para recibir documentos.",
                Q::Sgd,
                R::No,
                "Compruebe el RUC de destino; si es correcto, el documento debe ir por otra vía.",
            ),
            Self::CargoNoReconocido => (
                "La otra entidad no reconoce el documento del cargo",
                "Su sistema no encuentra el CUO que ella misma envió.",
                Q::OtraEntidad,
                R::Si,
                "Se insiste solo. Si dura, comunique a esa entidad el CUO y el número de registro del cargo.",
            ),
            Self::SinCargo => (
                "La otra entidad aún no emite el cargo",
                "El documento llegó y su mesa de partes no lo ha atendido, o su cargo se perdió.",
                Q::OtraEntidad,
                R::Si,
                "Se pregunta solo cada cierto tiempo. Si pasó el plazo, llame a la mesa de partes de esa entidad.",
            ),
            Self::NegadoTrasAceptar => (
                "La otra entidad dice no tener lo que aceptó",
                "Respondió 0000 al envío, o una consulta lo halló, y ahora responde que no existe: su sistema lo perdió o consulta \
                 en otro lugar.",
                Q::OtraEntidad,
                R::PreguntarAntes,
                "Llame a su mesa de partes con el CUO. No se envía otra vez solo, para no duplicarlo: si de verdad no lo tienen, \
                 registre un despacho nuevo.",
            ),
            Self::RespuestaAjena => (
                "La consulta habla de otro documento",
                "La fecha de registro que trae es anterior a este documento: con ese CUO la otra entidad tiene otro, o su reloj \
                 está mal.",
                Q::OtraEntidad,
                R::PreguntarAntes,
                "No se toma por respuesta. Pregunte a su mesa de partes qué documento tiene con ese CUO y qué fecha marca su sistema.",
            ),
            Self::CuoRepetido => (
                "La plataforma repite un CUO",
                "Dio un CUO que ya había dado para otro documento de esta entidad; nada se envió con él.",
                Q::Plataforma,
                R::No,
                "Se pide otro automáticamente; si lo repite tres veces, avise a la mesa de ayuda de la plataforma y después reintente.",
            ),
            Self::EnvioInterrumpido => (
                "El envío quedó interrumpido",
                "Este servicio se detuvo en medio de un envío; el documento pudo haber llegado.",
                Q::Nadie,
                R::PreguntarAntes,
                "Espere: se consultará si llegó.",
            ),
            Self::Almacen => (
                "No se puede escribir o leer el almacén",
                "El disco está lleno, es de solo lectura, o un archivo está dañado.",
                Q::Operador,
                R::Si,
                "Libere espacio; si no es eso, ejecute «chasqui store verify».",
            ),
            Self::EntidadNoConfigurada => (
                "La entidad remitente ya no está en la configuración",
                "Hay trabajo pendiente de una entidad que se quitó de [[entity]].",
                Q::Operador,
                R::No,
                "Vuelva a agregarla en la configuración, o descarte el trabajo.",
            ),
        };
        Entrada { titulo, causa, quien, reintento, remedio }
    }
}

impl std::fmt::Display for Falla {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.codigo())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/fallas.md as the catalogue would write it: `UPDATE_DOCS=1 cargo test` does.
    fn manual() -> String {
        let mut text = String::from(
            "# Fallas del intercambio\n\nLo que puede salir mal entre dos entidades, con su código estable (el que muestran \
             `chasqui queue` y `/api/v1/cola`),\nquién debe actuar y qué hacer. Este archivo se genera del catálogo del \
             programa (`src/domain/falla.rs`).\n",
        );
        for falla in Falla::TODAS {
            let e = falla.entrada();
            text += &format!(
                "\n## `{}`\n\n**{}.** {}\n\n- Quién debe actuar: {}.\n- ¿Se reintenta?: {}.\n- Qué hacer: {}\n",
                falla.codigo(),
                e.titulo,
                e.causa,
                e.quien.palabras(),
                e.reintento.palabras(),
                e.remedio
            );
        }
        text
    }

    #[test]
    fn the_manual_says_what_the_catalogue_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/fallas.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, manual()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), manual(), "run UPDATE_DOCS=1 cargo test");
    }

    #[test]
    fn codes_are_the_names_in_storage_and_no_two_are_the_same() {
        let mut codes: Vec<&str> = Falla::TODAS.iter().map(|f| f.codigo()).collect();
        for falla in Falla::TODAS {
            assert_eq!(serde_json::to_value(falla).unwrap(), falla.codigo());
        }
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Falla::TODAS.len());
    }

    #[test]
    fn known_answers_map_to_their_entries() {
        for (code, text, falla) in [
            ("", "", Falla::SinCodigo),
            ("-1", "Error en el servicio", Falla::ErrorDeLaReceptora),
            ("-1", "NO SE PUDO REGISTRAR EL CARGO", Falla::CargoNoReconocido),
            ("0003", "CUO no valido", Falla::CuoNoValido),
            ("0003", "CUO no válido", Falla::CuoNoValido),
            ("0003", "RUC de Entidad remitente no se encuentra registrada", Falla::RemitenteNoRegistrada),
            ("0003", "RUC de entidad receptora no se encuentra registrada", Falla::ReceptoraNoRegistrada),
            ("0003", "Asunto de documento no especificado", Falla::CampoNoValido),
            ("9999", "?", Falla::CodigoDesconocido),
        ] {
            assert_eq!(Falla::de_respuesta(&Respuesta::nueva(code, text)), falla, "{code} {text}");
        }
    }
}
