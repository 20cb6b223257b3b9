//! How an entity's document system (SGD) plugs in: the REST API ([`rest`]), and webhooks that tell it
//! what happens ([`webhook`]). Translates between its callers and the use
//! cases of `exchange`; decides nothing itself.

pub mod rest;
pub mod webhook;
