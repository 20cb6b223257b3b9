//! A run's folder: each result is written as soon as it is known, so that a run that was cut short can go on.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::report::{Objetivo, Resultado, Veredicto};

const AVANCE: &str = "avance.jsonl";
/// Most that is read of a run's progress, in bytes.
const AVANCE_BYTES_MAX: u64 = 256 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Cabeza {
    inicio: Timestamp,
    catalogo_sha256: String,
    objetivo: Objetivo,
}

#[derive(Serialize, Deserialize)]
struct Linea {
    /// CUOs given until then.
    cuos: u32,
    resultado: Resultado,
}

/// What a run had reached.
pub struct Reanudado {
    pub inicio: Timestamp,
    pub objetivo: Objetivo,
    pub cuos: u32,
    /// Those that ran; what did not run is tried again.
    pub hechos: BTreeMap<String, Resultado>,
}

/// The folder of a run under way.
pub struct Avance {
    file: File,
    pub carpeta: PathBuf,
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> String {
    format!("no se puede {what} {}: {}", path.display(), crate::config::causes::in_spanish(error))
}

impl Avance {
    /// Begins a folder, which must not hold another run.
    pub fn nuevo(carpeta: &Path, inicio: Timestamp, catalogo: &str, objetivo: &Objetivo) -> Result<Self, String> {
        fs::create_dir_all(carpeta).map_err(|e| failed("crear", carpeta, &e))?;
        let path = carpeta.join(AVANCE);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => {
                format!("{} ya tiene una corrida: continúela con --resume, o elija otra carpeta", carpeta.display())
            }
            _ => failed("escribir", &path, &e),
        })?;
        let mut avance = Self { file, carpeta: carpeta.to_owned() };
        avance.linea(&Cabeza { inicio, catalogo_sha256: catalogo.to_owned(), objetivo: objetivo.clone() })?;
        Ok(avance)
    }

    /// Goes on in a folder. A last line cut in the middle is left out.
    pub fn reanuda(carpeta: &Path, catalogo: &str) -> Result<(Self, Reanudado), String> {
        let path = carpeta.join(AVANCE);
        let file = File::open(&path).map_err(|e| failed("leer", &path, &e))?;
        let mut lines = BufReader::new(file.take(AVANCE_BYTES_MAX)).lines().map_while(Result::ok);
        let head: Cabeza = lines
            .next()
            .and_then(|l| serde_json::from_str(&l).ok())
            .ok_or_else(|| format!("{} no es el avance de una corrida", path.display()))?;
        if head.catalogo_sha256 != catalogo {
            return Err("la corrida se hizo con otros casos, de otra versión; empiece una nueva".into());
        }
        let mut reanudado =
            Reanudado { inicio: head.inicio, objetivo: head.objetivo, cuos: 0, hechos: BTreeMap::new() };
        for linea in lines.filter_map(|l| serde_json::from_str::<Linea>(&l).ok()) {
            reanudado.cuos = reanudado.cuos.max(linea.cuos);
            if linea.resultado.veredicto != Veredicto::NoEjecutado {
                reanudado.hechos.insert(linea.resultado.id.clone(), linea.resultado);
            }
        }
        let mut file = OpenOptions::new().append(true).open(&path).map_err(|e| failed("escribir", &path, &e))?;
        // After a line cut in the middle, the next begins a line of its own.
        file.write_all(b"\n").map_err(|e| failed("escribir", &path, &e))?;
        Ok((Self { file, carpeta: carpeta.to_owned() }, reanudado))
    }

    pub fn anota(&mut self, cuos: u32, resultado: &Resultado) -> Result<(), String> {
        self.linea(&Linea { cuos, resultado: resultado.clone() })
    }

    fn linea<T: Serialize>(&mut self, value: &T) -> Result<(), String> {
        let mut text = serde_json::to_string(value).map_err(|e| e.to_string())?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(|e| failed("escribir en", &self.carpeta, &e))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::report::samples::{informe, resultado},
        *,
    };

    #[test]
    fn a_run_goes_on_after_what_had_ended_even_if_cut_in_the_middle_of_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let objetivo = informe(Vec::new()).objetivo;
        let mut avance = Avance::nuevo(dir.path(), Timestamp::UNIX_EPOCH, "abc", &objetivo).unwrap();
        avance.anota(3, &resultado("A", Veredicto::Cumple)).unwrap();
        avance.anota(5, &resultado("B", Veredicto::NoEjecutado)).unwrap();
        avance.file.write_all(b"{\"cuos\": 9, \"resul").unwrap();
        drop(avance);
        assert!(Avance::nuevo(dir.path(), Timestamp::UNIX_EPOCH, "abc", &objetivo).is_err());
        let (mut avance, known) = Avance::reanuda(dir.path(), "abc").unwrap();
        assert_eq!((known.cuos, known.hechos.keys().map(String::as_str).collect::<Vec<_>>()), (5, vec!["A"]));
        avance.anota(6, &resultado("B", Veredicto::Cumple)).unwrap();
        let (_, known) = Avance::reanuda(dir.path(), "abc").unwrap();
        assert_eq!(known.hechos.len(), 2);
        assert!(Avance::reanuda(dir.path(), "otro").is_err());
    }
}
