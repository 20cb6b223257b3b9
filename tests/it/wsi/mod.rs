//! WS-I Basic Profile 1.1, assertion by assertion: a test's name begins with the number of its assertion. `server` judges the
//! daemon from outside; the client's are in `src/platform/tests/wsi.rs`, beside the server they need. `table` holds
//! docs/ws-i.md to both.

mod server;
mod table;
