//! The forms and requests as PDF, each with an empty field in which Firma Perú (or `chasqui pdf sign --field`) signs. The
//! layout of the official forms is in no public source, and each document says so.

use super::{
    Contexto, Expediente, OnboardingError, Problema,
    constancia::Constancia,
    expediente::{Persona, Probador},
    revision::{CARGOS_MASTER, Revision},
};
use crate::{
    domain::{Ambiente, lima},
    signing::{
        drawing::{Drawing, HAIR, MARGIN, SOFT, WIDTH},
        pades::{self, EmptyField},
        sheet::{About, Color, Face, Profile, Role},
    },
};

pub const ACENTO: Color = [26, 62, 110];
/// Height of the box in which somebody signs.
const FIRMA_ALTO: f32 = 74.0;

/// A service of the platform that is asked for with a Formato A-1, under its official name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Servicio {
    Cuo,
    Entidad,
    Tramite,
}

impl Servicio {
    pub const TODOS: [Self; 3] = [Self::Cuo, Self::Entidad, Self::Tramite];

    /// Word for word as the platform's catalogue has it (CONTRACT §12).
    pub fn nombre(self) -> &'static str {
        match self {
            Self::Cuo => "Código Único de Operación - CUO",
            Self::Entidad => "Trámite Entidades por Categoría - IMGD",
            Self::Tramite => "Tramite Envío de Documentos de Entidades - IMGD",
        }
    }

    fn uso(self) -> &'static str {
        match self {
            Self::Cuo => "Pedir el código que identifica cada documento que la entidad despacha.",
            Self::Entidad => "Consultar qué entidades intercambian documentos y validar a quien recibe.",
            Self::Tramite => "Enviar documentos y cargos a otras entidades y consultar los enviados.",
        }
    }
}

/// A document of the dossier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Formulario {
    A3,
    A1(Servicio),
    Acceso,
    Pruebas,
    Produccion,
}

impl Formulario {
    pub const TODOS: [Self; 7] = [
        Self::A3,
        Self::A1(Servicio::Cuo),
        Self::A1(Servicio::Entidad),
        Self::A1(Servicio::Tramite),
        Self::Acceso,
        Self::Pruebas,
        Self::Produccion,
    ];

    /// As commands call it; also the name of its file.
    pub fn palabra(self) -> &'static str {
        match self {
            Self::A3 => "a3",
            Self::A1(Servicio::Cuo) => "a1-cuo",
            Self::A1(Servicio::Entidad) => "a1-entidad",
            Self::A1(Servicio::Tramite) => "a1-tramite",
            Self::Acceso => "acceso",
            Self::Pruebas => "pruebas",
            Self::Produccion => "produccion",
        }
    }

    pub fn titulo(self) -> String {
        match self {
            Self::A3 => "Formato A-3: designación de usuario máster".into(),
            Self::A1(_) => "Formato A-1: consumo de servicio web".into(),
            Self::Acceso => "Solicitud de accesos".into(),
            Self::Pruebas => "Solicitud de pruebas (MPV Pruebas)".into(),
            Self::Produccion => "Solicitud de pase a producción".into(),
        }
    }

    /// What the dossier lacks for it.
    pub fn problemas(self, expediente: &Expediente, contexto: &Contexto<'_>) -> Vec<Problema> {
        let mut revision = Revision::new(expediente, contexto);
        revision.entidad();
        match self {
            Self::A3 => {
                revision.direccion();
                revision.master(&expediente.master);
            }
            Self::A1(_) => {
                revision.direccion();
                revision.consumo(&expediente.consumo);
                revision.personas(&expediente.persona);
            }
            Self::Acceso => revision.personas(&expediente.persona),
            Self::Pruebas => revision.pruebas(&expediente.pruebas),
            Self::Produccion => revision.produccion(&expediente.produccion, &expediente.pruebas),
        }
        revision.problemas()
    }

    pub fn pdf(self, expediente: &Expediente, contexto: &Contexto<'_>) -> Result<Vec<u8>, OnboardingError> {
        let problemas = self.problemas(expediente, contexto);
        if !problemas.is_empty() {
            return Err(OnboardingError::Datos(problemas));
        }
        let constancia = Constancia::nueva(self.palabra(), expediente, contexto);
        let mut hoja = Hoja::nueva(expediente, contexto, &self.titulo(), constancia);
        let firma = match self {
            Self::A3 => hoja.a3(),
            Self::A1(servicio) => hoja.a1(servicio),
            Self::Acceso => hoja.acceso(),
            Self::Pruebas => hoja.pruebas(),
            Self::Produccion => hoja.produccion(),
        };
        hoja.aviso_de_forma();
        hoja.firmas(&[("Firma", &firma)]);
        hoja.terminar(&self.titulo())
    }
}

