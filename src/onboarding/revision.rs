//! Checks what the dossier says, key by key. Each fault names its key and says what to write. The rules are those of
//! CONTRACT §12; formats (DNI, mobile) are those of the country.

use std::{collections::HashSet, net::IpAddr};

use jiff::civil::Date;
use reqwest::Url;
use serde::Serialize;

use super::{
    Contexto, Expediente,
    expediente::{Acta, Consumo, Dato, Firmante, Master, Persona, Probador, Produccion, Pruebas},
};
use crate::{
    domain::{Ambiente, Ruc},
    http::reach::is_public,
};

/// Users that the platform allows an entity.
pub const USUARIOS_MAX: usize = 15;
/// Business days between the e-mail and the day of production.
pub const DIAS_HASTA_PRODUCCION: u32 = 2;
/// Days from now on within which a day of production can be planned.
const DIAS_MAX: i64 = 366;
/// Posts that may become usuario máster, as the dossier writes them and as people do.
pub const CARGOS_MASTER: [(&str, &str); 4] = [
    ("secretario_general", "Secretario general"),
    ("gerente_general", "Gerente general"),
    ("gerente_municipal", "Gerente municipal"),
    ("jefe_ti", "Jefe de tecnologías de la información"),
];
/// Mail for everybody: no institutional address.
const CORREOS_PERSONALES: [&str; 8] =
    ["gmail.com", "hotmail.com", "outlook.com", "outlook.es", "live.com", "yahoo.com", "yahoo.es", "icloud.com"];

/// What a key lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problema {
    /// The key of `expediente.toml`.
    pub clave: String,
    pub problema: String,
    /// What to write.
    pub escriba: String,
}

/// One line for each.
pub fn lista(problemas: &[Problema]) -> String {
    let line = |p: &Problema| format!("  {}: {}. {}.", p.clave, p.problema, p.escriba);
    problemas.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The checks as they go.
pub struct Revision<'a> {
    contexto: &'a Contexto<'a>,
    expediente: &'a Expediente,
    problemas: Vec<Problema>,
}

impl<'a> Revision<'a> {
    pub fn new(expediente: &'a Expediente, contexto: &'a Contexto<'a>) -> Self {
        Self { contexto, expediente, problemas: Vec::new() }
    }

    pub fn problemas(self) -> Vec<Problema> {
        self.problemas
    }

    pub fn falta(&mut self, clave: &str, problema: impl Into<String>, escriba: impl Into<String>) {
        let problema = Problema { clave: clave.to_owned(), problema: problema.into(), escriba: escriba.into() };
        if !self.problemas.contains(&problema) {
            self.problemas.push(problema);
        }
    }

    /// A value that is there.
    pub fn escrito(&mut self, clave: &str, dato: &Dato, escriba: &str) -> bool {
        if dato.is_empty() {
            self.falta(clave, "no está escrito", escriba);
        }
        !dato.is_empty()
    }

    pub fn entidad(&mut self) {
        let entidad = &self.expediente.entidad;
        if self.escrito("entidad.ruc", &entidad.ruc, "Escriba el RUC de la entidad, de 11 dígitos")
            && let Err(error) = Ruc::parse(&entidad.ruc, self.contexto.ambiente)
        {
            self.falta("entidad.ruc", error.to_string(), "Escriba el RUC de la entidad como figura en la SUNAT");
        }
        self.escrito("entidad.nombre", &entidad.nombre, "Escriba la razón social como figura en la SUNAT");
        let dominio = &entidad.dominio;
        let shaped = dominio.contains('.') && dominio.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
        if !dominio.is_empty() && (!shaped || CORREOS_PERSONALES.contains(&&*dominio.to_lowercase())) {
            let what = format!("«{dominio}» no es un dominio de la entidad");
            self.falta("entidad.dominio", what, "Escriba lo que sigue a la @ en sus correos, como munidemo.gob.pe");
        }
    }

    pub fn direccion(&mut self) {
        let entidad = &self.expediente.entidad;
        self.escrito("entidad.direccion", &entidad.direccion, "Escriba la dirección de la sede");
        self.escrito("entidad.telefono", &entidad.telefono, "Escriba el teléfono de la entidad, con anexo si lo hay");
    }

