//! `chasqui check --for production`: whether an entity may ask for production now. All that `check` probes, and besides what
//! only matters then: the suite's report, the signed acta, the other environment, the own RUC and a CUO. Go or no-go, with
//! reasons, as text, JSON and PDF.

use std::{net::IpAddr, path::Path};

use serde::Serialize;

use super::{Estado, Grupo, Hallazgo, World, probe};
use crate::{
    cli::{
        Failure,
        onboarding::{Open, write_new},
        programa,
    },
    config::{Config, Pide},
    conformance::{report::Informe, terminal::cuantos},
    contract::Flavour,
    domain::{Ambiente, Falla, lima},
    exchange::Platform,
    onboarding::{
        acta::{INFORME_BYTES_MAX, Prueba},
        situacion,
    },
    platform::{self, PlatformSoap},
    signing::{
        drawing::Drawing,
        sheet::{About, Profile},
    },
};

/// Days after which a run of the suite says little about what runs now.
const DAYS_OF_A_RUN: usize = 30;

/// What follows from all findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    Pasar,
    PasarConReservas,
    NoPasar,
}

impl Decision {
    pub fn of(found: &[Grupo]) -> Self {
        match probe::worst(found) {
            Estado::Omitida | Estado::Bien => Self::Pasar,
            Estado::Advertencia => Self::PasarConReservas,
            Estado::Falla => Self::NoPasar,
        }
    }

    pub fn texto(self) -> &'static str {
        match self {
            Self::Pasar => "SE PUEDE PASAR A PRODUCCIÓN",
            Self::PasarConReservas => "SE PUEDE PASAR A PRODUCCIÓN, CON RESERVAS",
            Self::NoPasar => "NO PASAR A PRODUCCIÓN",
        }
    }
}

/// The decision in one line, and what stands against it.
pub fn told(found: &[Grupo]) -> Vec<String> {
    let decision = Decision::of(found);
    let mut lines = vec![String::new(), decision.texto().to_owned()];
    let against = match decision {
        Decision::Pasar => return lines,
        Decision::PasarConReservas => Estado::Advertencia,
        Decision::NoPasar => Estado::Falla,
    };
    let all = super::numbered(found).filter(|(_, one)| one.estado == against);
    lines.extend(all.map(|(number, one)| format!("  {number} {}: {}", one.nombre, one.detalle)));
    lines
}

/// The groups of `check`, and the one that is added here.
pub async fn look(world: &World, mut found: Vec<Grupo>, expediente: &Path) -> Vec<Grupo> {
    let mut ours = vec![environment(world.config())];
    match Open::new(expediente, world.config().clone()) {
        Err(failure) => {
            let what = failure.message().to_owned();
            ours.push(Hallazgo::falla("expediente", "expediente", what).remedio("chasqui onboarding init"));
        }
        Ok(open) => {
            ours.extend(suite(&open, world));
            ours.extend(acta(&open));
            ours.push(address(&open, &found));
            ours.push(declared_url(&open, world.config()));
        }
    }
    ours.extend(platform_says(world.config()).await);
    ours.extend(other_environment(world.config()).await);
    ours.push(Hallazgo::omitida("correo", "correo", "chasqui no envía correos: los .eml se envían desde su programa"));
    found.push(Grupo { nombre: "Para pasar a producción", comprobaciones: ours });
    found
}

fn environment(config: &Config) -> Hallazgo {
    let (key, name) = ("ambiente", "environment");
    match config.environment {
        Ambiente::Production => Hallazgo::bien(key, name, "production"),
        other => Hallazgo::falla(key, name, format!("la configuración está en {other:?}").to_lowercase())
            .remedio("Ponga environment = \"production\" en la configuración con que va a atender"),
    }
}

/// The services of the test environment, reached as ours are.
async fn other_environment(config: &Config) -> Vec<Hallazgo> {
    if config.environment == Ambiente::Simulation {
        let why = "en simulación no se llama a la plataforma de verdad";
        return vec![Hallazgo::omitida("otro_ambiente", "ambiente de pruebas", why)];
    }
    let pide = Pide { tramite_url: None, entidad_url: None, cuo_url: None, ..config.pide.clone() };
    let test = Config { environment: Ambiente::Test, pide, ..config.clone() };
    super::platform::descriptions(&test, "de pruebas").await
}