/// A document as it is written.
pub struct Hoja<'a> {
    pub d: Drawing,
    pub expediente: &'a Expediente,
    contexto: &'a Contexto<'a>,
    campos: Vec<EmptyField>,
    constancia: Constancia,
}

/// Who signs, as it stands beneath the box.
pub struct Firma {
    pub nombre: String,
    pub cargo: String,
    pub dni: String,
}

impl<'a> Hoja<'a> {
    pub(super) fn nueva(
        expediente: &'a Expediente,
        contexto: &'a Contexto<'a>,
        titulo: &str,
        constancia: Constancia,
    ) -> Self {
        let mut d = Drawing::flowing(ACENTO);
        d.fill([0.0, 0.0, crate::signing::sheet::A4[0], 6.0], ACENTO);
        let entidad = &expediente.entidad;
        d.text(Role::Paragraph, MARGIN, WIDTH, Face::Bold, 11.5, [33, 37, 41], &entidad.nombre, 3);
        d.text(Role::Paragraph, MARGIN, WIDTH, Face::Regular, 8.5, SOFT, &format!("RUC {}", entidad.ruc), 1);
        d.y += 22.0;
        d.title(titulo);
        let mut hoja = Self { d, expediente, contexto, campos: Vec::new(), constancia };
        if contexto.ambiente != Ambiente::Production {
            hoja.d.y += 8.0;
            let what = "ENSAYO: la configuración no está en el ambiente de producción. Este documento sirve para practicar; no \
                        lo presente.";
            hoja.d.notice(what);
        }
        let dia = lima::dia_en_palabras(contexto.hoy());
        hoja.d.paragraph(&format!("Fecha: {dia}"));
        hoja
    }

    fn a3(&mut self) -> Firma {
        let e = self.expediente;
        let (master, cargo) = (&e.master, cargo_master(&e.master.cargo));
        self.d.paragraph(
            "Señores de la Secretaría de Gobierno y Transformación Digital de la Presidencia del Consejo de Ministros: la \
             entidad designa como usuario máster de la plataforma Colabora a la persona siguiente y solicita que se le dé \
             acceso.",
        );
        self.entidad(true);
        self.d.heading("Usuario máster");
        self.d.fact("Nombres y apellidos", &master.nombre);
        self.d.fact("DNI", &master.dni);
        self.d.fact("Cargo", cargo);
        self.d.fact("Correo", &master.correo);
        self.d.fact("Celular", &master.celular);
        self.d.fact("Designación", &format!("{} ({})", master.designacion, master.designacion_fecha));
        self.d.y += 8.0;
        self.d.heading("Se adjunta");
        self.d.item(&format!("Documento de designación: {}.", master.designacion));
        Firma { nombre: master.nombre.to_string(), cargo: cargo.into(), dni: master.dni.to_string() }
    }

