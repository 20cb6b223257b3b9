//! What a document of the dossier says of itself where programs read it: in the description of each of its signature fields,
//! which every signature covers. By it an acta of another entity, of another report, or made to practise is told apart from
//! the one that is asked for.

use std::io::Cursor;

use super::{Contexto, Expediente, Problema};
use crate::{
    domain::{Ambiente, Sha256},
    signing::pades,
};

/// Before and after the facts, at the beginning of a description for people.
const BEGINS: &str = "[chasqui ";
const ENDS: &str = "]";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constancia {
    /// `acta`, or a form's word.
    pub documento: String,
    pub ruc: String,
    /// Made to practise: not with a configuration of production.
    pub ensayo: bool,
    /// SHA-256 of the report that an acta is about.
    pub informe: Option<String>,
}

impl Constancia {
    pub fn nueva(documento: &str, expediente: &Expediente, contexto: &Contexto<'_>) -> Self {
        Self {
            documento: documento.to_owned(),
            ruc: expediente.entidad.ruc.to_string(),
            ensayo: contexto.ambiente != Ambiente::Production,
            informe: None,
        }
    }

    pub fn texto(&self) -> String {
        let estado = if self.ensayo { "ensayo" } else { "para-presentar" };
        let informe = self.informe.as_ref().map(|digest| format!(" informe={digest}")).unwrap_or_default();
        format!("{BEGINS}documento={} ruc={} estado={estado}{informe}{ENDS}", self.documento, self.ruc)
    }

    fn de(about: &str) -> Option<Self> {
        // First of all, where no name of a person can stand, nor the end of a long one cut it off.
        let (facts, _) = about.strip_prefix(BEGINS)?.split_once(ENDS)?;
        let value = |name: &str| {
            let mut pairs = facts.split(' ').filter_map(|fact| fact.split_once('='));
            pairs.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
        };
        Some(Self {
            documento: value("documento")?,
            ruc: value("ruc")?,
            ensayo: value("estado")? != "para-presentar",
            informe: value("informe"),
        })
    }

    /// Of each signature field of a PDF, by its name; `None` where it says nothing.
    pub fn leer(pdf: &[u8]) -> Vec<(String, Option<Self>)> {
        let fields = pades::signature_fields(Cursor::new(pdf)).unwrap_or_default();
        fields.into_iter().map(|field| (field.name, Self::de(&field.about))).collect()
    }
}

fn problema(clave: &str, problema: String, escriba: &str) -> Problema {
    Problema { clave: clave.to_owned(), problema, escriba: escriba.to_owned() }
}

/// What is wrong with an acta as a document, were it signed by whom it may. `informe`: what the dossier names.
pub fn del_acta(
    pdf: &[u8],
    [primero, segundo]: [&str; 2],
    expediente: &Expediente,
    informe: &Result<Sha256, String>,
    contexto: &Contexto<'_>,
) -> Vec<Problema> {
    let clave = "archivos.acta";
    let again = "Escriba el archivo que hizo «chasqui onboarding acta --out», firmado por los dos";
    let all = Constancia::leer(pdf);
    let of = |campo: &str| all.iter().find(|(name, _)| name == campo).and_then(|(_, says)| says.as_ref());
    let (Some(one), Some(other)) = (of(primero), of(segundo)) else {
        let what =
            "no es un acta hecha con «chasqui onboarding acta»: sus recuadros no dicen de qué informe es".to_owned();
        return vec![problema(clave, what, again)];
    };
    let mut found = Vec::new();
    if one != other || one.documento != "acta" {
        found.push(problema(clave, format!("no es un acta sino otro documento ({})", one.documento), again));
    }
    if one.ruc != *expediente.entidad.ruc {
        found.push(problema(clave, format!("es de la entidad con RUC {}", one.ruc), again));
    }
    match informe {
        Err(why) => {
            let escriba = "Escriba el informe JSON del que se hizo el acta";
            found.push(problema("acta.informe", why.clone(), escriba));
        }
        Ok(digest) if one.informe.as_deref() != Some(digest.as_str()) => {
            let of = one.informe.as_deref().unwrap_or("ninguno");
            let what = format!("es del informe con SHA-256 {of}, y acta.informe tiene {digest}");
            found.push(problema(clave, what, "Haga el acta de nuevo con ese informe y pida las dos firmas"));
        }
        Ok(_) => {}
    }
    if one.ensayo && contexto.ambiente == Ambiente::Production {
        let what = "es un ENSAYO: se hizo con una configuración que no es de producción".to_owned();
        found.push(problema(clave, what, "Hágala con environment = \"production\" y pida las dos firmas"));
    }
    found
}

/// What is wrong with a signed form: one that was made here must be the one that is asked for. A form on the official
/// layout says nothing of itself and is taken as it is.
pub fn del_formulario(
    pdf: &[u8],
    clave: &str,
    documento: &str,
    expediente: &Expediente,
    contexto: &Contexto<'_>,
) -> Vec<Problema> {
    let escriba = "Escriba el archivo firmado de ese formulario";
    let Some(says) = Constancia::leer(pdf).into_iter().find_map(|(_, says)| says) else { return Vec::new() };
    let mut found = Vec::new();
    if says.documento != documento {
        found.push(problema(
            clave,
            format!("es otro documento ({}), y se esperaba {documento}", says.documento),
            escriba,
        ));
    }
    if says.ruc != *expediente.entidad.ruc {
        found.push(problema(clave, format!("es de la entidad con RUC {}", says.ruc), escriba));
    }
    if says.ensayo && contexto.ambiente == Ambiente::Production {
        found.push(problema(
            clave,
            "es un ENSAYO: se hizo con una configuración que no es de producción".into(),
            escriba,
        ));
    }
    found
}
