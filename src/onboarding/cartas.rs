//! The e-mails of the road, each with the subject that its office sorts by and the files it must bring.

use super::{
    Contexto, Expediente, OnboardingError, Problema,
    correo::{Adjunto, Buzon, Mensaje},
    expediente::Dato,
    formularios::{Formulario, Servicio, cargo_master},
    revision::Revision,
    sello,
};
use crate::domain::lima;

/// Where they go (CONTRACT §12).
pub const MESA_DE_AYUDA: &str = "mesadeayuda@gobiernodigital.gob.pe";
/// Largest attachment and all together, in bytes: mail servers take no more.
pub const ADJUNTO_BYTES_MAX: u64 = 8 * 1024 * 1024;
const ADJUNTOS_BYTES_MAX: usize = 18 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carta {
    Master,
    Consumo,
    Acceso,
    Componente,
    Pruebas,
    Produccion,
}

/// Gives the bytes of a file that the dossier names. `Err` says what is wrong, for people.
pub type Lector<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

/// A file that goes along.
struct Anexo<'a> {
    clave: &'static str,
    archivo: &'a Dato,
    /// As it is called in the e-mail.
    nombre: String,
    firmado: bool,
}

impl Carta {
    pub const TODAS: [Self; 6] =
        [Self::Master, Self::Consumo, Self::Acceso, Self::Componente, Self::Pruebas, Self::Produccion];