    fn a1(&mut self, servicio: Servicio) -> Firma {
        let e = self.expediente;
        self.d.paragraph(
            "La entidad solicita el consumo del servicio web de la Plataforma de Interoperabilidad del Estado (PIDE) que se \
             indica, y declara la dirección IP desde la que lo llamará.",
        );
        self.d.heading("Servicio");
        self.d.fact("Servicio web", servicio.nombre());
        self.d.fact("Uso", servicio.uso());
        self.d.fact("IP pública", &e.consumo.ip_publica);
        self.d.fact("Sistema", &e.consumo.sistema);
        self.d.fact("Finalidad", &e.consumo.finalidad);
        self.d.fact("Base legal", &e.consumo.base_legal);
        self.d.y += 8.0;
        self.entidad(true);
        self.d.heading("Personas de contacto");
        for persona in e.persona.iter().filter(|persona| &*persona.rol != "usuario") {
            self.persona(persona);
        }
        self.responsable()
    }

    fn acceso(&mut self) -> Firma {
        self.d.paragraph(
            "La entidad solicita que se dé acceso a las personas siguientes. Todos los datos son obligatorios; el correo es el \
             institucional.",
        );
        self.entidad(false);
        self.d.heading("Personas");
        for persona in &self.expediente.persona {
            self.persona(persona);
        }
        self.responsable()
    }

    fn pruebas(&mut self) -> Firma {
        let pruebas = &self.expediente.pruebas;
        self.d.paragraph(
            "La entidad tiene instalado su componente de trámite y solicita iniciar las pruebas de intercambio de documentos.",
        );
        self.entidad(false);
        self.sgd();
        self.d.fact("wsiotramite", &pruebas.url);
        self.d.y += 8.0;
        for (title, who) in
            [("Responsable técnico", &pruebas.tecnico), ("Responsable administrativo", &pruebas.administrativo)]
        {
            self.d.heading(title);
            self.probador(who);
        }
        let who = &pruebas.tecnico;
        Firma { nombre: who.nombre.to_string(), cargo: "Responsable técnico".into(), dni: who.dni.to_string() }
    }

    fn produccion(&mut self) -> Firma {
        let e = self.expediente;
        self.d.paragraph(
            "La entidad concluyó las pruebas con conformidad, como consta en el acta que se adjunta, y solicita el pase a \
             producción de su componente de trámite.",
        );
        self.entidad(false);
        self.sgd();
        self.d.fact("wsiotramite", &e.produccion.url);
        let day = e.produccion.fecha.parse().map_or_else(|_| e.produccion.fecha.to_string(), lima::dia_en_palabras);
        self.d.fact("Fecha prevista", &day);
        self.d.fact("Acompañó las pruebas", &e.produccion.especialista);
        self.d.y += 8.0;
        let who = &e.pruebas.tecnico;
        Firma { nombre: who.nombre.to_string(), cargo: "Responsable técnico".into(), dni: who.dni.to_string() }
    }

    pub fn entidad(&mut self, con_sede: bool) {
        let entidad = &self.expediente.entidad;
        self.d.heading("Entidad");
        self.d.fact("Razón social", &entidad.nombre);
        self.d.fact("RUC", &entidad.ruc);
        if con_sede {
            self.d.fact("Dirección", &entidad.direccion);
            self.d.fact("Teléfono", &entidad.telefono);
        }
        self.d.y += 8.0;
    }

    /// The system, as a heading with its facts; more may follow.
    pub fn sgd(&mut self) {
        let pruebas = &self.expediente.pruebas;
        let kind = if &*pruebas.sgd == "pcm" { "de la PCM" } else { "propio" };
        self.d.heading("Sistema de gestión documental");
        self.d.fact("Tipo", kind);
        self.d.fact("Nombre", &pruebas.sgd_nombre);
    }

    fn persona(&mut self, persona: &Persona) {
        let rol = match &*persona.rol {
            "comunicaciones" => "Comunicaciones",
            "tecnologia" => "Tecnología",
            _ => "Usuario",
        };
        let text = format!(
            "{}, DNI {}. {}, {}. Correo {}. Celular {}.",
            persona.nombre, persona.dni, persona.cargo, persona.unidad, persona.correo, persona.celular
        );
        self.d.fact(rol, &text);
    }

