//! The listeners' machinery, shared by the edges: accepting connections and serving routers on them ([`server`]), limits on
//! bodies ([`limits`]) and on how many callers are served at once ([`places`]), TLS ([`tls`]), from where
//! they may be called ([`networks`]), who is calling and what they may do ([`auth`]), how often one key may ask ([`rates`]), how errors look ([`problem`], [`failure`]), how forms come in
//! ([`form`]) and documents and evidence go out ([`download`], [`evidence`]), and where connections of ours may not go
//! ([`reach`]).
//!
//! Knows no route and no SOAP. May use `exchange` and the floors below it.

pub mod auth;
pub mod csv;
pub mod download;
pub mod evidence;
pub mod failure;
pub mod form;
pub mod limits;
pub mod networks;
pub mod places;
pub mod problem;
pub mod rates;
pub mod reach;
pub mod server;
mod stream;
pub mod tls;

pub use auth::{Acceso, Grupo};
pub use problem::{Code, FieldError, Problem};
