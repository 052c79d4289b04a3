//! Who asks, and what this plugin was set up with. Always there; no effect.

use serde_json::Value;

use super::read;
use crate::Error;
pub use crate::bindings::cairn::plugin::context::Identity;
use crate::host::context;

/// The caller on whose behalf the flow runs. Fixed for the life of the flow.
pub fn requester() -> Identity {
    context::requester()
}

/// This plugin's settings as they stand in the manifest. A [`Task`](crate::Task) has them in its fields already.
pub fn settings() -> Result<Value, Error> {
    read("context.settings", &context::settings())
}

/// Whether this flow has committed quota that is not given back.
pub fn quota_committed() -> bool {
    context::quota_committed()
}

/// Ends a step of a revert: what this revert changed so far stays, even when it errs later. Nothing in a `call`.
pub fn checkpoint() {
    context::checkpoint();
}

/// What the flow was asked to do; nothing for every plugin but the built-in `inject`.
pub fn request() -> Result<Option<Value>, Error> {
    context::request()
        .map(|json| read("context.request", &json))
        .transpose()
}
