//! Admission of a flow before its first task: policies decide whether the caller may have it, validators find what is wrong with its
//! request. Neither has side effects, so recovery may ask them again.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use cairn_effects::event::{Event, LogLevel};
use cairn_manifest::manifest::Mode;
use cairn_model::error::{Origin, TaskError};
use cairn_model::id::Identity;
use cairn_model::value::{Object, Value};
use cairn_policy::{Asks, PluginAnswer};

/// Takes what somebody who is asked has to say besides the answer.
pub type Said<'a> = dyn FnMut(LogLevel, String) + 'a;

/// The kind of error of a denial.
pub const NOT_AUTHORIZED: &str = "PolicyNotAuthorized";

/// The kind of a violation that names none, and of several that differ.
const INVALID: &str = "InvalidInput";

/// The verdict of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The caller may do it.
    Allow,
    /// The caller may not, for this reason.
    Deny(String),
}

/// Whether a caller may do something. Effect-free: the same question may be asked again.
pub trait Policy: Send + Sync {
    /// What the manifest calls it.
    fn name(&self) -> &str;

    /// Decides on `action` for `requester`. `target` says what is acted upon, and whose it is.
    ///
    /// # Errors
    /// When it cannot decide. Whoever asks takes that for a denial.
    fn check(
        &self,
        requester: &Identity,
        action: &str,
        target: &Object,
        said: &mut Said<'_>,
    ) -> Result<Decision, TaskError>;
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Where: an RFC 6901 JSON pointer into the request; the empty pointer is the whole.
    pub pointer: String,
    /// What kind of error this is.
    pub kind: String,
    /// One sentence.
    pub message: String,
}

/// What is wrong with a request. Effect-free: the same question may be asked again.
pub trait Validator: Send + Sync {
    /// What the manifest calls it.
    fn name(&self) -> &str;

    /// Every violation; none accepts.
    ///
    /// # Errors
    /// When it cannot tell. Whoever asks takes that for a refusal.
    fn validate(
        &self,
        requester: &Identity,
        inputs: &Value,
        said: &mut Said<'_>,
    ) -> Result<Vec<Violation>, TaskError>;
}

/// The admission of a flow: the policies and validators that are asked before its first task, in order: each policy, then each validator.
pub struct Admission {
    action: String,
    policies: Vec<(Mode, Arc<dyn Policy>)>,
    validators: Vec<Arc<dyn Validator>>,
}

impl Admission {
    /// Asks these policies about `action`, and these validators.
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

    /// The policies, in order.
    pub fn policies(&self) -> impl Iterator<Item = &dyn Policy> {
        self.policies.iter().map(|(_, policy)| policy.as_ref())
    }

    /// The validators, in order.
    pub fn validators(&self) -> impl Iterator<Item = &dyn Validator> {
        self.validators.iter().map(AsRef::as_ref)
    }

    /// Whether the flow may begin. `note` takes what the journal is to keep: what was logged, and what a policy in monitor
    /// mode would have denied.
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

/// What a plugin logged, as an event that names it.
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

/// What a flow acts upon: what its request says, and whose it will be. That is the caller's, whatever the request says.
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

/// Why a policy does not let the caller pass; nothing when it does.
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

/// An error as a detail of another.
fn failure(error: &TaskError) -> Value {
    serde_json::json!({
        "origin": error.origin,
        "kind": error.kind,
        "message": error.message,
        "details": error.details,
    })
}

/// All violations in one error. Its kind is theirs where they share one.
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
    /// These policies, by their names.
    pub fn new(policies: impl IntoIterator<Item = Arc<dyn Policy>>) -> Self {
        let policies = policies.into_iter();
        Self(
            policies
                .map(|policy| (policy.name().to_owned(), policy))
                .collect(),
        )
    }

    /// What a rule asks on behalf of `requester`. `log` takes what a plugin logs, with its name.
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
