//! What `queue show` says of each kind of failure, read as a person who has never seen one.

use std::fmt::Write;

use super::world::*;
use crate::{
    domain::{Falla, Id, falla::Responsable, lima},
    exchange::{
        health::{Circuito, Estado, Salud},
        queue::{Camino, explain},
    },
    store::{Job, JobKind},
};

fn job(kind: JobKind, falla: Option<Falla>) -> Job {
    let at = |text| lima::leer(text).unwrap();
    Job {
        id: Id::from_u128(1),
        kind,
        sujeto: Id::from_u128(2),
        entidad: ruc(NUESTRA),
        destino: ruc(OTRA),
        creado_en: at("2026-11-20T10:00:00"),
        proximo_en: at("2026-11-20T11:30:00"),
        intentos: u32::from(falla.is_some()) * 3,
        falla,
        ultimo_error: falla.map(|falla| said(falla).to_owned()),
        muerto_en: None,
    }
}

/// What the last attempt could have met.
fn said(falla: Falla) -> &'static str {
    match falla {
        Falla::SinConexion => "No se pudo conectar con ws6.pide.gob.pe: la conexión fue rechazada",
        Falla::TiempoAgotado => "ws6.pide.gob.pe no respondió en 120 s",
        Falla::Ocupada => "ws6.pide.gob.pe respondió HTTP 503 (pide volver más tarde)",
        Falla::ErrorHttp => "ws6.pide.gob.pe respondió HTTP 500",
        Falla::PaginaWeb => "ws6.pide.gob.pe respondió algo que no es SOAP: «502 Bad Gateway»",
        Falla::FalloSoap => "ws6.pide.gob.pe respondió con un fallo SOAP: «Internal Error»",
        Falla::CargoNoReconocido => "NO SE PUDO REGISTRAR EL CARGO (código -1)",
        Falla::ErrorDeLaReceptora => "Error inesperado (código -1)",
        Falla::SinCargo => "la entidad receptora lo tiene y aún no lo atiende",
        Falla::CampoNoValido => "Asunto de documento excede el tamaño permitido (código 0003)",
        other => other.entrada().titulo,
    }
}

fn paragraph(job: &Job, salud: Option<&Salud>) -> String {
    let at = |text| lima::leer(text).unwrap();
    explain((job, None), salud, None, at("2026-11-20T11:00:00"), at("2026-11-25T10:00:00"))
}

#[test]
fn every_kind_of_failure_is_explained_with_its_cause_what_to_do_and_what_happens_next() {
    let mut page = String::new();
    for falla in Falla::TODAS {
        let kinds = match falla {
            Falla::SinCargo | Falla::NegadoTrasAceptar => vec![JobKind::PreguntarCargo],
            Falla::CargoNoReconocido => vec![JobKind::EntregarCargo],
            Falla::TiempoAgotado | Falla::CampoNoValido => vec![JobKind::Despachar, JobKind::EntregarCargo],
            _ => vec![JobKind::Despachar],
        };
        for kind in kinds {
            let text = paragraph(&job(kind, Some(falla)), None);
            let entrada = falla.entrada();
            let acts = match (falla, kind) {
                // A cargo that was issued is nobody's to correct in the SGD.
                (Falla::CampoNoValido, JobKind::EntregarCargo) => Responsable::Operador.palabras(),
                _ if entrada.quien == Responsable::Nadie => "Se resuelve solo",
                _ => entrada.quien.palabras(),
            };
            for part in [OTRA, said(falla), acts, "20/11/2026 11:30", "25/11/2026 10:00"] {
                assert!(text.contains(part), "«{part}» in: {text}");
            }
            writeln!(page, "{falla} · {kind:?}\n{text}\n").unwrap();
        }
    }
    insta::assert_snapshot!(page);
}

#[test]
fn what_waits_what_is_paused_and_what_was_given_up_are_explained() {
    let at = |text| lima::leer(text).unwrap();
    let salud = Salud {
        ruc: ruc(OTRA),
        estado: Estado::NoResponde,
        circuito: Circuito::Abierto,
        ultimo_exito: None,
        ultimo_fallo: None,
        ultimo_error: None,
        fallos_seguidos: 7,
        errores_desde: Some(at("2026-11-20T08:00:00")),
        caida_desde: Some(at("2026-11-20T08:00:00")),
        reabre_en: Some(at("2026-11-20T11:15:00")),
        p50_ms: None,
        p95_ms: None,
    };
    let unclear = job(JobKind::Despachar, Some(Falla::TiempoAgotado));
    let pages = [
        ("nunca intentado", paragraph(&job(JobKind::Despachar, None), None)),
        ("cargo por preguntar", paragraph(&job(JobKind::PreguntarCargo, None), None)),
        ("entidad en pausa", paragraph(&unclear, Some(&salud))),
        ("detenido", paragraph(&Job { muerto_en: Some(at("2026-11-25T10:00:00")), ..unclear.clone() }, None)),
    ];
    let page: String = pages.iter().map(|(name, text)| format!("{name}\n{text}\n\n")).collect();
    insta::assert_snapshot!(page);
}

#[test]
fn sends_and_questions_are_told_apart_and_the_record_says_what_comes_next() {
    let at = |text| lima::leer(text).unwrap();
    let said = |falla, envios, consultas, por_confirmar| {
        let camino = Some(Camino { envios, consultas, por_confirmar });
        let job = job(JobKind::Despachar, Some(falla));
        explain((&job, camino), None, None, at("2026-11-20T11:00:00"), at("2026-11-25T10:00:00"))
    };
    let asked = said(Falla::SinConexion, 1, 4, true);
    for part in ["Tras enviarlo una vez y preguntar 4 veces si llegó", "se preguntará si llegó, y solo si no llegó"]
    {
        assert!(asked.contains(part), "«{part}» in: {asked}");
    }
    // A CUO that could not be had: nothing was sent that could have arrived.
    let waiting = said(Falla::TiempoAgotado, 0, 0, false);
    assert!(waiting.contains("Tras 3 intentos") && waiting.contains("se intentará otra vez"), "{waiting}");
}
