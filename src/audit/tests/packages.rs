//! Evidence packages: made, verified, and changed in every byte.

use std::{
    io::{Cursor, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::SignedDuration;
use openssl::x509::X509;

use super::world::{World, now};
use crate::{
    audit::{
        evidence::{Request, Trust, container::Container, verify, write},
        log::Folder,
        note::Signer,
    },
    domain::{Despacho, Documento, EstadoDespacho, firmas::Informe},
    signing::{
        samples,
        timestamp::{Client, Stamp, TimestampError, Timestamper},
    },
    store::{
        Change, Record,
        samples::{despacho, documento, fact, number},
    },
};

/// A despacho with three entries, among entries of others.
async fn exchange(world: &World) -> Despacho {
    world.entries(2).await;
    let (mut despacho, _) = world.entry(number()).await;
    for estado in [EstadoDespacho::Enviando, EstadoDespacho::Enviado] {
        world.entries(1).await;
        (despacho.version, despacho.estado) = (despacho.version + 1, estado);
        let records = vec![Record::Despacho(Box::new(despacho.clone()))];
        let facts = vec![fact(despacho.id, "despacho.enviado")];
        world.store.commit(Change { facts, records, ..Change::default() }).await.unwrap();
    }
    despacho
}

pub async fn package(world: &World, despacho: Despacho, signed: bool) -> Vec<u8> {
    let request = Request {
        record: Record::Despacho(Box::new(despacho)),
        now: now(),
        actor: "local".into(),
        identity: signed.then(|| Arc::new(samples::agente())),
    };
    let mut file = write(&world.log, request, tempfile::tempfile().unwrap()).await.unwrap();
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

pub fn trust(world: &World) -> Trust {
    Trust { anchors: X509::stack_from_pem(samples::CHAIN).unwrap(), key: Some(world.log.key().clone()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_proves_itself_and_says_what_it_does_not_prove() {
    let world = World::new();
    let despacho = exchange(&world).await;
    let bytes = package(&world, despacho.clone(), true).await;
    let report = verify(Cursor::new(&bytes), &trust(&world));
    assert!(report.is_sound(), "{report}");
    let text = report.to_string();
    for expected in [
        "La clave de auditoría es la que usted guardó aparte",
        "lleva a una de sus raíces de confianza y estaba vigente",
        "El documento (documento.pdf) es, byte por byte",
        "Los 3 asientos estaban en el registro",
        "sin sello de tiempo",
        "El anexo «plano.dwg»: del archivo solo se conoce el nombre",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    // Without anchors and key the same is whole, and says what is not known.
    let report = verify(Cursor::new(&bytes), &Trust::default());
    assert!(report.is_sound() && report.to_string().contains("no se dieron raíces de confianza"), "{report}");
    let stranger = Signer::new("chasqui/prueba", &[9; 32]).unwrap();
    let wrong = Trust { key: Some(stranger.public().clone()), ..Trust::default() };
    let report = verify(Cursor::new(&bytes), &wrong);
    assert!(!report.is_sound() && report.conclusion().contains("íntegro, pero NO es de quien"), "{report}");
    // As does one whose signer nobody vouches for: nothing in it was touched.
    let others = Trust { anchors: X509::stack_from_pem(samples::UNKNOWN_ROOT).unwrap(), ..Trust::default() };
    let report = verify(Cursor::new(&bytes), &others);
    assert!(!report.is_sound() && report.conclusion().contains("íntegro, pero NO es de quien"), "{report}");
    assert!(report.to_string().contains("no está entre sus raíces"), "{report}");

    let unsigned = package(&world, despacho, false).await;
    let report = verify(Cursor::new(&unsigned), &trust(&world));
    assert!(report.is_sound() && report.to_string().contains("no lleva firma digital de la entidad"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_changed_byte_of_a_package_is_found() {
    let world = World::new();
    let despacho = exchange(&world).await;
    let bytes = package(&world, despacho, true).await;
    let trust = Trust::default();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        // Another bit each time, so that all are met over the package.
        changed[at] ^= 1 << (at % 8);
        assert!(!verify(Cursor::new(&changed), &trust).is_sound(), "byte {at} of {}", bytes.len());
    }
    for length in (0..bytes.len()).step_by(97) {
        assert!(!verify(Cursor::new(&bytes[..length]), &trust).is_sound(), "cut at {length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_on_the_signatures_goes_along_and_is_the_one_on_record() {
    let world = World::new();
    let staged = world.stage(number(), 5000).await;
    let informe = Informe::no_comprobable(now(), 5000, "error_del_examen", "No se examinó.".into());
    let documento = Documento { firmas: Some(Box::new(informe)), ..documento(&staged) };
    let made = despacho(documento);
    let mut fact = fact(made.id, "despacho.registrado");
    fact.documentos = vec![staged.sha256.clone()];
    let records = vec![Record::Despacho(Box::new(made.clone()))];
    let change = Change { facts: vec![fact], records, documents: vec![staged], ..Change::default() };
    world.store.commit(change).await.unwrap();
    let bytes = package(&world, made, false).await;
    let report = verify(Cursor::new(&bytes), &trust(&world));
    let told = "Las firmas de documento.pdf se examinaron el ";
    assert!(report.is_sound() && report.to_string().contains(told), "{report}");
    let mut container = Container::open(Cursor::new(&bytes)).unwrap();
    let (text, _) = container.read("firmas/documento.txt", 10_000).unwrap();
    assert!(String::from_utf8(text).unwrap().starts_with("Veredicto: "));
    let other = crate::audit::evidence::forgery::replace(&bytes, &world.log, "firmas/documento.json", &|text| {
        text.replace("No se examinó.", "Todo está bien.")
    });
    let report = verify(Cursor::new(&other), &trust(&world));
    assert!(
        report.to_string().contains("«firmas/documento.json» no es el informe de firmas que se registró"),
        "{report}"
    );
}

/// Someone who holds the audit key makes the package anew, without an entry or in another order.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_a_moved_and_a_changed_entry_are_found_even_where_the_package_is_sealed_again() {
    use crate::audit::evidence::forgery::reseal;
    let world = World::new();
    let despacho = exchange(&world).await;
    let bytes = package(&world, despacho, false).await;
    let sound = reseal(&bytes, &world.log, &|_| {});
    assert!(verify(Cursor::new(sound), &Trust::default()).is_sound());
    type Forge<'a> = &'a dyn Fn(&mut Vec<serde_json::Value>);
    let forgeries: [(Forge<'_>, &str); 4] = [
        (&|list| drop(list.remove(1)), "no son seguidas"),
        (&|list| drop(list.pop()), "no es el que dejó el último asiento"),
        (&|list| list.swap(0, 1), "no está en su orden"),
        (
            &|list| {
                let text = list[0]["hechos"].as_str().unwrap().replace("local", "nadie");
                list[0]["hechos"] = text.into();
            },
            "no está en el registro que firmó el punto de control",
        ),
    ];
    for (forge, expected) in forgeries {
        let report = verify(Cursor::new(reseal(&bytes, &world.log, forge)), &Trust::default());
        assert!(report.to_string().contains(expected), "{expected}: {report}");
        assert!(!report.is_sound());
    }
}

/// An authority that is there or is not.
struct Authority {
    here: AtomicBool,
    client: Client,
}

impl Timestamper for Authority {
    fn stamp(&self, digest: &[u8; 32]) -> Result<Stamp, TimestampError> {
        if self.here.load(Ordering::Relaxed) {
            return self.client.stamp(digest);
        }
        Err(TimestampError::Unreachable("nadie".into()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_without_its_timestamp_is_evidence_and_gets_it_when_the_authority_is_back() {
    let client = Client::new(Box::new(samples::Tsa::new()), None, Box::new(|| [7; 16]));
    let authority = Arc::new(Authority { here: AtomicBool::new(false), client });
    let world = World::with_timestamper(authority.clone());
    let despacho = exchange(&world).await;
    let judged = async |expected: &str| {
        let report = verify(Cursor::new(package(&world, despacho.clone(), true).await), &trust(&world));
        assert!(report.is_sound() && report.to_string().contains(expected), "{expected}: {report}");
    };
    judged("sin sello de tiempo").await;
    authority.here.store(true, Ordering::Relaxed);
    // It failed a moment ago and is not asked again yet.
    judged("sin sello de tiempo").await;
    let signed = world.log.latest().await.unwrap().unwrap();
    world.log.stamp(&signed, now() + SignedDuration::from_mins(2)).await;
    judged("El certificado del sello de tiempo lleva a una de sus raíces de confianza").await;
    // Once it has one, nobody is asked.
    authority.here.store(false, Ordering::Relaxed);
    judged("El punto de control ya existía el").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_of_the_log_reads_the_timestamps_beside_its_checkpoints() {
    let client = Client::new(Box::new(samples::Tsa::new()), None, Box::new(|| [7; 16]));
    let world = World::with_timestamper(Arc::new(client));
    world.entries(2).await;
    let signed = world.log.checkpoint(now(), "local").await.unwrap();
    world.log.stamp(&signed, now()).await;
    let report = world.verify();
    assert!(report.is_whole() && report.timestamps == 1, "{:?}", report.problems);
    let path = Folder::of(world.folder.path()).checkpoints().timestamp_path(signed.checkpoint.size);
    let token = std::fs::read(&path).unwrap();
    std::fs::write(&path, &token[..token.len() / 2]).unwrap();
    let report = world.verify();
    let told = |problem: &String| problem.contains(".tsr: El sello de tiempo no está íntegro");
    assert!(report.timestamps == 0 && report.problems.iter().any(told), "{:?}", report.problems);
}
