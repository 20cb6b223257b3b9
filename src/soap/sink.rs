//! Where a decoded document goes while it arrives.

use async_trait::async_trait;

#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// More bytes than the sink takes: the sender's fault.
    #[error("the document is larger than allowed")]
    TooLarge,
    /// The sink failed: our own fault.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

/// Takes a document piece by piece, in order.
#[async_trait]
pub trait DocumentSink: Send {
    async fn write(&mut self, piece: &[u8]) -> Result<(), SinkError>;
}

/// Takes anything and keeps nothing: for answers whose document is not wanted.
pub struct Discard;

#[async_trait]
impl DocumentSink for Discard {
    async fn write(&mut self, _piece: &[u8]) -> Result<(), SinkError> {
        Ok(())
    }
}
