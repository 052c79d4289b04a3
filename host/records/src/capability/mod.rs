//! The capability of records: checks the grant, delegates, and translates the answer.

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
