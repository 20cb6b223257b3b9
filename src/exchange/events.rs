//! The names of what happens, and how a fact is made of a record. One place, so that history, feed and audit agree.

use jiff::Timestamp;

use super::{Actor, health::Aviso};
use crate::{
    domain::{Despacho, EstadoDespacho, Id, Recepcion, lima},
    store::{Fact, Record},
};

pub const DESPACHO_REGISTRADO: &str = "despacho.registrado";
pub const DESPACHO_IMPORTADO: &str = "despacho.importado";
pub const DESPACHO_CUO_ASIGNADO: &str = "despacho.cuo_asignado";
pub const DESPACHO_ENVIO_INICIADO: &str = "despacho.envio_iniciado";
pub const DESPACHO_POR_CONFIRMAR: &str = "despacho.por_confirmar";
pub const DESPACHO_SIN_RESPUESTA: &str = "despacho.sin_respuesta";
pub const DESPACHO_NO_LLEGO: &str = "despacho.no_llego";
/// A person asked the receiver, and what it said.
pub const DESPACHO_CONSULTADO: &str = "despacho.consultado";
pub const DESPACHO_CUO_RECHAZADO: &str = "despacho.cuo_rechazado";
pub const DESPACHO_ENVIADO: &str = "despacho.enviado";
pub const DESPACHO_RECEPCIONADO: &str = "despacho.recepcionado";
pub const DESPACHO_OBSERVADO: &str = "despacho.observado";
pub const DESPACHO_SUBSANACION_INICIADA: &str = "despacho.subsanacion_iniciada";
pub const DESPACHO_SUBSANADO: &str = "despacho.subsanado";
pub const DESPACHO_ANULADO: &str = "despacho.anulado";
pub const DESPACHO_REEMPLAZADO: &str = "despacho.reemplazado";
pub const DESPACHO_ANEXO_DESCARGADO: &str = "despacho.anexo_descargado";
pub const DESPACHO_REINTENTADO: &str = "despacho.reintentado";
pub const DESPACHO_FALLIDO: &str = "despacho.fallido";
pub const RECEPCION_RECIBIDA: &str = "recepcion.recibida";
pub const RECEPCION_IMPORTADA: &str = "recepcion.importada";
pub const RECEPCION_VISTA: &str = "recepcion.vista";
pub const RECEPCION_REGISTRADA: &str = "recepcion.registrada";
pub const RECEPCION_RECEPCIONADA: &str = "recepcion.recepcionada";
pub const RECEPCION_OBSERVADA: &str = "recepcion.observada";
pub const RECEPCION_ANEXO_TRAIDO: &str = "recepcion.anexo_traido";
pub const RECEPCION_CARGO_ENVIADO: &str = "recepcion.cargo_enviado";
pub const RECEPCION_CARGO_SIN_RESPUESTA: &str = "recepcion.cargo_sin_respuesta";
pub const DESPACHO_BLOQUEADO: &str = "despacho.bloqueado";
pub const DESPACHO_DESBLOQUEADO: &str = "despacho.desbloqueado";
pub const DESPACHO_PURGADO: &str = "despacho.purgado";
pub const RECEPCION_BLOQUEADA: &str = "recepcion.bloqueada";
pub const RECEPCION_DESBLOQUEADA: &str = "recepcion.desbloqueada";
pub const RECEPCION_PURGADA: &str = "recepcion.purgada";
pub const ALERTA: &str = "alerta";
pub const CERTIFICADO_POR_VENCER: &str = "certificado.por_vencer";
pub const TRABAJO_REINTENTADO: &str = "trabajo.reintentado";
pub const TRABAJO_DESCARTADO: &str = "trabajo.descartado";
pub const CLAVE_CREADA: &str = "clave.creada";
pub const CLAVE_REVOCADA: &str = "clave.revocada";
pub const USUARIO_CREADO: &str = "usuario.creado";
pub const USUARIO_RESTABLECIDO: &str = "usuario.restablecido";
pub const USUARIO_CONTRASENA: &str = "usuario.contrasena_cambiada";
pub const USUARIO_DESHABILITADO: &str = "usuario.deshabilitado";
pub const SESION_INICIADA: &str = "sesion.iniciada";
pub const SESION_CERRADA: &str = "sesion.cerrada";
pub const SESION_RECHAZADA: &str = "sesion.rechazada";
pub const CONFIGURACION_APLICADA: &str = "configuracion.aplicada";
pub const MANTENIMIENTO_INICIADO: &str = "mantenimiento.iniciado";
pub const MANTENIMIENTO_TERMINADO: &str = "mantenimiento.terminado";
pub const ACCESO_RECHAZADO: &str = "acceso.rechazado";
pub const DIRECTORIO_ACTUALIZADO: &str = "directorio.actualizado";
pub const TEXTOS_ACTUALIZADOS: &str = "textos.actualizados";

