//! Trusted lists of ETSI TS 119 612: which services a supervisor vouches for, with which certificates, since and until when.
//! Read from the very tree whose signature was checked ([`xml`]); whether who signed it may do so is judged by
//! [`TrustedList::read`] with the certificates it is given. Lenient in what says nothing of trust: lists in use have empty
//! histories, key identifiers encoded twice, times without zone. Knows no file, network or clock.

#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(test)]
pub mod samples;
#[cfg(test)]
mod tests;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::{
    certificate::Certificate,
    trust::{Chain, Trust},
    xml::{self, Document, Element, SignatureFault, XmlFault},
};

const TSL: &str = "http://uri.etsi.org/02231/v2#";
const TYPES: &str = "http://uri.etsi.org/TrstSvc/Svctype/";
const STATES: &str = "http://uri.etsi.org/TrstSvc/";

/// id-tsl-kp-tslSigning.
const LIST_SIGNING: &str = "0.4.0.2231.3.0";

/// Largest list, in bytes.
pub const LIST_BYTES_MAX: usize = xml::tree::DOCUMENT_BYTES_MAX;
/// Services of a list that are kept.
const SERVICES_MAX: usize = 1000;
/// Earlier states of one service.
const HISTORY_MAX: usize = 64;
/// Certificates of one service.
const CERTIFICATES_MAX: usize = 16;
/// Longest name kept, in characters.
const NAME_CHARS_MAX: usize = 200;

/// Why a list is not used. The texts follow the list's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListFault {
    #[error(transparent)]
    Xml(#[from] XmlFault),
    #[error(transparent)]
    Signature(#[from] SignatureFault),
    #[error(
        "la firmó un certificado que no está entre los que pueden firmarla (trust.list_signers), o que ya no está vigente"
    )]
    Stranger,
    #[error(
        "la firmó un certificado que emitió uno de los de trust.list_signers, pero que no es para firmar listas \
         (id-tsl-kp-tslSigning): si es el de la autoridad, nómbrelo a él en trust.list_signers"
    )]
    Unfit,
    #[error("no es una lista de servicios de confianza (ETSI TS 119 612)")]
    NotAList,
    #[error("no dice {0}")]
    Missing(&'static str),
    #[error("es más antigua que la que ya se tiene")]
    Older,
}

/// What a service does, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceKind {
    /// Issues certificates for signing (CA/QC).
    Issuer,
    /// Gives timestamps (TSA).
    TimeStamping,
}

/// A time in which a service was vouched for; without end it still is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from: Timestamp,
    pub until: Option<Timestamp>,
}

/// A service of a list.
#[derive(Debug, Clone)]
pub struct Service {
    pub provider: String,
    pub name: String,
    pub kind: ServiceKind,
    /// The last part of the status's address, such as `granted`.
    pub status: String,
    pub since: Timestamp,
    pub spans: Vec<Span>,
    pub certificates: Vec<Certificate>,
}

/// A list whose signature was checked.
#[derive(Debug, Clone)]
pub struct TrustedList {
    pub operator: String,
    pub territory: String,
    pub sequence: u64,
    pub issued: Timestamp,
    /// When the next one is due at the latest; `None`: the list is closed, no other will come.
    pub next_update: Option<Timestamp>,
    pub signer: String,
    pub services: Vec<Service>,
    /// Services of other kinds, or without a certificate that can be read.
    pub ignored: usize,
}

impl Service {
    /// Whether it was vouched for at a time.
    pub fn covers(&self, at: Timestamp) -> bool {
        self.spans.iter().any(|span| span.from <= at && span.until.is_none_or(|until| at < until))
    }
}

impl TrustedList {
    /// Checks and reads a list; `signers` are the certificates that may sign it, or that issue some for
    /// signing lists.
    pub fn read(bytes: &[u8], signers: &Trust, now: Timestamp) -> Result<Self, ListFault> {
        Self::judged(bytes, signers, Some(now))
    }

    /// Reads one that was good when it came and was kept: its signer is judged as of the day it was issued.
    pub fn read_kept(bytes: &[u8], signers: &Trust) -> Result<Self, ListFault> {
        Self::judged(bytes, signers, None)
    }

    fn judged(bytes: &[u8], signers: &Trust, at: Option<Timestamp>) -> Result<Self, ListFault> {
        let document = Document::parse(bytes)?;
        if !document.root().is(TSL, "TrustServiceStatusList") {
            return Err(ListFault::NotAList);
        }
        let signer = xml::check(&document)?;
        let list = Reader { document: &document }.list(signer.certificate.name())?;
        match signers.chain(&signer.certificate, &signer.others, at.unwrap_or(list.issued)).0 {
            Chain::Trusted if may_sign_lists(&signer.certificate, signers) => Ok(list),
            Chain::Trusted => Err(ListFault::Unfit),
            _ => Err(ListFault::Stranger),
        }
    }

    /// Whether the next one should have come already.
    pub fn overdue(&self, now: Timestamp) -> bool {
        self.next_update.is_some_and(|due| due < now)
    }

    /// Refuses to go back: who has an old list that was signed must not undo a newer one.
    pub fn follows(&self, known: &Self) -> Result<(), ListFault> {
        match (self.issued, self.sequence) >= (known.issued, known.sequence) {
            true => Ok(()),
            false => Err(ListFault::Older),
        }
    }
}

/// Whoever is named may; of those that one who is named issued, only who was issued for it (ETSI TS 119 612 §5.7.1): else every
/// official and every municipality below the same root could write a list of their own.
fn may_sign_lists(certificate: &Certificate, signers: &Trust) -> bool {
    let for_it = |(uses, _): &(Vec<String>, bool)| uses.iter().any(|usage| usage == LIST_SIGNING);
    signers.has(certificate) || certificate.extended_usage.as_ref().is_some_and(for_it)
}