    fn probador(&mut self, who: &Probador) {
        self.d.fact("Nombres y apellidos", &who.nombre);
        self.d.fact("DNI", &who.dni);
        self.d.fact("Correo", &who.correo);
        self.d.fact("Celular", &who.celular);
        self.d.y += 8.0;
    }

    /// Of technology, who answers for the services.
    fn responsable(&mut self) -> Firma {
        let who = self.expediente.persona.iter().find(|persona| &*persona.rol == "tecnologia");
        let text = |dato: fn(&Persona) -> &str| who.map(dato).unwrap_or_default().to_owned();
        Firma { nombre: text(|p| &p.nombre), cargo: text(|p| &p.cargo), dni: text(|p| &p.dni) }
    }

    /// What is not known about the official form.
    pub fn aviso_de_forma(&mut self) {
        self.d.y += 14.0;
        self.d.notice(
            "La disposición exacta del formato oficial no figura en las fuentes públicas: este documento reúne los datos que \
             se exigen. Si la Secretaría de Gobierno y Transformación Digital le da su plantilla, traslade a ella estos datos.",
        );
    }

    /// Boxes in which they sign, side by side, each an empty field of that name.
    pub fn firmas(&mut self, quienes: &[(&str, &Firma)]) {
        self.d.need(FIRMA_ALTO + 78.0);
        self.d.y += 6.0;
        let (top, gap) = (self.d.y, 20.0);
        #[allow(clippy::cast_precision_loss)] // one or two
        let count = quienes.len().max(1) as f32;
        let wide = ((WIDTH - gap * (count - 1.0)) / count).min(230.0);
        let (mut left, mut end) = (MARGIN, top);
        for (campo, firma) in quienes {
            let area = [left, top, wide, FIRMA_ALTO];
            self.d.fill([left, top, wide, FIRMA_ALTO], HAIR);
            self.d.fill([left + 0.7, top + 0.7, wide - 1.4, FIRMA_ALTO - 1.4], [255, 255, 255]);
            self.d.y = top + FIRMA_ALTO + 13.0;
            let ink = [33, 37, 41];
            self.d.text(Role::Paragraph, left, wide, Face::Bold, 9.0, ink, &firma.nombre, 2);
            self.d.text(Role::Paragraph, left, wide, Face::Regular, 8.3, ink, &firma.cargo, 2);
            self.d.text(Role::Paragraph, left, wide, Face::Regular, 8.3, SOFT, &format!("DNI {}", firma.dni), 1);
            end = self.d.y.max(end);
            left += wide + gap;
            self.campos.push(EmptyField {
                name: (*campo).to_owned(),
                about: format!("{} Firma digital de {}, {}", self.constancia.texto(), firma.nombre, firma.cargo),
                page: self.d.page(),
                area,
            });
        }
        self.d.y = end + 10.0;
    }

    pub fn terminar(self, titulo: &str) -> Result<Vec<u8>, OnboardingError> {
        let failed = |error: String| OnboardingError::Pdf(error);
        let entidad = &self.expediente.entidad;
        let about = About {
            title: format!("{titulo} – {}", entidad.nombre),
            description: format!("{titulo} de {} (RUC {})", entidad.nombre, entidad.ruc),
            author: entidad.nombre.to_string(),
            at: self.contexto.ahora,
        };
        let foot = format!("{} · RUC {} · preparado con chasqui", entidad.nombre, entidad.ruc);
        let pdf = self.d.finish(&foot, &about, Profile::Archival).map_err(|error| failed(error.to_string()))?;
        let digest = openssl::sha::sha256(&pdf);
        let mark = digest.first_chunk().copied().unwrap_or_default();
        let mut out = Vec::new();
        pades::add_empty_fields(&pdf, &self.campos, &mark, &mut out).map_err(|error| failed(error.to_string()))?;
        Ok(out)
    }
}

pub fn cargo_master(word: &str) -> &str {
    CARGOS_MASTER.iter().find(|(known, _)| *known == word).map_or(word, |(_, name)| name)
}