    pub fn dni(&mut self, clave: &str, dato: &Dato) {
        let escriba = "Escriba los 8 dígitos del DNI, entre comillas";
        if self.escrito(clave, dato, escriba) && !digits(dato, 8) {
            self.falta(clave, format!("«{dato}» no es un DNI"), escriba);
        }
    }

    pub fn celular(&mut self, clave: &str, dato: &Dato) {
        let escriba = "Escriba los 9 dígitos del celular, que empieza con 9";
        let number: String = dato.chars().filter(|c| !" -".contains(*c)).collect();
        let number = number.strip_prefix("+51").unwrap_or(&number);
        if self.escrito(clave, dato, escriba) && !(digits(number, 9) && number.starts_with('9')) {
            self.falta(clave, format!("«{dato}» no es un celular"), escriba);
        }
    }

    /// Institutional, else exactly `persona.entidad@gmail.com`.
    pub fn correo(&mut self, clave: &str, dato: &Dato) {
        let (dominio, sigla) =
            (self.expediente.entidad.dominio.to_lowercase(), self.expediente.entidad.sigla.to_lowercase());
        let escriba = match (dominio.is_empty(), sigla.is_empty()) {
            (false, _) => format!("Escriba el correo institucional, que termina en @{dominio}"),
            (true, false) => format!("Sin correo institucional debe ser exactamente persona.{sigla}@gmail.com"),
            (true, true) => "Escriba antes entidad.dominio; o, si la entidad no tiene correos propios, entidad.sigla: \
                             entonces debe ser exactamente persona.SIGLA@gmail.com"
                .to_owned(),
        };
        if !self.escrito(clave, dato, &escriba) {
            return;
        }
        let Some((user, domain)) = address(dato) else {
            return self.falta(clave, format!("«{dato}» no es una dirección de correo"), escriba);
        };
        let own = !dominio.is_empty() && (domain == dominio || domain.ends_with(&format!(".{dominio}")));
        let agreed = domain == "gmail.com"
            && !sigla.is_empty()
            && user.split_once('.').is_some_and(|(person, entity)| !person.is_empty() && entity == sigla);
        if own || (agreed && dominio.is_empty()) {
            return;
        }
        let what = if agreed {
            format!("«{dato}» no es institucional y la entidad tiene correos en @{dominio}")
        } else {
            format!("«{dato}» no es un correo institucional")
        };
        self.falta(clave, what, escriba);
    }

    pub fn fecha(&mut self, clave: &str, dato: &Dato) -> Option<Date> {
        let escriba = "Escriba la fecha como año-mes-día, por ejemplo 2026-12-15";
        if !self.escrito(clave, dato, escriba) {
            return None;
        }
        let read = dato.parse().ok();
        if read.is_none() {
            self.falta(clave, format!("«{dato}» no es una fecha"), escriba);
        }
        read
    }

    /// A day that has come.
    pub fn fecha_pasada(&mut self, clave: &str, dato: &Dato) -> Option<Date> {
        let day = self.fecha(clave, dato)?;
        if day > self.contexto.hoy() {
            self.falta(clave, format!("el {day} aún no llega"), "Escriba el día en que ocurrió");
            return None;
        }
        Some(day)
    }

