use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_effects::event::Disposition;
use cairn_effects::task::{Context, MemoryUse, Outcome, Task, TaskSpec};
use cairn_model::error::{Cause, HostErrorKind, TaskError};
use cairn_model::value::{Object, Value, text};

use super::Plugin;
use super::document::document;
use crate::capability::{Active, Denied, Granted, Services, State, from_wit, to_wit};
use crate::wit::exports::cairn::plugin::task as wit;

/// A task that a plugin implements. Every call gets its own instance.
pub struct PluginTask {
    spec: TaskSpec,
    plugin: Arc<Plugin>,
    granted: Arc<Granted>,
    services: Arc<Services>,
    /// The most bytes that one call has used.
    memory_peak: Arc<AtomicUsize>,
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
            memory_peak: Arc::default(),
        }
    }

    fn state(&self, context: &Arc<dyn Context>, denied: &Denied) -> State {
        State::for_call(Active {
            context: Arc::clone(context),
            granted: Arc::clone(&self.granted),
            services: Arc::clone(&self.services),
            denied: denied.clone(),
        })
        .with_memory_peak(&self.memory_peak)
    }

    /// Parses a result and checks that it keeps the contract: JSON, within the limits, with every name that the task provides.
    fn check(&self, text: &str) -> Result<Value, TaskError> {
        let value = document(text, &self.granted.limits)?;
        let object = match &value {
            Value::Null => None,
            Value::Object(object) => Some(object),
            _ => {
                let message = "the result must be an object or null";
                return Err(TaskError::host(HostErrorKind::ResultInvalid, message));
            }
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

    fn memory(&self) -> Option<MemoryUse> {
        Some(MemoryUse {
            most: self.memory_peak.load(Ordering::Relaxed) as u64,
            limit: self.granted.limits.memory,
        })
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
