use std::panic::{AssertUnwindSafe, catch_unwind};

use cairn_model::error::{HostErrorKind, TaskError};

/// Calls a task; a panic of native code is an error like a trap.
pub(super) fn guard<T>(call: impl FnOnce() -> Result<T, TaskError>) -> Result<T, TaskError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(TaskError::host(
            HostErrorKind::Trap,
            format!("the task panicked: {message}"),
        ))
    })
}
