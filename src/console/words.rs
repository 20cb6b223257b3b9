//! How things are said to people: states, roles, times, sizes.

use std::time::Duration;

use jiff::{Timestamp, civil::Date};

use crate::{
    domain::{Ambiente, EstadoDespacho, EstadoRecepcion, firmas::Veredicto, lima},
    store::Rol,
};

/// How good or bad something is, as a class of the style.
pub type Tone = &'static str;

pub const GOOD: Tone = "bueno";
pub const FAIR: Tone = "regular";
pub const BAD: Tone = "malo";
pub const CALM: Tone = "sereno";

pub fn rol(rol: Rol) -> &'static str {
    match rol {
        Rol::Sgd => "Sistema",
        Rol::MesaDePartes => "Mesa de partes",
        Rol::Operador => "Operación",
        Rol::Auditor => "Auditoría",
        Rol::Admin => "Administración",
    }
}

pub fn recepcion(estado: EstadoRecepcion) -> (&'static str, Tone) {
    match estado {
        EstadoRecepcion::Pendiente => ("Por atender", FAIR),
        EstadoRecepcion::Recepcionado => ("Recepcionado", GOOD),
        EstadoRecepcion::Observado => ("Observado", BAD),
    }
}

pub fn despacho(estado: EstadoDespacho) -> (&'static str, Tone) {
    match estado {
        EstadoDespacho::Pendiente => ("En cola", CALM),
        EstadoDespacho::Enviando => ("Enviándose", CALM),
        EstadoDespacho::PorConfirmar => ("Por confirmar", FAIR),
        EstadoDespacho::Enviado => ("Enviado, espera cargo", CALM),
        EstadoDespacho::Recepcionado => ("Recepcionado", GOOD),
        EstadoDespacho::Observado => ("Observado", BAD),
        EstadoDespacho::Subsanado => ("Subsanado", GOOD),
        EstadoDespacho::Anulado => ("Anulado", CALM),
        EstadoDespacho::Fallido => ("Fallido", BAD),
    }
}

pub fn ambiente(ambiente: Ambiente) -> &'static str {
    match ambiente {
        Ambiente::Simulation => "simulación",
        Ambiente::Test => "pruebas",
        Ambiente::Production => "producción",
    }
}

pub fn firmas(veredicto: Option<Veredicto>) -> (&'static str, Tone) {
    match veredicto {
        Some(Veredicto::Confiable) => ("Firma confiable", GOOD),
        Some(Veredicto::Integro) => ("Firma íntegra, firmante sin acreditar", FAIR),
        Some(Veredicto::SinFirmas) => ("Sin firma digital", FAIR),
        Some(Veredicto::Modificado) => ("Modificado tras firmarse", BAD),
        Some(Veredicto::Invalido) => ("Firma no válida", BAD),
        Some(Veredicto::NoComprobable) => ("Firma no comprobable", BAD),
        None => ("Firma sin examinar", CALM),
    }
}

/// `21/11/2026 09:30`
pub fn moment(at: Timestamp) -> String {
    lima::en_lima(at).strftime("%d/%m/%Y %H:%M").to_string()
}

/// `21/11/2026`
pub fn day(day: Date) -> String {
    day.strftime("%d/%m/%Y").to_string()
}

/// How long ago: `hace 5 minutos`, `hace 3 días`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let minutes = now.duration_since(at).as_mins().max(0);
    match minutes {
        0 => "hace un momento".into(),
        1 => "hace 1 minuto".into(),
        2..60 => format!("hace {minutes} minutos"),
        60..120 => "hace 1 hora".into(),
        120..1440 => format!("hace {} horas", minutes / 60),
        1440..2880 => "hace 1 día".into(),
        _ => format!("hace {} días", minutes / 1440),
    }
}

pub fn wait(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    match seconds {
        1 => "1 segundo".into(),
        2..120 => format!("{seconds} segundos"),
        _ => format!("{} minutos", seconds.div_ceil(60)),
    }
}

/// `48 213 bytes` would be exact and say little: `47,1 KB`.
pub fn size(bytes: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = bytes.saturating_mul(10) / unit;
        format!("{},{}", tenths / 10, tenths % 10)
    };
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KB", tenths(1024)),
        1_048_576..1_073_741_824 => format!("{} MB", tenths(1_048_576)),
        _ => format!("{} GB", tenths(1_073_741_824)),
    }
}

