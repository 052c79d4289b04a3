use std::sync::Arc;

use cairn_effects::history::History;
use cairn_effects::task::Task;
use cairn_manifest::manifest::Wait;
use cairn_manifest::wire::{Ports, Wiring, wire};
use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::id::TaskId;
use cairn_model::retry::Retry;
use cairn_model::value::{Object, Value};

/// A task with its place in a flow: its id, name and retries.
pub(super) struct FlowTask {
    pub(super) id: TaskId,
    pub(super) name: Arc<str>,
    pub(super) task: Arc<dyn Task>,
    pub(super) call: Retry,
    pub(super) revert: Retry,
    /// What it waits for; `task` is not called then.
    pub(super) wait: Option<Wait>,
    /// Whether it may remove objects outside the database.
    pub(super) pivot: bool,
}

/// Finds the providers of each flow task's inputs.
///
/// # Errors
/// `MissingDependencies` for the last flow task with missing inputs, as in TaskFlow, with the names of all of them, sorted.
pub(super) fn wiring(flow_tasks: &[Arc<FlowTask>]) -> Result<Vec<Wiring<TaskId>>, TaskError> {
    let ports: Vec<_> = flow_tasks
        .iter()
        .map(|flow_task| {
            let spec = flow_task.task.spec();
            Ports {
                task: flow_task.id,
                requires: &spec.requires,
                optional: &spec.optional,
                provides: &spec.provides,
            }
        })
        .collect();
    wire(&ports).map_err(|mut missing| {
        let last = missing.pop();
        let flow_task = flow_tasks
            .iter()
            .find(|flow_task| last.as_ref().is_some_and(|last| last.task == flow_task.id));
        let name = flow_task.map_or("", |flow_task| &*flow_task.name);
        let names = last.map(|last| last.names).unwrap_or_default();
        let message = format!("no task before `{name}` provides {}", names.join(", "));
        TaskError::host(HostErrorKind::MissingDependencies, message)
            .with("task", name)
            .with("missing", names)
    })
}

/// Returns a flow task's inputs: the results of its providers, null where a name was left out, and the optional inputs that a
/// provider's result holds, nearest provider first.
pub(super) fn inputs(wiring: &Wiring<TaskId>, history: &History) -> Object {
    let held = |task: TaskId, name: &str| -> Option<Value> {
        history.task(task)?.result.as_ref()?.get(name).cloned()
    };
    let mut inputs = Object::new();
    for (name, provider) in &wiring.requires {
        inputs.insert(name.clone(), held(*provider, name).unwrap_or(Value::Null));
    }
    for (name, providers) in &wiring.optional {
        if !inputs.contains_key(name)
            && let Some(value) = providers.iter().find_map(|other| held(*other, name))
        {
            inputs.insert(name.clone(), value);
        }
    }
    inputs
}
