//! The envelopes of an exchange in its package: which are put in, and whether they are what the entries name and can be written
//! again with the documents beside them.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek, Write},
    path::Path,
};

use super::{
    Report,
    container::{Container, Member},
    entries::Said,
};
use crate::{
    audit::merkle::Hash,
    config::causes::in_spanish,
    domain::{Sha256, lima},
    soap::conversation::{Conversacion, Mensaje, RehacerError, Sentido},
    store::{Fact, FactAt},
};

/// The folder they are in.
pub const FOLDER: &str = "sobres/";
/// Most conversations in one package: as many from the beginning of the exchange as from its end, half each.
const CONVERSATIONS_MAX: usize = 100;
/// Largest conversation that is read, in bytes.
const CONVERSATION_MAX: u64 = 4 * 1024 * 1024;

/// The conversations that a package takes, with their names in it.
pub fn chosen(facts: &[FactAt]) -> Vec<(String, Sha256)> {
    let all = facts.iter().flat_map(|at| at.fact.sobres.iter().map(|sha256| (&at.fact.tipo, sha256)));
    let named =
        all.enumerate().map(|(n, (tipo, sha256))| (format!("{FOLDER}{:03}-{tipo}.json", n + 1), sha256.clone()));
    let mut named: Vec<_> = named.collect();
    let too_many = named.len().saturating_sub(CONVERSATIONS_MAX);
    let from = named.len().min(CONVERSATIONS_MAX / 2);
    named.drain(from..from + too_many);
    named
}

/// Judges the conversations of a package.
pub struct Messages<'a, R> {
    pub container: &'a mut Container<R>,
    /// Of every file that the manifest names.
    pub digests: &'a [(String, Hash)],
    /// Where to put the messages that were written again.
    pub rebuild_in: Option<&'a Path>,
}

impl<R: Read + Seek> Messages<'_, R> {
    pub fn judge(&mut self, said: &[Said], report: &mut Report) {
        let facts = || said.iter().flat_map(|said| &said.facts);
        let named = |digest: &Hash| {
            let digest = Sha256::from_digest(digest);
            facts().any(|fact| fact.sobres.contains(&digest))
        };
        for (name, _) in self.digests.iter().filter(|(name, digest)| name.starts_with(FOLDER) && !named(digest)) {
            report.fail(format!("Ningún asiento nombra «{name}»."));
        }
        let mut absent = 0_usize;
        for fact in facts() {
            for sha256 in &fact.sobres {
                match self.member(sha256, |name| name.starts_with(FOLDER)) {
                    Some(member) => self.conversation(fact, &member, report),
                    None => absent += 1,
                }
            }
        }
        if absent > 0 {
            report.warn(format!(
                "Los mensajes de {absent} hecho(s) no vienen en el paquete; los asientos traen su huella."
            ));
        }
    }

    fn member(&self, sha256: &Sha256, which: impl Fn(&str) -> bool) -> Option<Member> {
        let found = self.digests.iter().find(|(name, digest)| which(name) && Sha256::from_digest(digest) == *sha256);
        found.and_then(|(name, _)| self.container.find(name).cloned())
    }

    fn conversation(&mut self, fact: &Fact, member: &Member, report: &mut Report) {
        let read = self.container.read(&member.name, CONVERSATION_MAX);
        let read = read
            .map_err(|error| error.to_string())
            .and_then(|(bytes, _)| serde_json::from_slice::<Conversacion>(&bytes).map_err(|error| error.to_string()));
        let conversation = match read {
            Ok(conversation) => conversation,
            Err(error) => return report.fail(format!("«{}» no se entiende: {error}", member.name)),
        };
        let who = match conversation.sentido {
            Sentido::Recibida => "que la plataforma nos dirigió",
            Sentido::Enviada => "que dirigimos a la plataforma",
        };
        let when = lima::texto(fact.at);
        let about = format!("{} ({}, {who}; «{}» del {when})", member.name, conversation.operacion, fact.tipo);
        for (what, message) in ["la petición", "la respuesta"].into_iter().zip(conversation.mensajes()) {
            self.message(&about, what, &member.name, message, report);
        }
        if conversation.respuesta.is_none() {
            report.warn(format!("{about}: no hubo respuesta."));
        }
    }

    fn message(&mut self, about: &str, what: &str, name: &str, message: &Mensaje, report: &mut Report) {
        let bytes = message.sobre.bytes;
        let document = message.documento.as_ref().filter(|_| message.needs_document());
        let document = match document.map(|sha256| self.member(sha256, |name| !name.starts_with(FOLDER))) {
            Some(None) => {
                let text = "no se rehace, porque su documento no viene en el paquete";
                return report.warn(format!("{about}: {what} {text}."));
            }
            Some(Some(member)) => Some(member),
            None => None,
        };
        let with = document.as_ref().map_or_else(|| "tal cual".to_owned(), |member| format!("con {}", member.name));
        let (mut failed, mut copy) = (false, Copy::begin(self.rebuild_in, name, what));
        let size = document.as_ref().map_or(0, |member| member.bytes);
        let again = message.rehacer(
            size,
            &mut |take| {
                if let Some(member) = &document {
                    failed |= self.container.stream(member, take).is_err();
                }
            },
            &mut |piece| copy.write(piece),
        );
        match again {
            _ if failed => report.fail(format!("{about}: {what} no se puede rehacer, porque su documento no se lee.")),
            Ok(again) if message.sobre.crc32c.is_some() => report.proven(format!(
                "{about}: {what} se rehízo {with}, byte por byte: {bytes} bytes y la suma que se anotaron (SHA-256 {}).",
                again.sha256
            )),
            Ok(again) => report.proven(format!(
                "{about}: {what} se rehízo {with}: {bytes} bytes, como se anotó su forma (SHA-256 {}).",
                again.sha256
            )),
            Err(RehacerError::SinPartes(why)) => {
                report.warn(format!("{about}: {what} no se guardó entera: {why}. Tenía {bytes} bytes."));
            }
            Err(error) => report.fail(format!("{about}: {what} no se puede rehacer: {error}.")),
        }
        if let Some(error) = copy.end() {
            let why = in_spanish(&error);
            report.warn(format!(
                "{about}: {what} no se pudo escribir en la carpeta pedida ({why}); dé una carpeta vacía."
            ));
        }
    }
}

