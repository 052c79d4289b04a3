//! The flow's log. Needs no grant; also usable while a plugin describes itself. Entries are not rolled back when a call
//! is undone.

use crate::host::log::{self, Level};

/// Logs a problem that prevents the task from doing its work.
pub fn error(message: impl AsRef<str>) {
    log::write(Level::Error, message.as_ref());
}

/// Logs a problem despite which the task does its work.
pub fn warn(message: impl AsRef<str>) {
    log::write(Level::Warn, message.as_ref());
}

/// Logs an event of interest to the operator of the flow.
pub fn info(message: impl AsRef<str>) {
    log::write(Level::Info, message.as_ref());
}

/// Logs a detail for debugging.
pub fn debug(message: impl AsRef<str>) {
    log::write(Level::Debug, message.as_ref());
}