    /// As commands call it.
    pub fn palabra(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Consumo => "consumo",
            Self::Acceso => "acceso",
            Self::Componente => "componente",
            Self::Pruebas => "pruebas",
            Self::Produccion => "produccion",
        }
    }

    /// Word for word: the office sorts by it.
    pub fn asunto(self) -> &'static str {
        match self {
            Self::Master | Self::Consumo | Self::Acceso => "PIDE",
            Self::Componente => "MPV",
            Self::Pruebas => "MPV Pruebas",
            Self::Produccion => "MPV pase a producción",
        }
    }

    /// What the dossier lacks for it, its files among it.
    pub fn problemas(self, expediente: &Expediente, contexto: &Contexto<'_>, lector: Lector<'_>) -> Vec<Problema> {
        self.preparar(expediente, contexto, lector).1
    }

    /// The whole e-mail as a file. `id`: unlike that of any other.
    pub fn eml(
        self,
        expediente: &Expediente,
        contexto: &Contexto<'_>,
        lector: Lector<'_>,
        id: &str,
    ) -> Result<Vec<u8>, OnboardingError> {
        let (mut adjuntos, problemas) = self.preparar(expediente, contexto, lector);
        if !problemas.is_empty() {
            return Err(OnboardingError::Datos(problemas));
        }
        if let Some(formulario) = self.formulario() {
            let bytes = formulario.pdf(expediente, contexto)?;
            adjuntos.insert(0, adjunto(&format!("{}.pdf", formulario.palabra()), bytes));
        }
        let correo = &expediente.correo;
        let para = if correo.para.is_empty() { MESA_DE_AYUDA } else { &correo.para };
        let buzon = |direccion: &str| Buzon { nombre: String::new(), direccion: direccion.to_owned() };
        let mensaje = Mensaje {
            de: Buzon { nombre: correo.nombre.to_string(), direccion: correo.de.to_string() },
            para: vec![buzon(para)],
            copia: correo.copia.iter().map(|copy| buzon(copy)).collect(),
            asunto: self.asunto().to_owned(),
            texto: self.texto(expediente, &adjuntos),
            adjuntos,
            fecha: contexto.ahora,
            id: id.to_owned(),
        };
        Ok(mensaje.eml())
    }

    /// A request that is made anew for the e-mail, unsigned.
    fn formulario(self) -> Option<Formulario> {
        match self {
            Self::Acceso => Some(Formulario::Acceso),
            Self::Pruebas => Some(Formulario::Pruebas),
            Self::Produccion => Some(Formulario::Produccion),
            Self::Master | Self::Consumo | Self::Componente => None,
        }
    }

    fn anexos(self, expediente: &Expediente) -> Vec<Anexo<'_>> {
        let archivos = &expediente.archivos;
        let signed = |clave, archivo, nombre: &str| Anexo { clave, archivo, nombre: nombre.to_owned(), firmado: true };
        match self {
            Self::Master => vec![
                signed("archivos.a3", &archivos.a3, "Formato A-3.pdf"),
                Anexo {
                    clave: "archivos.designacion",
                    archivo: &archivos.designacion,
                    nombre: "Documento de designación.pdf".into(),
                    firmado: false,
                },
            ],
            Self::Consumo => vec![
                signed("archivos.a1_cuo", &archivos.a1_cuo, "Formato A-1 CUO.pdf"),
                signed("archivos.a1_entidad", &archivos.a1_entidad, "Formato A-1 Entidades por categoría.pdf"),
                signed("archivos.a1_tramite", &archivos.a1_tramite, "Formato A-1 Envío de documentos.pdf"),
            ],
            Self::Produccion => vec![signed("archivos.acta", &archivos.acta, "Acta de conformidad.pdf")],
            Self::Acceso | Self::Componente | Self::Pruebas => Vec::new(),
        }
    }

    fn preparar(
        self,
        expediente: &Expediente,
        contexto: &Contexto<'_>,
        lector: Lector<'_>,
    ) -> (Vec<Adjunto>, Vec<Problema>) {
        let mut revision = Revision::new(expediente, contexto);
        revision.entidad();
        revision.remitente();
        match self {
            Self::Master => revision.master(&expediente.master),
            Self::Consumo => revision.consumo(&expediente.consumo),
            Self::Acceso => revision.personas(&expediente.persona),
            Self::Componente => {}
            Self::Pruebas => revision.pruebas(&expediente.pruebas),
            Self::Produccion => revision.produccion(&expediente.produccion, &expediente.pruebas),
        }
        let (mut adjuntos, mut bytes) = (Vec::new(), 0);
        for anexo in self.anexos(expediente) {
            let escriba = "Escriba el nombre del archivo PDF";
            if !revision.escrito(anexo.clave, anexo.archivo, escriba) {
                continue;
            }
            match lector(anexo.archivo) {
                Err(why) => revision.falta(anexo.clave, why, escriba),
                Ok(read) if !read.starts_with(b"%PDF") => {
                    revision.falta(anexo.clave, format!("«{}» no es un PDF", anexo.archivo), escriba);
                }
                Ok(read) => {
                    if anexo.firmado {
                        let found = signed(&anexo, &read, expediente, lector, contexto);
                        found.into_iter().for_each(|p| revision.falta(&p.clave, p.problema, p.escriba));
                    }
                    bytes += read.len();
                    adjuntos.push(adjunto(&anexo.nombre, read));
                }
            }
        }
        if bytes > ADJUNTOS_BYTES_MAX {
            let what = format!("los adjuntos suman {} MiB", bytes / (1024 * 1024));
            revision.falta("archivos", what, "Redúzcalos: los servidores de correo no aceptan más de unos 18 MiB");
        }
        (adjuntos, revision.problemas())
    }

    fn texto(self, expediente: &Expediente, adjuntos: &[Adjunto]) -> String {
        let (e, master) = (expediente, &expediente.master);
        let sgd = if &*e.pruebas.sgd == "pcm" { "de la PCM" } else { "propio" };
        let mut lines = vec!["Señores de la mesa de ayuda:".to_owned(), String::new()];
        let entity = format!("{}, con RUC {},", e.entidad.nombre, e.entidad.ruc);
        lines.push(match self {
            Self::Master => format!(
                "{entity} solicita acceso a la plataforma Colabora para su usuario máster: {}, DNI {}, {} ({}). Su correo es \
                 {} y su celular {}.",
                master.nombre,
                master.dni,
                cargo_master(&master.cargo).to_lowercase(),
                master.designacion,
                master.correo,
                master.celular
            ),
            Self::Consumo => format!(
                "{entity} solicita el consumo de los servicios web siguientes, desde la IP pública {}:",
                e.consumo.ip_publica
            ),
            Self::Acceso => format!("{entity} solicita acceso para las personas de la solicitud adjunta."),
            Self::Componente => {
                format!("{entity} solicita orientación para instalar su componente de trámite (wsiotramite).")
            }
            Self::Pruebas => format!("{entity} solicita iniciar las pruebas de intercambio de documentos:"),
            Self::Produccion => format!("{entity} solicita el pase a producción de su componente de trámite:"),
        });
        let mut facts: Vec<(&str, String)> = Vec::new();
        match self {
            Self::Consumo => Servicio::TODOS.iter().for_each(|s| facts.push(("Servicio", s.nombre().to_owned()))),
            Self::Pruebas => {
                facts.push(("Sistema de gestión documental", format!("{sgd} ({})", e.pruebas.sgd_nombre)));
                facts.push(("wsiotramite en desarrollo", e.pruebas.url.to_string()));
                for (what, who) in [
                    ("Responsable técnico", &e.pruebas.tecnico),
                    ("Responsable administrativo (mesa de partes)", &e.pruebas.administrativo),
                ] {
                    let text = format!("{}, DNI {}, {}, celular {}", who.nombre, who.dni, who.correo, who.celular);
                    facts.push((what, text));
                }
            }
            Self::Produccion => {
                let day =
                    e.produccion.fecha.parse().map_or_else(|_| e.produccion.fecha.to_string(), lima::dia_en_palabras);
                facts.push(("Sistema de gestión documental", format!("{sgd} ({})", e.pruebas.sgd_nombre)));
                facts.push(("wsiotramite en producción", e.produccion.url.to_string()));
                facts.push(("Especialista que acompañó las pruebas", e.produccion.especialista.to_string()));
                facts.push(("Fecha prevista", day));
            }
            Self::Master | Self::Acceso | Self::Componente => {}
        }
        if !facts.is_empty() {
            lines.push(String::new());
            lines.extend(facts.into_iter().map(|(name, value)| format!("- {name}: {value}")));
        }
        if !adjuntos.is_empty() {
            lines.extend([String::new(), "Se adjunta:".to_owned()]);
            lines.extend(adjuntos.iter().map(|adjunto| format!("- {}", adjunto.nombre)));
        }
        let sender = [e.correo.nombre.to_string(), e.entidad.nombre.to_string(), e.entidad.telefono.to_string()];
        lines.extend([String::new(), "Atentamente,".to_owned(), String::new()]);
        lines.extend(sender.into_iter().filter(|line| !line.is_empty()));
        lines.join("\n") + "\n"
    }
}

fn signed(
    anexo: &Anexo<'_>,
    read: &[u8],
    expediente: &Expediente,
    lector: Lector<'_>,
    contexto: &Contexto<'_>,
) -> Vec<Problema> {
    if anexo.clave == "archivos.acta" {
        return super::acta::firmada(expediente, read, lector, contexto).1;
    }
    let informe = sello::examinar(std::io::Cursor::new(read), contexto);
    let mut found = sello::reparos(&informe, anexo.clave, contexto);
    // `archivos.a1_cuo` is the form `a1-cuo`.
    let documento = anexo.clave.trim_start_matches("archivos.").replace('_', "-");
    found.extend(super::constancia::del_formulario(read, anexo.clave, &documento, expediente, contexto));
    found
}

fn adjunto(nombre: &str, bytes: Vec<u8>) -> Adjunto {
    Adjunto { nombre: nombre.to_owned(), tipo: "application/pdf", bytes }
}
