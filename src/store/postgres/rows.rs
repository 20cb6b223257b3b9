//! What the admitted changes of a batch write: each table's rows at once, however many changes there are.

use std::collections::{BTreeMap, HashMap, HashSet};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use super::{
    committer::Prepared,
    counting,
    known::{Known, names, raw},
    shared::{Failure, signed},
};
use crate::{
    domain::{Id, Sha256, conservacion::DocumentoPurgado},
    store::{Job, JobKind, Record, Seq, encoding::json},
};

/// The kinds of records that are looked for by kind; and the rest.
pub const DESPACHO: i16 = 1;
pub const RECEPCION: i16 = 2;
pub const API_KEY: i16 = 3;
pub const USUARIO: i16 = 4;
const OTHER: i16 = 5;

/// Everything a batch writes.
#[derive(Default)]
pub struct Rows<'a> {
    entries: Vec<(Seq, &'a Prepared)>,
    /// The last of each.
    records: BTreeMap<Id, &'a Record>,
    owners: BTreeMap<Vec<u8>, Id>,
    /// `None`: done with.
    jobs: BTreeMap<Id, Option<&'a Job>>,
    naming: HashSet<(Vec<u8>, Id)>,
    /// Purged: who does not name it any more, and what is gone.
    unnamed: Vec<(Vec<u8>, Id)>,
    gone: Vec<(Vec<u8>, Seq)>,
    /// What was brought by admitted changes.
    brought: HashMap<Id, (&'a Sha256, u64, Option<&'a [u8]>)>,
}

impl<'a> Rows<'a> {
    /// What a change purges of what is known before it: who names no longer what, and whether that is gone.
    pub fn purged(prepared: &'a Prepared, before: &Known) -> Vec<(Id, &'a DocumentoPurgado)> {
        let kept = |record: &&Record| before.stored(record.id()).is_some_and(|stored| stored.kept);
        let purges = prepared.records.iter().filter(kept).filter_map(|record| Some((record.id(), record.purga()?)));
        purges.flat_map(|(id, purga)| purga.documentos.iter().map(move |documento| (id, documento))).collect()
    }

    /// Adds an admitted change and what it purges.
    pub fn add(&mut self, seq: Seq, prepared: &'a Prepared, purged: Vec<(Id, &DocumentoPurgado)>) {
        self.entries.push((seq, prepared));
        for (id, documento) in purged {
            self.unnamed.push((raw(&documento.sha256), id));
            if !documento.compartido {
                self.gone.push((raw(&documento.sha256), seq));
            }
        }
        for record in &prepared.records {
            let id = record.id();
            self.records.insert(id, record);
            self.owners.extend(record.unique_keys().into_iter().map(|key| (key.digest(), id)));
            self.naming.extend(record.documents().into_iter().map(|sha256| (raw(sha256), id)));
        }
        for job in &prepared.jobs {
            self.jobs.insert(job.id, Some(job));
        }
        for id in &prepared.jobs_done {
            self.jobs.insert(*id, None);
        }
        for document in &prepared.documents {
            let inline = document.inline.as_deref();
            self.brought.insert(document.body, (&document.sha256, document.bytes, inline));
        }
    }

    /// What only the end of the batch can tell: what facts name, where their subject is not purged.
    fn name_facts(&mut self, known: &Known) {
        let facts = self.entries.iter().flat_map(|(_, prepared)| &prepared.facts);
        let kept = facts.filter(|fact| known.stored(fact.sujeto).is_none_or(|stored| !stored.purged));
        self.naming.extend(kept.flat_map(|fact| names(fact).map(|sha256| (raw(sha256), fact.sujeto))));
    }

    /// Writes it all. `all`: every body that the batch brought, also of changes that were refused.
    pub async fn write(mut self, transaction: &Transaction<'_>, known: &Known, all: &[Id]) -> Result<(), Failure> {
        self.name_facts(known);
        self.write_entries(transaction).await?;
        counting::count(transaction, &self.records.values().copied().collect::<Vec<_>>()).await?;
        self.write_records(transaction).await?;
        self.write_jobs(transaction).await?;
        self.write_documents(transaction, known, all).await?;
        self.write_naming(transaction).await?;
        if let Some((last, _)) = self.entries.last() {
            transaction.execute("UPDATE head SET seq = $1", &[&signed(*last)]).await?;
        }
        Ok(())
    }

