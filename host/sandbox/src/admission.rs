//! Admission checks before a flow's first task: policies decide whether the caller may start it, validators check its request.
//! They have no side effects, so recovery can repeat them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use cairn_effects::event::{Event, LogLevel};
use cairn_manifest::manifest::Mode;
use cairn_model::error::{Origin, TaskError};
use cairn_model::id::Identity;
use cairn_model::value::{Object, Value};
use cairn_policy::{Asks, PluginAnswer};

/// Receives log messages of a policy or validator.
pub type Said<'a> = dyn FnMut(LogLevel, String) + 'a;

/// The error kind of a denial.
pub const NOT_AUTHORIZED: &str = "PolicyNotAuthorized";

/// The error kind of violations without a kind, or of several kinds.
const INVALID: &str = "InvalidInput";

/// The decision of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The caller may do it.
    Allow,
    /// The caller may not, for this reason.
    Deny(String),
}

/// Decides whether a caller may do something. Has no side effects: the same question may be asked again.
pub trait Policy: Send + Sync {
    /// Returns its name in the manifest.
    fn name(&self) -> &str;

    /// Decides on `action` for `requester`. `target` is the object of the action, with its owner.
    ///
    /// # Errors
    /// When it cannot decide. The caller treats that as a denial.
    fn check(
        &self,
        requester: &Identity,
        action: &str,
        target: &Object,
        said: &mut Said<'_>,
    ) -> Result<Decision, TaskError>;
}

/// A violation in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// An RFC 6901 JSON pointer into the request; the empty pointer is the whole.
    pub pointer: String,
    /// The error kind.
    pub kind: String,
    /// One sentence.
    pub message: String,
}

/// Checks a request. Has no side effects: the same question may be asked again.
pub trait Validator: Send + Sync {
    /// Returns its name in the manifest.
    fn name(&self) -> &str;

    /// Returns every violation; an empty list accepts the request.
    ///
    /// # Errors
    /// When it cannot decide. The caller treats that as a refusal.
    fn validate(
        &self,
        requester: &Identity,
        inputs: &Value,
        said: &mut Said<'_>,
    ) -> Result<Vec<Violation>, TaskError>;
}

/// The admission checks before a flow's first task, in order: each policy, then each validator.
pub struct Admission {
    action: String,
    policies: Vec<(Mode, Arc<dyn Policy>)>,
    validators: Vec<Arc<dyn Validator>>,
}

impl Admission {
    /// Creates checks: the action that policies decide on, the policies, and the validators.
    pub fn new(
        action: impl Into<String>,
        policies: Vec<(Mode, Arc<dyn Policy>)>,
        validators: Vec<Arc<dyn Validator>>,
    ) -> Self {
        Self {
            action: action.into(),
            policies,
            validators,
        }
    }

    /// Returns the policies, in order.
    pub fn policies(&self) -> impl Iterator<Item = &dyn Policy> {
        self.policies.iter().map(|(_, policy)| policy.as_ref())
    }

    /// Returns the validators, in order.
    pub fn validators(&self) -> impl Iterator<Item = &dyn Validator> {
        self.validators.iter().map(AsRef::as_ref)
    }

    /// Decides whether the flow may begin. `note` receives events for the journal: log messages, and denials of policies in
    /// monitor mode.
    ///
    /// # Errors
    /// The denial of the first policy that is enforced and denies or fails, with [`Origin::Policy`]. Else every violation of
    /// every validator in one error, or the error of the first validator that failed, with the violations of the others.
    pub fn pass(
        &self,
        requester: &Identity,
        request: &Value,
        note: &mut dyn FnMut(Event),
    ) -> Result<(), TaskError> {
        if !self.policies.is_empty() {
            let target = target(requester, request);
            for (mode, policy) in &self.policies {
                let answer = {
                    let mut said = log(policy.name(), note);
                    policy.check(requester, &self.action, &target, &mut said)
                };
                let Some(denial) = denial(policy.name(), &self.action, answer) else {
                    continue;
                };
                match mode {
                    Mode::Enforce => return Err(denial),
                    Mode::Monitor => {
                        tracing::warn!(policy = policy.name(), %denial, "would have denied");
                        note(Event::WouldDeny {
                            policy: policy.name().to_owned(),
                            error: denial,
                        });
                    }
                }
            }
        }
        self.validate(requester, request, note)
    }

    fn validate(
        &self,
        requester: &Identity,
        request: &Value,
        note: &mut dyn FnMut(Event),
    ) -> Result<(), TaskError> {
        let nothing = Value::Object(Object::new());
        let inputs = if request.is_null() { &nothing } else { request };
        let mut violations = Vec::new();
        let mut failure = None;
        for validator in &self.validators {
            let name = validator.name();
            match validator.validate(requester, inputs, &mut log(name, note)) {
                Ok(found) => {
                    violations.extend(found.into_iter().map(|violation| (name, violation)))
                }
                Err(error) => {
                    failure.get_or_insert((name, error));
                }
            }
        }
        match failure {
            Some((name, error)) => Err(TaskError {
                message: format!("validator `{name}` failed: {}", error.message),
                details: serde_json::json!({
                    "validator": name,
                    "violations": listed(&violations),
                    "failure": error.details,
                }),
                ..error
            }),
            None if violations.is_empty() => Ok(()),
            None => Err(refusal(&violations)),
        }
    }
}

