//! The caller of the flow and the settings of this plugin. Needs no grant.

use serde_json::Value;

use super::read;
use crate::Error;
pub use crate::bindings::cairn::plugin::context::Identity;
use crate::host::context;

/// Returns the caller on whose behalf the flow runs. It does not change during the flow.
pub fn requester() -> Identity {
    context::requester()
}

/// Returns this plugin's settings from the manifest. A [`Task`](crate::Task) already has them in its fields.
pub fn settings() -> Result<Value, Error> {
    read("context.settings", &context::settings())
}

/// Returns whether this flow has committed quota that it has not returned.
pub fn quota_committed() -> bool {
    context::quota_committed()
}

/// Sets a savepoint in a revert: the changes made so far remain even if the revert fails later. Does nothing in a
/// `call`.
pub fn checkpoint() {
    context::checkpoint();
}

/// Returns the flow's request to the built-in plugin `inject`; `None` to every other plugin.
pub fn request() -> Result<Option<Value>, Error> {
    context::request()
        .map(|json| read("context.request", &json))
        .transpose()
}
