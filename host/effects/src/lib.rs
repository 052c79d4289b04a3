//! Effects of tasks as rules over rows in memory, the events that record them, and the history that the events fold into. Uses no
//! database and no WebAssembly.

#![warn(missing_docs)]

pub mod domain;
pub mod effect;
pub mod event;
pub mod external;
pub mod history;
mod key;
pub mod keyring;
pub mod net;
pub mod outbox;
pub mod report;
pub mod rows;
pub mod rules;
pub mod task;
