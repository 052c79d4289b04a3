//! Plugins as policies and validators, which are asked before a flow's first task or by a policy rule. Every question gets its
//! own instance, which sees the caller and a log, and has no side effects.

use std::sync::Arc;

use parking_lot::Mutex;

use cairn_manifest::manifest::LimitKey;
use cairn_model::error::TaskError;
use cairn_model::id::Identity;
use cairn_model::value::{Object, Value, text};

use super::bystander::Bystander;
use super::ended::exceeded;
use super::{Plugin, exports};
use crate::admission::{Decision, Policy, Said, Validator, Violation};
use crate::capability::{Active, Denied, Granted, Services, State, from_wit};

/// Maximum length of a reason or message, in bytes; the rest is truncated.
const MAX_TEXT: usize = 4 << 10;

/// A plugin with its settings, grants and services.
struct Asked {
    name: String,
    plugin: Arc<Plugin>,
    granted: Arc<Granted>,
    services: Arc<Services>,
}

/// A plugin as a policy.
pub struct PolicyPlugin(Asked);

/// A plugin as a validator.
pub struct ValidatorPlugin(Asked);

impl PolicyPlugin {
    /// Creates a policy from `plugin`, called `name` in the manifest.
    pub fn new(name: &str, plugin: Arc<Plugin>, granted: Granted, services: Arc<Services>) -> Self {
        Self(Asked::new(name, plugin, granted, services))
    }
}

impl ValidatorPlugin {
    /// Creates a validator from `plugin`, called `name` in the manifest.
    pub fn new(name: &str, plugin: Arc<Plugin>, granted: Granted, services: Arc<Services>) -> Self {
        Self(Asked::new(name, plugin, granted, services))
    }
}

impl Asked {
    fn new(name: &str, plugin: Arc<Plugin>, granted: Granted, services: Arc<Services>) -> Self {
        Self {
            name: name.to_owned(),
            plugin,
            granted: Arc::new(granted),
            services,
        }
    }

    /// Asks the plugin, and passes its log on.
    fn ask<T>(
        &self,
        requester: &Identity,
        said: &mut Said<'_>,
        question: impl FnOnce(&Plugin, State) -> Result<T, TaskError>,
    ) -> Result<T, TaskError> {
        let logged = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&logged);
        let bystander = Bystander::new(
            requester.clone(),
            "a policy or validator is offered `context` and `log` alone",
            move |level, message| log.lock().push((level, message)),
        );
        let state = State::for_call(Active {
            context: Arc::new(bystander),
            granted: Arc::clone(&self.granted),
            services: Arc::clone(&self.services),
            denied: Denied::default(),
        });
        let answer = question(&self.plugin, state);
        let mut logged = logged.lock();
        for (level, message) in logged.drain(..) {
            said(level, message);
        }
        answer
    }

    fn check_size(&self, bytes: usize) -> Result<(), TaskError> {
        let limits = &self.granted.limits;
        if bytes as u64 > limits.result_bytes {
            return Err(exceeded(LimitKey::ResultBytes, limits));
        }
        Ok(())
    }
}

impl Policy for PolicyPlugin {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn check(
        &self,
        requester: &Identity,
        action: &str,
        target: &Object,
        said: &mut Said<'_>,
    ) -> Result<Decision, TaskError> {
        let target = text(&Value::Object(target.clone()));
        let answer = self.0.ask(requester, said, |plugin, state| {
            plugin.check(state, &self.0.granted.limits, action, &target)
        })?;
        match answer.map_err(from_wit)? {
            exports::RawDecision::Allow => Ok(Decision::Allow),
            exports::RawDecision::Deny(reason) => {
                self.0.check_size(reason.len())?;
                Ok(Decision::Deny(cut(reason)))
            }
        }
    }
}

impl Validator for ValidatorPlugin {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn validate(
        &self,
        requester: &Identity,
        inputs: &Value,
        said: &mut Said<'_>,
    ) -> Result<Vec<Violation>, TaskError> {
        let inputs = text(inputs);
        let answer = self.0.ask(requester, said, |plugin, state| {
            plugin.validate(state, &self.0.granted.limits, &inputs)
        })?;
        let violations = answer.map_err(from_wit)?;
        let sizes = violations.iter().map(|violation| {
            violation.pointer.len() + violation.kind.len() + violation.message.len()
        });
        self.0.check_size(sizes.sum())?;
        let violations = violations.into_iter().map(|violation| Violation {
            pointer: cut(violation.pointer),
            kind: violation.kind,
            message: cut(violation.message),
        });
        Ok(violations.collect())
    }
}

/// Truncates a text that is shown to a caller.
fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}
