//! The capabilities of block storage: zones, the catalog, images, keys, quotas and volumes. One file per WIT interface; each function
//! checks the grant, delegates, and translates the answer.
//!
//! Uses the public API of this crate only.

mod catalog;
mod images;
mod keys;
mod lifecycle;
mod quota;
mod wit;
mod zones;

use std::sync::Arc;

use cairn_sandbox::capability::{Capability, SimpleCapability};

/// Returns the capabilities of block storage, in the order in which grants are written.
pub fn capabilities() -> [Arc<dyn Capability>; 6] {
    [
        zones::CAPABILITY,
        catalog::CAPABILITY,
        images::CAPABILITY,
        keys::CAPABILITY,
        quota::CAPABILITY,
        lifecycle::CAPABILITY,
    ]
    .map(|capability: SimpleCapability| Arc::new(capability) as Arc<dyn Capability>)
}

#[cfg(test)]
mod tests;