struct Reader<'a> {
    document: &'a Document,
}

impl<'a> Reader<'a> {
    fn list(&self, signer: String) -> Result<TrustedList, ListFault> {
        let root = self.document.root();
        let scheme = self.child(root, "SchemeInformation").ok_or(ListFault::NotAList)?;
        let issued = self.field(scheme, "ListIssueDateTime").and_then(|text| time(&text));
        let due = self.child(scheme, "NextUpdate").and_then(|next| self.field(next, "dateTime"));
        let mut list = TrustedList {
            operator: self.name_of(scheme, "SchemeOperatorName"),
            territory: clean(&self.field(scheme, "SchemeTerritory").unwrap_or_default()),
            sequence: self.field(scheme, "TSLSequenceNumber").and_then(|text| text.parse().ok()).unwrap_or(0),
            issued: issued.ok_or(ListFault::Missing("cuándo se emitió (ListIssueDateTime)"))?,
            next_update: match due {
                Some(text) => Some(time(&text).ok_or(ListFault::Missing("cuándo vence (NextUpdate)"))?),
                None => None,
            },
            signer,
            services: Vec::new(),
            ignored: 0,
        };
        let providers = self.child(root, "TrustServiceProviderList").into_iter();
        for provider in providers.flat_map(|list| self.document.named(list, TSL, "TrustServiceProvider")) {
            let name = self.child(provider, "TSPInformation").map(|info| self.name_of(info, "TSPName"));
            let services = self.child(provider, "TSPServices").into_iter();
            for service in services.flat_map(|list| self.document.named(list, TSL, "TSPService")) {
                match self.service(service, name.as_deref().unwrap_or_default()) {
                    Some(service) if list.services.len() < SERVICES_MAX => list.services.push(service),
                    _ => list.ignored += 1,
                }
            }
        }
        Ok(list)
    }

    fn service(&self, service: &Element, provider: &str) -> Option<Service> {
        let info = self.child(service, "ServiceInformation")?;
        let current = self.state(info)?;
        let history = self.child(service, "ServiceHistory").into_iter();
        let earlier = history.flat_map(|history| self.document.named(history, TSL, "ServiceHistoryInstance"));
        let mut states = vec![current.clone()];
        states.extend(earlier.take(HISTORY_MAX).filter_map(|instance| self.state(instance)));
        // The last one that begins rules; where two begin together, the one that the list has first.
        states.sort_by_key(|state| std::cmp::Reverse(state.since));
        let kind = states.iter().find_map(|state| state.kind)?;
        let mut until = None;
        let mut spans = Vec::new();
        for state in states {
            if state.vouched && state.kind == Some(kind) && until != Some(state.since) {
                spans.push(Span { from: state.since, until });
            }
            until = Some(state.since);
        }
        let certificates = self.certificates(info);
        if certificates.is_empty() {
            return None;
        }
        let State { status, since, .. } = current;
        let name = self.name_of(info, "ServiceName");
        Some(Service { provider: provider.to_owned(), name, kind, status, since, spans, certificates })
    }

    fn state(&self, info: &Element) -> Option<State> {
        let status = self.field(info, "ServiceStatus")?;
        let since = time(&self.field(info, "StatusStartingTime")?)?;
        let word = status.strip_prefix(STATES).and_then(|rest| rest.rsplit('/').next()).unwrap_or_default();
        let vouched = matches!(word, "granted" | "undersupervision" | "accredited");
        let kind = self.field(info, "ServiceTypeIdentifier").and_then(|uri| kind(&uri));
        Some(State { kind, status: clean(word), vouched, since })
    }

    fn certificates(&self, info: &Element) -> Vec<Certificate> {
        let ids = self.child(info, "ServiceDigitalIdentity").into_iter();
        let ids = ids.flat_map(|identity| self.document.named(identity, TSL, "DigitalId"));
        let written = ids.flat_map(|id| self.document.named(id, TSL, "X509Certificate")).take(CERTIFICATES_MAX);
        let read = |element| Certificate::from_der(&xml::base64(&self.document.text(element))?).ok();
        written.filter_map(read).collect()
    }

    fn child(&self, within: &'a Element, local: &'a str) -> Option<&'a Element> {
        self.document.child(within, TSL, local)
    }

    fn field(&self, within: &'a Element, local: &'a str) -> Option<String> {
        self.child(within, local).map(|element| self.document.text(element)).filter(|text| !text.is_empty())
    }

    /// A name in Spanish, else in English, else in any language.
    fn name_of(&self, within: &'a Element, local: &'a str) -> String {
        let Some(names) = self.child(within, local) else { return String::new() };
        let rank = |name: &&Element| match name.language() {
            Some("es") => 0,
            Some("en") => 1,
            _ => 2,
        };
        let best = self.document.named(names, TSL, "Name").min_by_key(rank);
        best.map(|name| clean(&self.document.text(name))).unwrap_or_default()
    }
}

#[derive(Clone)]
struct State {
    kind: Option<ServiceKind>,
    status: String,
    vouched: bool,
    since: Timestamp,
}

fn kind(uri: &str) -> Option<ServiceKind> {
    match uri.strip_prefix(TYPES)? {
        "CA/QC" => Some(ServiceKind::Issuer),
        "TSA" | "TSA/QTST" | "TSA/TSS-QC" | "TSA/TSS-AdESQCandQES" => Some(ServiceKind::TimeStamping),
        _ => None,
    }
}

/// With an offset, or without one: then in UTC.
fn time(text: &str) -> Option<Timestamp> {
    let local = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    text.parse().ok().or_else(local)
}

/// One line without control characters, of bounded length.
fn clean(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect()
}
