//! What is judged from outside: the floors of the source, and whole daemons as processes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how a test says that it failed

mod annexes;
mod attacker;
mod attacks;
mod bridge;
mod clients;
mod cluster;
mod commands;
mod component;
mod conformance;
mod console;
mod daemon;
mod decisions;
mod durability;
mod entities;
mod envelope;
mod evidence;
mod examination;
mod exchange;
mod faults;
mod floors;
mod hostile;
mod intake;
mod maintenance;
mod manual;
mod memory;
mod openapi;
mod overload;
mod patience;
mod pdf;
mod platform;
mod port;
mod postgres;
mod process;
mod reload;
mod rest;
mod retention;
mod road;
mod signatures;
mod tables;
mod texts;
mod unclear;
mod webhooks;
mod wire;
mod wsi;
