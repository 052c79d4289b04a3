use std::sync::Arc;

use cairn_effects::event::Disposition;
use cairn_effects::task::{Context, Outcome, Task, TaskSpec};
use cairn_manifest::manifest::LimitKey;
use cairn_model::error::{Cause, HostErrorKind, TaskError};
use cairn_model::value::{Object, Value, text};

use super::Plugin;
use super::ended::exceeded;
use crate::capability::{Active, Denied, Granted, Services, State, from_wit, to_wit};
use crate::wit::exports::cairn::plugin::task as wit;

/// A task that a plugin implements. Every call gets its own instance.
pub struct PluginTask {
    spec: TaskSpec,
    plugin: Arc<Plugin>,
    granted: Arc<Granted>,
    services: Arc<Services>,
}

impl PluginTask {
    /// Creates a task that `plugin` implements, called `spec.name` in its flow.
    pub fn new(
        spec: TaskSpec,
        plugin: Arc<Plugin>,
        granted: Granted,
        services: Arc<Services>,
    ) -> Self {
        Self {
            spec,
            plugin,
            granted: Arc::new(granted),
            services,
        }
    }

    fn state(&self, context: &Arc<dyn Context>, denied: &Denied) -> State {
        State::for_call(Active {
            context: Arc::clone(context),
            granted: Arc::clone(&self.granted),
            services: Arc::clone(&self.services),
            denied: denied.clone(),
        })
    }

    /// Parses a result and checks that it keeps the contract: JSON, within the limits, with every name that the task provides.
    fn check(&self, text: &str) -> Result<Value, TaskError> {
        let invalid = |message: String| TaskError::host(HostErrorKind::ResultInvalid, message);
        let limits = &self.granted.limits;
        if text.len() as u64 > limits.result_bytes {
            return Err(exceeded(LimitKey::ResultBytes, limits));
        }
        if nests_deeper(text, limits.result_depth) {
            return Err(exceeded(LimitKey::ResultDepth, limits));
        }
        let value = cairn_model::value::parse(text)
            .map_err(|error| invalid(cairn_model::value::refused("the result", &error)))?;
        let object = match &value {
            Value::Null => None,
            Value::Object(object) => Some(object),
            _ => return Err(invalid("the result must be an object or null".to_owned())),
        };
        let provides = self.spec.provides.iter();
        let missing: Vec<&str> = provides
            .map(String::as_str)
            .filter(|name| object.is_none_or(|object| !object.contains_key(*name)))
            .collect();
        if missing.is_empty() {
            return Ok(value);
        }
        let message = format!(
            "`{}` provides {}, but its result lacks {}",
            self.spec.name,
            self.spec.provides.join(", "),
            missing.join(", ")
        );
        Err(TaskError::host(HostErrorKind::ResultIncomplete, message).with("missing", missing))
    }
}

impl Task for PluginTask {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn call(&self, context: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        let inputs = text(&Value::Object(inputs));
        let denied = Denied::default();
        let state = self.state(context, &denied);
        let result = self.plugin.call(state, &self.granted.limits, &inputs)?;
        let result = result.map_err(|error| denied.attribute(from_wit(error)))?;
        self.check(&result)
    }

    fn revert(
        &self,
        context: &Arc<dyn Context>,
        outcome: &Outcome,
        cause: &Cause,
    ) -> Result<Disposition, TaskError> {
        let outcome = match outcome {
            Outcome::Completed(result) => wit::Outcome::Completed(text(result)),
            Outcome::Failed(error) => wit::Outcome::Failed(to_wit(error.clone())),
            Outcome::Interrupted => wit::Outcome::Interrupted,
        };
        let cause = wit::Failure {
            task: cause.task.clone(),
            error: to_wit(cause.error.clone()),
        };
        let denied = Denied::default();
        let state = self.state(context, &denied);
        let result = self
            .plugin
            .revert(state, &self.granted.limits, &outcome, &cause)?;
        match result.map_err(|error| denied.attribute(from_wit(error)))? {
            wit::Disposition::Undo => Ok(Disposition::Undo),
            wit::Disposition::Keep => Ok(Disposition::Keep),
        }
    }
}

/// Returns whether arrays and objects in this JSON text nest deeper than `most`. Unspecified for text that is not JSON.
fn nests_deeper(text: &str, most: u64) -> bool {
    let opens = |byte: &u8| matches!(byte, b'[' | b'{');
    // Most results have too few brackets to nest deep.
    if (text.bytes().filter(opens).count() as u64) <= most {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0_u64, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_outside_of_strings() {
        for (text, depth) in [
            ("[[],[],[]]", 2),
            (r#"{"a":[{"b":1}]}"#, 3),
            (r#"["[[[[\"[[[[", "]"]"#, 1),
            (r#"{"[[":[]}"#, 2),
        ] {
            assert!(!nests_deeper(text, depth), "{text}");
            assert!(nests_deeper(text, depth - 1), "{text}");
        }
        assert!(nests_deeper(&"[".repeat(100_000), 64));
    }
}