/// The suite passed, with this binary and for an entity of this configuration, not long ago.
fn suite(open: &Open, world: &World) -> Vec<Hallazgo> {
    let (key, name) = ("suite", "suite de conformidad");
    let again = "chasqui conformance run --target URL, y escriba el informe JSON en acta.informe del expediente";
    let failed = |why: String| vec![Hallazgo::falla(key, name, why).remedio(again)];
    let file = &open.expediente.acta.informe;
    if file.is_empty() {
        return failed("acta.informe no está escrito en el expediente".into());
    }
    let bytes = match open.file(file, INFORME_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(why) => return failed(why),
    };
    let prueba = match Prueba::leer(&bytes) {
        Ok(prueba) => prueba,
        Err(why) => return failed(format!("«{file}» {why}")),
    };
    let (informe, mut found) = (&prueba.informe, vec![firma(open, &bytes)]);
    let mut against: Vec<String> =
        prueba.reparos(&open.expediente, world.now).into_iter().map(|p| p.problema).collect();
    if !world.config().entity.iter().any(|entity| entity.ruc.trim() == informe.objetivo.ruc) {
        against.push(format!("el RUC {} del informe no es de esta configuración", informe.objetivo.ruc));
    }
    if against.is_empty() {
        let words = format!("CONFORME, {} casos, informe {}", informe.resumen.casos, prueba.sha256);
        found.push(Hallazgo::bien(key, name, words));
    } else {
        found.push(Hallazgo::falla(key, name, against.join("; ")).remedio(again));
    }
    let (name, here) = ("versión probada", env!("CARGO_PKG_VERSION"));
    found.push(if informe.chasqui == here {
        Hallazgo::bien("suite_version", name, format!("la de este programa, {here}"))
    } else {
        let why = format!("la suite se pasó con chasqui {}, y este es {here}", informe.chasqui);
        Hallazgo::falla("suite_version", name, why).remedio(again)
    });
    found.extend(programa_probado(informe, world.config(), again));
    let days = usize::try_from(world.now.duration_since(informe.fin).as_hours() / 24).unwrap_or(0);
    let told = format!("hace {}, el {}", cuantos(days, "día", "días"), lima::texto(informe.fin));
    found.push(if days > DAYS_OF_A_RUN {
        Hallazgo::advertencia("suite_fecha", "fecha de la prueba", told).remedio(again)
    } else {
        Hallazgo::bien("suite_fecha", "fecha de la prueba", told)
    });
    found
}

/// Who stands for the report with a signature.
fn firma(open: &Open, informe: &[u8]) -> Hallazgo {
    let (key, name) = ("suite_firma", "firma del informe");
    let sign = "Firme el informe al hacerlo: chasqui conformance run … --identity ARCHIVO.p12";
    match open.firma_del_informe(informe) {
        None => {
            Hallazgo::advertencia(key, name, "nadie firmó el informe: nada dice quién responde por él").remedio(sign)
        }
        Some(Err(why)) => Hallazgo::falla(key, name, why).remedio(sign),
        Some(Ok((who, unsure))) if unsure.is_empty() => Hallazgo::bien(key, name, format!("de {who}")),
        Some(Ok((who, unsure))) => {
            let remedy = "Si su emisor es de confianza, impórtelo con «chasqui cert import»";
            Hallazgo::advertencia(key, name, format!("de {who}; {}", unsure.join("; "))).remedio(remedy)
        }
    }
}

