//! How an entity's document system (SGD) plugs in: the REST API ([`rest`]), the API of the bridge that many already use
//! ([`bridge`]), and webhooks that tell it what happens ([`webhook`]). Translates between its callers and the use
//! cases of `exchange`; decides nothing itself.

mod base64;
pub mod bridge;
pub mod rest;
pub mod webhook;
