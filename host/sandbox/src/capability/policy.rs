use std::sync::Arc;

use parking_lot::Mutex;
use wasmtime::component::HasSelf;

use cairn_manifest::manifest::SimpleGrantKind;
use cairn_model::error::{Origin, TaskError};
use cairn_model::id::Identity;
use cairn_model::value::{Object, Value};
use cairn_policy::{Asks, Policy};

use super::{SimpleCapability, State, json, to_wit};
use crate::admission::NOT_AUTHORIZED;
use crate::wit::cairn::plugin::policy::{self, Host};
use crate::wit::cairn::plugin::types;

/// The capability `policy`.
pub(super) const CAPABILITY: SimpleCapability = SimpleCapability::new(
    SimpleGrantKind::new("policy", &["cairn:plugin/policy"], &["enforce"]),
    |linker| policy::add_to_linker::<State, HasSelf<State>>(linker, State::enter),
);

/// Decides whether a caller may do something.
pub trait Enforcer: Send + Sync {
    /// Passes when `requester` may do `action` to `target`. `plugins` are those of the flow.
    ///
    /// # Errors
    /// `PolicyNotAuthorized` with the action.
    fn enforce(
        &self,
        requester: &Identity,
        action: &str,
        target: &Object,
        plugins: &dyn Asks,
    ) -> Result<(), TaskError>;
}

impl Enforcer for Policy {
    fn enforce(
        &self,
        requester: &Identity,
        action: &str,
        target: &Object,
        plugins: &dyn Asks,
    ) -> Result<(), TaskError> {
        let ruling = self.decide(action, &requester.into(), target, plugins);
        if ruling.allowed {
            return Ok(());
        }
        let mut message = format!(
            "policy does not allow `{}` to do `{action}`",
            requester.user_id
        );
        let mut plugins = Object::new();
        for (plugin, reason) in ruling.refusals {
            message += &format!("; `{plugin}`: {reason}");
            plugins.insert(plugin, reason.into());
        }
        let error = TaskError::new(NOT_AUTHORIZED, message).with("action", action);
        Err(match plugins.is_empty() {
            true => error,
            false => error.with("plugins", plugins),
        })
    }
}

/// The last denial of a policy during one call. Only an error that repeats it is attributed to the policy.
#[derive(Clone, Default)]
pub(crate) struct Denied(Arc<Mutex<Option<TaskError>>>);

impl Denied {
    fn remember(&self, error: &TaskError) {
        *self.0.lock() = Some(error.clone());
    }

    /// Returns the error that ended the call, with its true origin.
    pub(crate) fn attribute(&self, error: TaskError) -> TaskError {
        let denied = self.0.lock();
        match &*denied {
            Some(denied) if (&denied.kind, &denied.message) == (&error.kind, &error.message) => {
                TaskError {
                    origin: Origin::Policy,
                    ..error
                }
            }
            Some(_) | None => error,
        }
    }
}

impl Host for State {
    fn enforce(
        &mut self,
        action: String,
        target: String,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        self.grant("policy")?;
        let active = self.active()?;
        let requester = active.context.requester();
        let target = json(&target, "the target").and_then(|target| match target {
            Value::Object(target) => Ok(target),
            _ => Err(TaskError::new(
                "InvalidInput",
                "the target must be an object",
            )),
        });
        let result = target.and_then(|mut target| {
            // A target without an owner belongs to the caller.
            target
                .entry("project_id")
                .or_insert_with(|| requester.project_id.as_str().into());
            target
                .entry("user_id")
                .or_insert_with(|| requester.user_id.as_str().into());
            let log = |plugin: &str, level, message: String| {
                active.context.log(level, format!("{plugin}: {message}"));
            };
            let plugins = active.services.rule_plugins.on_behalf_of(requester, &log);
            active
                .services
                .enforcer
                .enforce(requester, &action, &target, &plugins)
                .inspect_err(|error| active.denied.remember(error))
        });
        Ok(result.map_err(to_wit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_error_that_repeats_a_denial_is_the_policys() {
        let denied = Denied::default();
        let denial = TaskError::new("PolicyNotAuthorized", "no");
        assert_eq!(denied.attribute(denial.clone()).origin, Origin::Plugin);
        denied.remember(&denial);
        assert_eq!(denied.attribute(denial).origin, Origin::Policy);
        let other = TaskError::new("PolicyNotAuthorized", "because I say so");
        assert_eq!(denied.attribute(other).origin, Origin::Plugin);
    }
}
