//! The use cases over a real store in a temporary folder, a scripted platform and a clock that stands still.

mod arrivals;
mod cargos;
mod copies;
mod decisions;
mod directory;
mod dispatches;
mod explanations;
mod issue;
mod neighbours;
mod outages;
mod refused_cuos;
mod retention;
mod review;
mod sends;
mod signatures;
mod simulation;
mod steps;
mod texts;
mod town;
mod untold;
mod waits;
pub(crate) mod world;
