//! The trusted lists that the configuration names: read from their files, or fetched and kept in the folder of the data. A
//! new one takes the place of the kept one only if its signature holds and it is not older; else the kept one serves on, and
//! it is told why.

use std::{fs, io::Write, path::PathBuf, time::Duration};

use jiff::Timestamp;
use reqwest::Url;

use super::{
    anchors,
    causes::in_spanish,
    fetch::{Fetcher, Reach},
};
use crate::{
    config::Config,
    domain::lima,
    signing::{
        trust::Trust,
        trusted_list::{LIST_BYTES_MAX, ListFault, TrustedList},
    },
};

/// Where they are kept, within the folder of the data.
const FOLDER: &str = "lists";

/// Longest wait for one list.
const FETCH_TIME_MAX: Duration = Duration::from_secs(60);

/// A list of the configuration, as it stands.
#[derive(Debug, Clone)]
pub struct Known {
    /// A file's name or an address.
    pub source: String,
    pub list: Option<TrustedList>,
    /// What is wrong, as a sentence that names the list.
    pub problem: Option<String>,
}

/// The bytes of a list, or why there are none.
type Got = Result<Vec<u8>, String>;

/// Whether a source is an address and not a file.
fn address(source: &str) -> Option<Url> {
    source.contains("://").then(|| source.parse().ok()).flatten()
}

/// The lists without asking the network: files, and what was kept of those that are fetched.
pub fn known(config: &Config, now: Timestamp) -> Result<Vec<Known>, String> {
    let signers = signers(config)?;
    let read = |source: &String| match address(source) {
        Some(_) => judge(config, source, None, &signers, now),
        None => judge(config, source, Some(file(source)), &signers, now),
    };
    Ok(config.trust.lists.iter().map(read).collect())
}

/// Fetches those that have an address; [`take`] judges what came.
pub async fn fetch(config: &Config) -> Vec<Got> {
    let mut all = Vec::new();
    for source in &config.trust.lists {
        all.push(match address(source) {
            Some(url) => match Fetcher::new(FETCH_TIME_MAX, Reach::Anywhere, url.scheme() == "https") {
                Ok(fetcher) => fetcher.get(&url, LIST_BYTES_MAX).await,
                Err(error) => Err(error),
            },
            None => Ok(Vec::new()),
        });
    }
    all
}

/// Judges what [`fetch`] gave, reads the files, and keeps what is good. Blocks.
pub fn take(config: &Config, fetched: Vec<Got>, now: Timestamp) -> Result<Vec<Known>, String> {
    let signers = signers(config)?;
    let mut all = Vec::new();
    for (source, got) in config.trust.lists.iter().zip(fetched) {
        let got = if address(source).is_some() { got } else { file(source) };
        let bytes = got.clone().unwrap_or_default();
        let known = judge(config, source, Some(got), &signers, now);
        let fresh = known.list.as_ref().filter(|list| {
            let read = TrustedList::read(&bytes, &signers, now);
            read.is_ok_and(|read| (read.issued, read.sequence) == (list.issued, list.sequence))
        });
        if fresh.is_some()
            && let Err(error) = keep(config, source, &bytes)
        {
            tracing::warn!(source, %error, "a trusted list could not be kept");
        }
        all.push(known);
    }
    Ok(all)
}

/// Who may sign lists.
fn signers(config: &Config) -> Result<Trust, String> {
    let mut trust = Trust::default();
    for path in &config.trust.list_signers {
        anchors::add(&mut trust, path)?;
    }
    Ok(trust)
}

/// What is offered against what is kept; nothing offered: what is kept.
fn judge(config: &Config, source: &str, offered: Option<Got>, signers: &Trust, now: Timestamp) -> Known {
    let kept = fs::read(place(config, source)).ok().and_then(|bytes| TrustedList::read_kept(&bytes, signers).ok());
    let (list, problem) = match offered {
        None if kept.is_none() => {
            (None, Some("todavía no se ha descargado ninguna; la descarga el servicio (chasqui serve), y si no pudo, su registro dice por qué".into()))
        }
        None => (kept, None),
        Some(got) => {
            let read = got.and_then(|bytes| {
                let list = TrustedList::read(&bytes, signers, now).map_err(|fault| fault.to_string())?;
                let follows = kept.as_ref().map_or(Ok(()), |kept| list.follows(kept));
                follows.map(|()| list).map_err(|fault: ListFault| fault.to_string())
            });
            match read {
                Ok(list) => (Some(list), None),
                Err(why) => (kept, Some(why)),
            }
        }
    };
    let problem = problem.map(|why| match &list {
        Some(kept) => {
            let issued = lima::texto(kept.issued);
            format!(
                "La lista de confianza {source} no se puede usar ({why}). Se usa la última buena, emitida el {issued}."
            )
        }
        None => format!("La lista de confianza {source} no se puede usar: {why}."),
    });
    let overdue = list.as_ref().filter(|list| list.overdue(now)).and_then(|list| list.next_update);
    let overdue = overdue.map(|due| {
        let due = lima::texto(due);
        format!(
            "La lista de confianza {source} venció el {due} y no hay otra más nueva: se sigue usando, pero puede no \
                 decir lo último."
        )
    });
    Known { source: source.to_owned(), list, problem: problem.or(overdue) }
}

