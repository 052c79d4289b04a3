//! The capability of records: its grant, and the functions of its interface.

mod grant;
mod host;
#[cfg(test)]
mod tests;
mod wit;

pub use grant::{Access, Records};

use std::sync::Arc;

use cairn_sandbox::capability::Capability;

/// Returns the capability of records.
pub fn capability() -> Arc<dyn Capability> {
    Arc::new(Records)
}
