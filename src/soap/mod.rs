//! SOAP 1.1 over whatever stream it is given: reading envelopes as they arrive, writing them as they leave, faults, and
//! the two layers of base64 in which documents travel. Knows nothing of tramites; does no I/O of its own.

pub mod answer;
pub mod base64;
pub mod body;
pub mod capture;
pub mod conversation;
pub mod envelope;
pub mod error;
pub mod fault;
#[cfg(test)]
pub mod fixture;
mod markup;
mod raw;
mod scratch;
pub mod sink;
pub mod source;
pub mod writer;
pub mod wsdl;

pub use answer::AnswerError;
pub use body::{DocumentSource, MessageBody};
pub use envelope::{EnvelopeReader, Limits};
pub use error::ReadError;
pub use fault::{Fault, FaultCode};
pub use markup::{ATTRIBUTES_MAX, NAME_BYTES_MAX};
pub use sink::{DocumentSink, SinkError};
pub use writer::{CONTENT_TYPE, Message};
