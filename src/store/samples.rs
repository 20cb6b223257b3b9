//! Records and documents for the tests of stores.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};

use super::{
    ApiKey, Change, Directorio, Fact, Idempotencia, Job, JobKind, Record, Rol, Staged, Store, TextosVistos, Usuario,
    record::Contrasena,
};
use crate::domain::{
    Anexo, Cuo, Despacho, Destinatario, Documento, EstadoDespacho, EstadoRecepcion, Id, Persona, Purga, Recepcion, Ruc,
    Sha256,
    calendario::Calendario,
    cargo::Respuesta,
    conservacion::{ClaseDocumento, DocumentoPurgado, RegistroPurgado},
    recepcion::Remitente,
    respuestas::{Operacion, Textos},
};

/// A new number, greater than all before.
pub fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A new id in the form of a UUIDv7, greater than all before.
pub fn id() -> Id {
    Id::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 + (u128::from(number()) << 8))
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000).unwrap() + SignedDuration::from_secs(second)
}

pub fn ruc(n: u8) -> Ruc {
    Ruc::de_contraparte(&format!("201000000{n:02}")).unwrap()
}

pub fn cuo(n: u64) -> Cuo {
    Cuo::parse(&format!("{n:010}")).unwrap()
}

pub fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::from_digest(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

pub fn fact(sujeto: Id, tipo: &str) -> Fact {
    Fact {
        at: at(0),
        tipo: tipo.into(),
        actor: "local".into(),
        entidad: Some(ruc(1)),
        sujeto,
        cuo: None,
        estado: None,
        detalle: None,
        documentos: Vec::new(),
        sobres: Vec::new(),
    }
}

/// A document's bytes, of its own for each `seed`.
pub fn bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

pub async fn stage(store: &dyn Store, bytes: &[u8]) -> Staged {
    let mut writer = store.stage(1 << 30);
    for piece in bytes.chunks(50_000) {
        writer.write(piece).await.unwrap();
    }
    writer.finish().await.unwrap()
}

/// Reads a document to its end.
pub async fn read(store: &dyn Store, sha256: &Sha256) -> Result<Vec<u8>, super::StoreError> {
    let mut reader = store.open_document(sha256).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

pub fn documento(staged: &Staged) -> Documento {
    Documento { nombre: "oficio.pdf".into(), bytes: staged.bytes, sha256: staged.sha256.clone(), firmas: None }
}

/// A document that is in no store.
pub fn documento_de_nada() -> Documento {
    Documento { nombre: "oficio.pdf".into(), bytes: 0, sha256: sha256(b""), firmas: None }
}

pub fn despacho(documento: Documento) -> Despacho {
    let id = id();
    Despacho {
        id,
        version: 1,
        entidad: ruc(1),
        numero_registro: format!("2026-{}", id.as_u128() >> 8 & 0xFFFF_FFFF),
        codigo_unidad_remitente: Some("OTI".into()),
        unidad_remitente: "OFICINA DE TI".into(),
        usuario: "jperez".into(),
        remitente: Persona { tipo_documento: "1".into(), numero_documento: "40633367".into() },
        destino: ruc(2),
        destinatario: destinatario(),
        tipo_documento: "01".into(),
        numero_documento: "OFICIO 001-2026-OTI".into(),
        fecha_documento: at(0),
        asunto: "Año fiscal: «ñandú» & <otros>".into(),
        folios: 3,
        documento,
        anexos: vec![Anexo::from("plano.dwg")],
        url_anexos: None,
        cuo_referencia: None,
        cuo: None,
        cuos_anteriores: Vec::new(),
        cuos_inciertos: Vec::new(),
        estado: EstadoDespacho::Pendiente,
        intentos: 0,
        intentos_con_cuo: 0,
        consultas: 0,
        envio_iniciado_en: None,
        envio_incierto_en: None,
        enviado_en: None,
        cargo: None,
        ultimo_error: None,
        falla: None,
        subsanado_por: None,
        reemplazado_por: None,
        bloqueo: None,
        purga: None,
        creado_en: at(0),
        actualizado_en: at(0),
    }
}

fn destinatario() -> Destinatario {
    Destinatario { unidad: "MESA DE PARTES".into(), nombre: "ANA".into(), cargo: "JEFA".into() }
}

pub fn recepcion(cuo: Cuo, remitente: Ruc, documento: Documento) -> Recepcion {
    Recepcion {
        id: id(),
        version: 1,
        entidad: ruc(1),
        cuo,
        cuo_referencia: None,
        remitente: Remitente {
            ruc: remitente,
            nombre: "ENTIDAD".into(),
            unidad: "OTI".into(),
            tipo_documento: "1".into(),
            numero_documento: "40633367".into(),
        },
        destinatario: destinatario(),
        tipo_documento: "01".into(),
        numero_documento: "OFICIO 1".into(),
        fecha_documento: None,
        asunto: "asunto".into(),
        folios: Some(1),
        huella: documento.sha256.clone(),
        documento,
        anexos: Vec::new(),
        url_anexos: None,
        advertencias: Vec::new(),
        visto_en: None,
        estado: EstadoRecepcion::Pendiente,
        recibido_en: at(0),
        fecha_presentacion: Calendario::default().presentacion(at(0), jiff::civil::time(16, 30, 0, 0)),
        numero_registro: None,
        anio_registro: None,
        cargo: None,
        anexos_traidos: Vec::new(),
        cargo_entregado_en: None,
        ultimo_error: None,
        bloqueo: None,
        purga: None,
        actualizado_en: at(0),
    }
}

pub fn api_key(seed: u64) -> ApiKey {
    ApiKey {
        id: id(),
        version: 1,
        nombre: "sgd".into(),
        rol: Rol::Sgd,
        entidad: Some(ruc(1)),
        hash: sha256(&seed.to_be_bytes()),
        creada_en: at(0),
        revocada_en: None,
    }
}

pub fn usuario(cuenta: &str) -> Usuario {
    Usuario {
        id: id(),
        version: 1,
        cuenta: cuenta.into(),
        nombre: "ROSA ÑAHUI".into(),
        rol: Rol::MesaDePartes,
        entidad: Some(ruc(1)),
        contrasena: Contrasena {
            memoria_kib: 8,
            pasadas: 1,
            carriles: 1,
            sal: "00".repeat(16),
            hash: sha256(cuenta.as_bytes()),
            provisional: false,
        },
        creado_en: at(0),
        deshabilitado_en: None,
    }
}

pub fn idempotencia(key: &str) -> Idempotencia {
    let (id, sujeto) = (id(), id());
    Idempotencia {
        id,
        entidad: ruc(1),
        key: key.into(),
        huella: sha256(key.as_bytes()),
        sujetos: vec![sujeto],
        creada_en: at(0),
    }
}

pub fn directorio() -> Directorio {
    Directorio {
        version: 1,
        entidades: Vec::new(),
        tipos_documento: Vec::new(),
        actualizado_en: at(0),
        ausentes: [].into(),
    }
}

pub fn textos() -> TextosVistos {
    let mut textos = Textos::default();
    textos.anota(Operacion::Cargo, &ruc(2), &Respuesta::nueva("-1", "no se pudo"), at(0));
    TextosVistos { version: 1, textos }
}

pub fn job(due: Timestamp) -> Job {
    let sujeto = id();
    Job {
        id: Job::id_for(JobKind::Despachar, sujeto),
        kind: JobKind::Despachar,
        sujeto,
        entidad: ruc(1),
        destino: ruc(2),
        creado_en: at(0),
        proximo_en: due,
        intentos: 0,
        falla: None,
        ultimo_error: None,
        muerto_en: None,
    }
}

/// A change of one record, with the documents it brings.
pub fn change(record: Record, documents: Vec<Staged>) -> Change {
    Change { facts: vec![fact(record.id(), "prueba")], records: vec![record], documents, ..Change::default() }
}

/// A change that adds or replaces jobs.
pub fn jobs(jobs: Vec<Job>) -> Change {
    Change { jobs, ..Change::default() }
}

/// A change that purges a despacho of its document.
pub fn purge(despacho: &Despacho, bytes: u64, compartido: bool) -> Change {
    let mut despacho = despacho.clone();
    let sha256 = despacho.documento.sha256.clone();
    let registro = RegistroPurgado { version: despacho.version, bytes: 10, sha256: sha256.clone() };
    despacho.purgar(Purga {
        corrida: id(),
        en: at(9),
        por: "local".into(),
        politica: "una prueba".into(),
        terminado_en: at(1),
        documentos: vec![DocumentoPurgado { clase: ClaseDocumento::Documento, bytes, sha256, compartido }],
        registro,
    });
    let facts = vec![fact(despacho.id, "despacho.purgado")];
    Change { facts, records: vec![Record::Despacho(Box::new(despacho))], ..Change::default() }
}
