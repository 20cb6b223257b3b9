//! The contracts' decoders, of requests and of answers, from both ends.

use std::fmt::Debug;

use chasqui::{
    contract::{Flavour, Operation, cuo, entidad, iotramite, tramite},
    domain::Categoria,
    soap::{EnvelopeReader, Limits},
};

use crate::pieces::{Kept, Pieces, cut, now};

const LIMITS: Limits = Limits { message_bytes: 100_000, structure_bytes: 20_000 };

/// What was read, with its document, or that it was not.
fn told<T: Debug, E>(result: Result<T, E>, document: &Kept) -> String {
    result.map_or_else(|_| "refused".to_owned(), |read| format!("{read:?} {:?}", document.0))
}

macro_rules! request {
    ($data:expr, $size:expr, $sink:ident => $read:expr) => {
        now(async {
            match EnvelopeReader::open(Pieces::new($data, $size), None, LIMITS).await {
                Ok(envelope) => {
                    let mut $sink = Kept::default();
                    let read = $read(envelope, &mut $sink).await;
                    told(read, &$sink)
                }
                // How much of what is refused was read first depends on the pieces.
                Err(_) => "refused".to_owned(),
            }
        })
    };
}

pub fn requests(data: &[u8]) {
    let (first, data) = cut(data);
    let read = |size: usize| {
        [
            request!(data, size, sink => async |envelope, sink: &mut Kept| tramite::read(envelope, sink).await),
            request!(data, size, sink => async |envelope, sink: &mut Kept| iotramite::read(envelope, sink).await),
            request!(data, size, sink => async |envelope, _: &mut Kept| cuo::read(envelope).await),
            request!(data, size, sink => async |envelope, _: &mut Kept| entidad::read(envelope).await),
        ]
    };
    assert_eq!(read(usize::MAX), read(first % 9 + 1), "it depends on the pieces");
}

pub fn answers(data: &[u8]) {
    let (first, data) = cut(data);
    assert_eq!(answer(data, usize::MAX, first), answer(data, first % 9 + 1, first), "it depends on the pieces");
}

fn answer(data: &[u8], size: usize, first: usize) -> String {
    let body = Pieces::new(data, size);
    let flavour = if first < 128 { Flavour::Production } else { Flavour::Test };
    // The name that is expected is that of the answer, if it is one of ours.
    let has = |name: &str| data.windows(name.len()).any(|window| window == name.as_bytes());
    let none = Kept::default();
    now(async {
        if has("getListaEntidad") {
            told(entidad::read_lista(body, None, Categoria::try_from(1).unwrap()).await, &none)
        } else if has("validarEntidad") {
            told(entidad::read_validar(body, None).await, &none)
        } else if has("getTipoDocumento") {
            told(iotramite::read_tipos_documento(body, None).await, &none)
        } else if has("getCUO") {
            told(cuo::read_respuesta(body, None, flavour).await, &none)
        } else if has("consultar") {
            let mut document = Kept::default();
            let read = tramite::read_respuesta_consulta(body, None, LIMITS, &mut document).await;
            told(read, &document)
        } else {
            let operation = if has("cargo") { Operation::Cargo } else { Operation::Recepcionar };
            told(tramite::read_respuesta(body, None, operation).await, &none)
        }
    })
}
