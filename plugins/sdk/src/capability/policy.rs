//! The operator's policy rules.

use serde_json::Value;

use crate::Error;
use crate::host::policy;

/// Passes when the caller may do `action` (such as `volume:create`) to `target`, one JSON object. The caller's
/// `project_id` and `user_id` are filled in where `target` has none.
///
/// # Errors
/// `PolicyNotAuthorized` with `{"action"}`.
pub fn enforce(action: &str, target: &Value) -> Result<(), Error> {
    Ok(policy::enforce(action, &target.to_string())?)
}