/// A message that is written again into a file, if that is wanted.
struct Copy(io::Result<Option<BufWriter<File>>>);

impl Copy {
    fn begin(folder: Option<&Path>, name: &str, what: &str) -> Self {
        let Some(folder) = folder else { return Self(Ok(None)) };
        // A member's name has no part that reaches outside; here it has but one.
        let name = name.trim_start_matches(FOLDER).trim_end_matches(".json").replace('/', "-");
        let kind = what.rsplit(' ').next().unwrap_or_default().replace('ó', "o");
        Self(File::create_new(folder.join(format!("{name}-{kind}.xml"))).map(|file| Some(BufWriter::new(file))))
    }

    fn write(&mut self, piece: &[u8]) {
        if let Ok(Some(file)) = &mut self.0
            && let Err(error) = file.write_all(piece)
        {
            self.0 = Err(error);
        }
    }

    fn end(self) -> Option<io::Error> {
        self.0.and_then(|file| file.map_or(Ok(()), |mut file| file.flush())).err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        Cursor,
        samples::{fact, number},
    };

    #[test]
    fn of_too_many_conversations_the_first_and_the_last_are_taken() {
        let told = |n: u64| {
            let mut fact = fact(crate::domain::Id::from_u128(7), "despacho.por_confirmar");
            fact.sobres = vec![Sha256::from_digest(&[u8::try_from(n % 251).unwrap(); 32])];
            FactAt { cursor: Cursor { seq: number() + n, n: 0 }, fact }
        };
        let names = |count| chosen(&(0..count).map(told).collect::<Vec<_>>()).into_iter().map(|(name, _)| name);
        assert_eq!(names(0).count(), 0);
        assert_eq!(names(2).collect::<Vec<_>>(), [1, 2].map(|n| format!("sobres/{n:03}-despacho.por_confirmar.json")));
        let many: Vec<String> = names(130).collect();
        assert_eq!(many.len(), CONVERSATIONS_MAX);
        assert!(many[49].contains("/050-") && many[50].contains("/081-") && many[99].contains("/130-"), "{many:?}");
    }
}