    fn componente(&mut self, clave: &str, dato: &Dato, publica: bool) {
        let escriba = "Escriba la dirección completa, como https://HOST/wsiotramite/Tramite";
        if !self.escrito(clave, dato, escriba) {
            return;
        }
        let url = Url::parse(dato).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(url) = url else {
            return self.falta(clave, format!("«{dato}» no es una dirección http o https"), escriba);
        };
        if !url.path().ends_with("/wsiotramite/Tramite") || url.query().is_some() {
            self.falta(clave, format!("«{dato}» no termina en /wsiotramite/Tramite"), escriba);
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let inner = match host.parse::<IpAddr>() {
            Ok(address) => !is_public(address),
            Err(_) => host == "localhost" || !host.contains('.'),
        };
        if inner && publica {
            let what = format!("«{host}» solo existe dentro de su red: la plataforma no llega ahí");
            self.falta(clave, what, "Escriba el nombre o la IP pública por la que se llega desde internet");
        }
    }

    fn sgd(&mut self, pruebas: &Pruebas) {
        let escriba = "Escriba propio, o pcm si usa el de la PCM";
        if self.escrito("pruebas.sgd", &pruebas.sgd, escriba) && !["propio", "pcm"].contains(&&*pruebas.sgd) {
            self.falta("pruebas.sgd", format!("«{}» no es propio ni pcm", pruebas.sgd), escriba);
        }
        self.escrito(
            "pruebas.sgd_nombre",
            &pruebas.sgd_nombre,
            "Escriba cómo se llama el sistema de gestión documental",
        );
    }

    fn nombre(&mut self, clave: &str, dato: &Dato) {
        self.escrito(clave, dato, "Escriba nombres y apellidos completos");
    }

    pub fn master(&mut self, master: &Master) {
        self.nombre("master.nombre", &master.nombre);
        self.dni("master.dni", &master.dni);
        let escriba = "Escriba secretario_general, gerente_general, gerente_municipal o jefe_ti";
        let known = CARGOS_MASTER.iter().any(|(word, _)| *word == &*master.cargo);
        if self.escrito("master.cargo", &master.cargo, escriba) && !known {
            let what = format!("«{}» no es un cargo que pueda ser usuario máster", master.cargo);
            self.falta("master.cargo", what, escriba);
        }
        self.correo("master.correo", &master.correo);
        self.celular("master.celular", &master.celular);
        let escriba = "Escriba la resolución de designación, o el contrato, con su número";
        self.escrito("master.designacion", &master.designacion, escriba);
        self.fecha_pasada("master.designacion_fecha", &master.designacion_fecha);
    }

    pub fn consumo(&mut self, consumo: &Consumo) {
        let escriba = "Escriba la IP pública desde la que su servidor sale a internet";
        if self.escrito("consumo.ip_publica", &consumo.ip_publica, escriba) {
            match consumo.ip_publica.parse::<IpAddr>() {
                Ok(address) if is_public(address) => {}
                Ok(address) => self.falta("consumo.ip_publica", format!("{address} no es una IP pública"), escriba),
                Err(_) => self.falta("consumo.ip_publica", format!("«{}» no es una IP", consumo.ip_publica), escriba),
            }
        }
        self.escrito("consumo.sistema", &consumo.sistema, "Escriba el sistema que usará los servicios");
        self.escrito("consumo.finalidad", &consumo.finalidad, "Escriba para qué se usarán");
        self.escrito("consumo.base_legal", &consumo.base_legal, "Escriba la norma que obliga o permite usarlos");
    }

    pub fn personas(&mut self, personas: &[Persona]) {
        let mut known = HashSet::new();
        for (n, persona) in (1..).zip(personas) {
            let clave = |name: &str| format!("persona[{n}].{name}");
            let escriba = "Escriba comunicaciones, tecnologia o usuario";
            let roles = ["comunicaciones", "tecnologia", "usuario"];
            if self.escrito(&clave("rol"), &persona.rol, escriba) && !roles.contains(&&*persona.rol) {
                self.falta(&clave("rol"), format!("«{}» no es un rol", persona.rol), escriba);
            }
            self.nombre(&clave("nombre"), &persona.nombre);
            self.dni(&clave("dni"), &persona.dni);
            self.escrito(&clave("cargo"), &persona.cargo, "Escriba su cargo en la entidad");
            self.escrito(&clave("unidad"), &persona.unidad, "Escriba la unidad orgánica donde trabaja");
            self.correo(&clave("correo"), &persona.correo);
            self.celular(&clave("celular"), &persona.celular);
            if !persona.dni.is_empty() && !known.insert(persona.dni.to_string()) {
                let what = format!("el DNI {} ya está en otra [[persona]]", persona.dni);
                self.falta(&clave("dni"), what, "Cada persona se escribe una sola vez");
            }
        }
        for rol in ["comunicaciones", "tecnologia"] {
            if !personas.iter().any(|persona| &*persona.rol == rol) {
                let escriba = format!("Agregue una [[persona]] con rol = \"{rol}\"");
                self.falta("persona", format!("no hay nadie de {rol}"), escriba);
            }
        }
        if personas.len() > USUARIOS_MAX {
            let what = format!("hay {} personas", personas.len());
            self.falta("persona", what, format!("Deje {USUARIOS_MAX} como máximo"));
        }
    }

    pub fn pruebas(&mut self, pruebas: &Pruebas) {
        self.sgd(pruebas);
        // A rehearsal may run on this machine; what the platform is told must be reachable from there.
        self.componente("pruebas.url", &pruebas.url, self.contexto.ambiente != Ambiente::Simulation);
        self.probador("pruebas.tecnico", &pruebas.tecnico);
        self.probador("pruebas.administrativo", &pruebas.administrativo);
    }

    fn probador(&mut self, prefix: &str, who: &Probador) {
        self.nombre(&format!("{prefix}.nombre"), &who.nombre);
        self.dni(&format!("{prefix}.dni"), &who.dni);
        self.correo(&format!("{prefix}.correo"), &who.correo);
        self.celular(&format!("{prefix}.celular"), &who.celular);
    }

    pub fn acta(&mut self, acta: &Acta, pruebas: &Pruebas) {
        self.sgd(pruebas);
        self.componente("pruebas.url", &pruebas.url, false);
        self.escrito("acta.lugar", &acta.lugar, "Escriba la ciudad donde se suscribe");
        self.escrito("acta.informe", &acta.informe, "Escriba el nombre del informe JSON de «chasqui conformance run»");
        self.firmante("acta.jefe_ti", &acta.jefe_ti);
        self.firmante("acta.jefe_tramite", &acta.jefe_tramite);
        if !acta.jefe_ti.dni.is_empty() && acta.jefe_ti.dni == acta.jefe_tramite.dni {
            let what = "es la misma persona que acta.jefe_ti";
            self.falta("acta.jefe_tramite.dni", what, "Firman dos personas: escriba el DNI de la otra");
        }
    }

    fn firmante(&mut self, prefix: &str, who: &Firmante) {
        self.nombre(&format!("{prefix}.nombre"), &who.nombre);
        self.dni(&format!("{prefix}.dni"), &who.dni);
        self.escrito(&format!("{prefix}.cargo"), &who.cargo, "Escriba su cargo");
    }

    pub fn produccion(&mut self, produccion: &Produccion, pruebas: &Pruebas) {
        self.sgd(pruebas);
        self.componente("produccion.url", &produccion.url, true);
        let escriba = "Escriba el nombre del especialista de la SGTD que acompañó las pruebas";
        self.escrito("produccion.especialista", &produccion.especialista, escriba);
        let Some(day) = self.fecha("produccion.fecha", &produccion.fecha) else { return };
        let (calendario, hoy) = (self.contexto.calendario, self.contexto.hoy());
        let first = calendario.habil_tras(hoy, DIAS_HASTA_PRODUCCION);
        let far = hoy.checked_add(jiff::Span::new().days(DIAS_MAX)).unwrap_or(Date::MAX);
        let escriba = format!("Escriba un día hábil desde el {first}");
        if day < first {
            let what = format!("el {day} está a menos de {DIAS_HASTA_PRODUCCION} días hábiles de hoy, {hoy}");
            self.falta("produccion.fecha", what, escriba);
        } else if !calendario.es_habil(day) {
            self.falta("produccion.fecha", format!("el {day} no es día hábil"), escriba);
        } else if day > far {
            self.falta("produccion.fecha", format!("el {day} está a más de un año"), escriba);
        }
    }

    /// Who sends the e-mails, and to whom.
    pub fn remitente(&mut self) {
        let correo = &self.expediente.correo;
        self.nombre("correo.nombre", &correo.nombre);
        self.correo("correo.de", &correo.de);
        let others = correo.copia.iter().map(|copy| ("correo.copia", copy));
        let all = others.chain((!correo.para.is_empty()).then_some(("correo.para", &correo.para)));
        let wrong: Vec<_> = all.filter(|(_, to)| address(to).is_none()).collect();
        for (clave, to) in wrong {
            self.falta(clave, format!("«{to}» no es una dirección de correo"), "Escriba usuario@dominio");
        }
    }
}

fn digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|b| b.is_ascii_digit())
}

/// User and domain of an address, in small letters; plain ones only, as e-mail headers take them without quoting.
pub fn address(text: &str) -> Option<(String, String)> {
    let (user, domain) = text.split_once('@')?;
    let plain = |part: &str, also: &str| {
        !part.is_empty()
            && part.len() <= 64
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.contains("..")
            && part.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
    };
    let fine = plain(user, "._-+") && plain(domain, ".-") && domain.contains('.');
    fine.then(|| (user.to_lowercase(), domain.to_lowercase()))
}
