//! How an entity's document system (SGD) plugs in: the REST API ([`rest`]), the API of the bridge that many already use
//! ([`bridge`]), the tables that others read and write ([`tables`]), and webhooks that tell it what happens ([`webhook`]).
//! Receivers of its documents download their annexes ([`annexes`]). Translates between its callers and the use cases of
//! `exchange`; decides nothing itself.

pub mod annexes;
mod base64;
pub mod bridge;
pub mod rest;
pub mod tables;
pub mod webhook;
