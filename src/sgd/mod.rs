//! How an entity's document system (SGD) plugs in: the REST API ([`rest`]). Translates between its callers and the use
//! cases of `exchange`; decides nothing itself.

pub mod rest;
