//! A rollback leaves nothing behind.

mod known;
mod plan;
mod recorder;
mod regressions;
mod reverts;
mod step;
