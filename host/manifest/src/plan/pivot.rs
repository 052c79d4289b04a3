//! The rules of a flow's pivot: the task after which it only goes forward.

use cairn_model::error::Diagnostic;

use crate::manifest::{Manifest, TaskEntry, Until, Work};

impl Manifest {
    /// Refuses a second pivot, and a wait behind the pivot that could fail: the flow cannot be rolled back there.
    pub(super) fn check_pivot(&self) -> Result<(), Diagnostic> {
        let mut tasks = self.tasks.iter();
        let Some(pivot) = tasks.find(|task| task.pivot) else {
            return Ok(());
        };
        for task in tasks {
            if task.pivot {
                let message = format!(
                    "a second pivot, `{}`; the first is `{}` on line {}",
                    task.name(),
                    pivot.name(),
                    pivot.line
                );
                return Err(Diagnostic::new(message).at(&self.file, task.line).help(
                    "behind its pivot a flow only goes forward, so it has one: one task may remove several objects",
                ));
            }
            if let Some(key) = fails_by(task) {
                let message = format!(
                    "the wait `{}` has `{key}`, and is behind the pivot `{}` on line {}, where a failure cannot be rolled back",
                    task.name(),
                    pivot.name(),
                    pivot.line
                );
                return Err(Diagnostic::new(message)
                    .at(&self.file, task.line)
                    .help("put the wait before the pivot, or let it wait without an end"));
            }
        }
        Ok(())
    }
}

/// Returns the key with which a wait may fail.
fn fails_by(task: &TaskEntry) -> Option<&'static str> {
    let Work::Wait(wait) = &task.work else {
        return None;
    };
    match (&wait.timeout, &wait.until) {
        (Some(_), _) => Some("timeout"),
        (None, Some(Until::Input(_))) => Some("until"),
        _ => None,
    }
}