/// A fact about a despacho as it is after it.
pub fn despacho(d: &Despacho, tipo: &str, actor: &Actor, at: Timestamp, detalle: Option<String>) -> Fact {
    let cargo = d.cargo.as_ref().and_then(|c| c.documento.as_ref());
    let documentos = match (tipo, cargo) {
        (DESPACHO_REGISTRADO, _) => vec![d.documento.sha256.clone()],
        (DESPACHO_IMPORTADO, cargo) => {
            [Some(&d.documento), cargo].into_iter().flatten().map(|of| of.sha256.clone()).collect()
        }
        (DESPACHO_RECEPCIONADO | DESPACHO_OBSERVADO, Some(cargo)) => vec![cargo.sha256.clone()],
        _ => Vec::new(),
    };
    Fact {
        at,
        tipo: tipo.into(),
        actor: actor.0.clone(),
        entidad: Some(d.entidad.clone()),
        sujeto: d.id,
        cuo: d.cuo.as_ref().map(ToString::to_string),
        estado: Some(d.estado.palabra().into()),
        detalle,
        documentos,
        sobres: Vec::new(),
    }
}

/// A fact about an exchange that is told the same way of both kinds; `tipos`: of a despacho, of a recepcion.
pub fn intercambio(
    record: &Record,
    (de_despacho, de_recepcion): (&str, &str),
    actor: &Actor,
    at: Timestamp,
    detalle: String,
) -> Option<Fact> {
    match record {
        Record::Despacho(d) => Some(despacho(d, de_despacho, actor, at, Some(detalle))),
        Record::Recepcion(r) => Some(recepcion(r, de_recepcion, actor, at, Some(detalle))),
        _ => None,
    }
}

/// An alert about a counterpart, or the platform. Its subject follows from the RUC, so that its history can be read.
pub fn aviso(aviso: &Aviso, actor: &Actor, at: Timestamp) -> Fact {
    let who = match &aviso.ruc {
        Some(ruc) => format!("La entidad {ruc}"),
        None => "La plataforma".to_owned(),
    };
    let since = lima::en_lima(aviso.desde).strftime("%d/%m/%Y %H:%M");
    let how = if aviso.con_errores { "responde solo con errores" } else { "no responde" };
    let detalle = match (aviso.vuelve, &aviso.ultimo_error) {
        (true, _) => format!("{who} volvió a responder: no lo hacía bien desde el {since}. Lo pendiente sale solo"),
        (false, Some(error)) => format!("{who} {how} desde el {since}. Último error: {error}"),
        (false, None) => format!("{who} {how} desde el {since}"),
    };
    Fact {
        at,
        tipo: ALERTA.into(),
        actor: actor.0.clone(),
        entidad: None,
        sujeto: Id::from_u128(aviso.ruc.as_ref().and_then(|ruc| ruc.as_str().parse().ok()).unwrap_or_default()),
        cuo: None,
        estado: Some(if aviso.vuelve { "restablecida" } else { "caida" }.into()),
        detalle: Some(detalle),
        documentos: Vec::new(),
        sobres: Vec::new(),
    }
}

/// The event that says in which final state a cargo left a despacho.
pub fn despacho_respondido(d: &Despacho) -> &'static str {
    match d.estado {
        EstadoDespacho::Observado => DESPACHO_OBSERVADO,
        _ => DESPACHO_RECEPCIONADO,
    }
}

/// A fact about a recepcion as it is after it.
pub fn recepcion(r: &Recepcion, tipo: &str, actor: &Actor, at: Timestamp, detalle: Option<String>) -> Fact {
    let cargo = r.cargo.as_ref().and_then(|c| c.documento.as_ref());
    let documentos = match (tipo, cargo) {
        (RECEPCION_RECIBIDA, _) => vec![r.documento.sha256.clone()],
        (RECEPCION_IMPORTADA, cargo) => {
            [Some(&r.documento), cargo].into_iter().flatten().map(|of| of.sha256.clone()).collect()
        }
        (RECEPCION_RECEPCIONADA | RECEPCION_OBSERVADA, Some(cargo)) => vec![cargo.sha256.clone()],
        _ => Vec::new(),
    };
    Fact {
        at,
        tipo: tipo.into(),
        actor: actor.0.clone(),
        entidad: Some(r.entidad.clone()),
        sujeto: r.id,
        cuo: Some(r.cuo.to_string()),
        estado: Some(r.estado.palabra().into()),
        detalle,
        documentos,
        sobres: Vec::new(),
    }
}
