//! The log, on standard error, for people or for a collector.

use std::{
    fmt::Display,
    io::{IsTerminal, stderr},
};

use tracing::{
    Span,
    field::{Empty, display},
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::ParseError, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

use crate::config::{Log, LogFormat};

/// Changes the level while the daemon runs.
#[derive(Clone)]
pub struct Level(reload::Handle<EnvFilter, Registry>);

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("«{0}» no es un nivel ni un filtro de registro: {1}")]
    Filter(String, ParseError),
    #[error("no se puede iniciar el registro: {0}")]
    Init(String),
}

impl Level {
    pub fn set(&self, level: &str) -> Result<(), LogError> {
        self.0.reload(filter(level)?).map_err(|e| LogError::Init(e.to_string()))
    }
}

/// In which the work on one exchange is done: its id, once it is known ([`about`]), stands on every line. Named at every level, so
/// that a line that is shown has it.
pub fn exchange() -> Span {
    tracing::error_span!("exchange", id = Empty)
}

/// Says which exchange the work is about.
pub fn about(id: impl Display) {
    Span::current().record("id", display(id));
}

/// Starts logging for this process; once.
pub fn init(log: &Log) -> Result<Level, LogError> {
    let (filter, handle) = reload::Layer::new(filter(&log.level)?);
    let lines = match log.format {
        LogFormat::Human => fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal()).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(stderr).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|e| LogError::Init(e.to_string()))?;
    Ok(Level(handle))
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder().parse(level).map_err(|e| LogError::Filter(level.to_owned(), e))
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::reload::Layer;

    use super::*;

    #[test]
    fn the_level_changes_while_running_and_a_wrong_one_changes_nothing() {
        let (layer, handle) = Layer::new(filter("error").unwrap());
        let subscriber = tracing_subscriber::registry().with(layer);
        let level = Level(handle);
        tracing::subscriber::with_default(subscriber, || {
            assert!(!tracing::enabled!(tracing::Level::INFO));
            level.set("info,chasqui::exchange=debug").unwrap();
            assert!(tracing::enabled!(tracing::Level::INFO));
            assert!(matches!(level.set("chasqui=mucho"), Err(LogError::Filter(..))));
            assert!(tracing::enabled!(tracing::Level::INFO));
        });
    }
}
