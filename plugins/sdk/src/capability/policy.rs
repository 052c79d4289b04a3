//! Evaluates the operator's policy rules.

use serde_json::Value;

use crate::Error;
use crate::host::policy;

/// Succeeds if the caller may perform `action` (such as `volume:create`) on `target`, one JSON object. If `target`
/// lacks `project_id` or `user_id`, the caller's are used.
///
/// # Errors
/// `PolicyNotAuthorized` with `{"action"}`.
pub fn enforce(action: &str, target: &Value) -> Result<(), Error> {
    Ok(policy::enforce(action, &target.to_string())?)
}
