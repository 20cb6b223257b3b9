//! What callers are told when a use case or the store refuses.

use super::problem::{Code, FieldError, Problem};
use crate::{exchange::ExchangeError, store::StoreError};

pub fn exchange(error: ExchangeError) -> Problem {
    match error {
        ExchangeError::Defectos(found) => {
            Problem::fields(found.iter().map(|d| FieldError::new(d.campo, d.motivo.codigo(), d.texto)).collect())
        }
        ExchangeError::Duplicado { id } => {
            let detail = "Ya existe un despacho con ese número de registro para ese destino";
            Problem::new(Code::Duplicado, detail).id(id)
        }
        ExchangeError::IdempotencyReused => Problem::new(
            Code::IdempotencyKeyReused,
            "Esa Idempotency-Key ya se usó para una petición con otro contenido",
        ),
        ExchangeError::Firmas(why) => Problem::new(Code::FirmasInsuficientes, why),
        ExchangeError::NoExiste => Problem::new(Code::NoExiste, "El registro no existe"),
        ExchangeError::Terminado(what) => Problem::new(Code::NoExiste, what),
        ExchangeError::YaSubsanado { id } => {
            let detail = format!("Ese documento ya fue subsanado por el despacho {id}, que fue aceptado");
            Problem::new(Code::EstadoNoPermite, detail).id(id)
        }
        ExchangeError::Estado(why) => Problem::new(Code::EstadoNoPermite, sentence(&why)),
        ExchangeError::SinCargo(why) => Problem::field("cargo.contenido", "no_especificado", sentence(&why)),
        ExchangeError::SubsanacionEnCurso { id } => {
            let detail = "Ya hay una subsanación en curso de ese documento: espere a que termine, o anúlela";
            Problem::new(Code::SubsanacionEnCurso, detail).id(id)
        }
        ExchangeError::Mantenimiento(found) => Problem::new(Code::EnMantenimiento, sentence(&found.aviso())),
        ExchangeError::EntidadAjena(_) => Problem::new(Code::EntidadNoPermitida, sentence(&error.to_string())),
        ExchangeError::Platform(error) => Problem::new(Code::PlataformaNoResponde, sentence(&error.to_string())),
        ExchangeError::Store(error) => store(error),
    }
}

pub fn store(error: StoreError) -> Problem {
    match error {
        StoreError::Unwritable(_) => {
            tracing::error!(%error, "the store cannot be written");
            Problem::new(Code::AlmacenNoDisponible, "El disco está lleno o no admite escrituras; nada se guardó")
        }
        StoreError::Database(_) => {
            tracing::error!(%error, "the store's database cannot be used");
            let detail = "La base de datos no responde ahora. Repita la misma petición en unos minutos: si alcanzó a guardarse, se reconoce";
            Problem::new(Code::AlmacenNoDisponible, detail)
        }
        StoreError::Index(_) => {
            let detail =
                "El índice del almacén se está reconstruyendo: vuelva a intentarlo en unos minutos; nada se guardó";
            tracing::error!(%error, "the store's index cannot be used");
            Problem::new(Code::AlmacenNoDisponible, detail)
        }
        StoreError::Moved(_) => Problem::new(Code::AlmacenNoDisponible, sentence(&error.to_string())),
        StoreError::Closed => Problem::new(Code::AlmacenNoDisponible, "El servicio se está deteniendo; nada se guardó"),
        StoreError::TooLarge(max) => {
            Problem::new(Code::PeticionGrande, format!("El documento supera el máximo de {max} bytes"))
        }
        StoreError::Purged { .. } => {
            let detail = "El documento se borró al vencer su plazo de conservación; su huella queda en el registro";
            Problem::new(Code::Purgado, detail)
        }
        StoreError::Damaged { .. } | StoreError::NoDocument(_) | StoreError::Locked(_) | StoreError::Io(_) => {
            Problem::internal(&error)
        }
    }
}

/// With a capital letter, as a sentence stands alone.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
