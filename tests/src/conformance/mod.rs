//! Conformance: runs scenarios recorded from the original program through the real engine, store and plugins.
//!
//! | file | contents |
//! |---|---|
//! | `format` | the parser of the vector files |
//! | `world` | the database of a scenario: the initial state, and the rows compared at the end |
//! | `database` | where scenarios are stored |
//! | `sandbox` | the built-in plugins as tasks |
//! | `probe`, `faults` | a layer between task and host that injects faults, by a table from target to seam |
//! | `record`, `casts` | the recorded events, in the form of the vectors |
//! | `names` | mapping of ids and task names to those of the vectors |
//! | `create`, `flow`, `quota` | the three kinds of scenario |
//! | `stage`, `listener`, `synth` | flows, listeners and tasks that a vector defines |
//! | `compare` | comparison of an outcome with the expected one |

pub mod casts;
pub mod compare;
pub mod create;
pub mod database;
pub mod faults;
pub mod flow;
pub mod format;
pub mod listener;
pub mod names;
pub mod probe;
pub mod quota;
pub mod record;
pub mod sandbox;
#[cfg(test)]
mod self_check;
pub mod stage;
pub mod suite;
pub mod synth;
pub mod world;

pub use database::Databases;
pub use suite::{Tally, run};
