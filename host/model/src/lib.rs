//! The vocabulary of all of Cairn: values, ids, times, errors, and utilities that need no other crate.

#![warn(missing_docs)]

pub mod audit;
pub mod clock;
pub mod command;
pub mod contract;
pub mod crash;
pub mod error;
pub mod file;
pub mod id;
pub mod idempotency;
pub mod printable;
pub mod retry;
pub mod secret;
pub mod stall;
pub mod status;
pub mod text;
pub mod token;
pub mod trace;
pub mod value;
pub mod whole;
