//! The flow's log. Always there, also while a plugin describes itself. Entries stay when a call is undone.

use crate::host::log::{self, Level};

/// Something is wrong, and the task cannot do its work.
pub fn error(message: impl AsRef<str>) {
    log::write(Level::Error, message.as_ref());
}

/// Something is odd, and the task does its work all the same.
pub fn warn(message: impl AsRef<str>) {
    log::write(Level::Warn, message.as_ref());
}

/// Something that whoever runs the flow may want to know.
pub fn info(message: impl AsRef<str>) {
    log::write(Level::Info, message.as_ref());
}

/// Something that helps to find out what happened.
pub fn debug(message: impl AsRef<str>) {
    log::write(Level::Debug, message.as_ref());
}
