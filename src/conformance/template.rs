//! Templates of the cases: `{name}` or `{name:argument}` in a text, and what they stand for in one run.

use std::collections::BTreeMap;

use base64_simd::STANDARD;
use jiff::{SignedDuration, Timestamp};

use crate::{contract, domain::lima, simulator::pdf::Hoja};

/// What every subject begins with: nobody should take a test for a document.
pub const MARCA: &str = "PRUEBA DE CONFORMIDAD - NO TRAMITAR";

/// Largest text that a template repeats, in bytes, and largest document it makes.
const REPEATED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// More numbers than any case gives.
const EN_VUELO: u32 = 40;

/// Numbers for a run: they begin with 99 and the run's seed, so that two runs do not meet.
#[derive(Debug, Clone)]
pub struct Cuos {
    pub prefijo: String,
    next: u32,
}

impl Cuos {
    pub fn new(prefijo: String) -> Self {
        Self { prefijo, next: 0 }
    }

    pub fn nuevo(&mut self) -> String {
        self.next += 1;
        format!("{}{:03}", self.prefijo, self.next % 1000)
    }

    /// How many were given.
    pub fn dados(&self) -> u32 {
        self.next
    }

    /// A number that is no CUO, as unlike all others.
    pub fn numero(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// Begins after so many.
    pub fn desde(&mut self, next: u32) {
        self.next = next;
    }

    /// So that a run that goes on gives none again: `dados` were given when it last took note, and the case that was cut short may
    /// have used some more.
    pub fn continua(&mut self, dados: u32) {
        self.next = dados.saturating_add(EN_VUELO);
    }
}

/// What a case's templates may name.
#[derive(Debug, Clone)]
pub struct Mundo {
    pub caso: String,
    /// Of the entity under test.
    pub ruc: String,
    /// Of whom the suite plays.
    pub remitente: String,
    pub ruta: String,
    pub autoridad: String,
    pub ahora: Timestamp,
    /// CUOs by the name that the case gives them.
    pub cuos: BTreeMap<String, String>,
    /// Values that steps found, by name.
    pub valores: BTreeMap<String, String>,
}

impl Mundo {
    /// A small document that says what it is.
    pub fn pdf(&self, cual: &str) -> Vec<u8> {
        let hoja = Hoja {
            membrete: "chasqui conformance".into(),
            titulo: MARCA.into(),
            datos: vec![("Caso".into(), self.caso.clone()), ("Documento".into(), cual.to_owned())],
            parrafos: vec!["Documento generado por una prueba automática. No tiene efecto alguno.".into()],
            pie: MARCA.into(),
        };
        let mut pdf = hoja.render();
        if let Some(kib) = cual.strip_prefix("kib").and_then(|n| n.parse::<usize>().ok()) {
            // A comment after the end of the file: still the same document to every reader.
            pdf.extend(b"\n%".iter());
            pdf.resize((kib * 1024).min(REPEATED_BYTES_MAX).max(pdf.len()), b'x');
            pdf.extend(b"\n%%EOF\n".iter());
        }
        pdf
    }

    /// The text with its templates replaced; an unknown one is an error of the case.
    pub fn texto(
        &self,
        plantilla: &str,
        cuos: &mut Cuos,
        nuevos: &mut BTreeMap<String, String>,
    ) -> Result<String, String> {
        let (mut out, mut rest) = (String::new(), plantilla);
        while let Some((before, after)) = rest.split_once('{') {
            let Some((inside, after)) = after.split_once('}') else { break };
            out += before;
            out += &self.valor(inside, cuos, nuevos)?;
            rest = after;
        }
        Ok(out + rest)
    }

