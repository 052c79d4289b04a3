//! Native tasks that manifests name as built-in plugins.

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_effects::event::Disposition;
use cairn_effects::task::{Context, Outcome, Task, TaskSpec};
use cairn_manifest::plan::{Descriptor, Inspected, Role};
use cairn_model::error::{Cause, TaskError};
use cairn_model::value::{Digest, Object, Value};

/// A task in native code, described as a plugin is.
#[derive(Clone)]
pub(super) struct Native {
    descriptor: Descriptor,
    task: Arc<dyn Task>,
}

impl Native {
    /// Describes a task as its [`spec`](Task::spec) says.
    pub(super) fn new(task: Arc<dyn Task>) -> Self {
        let spec = task.spec().clone();
        let descriptor = Descriptor {
            name: spec.name,
            version: spec.version,
            requires: spec.requires,
            optional: spec.optional,
            provides: spec.provides,
        };
        Self { descriptor, task }
    }

    /// Returns the name that manifests use.
    pub(super) fn name(&self) -> &str {
        &self.descriptor.name
    }

    /// Returns the digest of the task's description, which identifies it in plans, since native code has no digest. A program
    /// whose task of this name has other inputs or outputs does not recover flows of the former one.
    pub(super) fn digest(&self) -> Digest {
        Digest::of_json(&("native", &self.descriptor)).expect("a description has no other keys")
    }

    /// Returns what a planner learns about a plugin.
    ///
    /// # Errors
    /// The broken rule for descriptions, as a sentence.
    pub(super) fn inspect(&self) -> Result<Inspected, String> {
        self.descriptor.check()?;
        Ok(Inspected {
            digest: self.digest(),
            size: 0,
            imports: BTreeSet::new(),
            settings_schema: schema(),
            descriptor: self.descriptor.clone(),
            builtin: Some(self.name().to_owned()),
            roles: BTreeSet::from([Role::Task]),
        })
    }

    /// Returns the task's optional inputs.
    pub(super) fn optional(&self) -> &[String] {
        &self.descriptor.optional
    }

    /// Makes the task of a flow, wired as `spec` says.
    pub(super) fn planned(&self, spec: TaskSpec) -> Arc<dyn Task> {
        let task = Arc::clone(&self.task);
        Arc::new(Planned { spec, task })
    }
}

/// Returns the schema of a native task's settings, which has none.
fn schema() -> Value {
    serde_json::json!({"type": "object", "additionalProperties": false})
}

/// A native task under the name that its plan gives it.
struct Planned {
    spec: TaskSpec,
    task: Arc<dyn Task>,
}

impl Task for Planned {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn call(&self, context: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        self.task.call(context, inputs)
    }

    fn revert(
        &self,
        context: &Arc<dyn Context>,
        outcome: &Outcome,
        cause: &Cause,
    ) -> Result<Disposition, TaskError> {
        self.task.revert(context, outcome, cause)
    }
}
