//! Values that the operator set up under names, such as passwords and keys of other services.
//!
//! ```
//! use cairn_plugin::secrets;
//! use cairn_plugin::testing::FakeHost;
//! use serde_json::json;
//!
//! let host = FakeHost::new().answer("secrets.get", json!("hunter2"));
//! host.run(|| assert_eq!(secrets::get("pdns").unwrap(), "hunter2"));
//! ```
//!
//! A result, an error or a line of the log that holds a secret is stored and shown like any other. Where a secret only has to be a header
//! of HTTP requests, the grant of `http` adds it, and the plugin need not have it.

use crate::Error;
use crate::host::secrets;

/// Returns the value of a secret. It may change from one call to the next.
///
/// # Errors
/// `NotGranted` for a name outside the grant; `SecretUnavailable` when the operator set up no such secret, or it cannot be read.
pub fn get(name: &str) -> Result<String, Error> {
    Ok(secrets::get(name)?)
}