    async fn write_entries(&self, transaction: &Transaction<'_>) -> Result<(), Failure> {
        let seqs: Vec<i64> = self.entries.iter().map(|(seq, _)| signed(*seq)).collect();
        let facts: Vec<&[u8]> = self.entries.iter().map(|(_, prepared)| prepared.encoded.facts.as_slice()).collect();
        let changes: Vec<&[u8]> = self.entries.iter().map(|(_, prepared)| prepared.encoded.change.as_slice()).collect();
        let sql = "INSERT INTO entry (seq, facts, change) SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])";
        run(transaction, sql, &[&seqs, &facts, &changes]).await?;

        let (mut seqs, mut places, mut subjects, mut entities) = (vec![], vec![], vec![], vec![]);
        for (seq, prepared) in &self.entries {
            for (n, fact) in (0_i16..).zip(&prepared.facts) {
                seqs.push(signed(*seq));
                places.push(n);
                subjects.push(fact.sujeto);
                entities.push(fact.entidad.as_ref().map(|ruc| ruc.as_str()));
            }
        }
        let sql = "INSERT INTO fact (seq, n, subject, entity) \
                   SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::uuid[], $4::text[])";
        run(transaction, sql, &[&seqs, &places, &subjects, &entities]).await
    }

    async fn write_records(&self, transaction: &Transaction<'_>) -> Result<(), Failure> {
        let records = || self.records.values();
        let ids: Vec<Id> = self.records.keys().copied().collect();
        let versions: Vec<i64> = records().map(|record| i64::from(record.version())).collect();
        let kinds: Vec<i16> = records().map(|record| kind(record)).collect();
        let entities: Vec<Option<&str>> = records().map(|record| record.entidad().map(|ruc| ruc.as_str())).collect();
        let states: Vec<Option<&str>> = records().map(|record| state(record)).collect();
        let numbers: Vec<Option<Vec<u8>>> = records().map(|record| number(record).map(number_digest)).collect();
        let cuos: Vec<Option<String>> = records().map(|record| cuo(record)).collect();
        let purged: Vec<bool> = records().map(|record| record.purga().is_some()).collect();
        let held: Vec<bool> = records().map(|record| record.bloqueo().is_some()).collect();
        let bodies: Vec<Vec<u8>> = records().map(|record| json(*record)).collect::<Result<_, _>>()?;
        let tallies: Vec<Option<Vec<u8>>> = records().map(|record| counting::noted(record)).collect();
        let sql = "INSERT INTO record (id, version, kind, entity, state, number, cuo, purged, held, body, tally) \
                   SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::smallint[], $4::text[], $5::text[], $6::bytea[], \
                   $7::text[], $8::boolean[], $9::boolean[], $10::bytea[], $11::bytea[]) \
                   ON CONFLICT (id) DO UPDATE SET version = excluded.version, state = excluded.state, \
                   number = excluded.number, cuo = excluded.cuo, purged = excluded.purged, held = excluded.held, \
                   body = excluded.body, tally = excluded.tally";
        let values: &[&(dyn ToSql + Sync)] =
            &[&ids, &versions, &kinds, &entities, &states, &numbers, &cuos, &purged, &held, &bodies, &tallies];
        run(transaction, sql, values).await?;

        let (keys, owners): (Vec<&Vec<u8>>, Vec<Id>) = self.owners.iter().map(|(key, id)| (key, *id)).unzip();
        let sql = "INSERT INTO unique_key (key, id) SELECT * FROM unnest($1::bytea[], $2::uuid[]) \
                   ON CONFLICT (key) DO UPDATE SET id = excluded.id WHERE unique_key.id <> excluded.id";
        run(transaction, sql, &[&keys, &owners]).await
    }

