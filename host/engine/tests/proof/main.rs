//! A rollback leaves nothing behind.

mod reverts;
mod step;