fn file(source: &str) -> Got {
    let bytes = fs::metadata(source).map(|data| data.len());
    if bytes.as_ref().is_ok_and(|bytes| *bytes > LIST_BYTES_MAX as u64) {
        return Err(format!("tiene más de {LIST_BYTES_MAX} bytes"));
    }
    fs::read(source).map_err(|error| in_spanish(&error))
}

fn place(config: &Config, source: &str) -> PathBuf {
    let name: String = openssl::sha::sha256(source.as_bytes()).iter().take(16).map(|b| format!("{b:02x}")).collect();
    config.data_dir.join(FOLDER).join(format!("{name}.xml"))
}

fn keep(config: &Config, source: &str, bytes: &[u8]) -> Result<(), std::io::Error> {
    let place = place(config, source);
    if fs::read(&place).is_ok_and(|known| known == bytes) {
        return Ok(());
    }
    let folder = config.data_dir.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let mut fresh = tempfile::NamedTempFile::new_in(&folder)?;
    fresh.write_all(bytes)?;
    fresh.as_file().sync_data()?;
    fresh.persist(place).map(|_| ()).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::signing::trusted_list::samples::{GRANTED, INTERMEDIATE, ISSUER, list, service};

    const NOW: &str = "2026-11-22T12:00:00Z";
    const SIGNER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pki/agente-municipalidad.cert.pem");

    fn config(dir: &std::path::Path, source: &str) -> Config {
        let mut config = Config { data_dir: dir.join("data"), ..Config::default() };
        config.trust.lists = vec![source.into()];
        config.trust.list_signers = vec![SIGNER.into()];
        config
    }

    fn issued(when: &str, due: &str) -> Vec<u8> {
        list(when, due, 1, &service(ISSUER, INTERMEDIATE, GRANTED, "2025-01-01T00:00:00Z", &[]))
    }

    fn one(mut all: Vec<Known>) -> (Option<String>, Option<String>) {
        let known = all.pop().unwrap();
        (known.list.map(|list| list.issued.to_string()), known.problem)
    }

    #[test]
    fn the_last_good_list_serves_until_a_better_one_comes() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), "https://lista.ejemplo/tsl.xml");
        let now = NOW.parse().unwrap();
        let take = |got: Got| one(super::take(&config, vec![got], now).unwrap());
        let (list, problem) = one(known(&config, now).unwrap());
        assert!(list.is_none() && problem.unwrap().contains("todavía no se ha descargado"));
        assert!(take(Err("no respondió".into())).0.is_none());

        let (first, second) = (
            issued("2026-05-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            issued("2026-11-01T00:00:00Z", "2027-05-01T00:00:00Z"),
        );
        assert_eq!(take(Ok(first.clone())), (Some("2026-05-01T00:00:00Z".into()), None));
        let changed = String::from_utf8(second.clone()).unwrap().replace("granted", "Granted").into_bytes();
        for (bad, word) in [
            (Err("no respondió a tiempo".to_owned()), "no respondió a tiempo"),
            (Ok(changed), "no es el que se firmó"),
            (Ok(b"<html>502</html>".to_vec()), "no es una lista"),
        ] {
            let (list, problem) = take(bad);
            assert_eq!(list.as_deref(), Some("2026-05-01T00:00:00Z"));
            let problem = problem.unwrap();
            assert!(problem.contains(word) && problem.contains("última buena"), "{problem}");
        }
        assert_eq!(take(Ok(second)), (Some("2026-11-01T00:00:00Z".into()), None));
        let (list, problem) = take(Ok(first));
        assert!(list.as_deref() == Some("2026-11-01T00:00:00Z") && problem.unwrap().contains("más antigua"));
        // Without the network: what was kept.
        assert_eq!(one(known(&config, now).unwrap()), (Some("2026-11-01T00:00:00Z".into()), None));
        let late = "2027-06-01T00:00:00Z".parse().unwrap();
        assert!(one(known(&config, late).unwrap()).1.unwrap().contains("venció el"));
        // Who may sign was changed: what is kept does not count any more.
        let stranger = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pki/unknown-root.cert.pem");
        let mut other = config.clone();
        other.trust.list_signers = vec![stranger.into()];
        assert_eq!(one(known(&other, now).unwrap()).0, None);
    }

    #[tokio::test]
    async fn lists_are_fetched_within_their_bounds() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let body = issued("2026-11-01T00:00:00Z", "2027-05-01T00:00:00Z");
        let answers = [
            [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes(), body.clone()].concat(),
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n".to_vec(),
            b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n<a>".to_vec(),
        ];
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                stream.write_all(&answer).await.unwrap();
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), &format!("http://{address}/tsl.xml"));
        assert_eq!(fetch(&config).await, [Ok(body)]);
        assert_eq!(fetch(&config).await, [Err("127.0.0.1 respondió HTTP 302".to_owned())]);
        assert!(fetch(&config).await[0].is_err(), "cut");
    }
}