/// What was tested is what is to serve: the same executable, and a configuration that decides the same.
fn programa_probado(informe: &Informe, config: &Config, again: &str) -> Vec<Hallazgo> {
    let (key, name) = ("suite_programa", "programa probado");
    let with = "Pase la suite en la máquina del servicio, con --config y el archivo de su configuración";
    let Some(probado) = &informe.programa else {
        return vec![
            Hallazgo::falla(key, name, "el informe no dice qué programa ni qué configuración se probaron")
                .remedio(with),
        ];
    };
    let esta = match programa::propio(config) {
        Ok(esta) => esta,
        Err(why) => return vec![Hallazgo::falla(key, name, why)],
    };
    let mut found = vec![if probado.binario_sha256 == esta.binario_sha256 {
        Hallazgo::bien(key, name, format!("este mismo, SHA-256 {}", esta.binario_sha256))
    } else {
        let why = format!("se probó el de SHA-256 {}, y este es {}", probado.binario_sha256, esta.binario_sha256);
        Hallazgo::falla(key, name, why).remedio(again)
    }];
    let (key, name) = ("suite_configuracion", "configuración probada");
    found.push(match programa::distintas(probado, &esta) {
        (grave, _) if !grave.is_empty() => {
            let why = format!("difiere en lo que se responde a otros: [{}]", grave.join("], ["));
            Hallazgo::falla(key, name, why).remedio("Pase la suite con los valores con que va a atender")
        }
        (_, other) if !other.is_empty() => {
            Hallazgo::advertencia(key, name, format!("difiere en [{}]", other.join("], [")))
                .remedio("Compruebe que la diferencia es la que quiere, o pase la suite con los mismos valores")
        }
        _ => Hallazgo::bien(key, name, "la misma, salvo lo que cambia con el ambiente"),
    });
    found
}

fn acta(open: &Open) -> Vec<Hallazgo> {
    let (key, name) = ("acta", "acta de conformidad");
    let files = |name: &str| open.named(name);
    // By the rules of production, whatever the configuration says: what was made to practise is no acta.
    let strict = Ambiente::Production;
    let against = open.look(strict, |contexto| situacion::acta_firmada(&open.expediente, contexto, &files));
    if against.is_empty() {
        return vec![Hallazgo::bien(key, name, "de este informe, firmada por las dos personas que deben firmarla")];
    }
    let one = |p: crate::onboarding::Problema| {
        Hallazgo::falla(key, name, format!("{}: {}", p.clave, p.problema)).remedio(p.escriba)
    };
    against.into_iter().map(one).collect()
}

/// The address that the platform sees is the one that was declared.
fn address(open: &Open, found: &[Grupo]) -> Hallazgo {
    let (key, name) = ("ip_declarada", "IP declarada en el Formato A-1");
    let declared = &open.expediente.consumo.ip_publica;
    let seen = found.iter().flat_map(|group| &group.comprobaciones).find(|one| one.clave == "ip_publica");
    match seen {
        _ if declared.is_empty() => Hallazgo::falla(key, name, "consumo.ip_publica no está escrita en el expediente")
            .remedio("Escriba la IP pública que declaró en los Formatos A-1"),
        Some(one) if one.estado == Estado::Bien => {
            let words = one.detalle.split(|c: char| !(c.is_ascii_hexdigit() || ".:".contains(c)));
            let mut seen = words.filter_map(|word| word.trim_end_matches(':').parse::<IpAddr>().ok());
            let told = declared.parse::<IpAddr>();
            if told.is_ok_and(|told| seen.any(|one| one == told)) {
                Hallazgo::bien(key, name, format!("{declared}, la que ve la plataforma"))
            } else {
                Hallazgo::falla(key, name, format!("se declaró {declared}, y {}", one.detalle))
                    .remedio("Salga a internet por la IP declarada, o presente los Formatos A-1 con la otra")
            }
        }
        _ => Hallazgo::advertencia(key, name, format!("{declared}; no se pudo saber cuál ve la plataforma"))
            .remedio("Corra esta orden desde el servidor de producción, con salida a internet"),
    }
}

/// The address that production is asked for is the one under which this configuration is reached.
fn declared_url(open: &Open, config: &Config) -> Hallazgo {
    let (key, name) = ("direccion_declarada", "dirección que se pide para producción");
    let declared = &open.expediente.produccion.url;
    let Some(public) = &config.listen.soap_public_url else {
        return Hallazgo::advertencia(key, name, "la configuración no dice bajo qué dirección se alcanza el servicio")
            .remedio("Escriba listen.soap_public_url: con ella se comprueba también que se llegue");
    };
    let ours = format!("{}/wsiotramite/Tramite", public.trim_end_matches('/'));
    if **declared == *ours {
        Hallazgo::bien(key, name, ours)
    } else {
        Hallazgo::falla(key, name, format!("produccion.url es «{}», y la configuración atiende en {ours}", &**declared))
            .remedio("Corrija produccion.url en el expediente o listen.soap_public_url en la configuración")
    }
}