    async fn write_jobs(&self, transaction: &Transaction<'_>) -> Result<(), Failure> {
        let done: Vec<Id> = self.jobs.iter().filter(|(_, job)| job.is_none()).map(|(id, _)| *id).collect();
        if !done.is_empty() {
            run(transaction, "DELETE FROM job WHERE id = ANY($1)", &[&done]).await?;
        }
        let jobs: Vec<&Job> = self.jobs.values().filter_map(|job| *job).collect();
        if jobs.is_empty() {
            return Ok(());
        }
        let ids: Vec<Id> = jobs.iter().map(|job| job.id).collect();
        let kinds: Vec<i16> = jobs.iter().map(|job| job_kind(job.kind)).collect();
        let subjects: Vec<Id> = jobs.iter().map(|job| job.sujeto).collect();
        let entities: Vec<&str> = jobs.iter().map(|job| job.entidad.as_str()).collect();
        let destinations: Vec<&str> = jobs.iter().map(|job| job.destino.as_str()).collect();
        let made: Vec<i64> = jobs.iter().map(|job| nanoseconds(job.creado_en)).collect();
        let due: Vec<i64> = jobs.iter().map(|job| nanoseconds(job.proximo_en)).collect();
        let tries: Vec<i32> = jobs.iter().map(|job| i32::try_from(job.intentos).unwrap_or(i32::MAX)).collect();
        let dead: Vec<bool> = jobs.iter().map(|job| job.muerto_en.is_some()).collect();
        let bodies: Vec<Vec<u8>> = jobs.iter().map(|job| json(*job)).collect::<Result<_, _>>()?;
        // Who holds it goes on holding it; a dead one is nobody's.
        let sql = "INSERT INTO job (id, kind, subject, entity, destination, made_ns, due_ns, tries, dead, body) \
                   SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], \
                   $7::bigint[], $8::integer[], $9::boolean[], $10::bytea[]) \
                   ON CONFLICT (id) DO UPDATE SET entity = excluded.entity, destination = excluded.destination, \
                   made_ns = excluded.made_ns, due_ns = excluded.due_ns, tries = excluded.tries, dead = excluded.dead, \
                   woken = false, body = excluded.body, owner = CASE WHEN excluded.dead THEN NULL ELSE job.owner END";
        let values: &[&(dyn ToSql + Sync)] =
            &[&ids, &kinds, &subjects, &entities, &destinations, &made, &due, &tries, &dead, &bodies];
        run(transaction, sql, values).await
    }

    async fn write_documents(&self, transaction: &Transaction<'_>, known: &Known, all: &[Id]) -> Result<(), Failure> {
        if !self.gone.is_empty() {
            let (digests, seqs): (Vec<&Vec<u8>>, Vec<i64>) =
                self.gone.iter().map(|(sha256, seq)| (sha256, signed(*seq))).unzip();
            let sql = "WITH gone AS (SELECT document.sha256, document.body, purged.seq FROM document \
                       JOIN unnest($1::bytea[], $2::bigint[]) AS purged (sha256, seq) USING (sha256)), \
                       marked AS (UPDATE document SET body = NULL, purged_seq = gone.seq FROM gone \
                       WHERE document.sha256 = gone.sha256) \
                       DELETE FROM chunk USING gone WHERE chunk.body = gone.body";
            run(transaction, sql, &[&digests, &seqs]).await?;
        }
        // One body of each document is kept: the one that is known now.
        let kept: Vec<_> = self
            .brought
            .iter()
            .filter(|(body, (sha256, _, _))| known.document(sha256).is_some_and(|document| document.body == **body))
            .collect();
        if !kept.is_empty() {
            let digests: Vec<Vec<u8>> = kept.iter().map(|(_, (sha256, _, _))| raw(sha256)).collect();
            let bytes: Vec<i64> = kept.iter().map(|(_, (_, bytes, _))| signed(*bytes)).collect();
            let bodies: Vec<Id> = kept.iter().map(|(body, _)| **body).collect();
            let sql = "INSERT INTO document (sha256, bytes, body) SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::uuid[]) \
                       ON CONFLICT (sha256) DO UPDATE SET body = excluded.body, purged_seq = NULL \
                       WHERE document.body IS NULL";
            run(transaction, sql, &[&digests, &bytes, &bodies]).await?;
            let (inline, data): (Vec<Id>, Vec<&[u8]>) =
                kept.iter().filter_map(|(body, (_, _, data))| Some((**body, (*data)?))).unzip();
            let sql = "INSERT INTO chunk (body, n, data) SELECT body, 0, data FROM unnest($1::uuid[], $2::bytea[]) \
                       AS inline (body, data)";
            run(transaction, sql, &[&inline, &data]).await?;
        }
        let bodies: HashSet<Id> = kept.iter().map(|(body, _)| **body).collect();
        let abandoned: Vec<Id> = all.iter().filter(|body| !bodies.contains(body)).copied().collect();
        if !abandoned.is_empty() {
            run(transaction, "DELETE FROM chunk WHERE body = ANY($1)", &[&abandoned]).await?;
        }
        run(transaction, "DELETE FROM upload WHERE body = ANY($1)", &[&all]).await
    }

