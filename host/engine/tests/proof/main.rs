//! A rollback leaves nothing behind.

mod regressions;
mod reverts;
mod step;
