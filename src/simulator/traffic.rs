//! The messages that passed, as XML, for a person who wants to see them: what entities asked the platform and what the
//! platform handed to entities, each with its answer. Documents are told by digest and size. In memory, the newest only.

use std::{
    collections::VecDeque,
    fmt::Write,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

use crate::{
    soap::capture::{Parte, Sobre},
    store::Staged,
};

/// Calls remembered, and the bytes of all their messages; the oldest is forgotten first.
const LLAMADAS_MAX: usize = 500;
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest message kept, in bytes.
pub const MENSAJE_BYTES_MAX: usize = 64 * 1024;
/// Longest name or number kept of what a message states, in characters.
const TEXTO_MAX: usize = 60;

/// Who called whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lado {
    /// An entity asked the platform.
    Entrada,
    /// The platform handed something to an entity.
    Salida,
}

/// A call: a message and its answer.
#[derive(Debug, Clone)]
pub struct Llamada {
    /// Counts calls from 1; given by [`Traffic::add`].
    pub n: u64,
    pub fecha: Timestamp,
    pub lado: Lado,
    pub operacion: &'static str,
    /// RUCs and CUO as the message states them.
    pub de: String,
    pub a: String,
    pub cuo: String,
    pub codigo: Option<String>,
    /// Faults that struck it.
    pub fallas: Vec<&'static str>,
    pub milisegundos: u64,
    pub pedido: Option<String>,
    /// `None`: there was none, or none that can be read.
    pub respuesta: Option<String>,
}

impl Llamada {
    fn bytes(&self) -> usize {
        let text = |t: &Option<String>| t.as_ref().map_or(0, String::len);
        text(&self.pedido) + text(&self.respuesta)
    }
}

#[derive(Default)]
pub struct Traffic(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    calls: VecDeque<Llamada>,
    bytes: usize,
    last: u64,
}

impl Traffic {
    pub fn add(&self, mut llamada: Llamada) {
        for text in [&mut llamada.de, &mut llamada.a, &mut llamada.cuo] {
            *text = text.chars().take(TEXTO_MAX).collect();
        }
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.last += 1;
        llamada.n = inner.last;
        inner.bytes += llamada.bytes();
        inner.calls.push_back(llamada);
        while inner.calls.len() > LLAMADAS_MAX || inner.bytes > BYTES_MAX {
            let Some(oldest) = inner.calls.pop_front() else { break };
            inner.bytes = inner.bytes.saturating_sub(oldest.bytes());
        }
    }

    /// The newest first, of one CUO if it is given.
    pub fn newest(&self, limit: usize, cuo: Option<&str>) -> Vec<Llamada> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |call: &&Llamada| cuo.is_none_or(|cuo| call.cuo == cuo);
        inner.calls.iter().rev().filter(of).take(limit).cloned().collect()
    }

    pub fn get(&self, n: u64) -> Option<Llamada> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.calls.iter().find(|call| call.n == n).cloned()
    }
}

/// A message as a person reads it: its elements on lines of their own, its document as digest and size.
pub fn text(sobre: &Sobre, documento: Option<&Staged>) -> String {
    let mut out = String::new();
    for parte in &sobre.partes {
        match (parte, documento) {
            (Parte::Texto(text), _) => out.push_str(text),
            (Parte::Bytes(base64), _) => {
                write!(out, "[{} bytes que no son texto]", base64.len() / 4 * 3).ok();
            }
            (Parte::Documento(_), Some(documento)) => {
                write!(out, "[documento: {} bytes, SHA-256 {}]", documento.bytes, documento.sha256).ok();
            }
            (Parte::Documento(_), None) => out.push_str("[documento en base64]"),
            (Parte::Omitido(bytes), _) => {
                write!(out, "[documento: {bytes} bytes de base64]").ok();
            }
        }
        if out.len() > MENSAJE_BYTES_MAX {
            break;
        }
    }
    let mut text = out.replace("><", ">\n<");
    if text.len() > MENSAJE_BYTES_MAX {
        let end = (0..=MENSAJE_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        write!(text, "\n[… el mensaje entero tiene {} bytes]", sobre.bytes).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soap::capture::Capture;

    fn llamada(cuo: usize, bytes: usize) -> Llamada {
        Llamada {
            n: 0,
            fecha: Timestamp::UNIX_EPOCH,
            lado: Lado::Entrada,
            operacion: "cargo",
            de: "x".repeat(500),
            a: String::new(),
            cuo: cuo.to_string(),
            codigo: None,
            fallas: vec![],
            milisegundos: 1,
            pedido: Some("y".repeat(bytes)),
            respuesta: None,
        }
    }

    #[test]
    fn only_the_newest_are_kept_by_number_and_by_bytes() {
        let traffic = Traffic::default();
        (1..=LLAMADAS_MAX + 20).for_each(|n| traffic.add(llamada(n, 10)));
        assert_eq!(traffic.newest(usize::MAX, None).len(), LLAMADAS_MAX);
        assert!(traffic.get(20).is_none() && traffic.get(21).is_some());
        assert_eq!(traffic.newest(5, Some("30"))[0].de.len(), TEXTO_MAX);
        (0..400).for_each(|n| traffic.add(llamada(n, MENSAJE_BYTES_MAX)));
        let kept: usize = traffic.newest(usize::MAX, None).iter().map(Llamada::bytes).sum();
        assert!(kept <= BYTES_MAX && kept > BYTES_MAX / 2);
    }

    #[test]
    fn a_document_is_told_and_not_shown_and_a_long_message_is_cut() {
        let message = |inner: &str| {
            let mut capture = Capture::default();
            capture.push(format!("<a><b>{inner}</b></a>").as_bytes());
            capture.finish(true)
        };
        let shown = text(&message(&"QUJD".repeat(3000)), None);
        assert!(shown.contains("[documento") && shown.len() < 200, "{shown}");
        let long = text(&message(&"ñ ".repeat(60_000)), None);
        assert!(long.len() < MENSAJE_BYTES_MAX + 100 && long.contains("el mensaje entero tiene"));
        assert_eq!(text(&message("c"), None), "<a>\n<b>c</b>\n</a>");
    }
}