/// What happened, as people say it; what is not known here keeps its name.
pub fn fact(tipo: &str) -> &str {
    match tipo {
        "despacho.registrado" => "Registrado para enviar",
        "despacho.cuo_asignado" => "La plataforma le asignó CUO",
        "despacho.envio_iniciado" => "Se empezó a enviar",
        "despacho.por_confirmar" => "El envío terminó sin respuesta clara",
        "despacho.sin_respuesta" => "No hubo respuesta",
        "despacho.no_llego" => "No había llegado: se enviará otra vez",
        "despacho.consultado" => "Se preguntó a la otra entidad",
        "despacho.cuo_rechazado" => "La plataforma rechazó el CUO",
        "despacho.enviado" => "Entregado a la otra entidad",
        "despacho.recepcionado" => "La otra entidad lo recepcionó",
        "despacho.observado" => "La otra entidad lo observó",
        "despacho.subsanacion_iniciada" => "Se empezó a subsanar",
        "despacho.subsanado" => "Subsanado",
        "despacho.anulado" => "Anulado antes de enviarse",
        "despacho.reemplazado" => "Registrado de nuevo con el mismo número",
        "despacho.anexo_descargado" => "Descargaron un anexo",
        "despacho.reintentado" => "Se pidió enviarlo otra vez",
        "despacho.fallido" => "No se pudo enviar",
        "despacho.bloqueado" | "recepcion.bloqueada" => "Bloqueado: no se purgará",
        "despacho.desbloqueado" | "recepcion.desbloqueada" => "Se levantó el bloqueo",
        "despacho.purgado" | "recepcion.purgada" => "Se purgó al vencer su plazo",
        "recepcion.recibida" => "Llegó de la plataforma",
        "recepcion.vista" => "Se abrió por primera vez",
        "recepcion.registrada" => "Registrado",
        "recepcion.recepcionada" => "Recepcionado: se emitió el cargo",
        "recepcion.observada" => "Observado: se emitió el cargo",
        "recepcion.anexo_traido" => "Se trajo un anexo",
        "recepcion.cargo_enviado" => "El remitente recibió el cargo",
        "recepcion.cargo_sin_respuesta" => "El cargo aún no se pudo entregar",
        "trabajo.reintentado" => "Se pidió intentarlo otra vez",
        "trabajo.descartado" => "Se abandonó la entrega",
        "clave.creada" => "Se creó una clave de la API",
        "clave.revocada" => "Se revocó una clave de la API",
        "usuario.creado" => "Se creó una persona",
        "usuario.restablecido" => "Se dio otra contraseña a una persona",
        "usuario.contrasena_cambiada" => "Una persona cambió su contraseña",
        "usuario.deshabilitado" => "Se deshabilitó a una persona",
        "sesion.iniciada" => "Ingresó a la consola",
        "sesion.cerrada" => "Salió de la consola",
        "sesion.rechazada" => "Intento de ingreso con otra contraseña",
        "configuracion.aplicada" => "Rige otra configuración o versión",
        "mantenimiento.iniciado" => "Empezó un mantenimiento",
        "mantenimiento.terminado" => "Terminó el mantenimiento",
        "acceso.rechazado" => "Accesos rechazados",
        "directorio.actualizado" => "Se actualizó la lista de entidades",
        "certificado.por_vencer" => "Un certificado está por vencer",
        "alerta" => "Alerta",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_said_as_people_do() {
        let at: Timestamp = "2026-11-22T14:30:00Z".parse().unwrap();
        assert_eq!(moment(at), "22/11/2026 09:30");
        let later = |minutes: i64| ago(at, at + jiff::SignedDuration::from_mins(minutes));
        assert_eq!(
            [later(0), later(1), later(59), later(61), later(3000)].join(" · "),
            "hace un momento · hace 1 minuto · hace 59 minutos · hace 1 hora · hace 2 días"
        );
        assert_eq!([size(12), size(48_213), size(5_242_880)].join(" · "), "12 bytes · 47,0 KB · 5,0 MB");
        assert_eq!(
            [wait(Duration::from_millis(400)), wait(Duration::from_secs(900))].join(" · "),
            "1 segundo · 15 minutos"
        );
    }
}
