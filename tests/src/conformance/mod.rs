//! Conformance: scenarios that were recorded from the original program, run through the real engine, store and plugins.
//!
//! | file | what |
//! |---|---|
//! | `format` | the vectors as their files hold them |
//! | `world` | the database of a scenario: the start state, and what is compared in the end |
//! | `sandbox` | the built-in plugins as tasks |
//! | `probe`, `faults` | what stands between a task and the host: injected faults, by one table from target to seam |
//! | `record`, `casts` | what happened, as the vectors tell it |
//! | `names` | ids by the names that the vectors give them; task names, by one table |
//! | `create`, `flow`, `quota` | the three kinds of scenario |
//! | `stage`, `listener`, `synth` | flows, listeners and tasks that a vector defines |
//! | `compare` | whether an outcome is what was expected |

pub mod casts;
pub mod compare;
pub mod create;
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

pub use suite::{Tally, run};