    async fn write_naming(&self, transaction: &Transaction<'_>) -> Result<(), Failure> {
        let (digests, ids): (Vec<&Vec<u8>>, Vec<Id>) = self.naming.iter().map(|(sha256, id)| (sha256, *id)).unzip();
        let sql =
            "INSERT INTO naming (sha256, id) SELECT * FROM unnest($1::bytea[], $2::uuid[]) ON CONFLICT DO NOTHING";
        run(transaction, sql, &[&digests, &ids]).await?;
        if self.unnamed.is_empty() {
            return Ok(());
        }
        let (digests, ids): (Vec<&Vec<u8>>, Vec<Id>) = self.unnamed.iter().map(|(sha256, id)| (sha256, *id)).unzip();
        let sql = "DELETE FROM naming USING unnest($1::bytea[], $2::uuid[]) AS gone (sha256, id) \
                   WHERE naming.sha256 = gone.sha256 AND naming.id = gone.id";
        run(transaction, sql, &[&digests, &ids]).await
    }
}

async fn run(transaction: &Transaction<'_>, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<(), Failure> {
    let statement = transaction.prepare_cached(sql).await?;
    transaction.execute(&statement, values).await?;
    Ok(())
}

fn kind(record: &Record) -> i16 {
    match record {
        Record::Despacho(_) => DESPACHO,
        Record::Recepcion(_) => RECEPCION,
        Record::ApiKey(_) => API_KEY,
        Record::Usuario(_) => USUARIO,
        _ => OTHER,
    }
}

fn state(record: &Record) -> Option<&'static str> {
    match record {
        Record::Despacho(d) => Some(d.estado.palabra()),
        Record::Recepcion(r) => Some(r.estado.palabra()),
        _ => None,
    }
}

fn number(record: &Record) -> Option<&str> {
    match record {
        Record::Despacho(d) => Some(&d.numero_registro),
        Record::Recepcion(r) => r.numero_registro.as_deref(),
        _ => None,
    }
}

/// A number's length has no bound: its digest stands for it.
pub fn number_digest(number: &str) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, number.as_bytes()).as_ref().to_vec()
}

fn cuo(record: &Record) -> Option<String> {
    match record {
        Record::Recepcion(r) => Some(r.cuo.clave()),
        _ => None,
    }
}

pub fn job_kind(kind: JobKind) -> i16 {
    match kind {
        JobKind::Despachar => 1,
        JobKind::EntregarCargo => 2,
        JobKind::PreguntarCargo => 3,
    }
}

pub fn nanoseconds(at: Timestamp) -> i64 {
    let limit = if at.as_second() < 0 { i64::MIN } else { i64::MAX };
    i64::try_from(at.as_nanosecond()).unwrap_or(limit)
}

pub fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::MAX)
}
