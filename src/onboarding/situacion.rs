//! How far the entity is on the six steps: what is done, what is waited for, what can be sent, and what is missing.

use jiff::civil::Date;
use serde::Serialize;

use super::{
    Contexto, Expediente, Problema, acta,
    cartas::{Carta, Lector},
    expediente::Dato,
    formularios::Formulario,
    revision::Revision,
};

/// Days without an answer after which it is worth asking.
const DIAS_DE_ESPERA: i32 = 15;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Estado {
    Hecho,
    /// Sent, and not answered yet.
    EnEspera,
    /// Nothing is missing.
    Listo,
    FaltanDatos,
}

impl Estado {
    pub fn texto(self) -> &'static str {
        match self {
            Self::Hecho => "hecho",
            Self::EnEspera => "en espera",
            Self::Listo => "listo",
            Self::FaltanDatos => "faltan datos",
        }
    }
}

/// One of the six steps.
#[derive(Debug, Clone, Serialize)]
pub struct Paso {
    pub numero: u8,
    pub titulo: &'static str,
    pub estado: Estado,
    /// In one sentence.
    pub detalle: String,
    /// What to run or do next.
    pub siguiente: Vec<String>,
    pub falta: Vec<Problema>,
}

/// Keys of `avance` that begin and end a step; the first step that has none begins with its own end.
struct Hitos<'a> {
    pedido: Option<(&'static str, &'a Dato)>,
    fin: (&'static str, &'a Dato),
}

/// All six steps, as of now.
pub fn pasos(expediente: &Expediente, contexto: &Contexto<'_>, lector: Lector<'_>) -> Vec<Paso> {
    let avance = &expediente.avance;
    let forms = |formularios: &[Formulario]| -> Vec<Problema> {
        let mut all: Vec<Problema> = Vec::new();
        for formulario in formularios {
            for problema in formulario.problemas(expediente, contexto) {
                if !all.contains(&problema) {
                    all.push(problema);
                }
            }
        }
        all
    };
    let mut pasos = Vec::new();
    let mut step = |titulo, hitos: Hitos<'_>, falta: Vec<Problema>, siguiente: &[&str]| {
        let numero = u8::try_from(pasos.len() + 1).unwrap_or(u8::MAX);
        pasos.push(paso(numero, titulo, &hitos, falta, siguiente, expediente, contexto));
    };
    let and = |mut falta: Vec<Problema>, more: Vec<Problema>| {
        more.into_iter().for_each(|p| {
            if !falta.contains(&p) {
                falta.push(p);
            }
        });
        falta
    };
    let carta = |carta: Carta| carta.problemas(expediente, contexto, lector);
    step(
        "Usuario máster en Colabora",
        Hitos {
            pedido: Some(("avance.master_pedido", &avance.master_pedido)),
            fin: ("avance.master_otorgado", &avance.master_otorgado),
        },
        and(forms(&[Formulario::A3]), carta(Carta::Master)),
        &[
            "chasqui onboarding form a3 --out a3.pdf",
            "Firme a3.pdf con Firma Perú y escriba el archivo firmado en archivos.a3",
            "chasqui onboarding email master --out master.eml",
        ],
    );
    let a1 = &Formulario::TODOS[1..5];
    step(
        "Consumo de los tres servicios y accesos",
        Hitos {
            pedido: Some(("avance.consumo_pedido", &avance.consumo_pedido)),
            fin: ("avance.consumo_autorizado", &avance.consumo_autorizado),
        },
        and(and(forms(a1), carta(Carta::Consumo)), carta(Carta::Acceso)),
        &[
            "chasqui onboarding form a1-cuo --out a1-cuo.pdf (y a1-entidad, a1-tramite)",
            "Firme los tres con Firma Perú y escríbalos en [archivos]",
            "chasqui onboarding email consumo --out consumo.eml",
            "chasqui onboarding email acceso --out acceso.eml",
        ],
    );
    step(
        "El componente instalado",
        Hitos { pedido: None, fin: ("avance.componente_instalado", &avance.componente_instalado) },
        Vec::new(),
        &[
            "Instálelo según docs/instalacion.md y pruébelo con chasqui simulator",
            "Si necesita ayuda: chasqui onboarding email componente --out ayuda.eml",
        ],
    );
    step(
        "Pruebas con la SGTD",
        Hitos {
            pedido: Some(("avance.pruebas_pedidas", &avance.pruebas_pedidas)),
            fin: ("avance.pruebas_terminadas", &avance.pruebas_terminadas),
        },
        carta(Carta::Pruebas),
        &["chasqui conformance run --target URL", "chasqui onboarding email pruebas --out pruebas.eml"],
    );
    step(
        "Acta de conformidad",
        Hitos { pedido: None, fin: ("avance.acta_conforme", &avance.acta_conforme) },
        and(acta::problemas(expediente, contexto), acta_firmada(expediente, contexto, lector)),
        &[
            "chasqui onboarding acta --out acta.pdf",
            "Firman los dos jefes en sus recuadros; escriba el archivo firmado en archivos.acta",
            "chasqui onboarding acta --check acta-firmada.pdf",
        ],
    );
    step(
        "Pase a producción",
        Hitos {
            pedido: Some(("avance.produccion_pedida", &avance.produccion_pedida)),
            fin: ("avance.produccion_autorizada", &avance.produccion_autorizada),
        },
        carta(Carta::Produccion),
        &["chasqui check --for production", "chasqui onboarding email produccion --out produccion.eml"],
    );
    pasos
}

