//! What tasks may change, as rules over rows in memory; what is recorded of it, and what that adds up to. No database, no WebAssembly.

#![warn(missing_docs)]

pub mod domain;
pub mod effect;
pub mod event;
pub mod history;
mod key;
pub mod keyring;
pub mod net;
pub mod outbox;
pub mod report;
pub mod rows;
pub mod rules;
pub mod task;