    fn valor(&self, inside: &str, cuos: &mut Cuos, nuevos: &mut BTreeMap<String, String>) -> Result<String, String> {
        let (name, argument) = inside.split_once(':').unwrap_or((inside, ""));
        let days = |n: i64| lima::texto(self.ahora + SignedDuration::from_hours(24 * n));
        Ok(match name {
            "ruc" => self.ruc.clone(),
            "remitente" => self.remitente.clone(),
            "caso" => self.caso.clone(),
            "marca" => MARCA.to_owned(),
            "ruta" => self.ruta.clone(),
            "autoridad" => self.autoridad.clone(),
            "fin" => "\r\n".into(),
            "abre" => "{".into(),
            "cierra" => "}".into(),
            "nulo" => "\0".into(),
            "ahora" => days(0),
            "ayer" => days(-1),
            "manana" => days(2),
            "sin_zona" => days(-1).trim_end_matches("-05:00").to_owned(),
            "con_milisegundos" => days(-1).replace("-05:00", ".123-05:00"),
            "anio" => lima::en_lima(self.ahora).year().to_string(),
            "espacio" => contract::tramite::NAMESPACE.into(),
            "espacio_plataforma" => contract::iotramite::NAMESPACE.into(),
            "soap" => super::envelope::SOAP11.into(),
            "cuo" => match self.cuos.get(argument).or_else(|| nuevos.get(argument)) {
                Some(cuo) => cuo.clone(),
                None => {
                    let cuo = cuos.nuevo();
                    nuevos.insert(argument.to_owned(), cuo.clone());
                    cuo
                }
            },
            // A number as short as those of some tests.
            "corto" => {
                let n = cuos.numero();
                format!("{}{n}", cuos.prefijo.trim_start_matches("99"))
            }
            "valor" => self.valores.get(argument).cloned().unwrap_or_default(),
            "largo" => largo(number(argument)?),
            "repite" => {
                let (n, what) = argument.split_once(':').ok_or("«repite» pide un número y un texto")?;
                if number(n)?.saturating_mul(what.len()) > REPEATED_BYTES_MAX {
                    return Err("«repite» pide demasiado".into());
                }
                what.replace("$n", "0").repeat(number(n)?)
            }
            "numera" => {
                let (n, what) = argument.split_once(':').ok_or("«numera» pide un número y un texto")?;
                (0..number(n)?.min(100_000)).map(|n| what.replace("$n", &n.to_string())).collect()
            }
            "pdf" => self.documento(argument)?,
            _ => return Err(format!("la plantilla {{{inside}}} no existe")),
        })
    }

    /// A document as it stands in its field.
    fn documento(&self, como: &str) -> Result<String, String> {
        let twice = |bytes: &[u8]| STANDARD.encode_to_string(STANDARD.encode_to_string(bytes));
        let pdf = self.pdf("principal");
        Ok(match como {
            "" => twice(&pdf),
            "una" => STANDARD.encode_to_string(&pdf),
            "otro" => twice(&self.pdf("otro")),
            "lineas" => lines(&twice(&pdf), "&#xd;\n"),
            "saltos" => lines(&twice(&pdf), "\n"),
            "dentro" => STANDARD.encode_to_string(lines(&STANDARD.encode_to_string(&pdf), "\r\n")),
            "basura" => twice(&[b"\xef\xbb\xbf\n", pdf.as_slice()].concat()),
            "zip" => twice(&[b"PK\x03\x04".as_slice(), &[7; 400]].concat()),
            "texto" => twice(b"Esto no es un PDF, aunque viene codificado dos veces. ".repeat(10).as_slice()),
            "roto" => twice(&pdf).replacen('J', "!!*", 1),
            "tres" => STANDARD.encode_to_string(twice(&pdf)),
            kib => twice(&self.pdf(kib)),
        })
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.trim().parse().map_err(|_| format!("«{text}» no es un número"))
}

/// So many characters, of which some take two bytes: who counts bytes is found out.
fn largo(n: usize) -> String {
    "Ñandú árbol ".chars().cycle().take(n.saturating_sub(1)).chain(std::iter::once('z')).take(n).collect()
}

fn lines(text: &str, end: &str) -> String {
    let pieces = text.as_bytes().chunks(76).map(String::from_utf8_lossy);
    pieces.collect::<Vec<_>>().join(end)
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;

    pub fn mundo() -> Mundo {
        Mundo {
            caso: "X-1".into(),
            ruc: "20900000015".into(),
            remitente: "20900001003".into(),
            ruta: "/wsiotramite/Tramite".into(),
            autoridad: "127.0.0.1:8080".into(),
            ahora: Timestamp::UNIX_EPOCH,
            cuos: BTreeMap::new(),
            valores: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{samples::mundo, *};

    fn expand(text: &str) -> Result<String, String> {
        mundo().texto(text, &mut Cuos::new("9912345".into()), &mut BTreeMap::new())
    }

    #[test]
    fn templates_stand_for_their_values() {
        assert_eq!(expand("<a>{ruc}</a>{largo:3}").unwrap(), "<a>20900000015</a>Ñaz");
        assert_eq!(expand("{cuo}-{cuo}-{cuo:b}").unwrap(), "9912345001-9912345001-9912345002");
        assert_eq!(expand("{largo:250}").unwrap().chars().count(), 250);
        assert_eq!(expand("{numera:3: a$n}").unwrap(), " a0 a1 a2");
        assert!(expand("{nada}").is_err());
    }

    #[test]
    fn documents_come_in_every_coding() {
        let decode = |t: &str| STANDARD.decode_to_vec(t.replace("&#xd;", "").replace(['\r', '\n'], "")).unwrap();
        let pdf = mundo().pdf("principal");
        assert_eq!(decode(&expand("{pdf:una}").unwrap()), pdf);
        let twice = |t: &str| decode(std::str::from_utf8(&decode(&expand(t).unwrap())).unwrap());
        for form in ["{pdf}", "{pdf:lineas}", "{pdf:saltos}", "{pdf:dentro}"] {
            assert_eq!(twice(form), pdf, "{form}");
        }
        assert!(twice("{pdf:kib600}").len() > 600 * 1024);
    }
}
