//! What a caller may do with a flow.

use cairn::policy::Policy;

use crate::auth::Caller;

/// The operations that the operator's rules let a caller ask for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowed {
    pub interrupt: bool,
    pub resume: bool,
    pub signal: bool,
    pub rollback: bool,
    pub accept: bool,
}

impl Allowed {
    /// Asks the rules about a flow of this project.
    pub(super) fn of(caller: &Caller, policy: &Policy, project_id: &str) -> Self {
        let may = |operation: &str| {
            caller.may(policy, &format!("api:flow:{operation}"), Some(project_id))
        };
        Self {
            interrupt: may("interrupt"),
            resume: may("resume"),
            signal: may("signal"),
            rollback: may("rollback"),
            accept: may("accept"),
        }
    }
}