/// What is wrong with the signed acta.
pub fn acta_firmada(expediente: &Expediente, contexto: &Contexto<'_>, lector: Lector<'_>) -> Vec<Problema> {
    let (clave, archivo) = ("archivos.acta", &expediente.archivos.acta);
    let one =
        |problema: String, escriba: &str| vec![Problema { clave: clave.into(), problema, escriba: escriba.to_owned() }];
    if archivo.is_empty() {
        return one("no está escrito".into(), "Escriba el nombre del acta firmada por los dos jefes");
    }
    match lector(archivo) {
        Err(why) => one(why, "Escriba el nombre del acta firmada"),
        Ok(bytes) => acta::firmada(expediente, &bytes, lector, contexto).1,
    }
}

fn paso(
    numero: u8,
    titulo: &'static str,
    hitos: &Hitos<'_>,
    falta: Vec<Problema>,
    siguiente: &[&str],
    expediente: &Expediente,
    contexto: &Contexto<'_>,
) -> Paso {
    let mut revision = Revision::new(expediente, contexto);
    let mut day = |(clave, dato): (&'static str, &Dato)| -> Option<Date> {
        if dato.is_empty() { None } else { revision.fecha_pasada(clave, dato) }
    };
    let (pedido, fin) = (hitos.pedido.and_then(&mut day), day(hitos.fin));
    let wrong = revision.problemas();
    let next = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    let fin_clave = hitos.fin.0;
    if !wrong.is_empty() {
        let detalle = "hay fechas que corregir".to_owned();
        return Paso { numero, titulo, estado: Estado::FaltanDatos, detalle, siguiente: next(siguiente), falta: wrong };
    }
    if let Some(fin) = fin {
        let detalle = format!("desde el {fin}");
        return Paso { numero, titulo, estado: Estado::Hecho, detalle, siguiente: Vec::new(), falta: Vec::new() };
    }
    if let Some(pedido) = pedido {
        let days = contexto.hoy().since(pedido).map_or(0, |span| span.get_days());
        let mut detalle = format!("pedido el {pedido}, hace {days} días");
        if days >= DIAS_DE_ESPERA {
            detalle.push_str(": pregunte por la respuesta");
        }
        let siguiente = vec![format!("Cuando respondan, escriba la fecha en {fin_clave}")];
        return Paso { numero, titulo, estado: Estado::EnEspera, detalle, siguiente, falta: Vec::new() };
    }
    let (estado, detalle) = match falta.len() {
        0 => (Estado::Listo, format!("cuando ocurra, escriba la fecha en {fin_clave}")),
        1 => (Estado::FaltanDatos, "falta 1 dato".to_owned()),
        n => (Estado::FaltanDatos, format!("faltan {n} datos")),
    };
    Paso { numero, titulo, estado, detalle, siguiente: next(siguiente), falta }
}