/// Returns a log that records each message as an event with the plugin's name.
fn log<'n>(name: &'n str, note: &'n mut dyn FnMut(Event)) -> impl FnMut(LogLevel, String) + 'n {
    move |level, message| {
        tracing::debug!(plugin = name, ?level, message, "check");
        note(Event::CheckLog {
            plugin: name.to_owned(),
            level,
            message,
        });
    }
}

/// Builds the target of a flow: the fields of its request, and its owner, which is the caller whatever the request says.
fn target(requester: &Identity, request: &Value) -> Object {
    let mut target = match request {
        Value::Null => Object::new(),
        Value::Object(request) => request.clone(),
        other => Object::from_iter([("request".to_owned(), other.clone())]),
    };
    target.insert("project_id".into(), requester.project_id.as_str().into());
    target.insert("user_id".into(), requester.user_id.as_str().into());
    target
}

/// Converts a denial or failure of a policy into an error; `None` when it allows.
fn denial(name: &str, action: &str, answer: Result<Decision, TaskError>) -> Option<TaskError> {
    let error = match answer {
        Ok(Decision::Allow) => return None,
        Ok(Decision::Deny(reason)) => TaskError::new(
            NOT_AUTHORIZED,
            format!("policy `{name}` denies `{action}`: {reason}"),
        )
        .with("reason", reason),
        Err(error) => {
            let message = format!("policy `{name}` failed, which denies `{action}`: {error}");
            let denial = TaskError::new(NOT_AUTHORIZED, message);
            TaskError {
                log: error.log.clone(),
                ..denial.with("failure", failure(&error))
            }
        }
    };
    let error = error.with("action", action).with("policy", name);
    Some(TaskError {
        origin: Origin::Policy,
        ..error
    })
}

/// Converts an error into a detail of another.
fn failure(error: &TaskError) -> Value {
    serde_json::json!({
        "origin": error.origin,
        "kind": error.kind,
        "message": error.message,
        "details": error.details,
    })
}

/// Combines all violations in one error, of their kind if they share one.
fn refusal(violations: &[(&str, Violation)]) -> TaskError {
    let kind_of = |violation: &Violation| match violation.kind.as_str() {
        "" => INVALID.to_owned(),
        kind => kind.to_owned(),
    };
    let mut kinds = violations.iter().map(|(_, violation)| kind_of(violation));
    let first = kinds.next().unwrap_or_else(|| INVALID.to_owned());
    let kind = match kinds.all(|kind| kind == first) {
        true => first,
        false => INVALID.to_owned(),
    };
    let place =
        violations
            .first()
            .map_or_else(String::new, |(_, first)| match first.pointer.as_str() {
                "" => first.message.clone(),
                pointer => format!("{pointer}: {}", first.message),
            });
    let message = match violations.len() {
        0 | 1 => format!("the request is refused: {place}"),
        count => format!(
            "the request has {count} violations: {place}; and {} more",
            count - 1
        ),
    };
    TaskError::new(kind, message).with("violations", listed(violations))
}

fn listed(violations: &[(&str, Violation)]) -> Value {
    let listed = violations.iter().map(|(validator, violation)| {
        serde_json::json!({
            "validator": validator,
            "pointer": violation.pointer,
            "kind": violation.kind,
            "message": violation.message,
        })
    });
    Value::Array(listed.collect())
}

/// The policies that rules ask with `wasm:NAME`.
#[derive(Clone, Default)]
pub struct RulePlugins(BTreeMap<String, Arc<dyn Policy>>);

impl RulePlugins {
    /// Creates the set of these policies, by their names.
    pub fn new(policies: impl IntoIterator<Item = Arc<dyn Policy>>) -> Self {
        let policies = policies.into_iter();
        Self(
            policies
                .map(|policy| (policy.name().to_owned(), policy))
                .collect(),
        )
    }

    /// Returns what rules use to ask these policies on behalf of `requester`. `log` receives messages with the plugin's name.
    pub fn on_behalf_of<'a>(
        &'a self,
        requester: &'a Identity,
        log: &'a dyn Fn(&str, LogLevel, String),
    ) -> impl Asks + 'a {
        OnBehalf {
            plugins: self,
            requester,
            log,
        }
    }
}

struct OnBehalf<'a> {
    plugins: &'a RulePlugins,
    requester: &'a Identity,
    log: &'a dyn Fn(&str, LogLevel, String),
}

impl Asks for OnBehalf<'_> {
    fn ask(&self, plugin: &str, action: &str, target: &Object) -> PluginAnswer {
        let Some(policy) = self.plugins.0.get(plugin) else {
            return PluginAnswer::Fails("the flow's manifest has no such plugin".to_owned());
        };
        let mut said = |level, message| (self.log)(plugin, level, message);
        match policy.check(self.requester, action, target, &mut said) {
            Ok(Decision::Allow) => PluginAnswer::Allows,
            Ok(Decision::Deny(reason)) => PluginAnswer::Denies(reason),
            Err(error) => PluginAnswer::Fails(error.with_log()),
        }
    }
}

#[cfg(test)]
mod tests;
