//! What is judged from outside: the floors of the source, and whole daemons as processes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how a test says that it failed

mod floors;