/// Whether the platform knows each own RUC, and gives a CUO for tests.
async fn platform_says(config: &Config) -> Vec<Hallazgo> {
    let options = platform::Options::from_config(config);
    let of = |flavour| PlatformSoap::new(&platform::Options { flavour, ..options.clone() });
    let (client, test) = match (of(options.flavour), of(Flavour::Test)) {
        (Ok(client), Ok(test)) => (client, test),
        (Err(error), _) | (_, Err(error)) => {
            return vec![Hallazgo::falla("ruc_validado", "plataforma", error.to_string())];
        }
    };
    // Who was not reached has denied nothing.
    let access = "Espere la autorización de los tres servicios, o escriba a mesadeayuda@gobiernodigital.gob.pe";
    let mends = |falla: Falla| match (config.environment, falla) {
        (Ambiente::Simulation, _) => "Inicie el simulador: chasqui simulator",
        (_, Falla::SinConexion) => {
            "Revise la salida a internet de esta máquina y las direcciones de [pide]: «La plataforma (PIDE)», más arriba, dice \
             qué no se alcanza"
        }
        _ => access,
    };
    let mut found = Vec::new();
    for entity in config.entities() {
        let (key, name) = ("ruc_validado", format!("RUC {} en la plataforma", entity.ruc));
        found.push(match client.validar_entidad(&entity.ruc).await {
            Ok(true) => Hallazgo::bien(key, name, "registrado para intercambiar documentos"),
            Ok(false) => Hallazgo::falla(key, name, "la plataforma no lo tiene registrado").remedio(access),
            Err(error) => Hallazgo::falla(key, name, error.detalle).remedio(mends(error.falla)),
        });
        let (key, name) = ("cuo_de_prueba", format!("CUO de prueba para {}", entity.ruc));
        found.push(match test.cuo(&entity.ruc).await {
            Ok(cuo) => Hallazgo::bien(key, name, format!("la plataforma dio el {cuo}")),
            Err(error) => Hallazgo::falla(key, name, error.detalle).remedio(mends(error.falla)),
        });
    }
    found
}

/// The same as a document.
pub fn pdf(found: &[Grupo], world: &World, out: &Path) -> Result<(), Failure> {
    let names: Vec<String> =
        world.config().entities().into_iter().map(|e| format!("{} (RUC {})", e.nombre, e.ruc)).collect();
    let title = "Comprobación para pasar a producción";
    let mut d = Drawing::flowing([26, 62, 110]);
    d.title(title);
    d.paragraph(&names.join(", "));
    d.paragraph(&format!("{}. chasqui {}.", lima::momento_en_palabras(world.now), env!("CARGO_PKG_VERSION")));
    d.y += 6.0;
    d.notice(Decision::of(found).texto());
    for (estado, title) in [(Estado::Falla, "Lo que lo impide"), (Estado::Advertencia, "Lo que conviene resolver")] {
        let all: Vec<_> = super::numbered(found).filter(|(_, one)| one.estado == estado).collect();
        if all.is_empty() {
            continue;
        }
        d.heading(title);
        for (number, one) in all {
            d.paragraph(&format!("{number} {}: {}", one.nombre, one.detalle));
            one.remedio.iter().for_each(|what| d.item(&format!("Qué hacer: {what}")));
        }
        d.y += 8.0;
    }
    for (n, group) in (1..).zip(found) {
        d.heading(&format!("{n} {}", group.nombre));
        for (m, one) in (1..).zip(&group.comprobaciones) {
            d.fact(&format!("{n}.{m} {}", one.nombre), &format!("{}: {}", one.estado.word(), one.detalle));
        }
        d.y += 8.0;
    }
    let about = About { title: title.into(), description: names.join(", "), author: "chasqui".into(), at: world.now };
    let made = d.finish(title, &about, Profile::Accessible);
    write_new(out, &made.map_err(|error| Failure::Failed(error.to_string()))?)
}
