use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{HostErrorKind, TaskError};
use crate::history::History;
use crate::id::TaskId;
use crate::retry::Retry;
use crate::task::Task;
use crate::value::{Object, Value};

/// A task in a flow.
pub(super) struct Runner {
    pub(super) id: TaskId,
    pub(super) name: Arc<str>,
    pub(super) task: Arc<dyn Task>,
    pub(super) call: Retry,
    pub(super) revert: Retry,
}

/// Who gives each runner its required inputs: runner -> input -> provider.
pub(super) type Wiring = BTreeMap<TaskId, BTreeMap<String, TaskId>>;

/// Finds the nearest earlier provider of every required input.
///
/// # Errors
/// `MissingDependencies` of the last runner that lacks some, with every name it lacks, sorted.
pub(super) fn wire(runners: &[Arc<Runner>]) -> Result<Wiring, TaskError> {
    let mut wiring = Wiring::new();
    for (index, runner) in runners.iter().enumerate().rev() {
        let mut providers = BTreeMap::new();
        let mut missing = Vec::new();
        for input in &runner.task.spec().requires {
            let before = runners[..index].iter().rev();
            match before
                .into_iter()
                .find(|other| other.task.spec().provides.contains(input))
            {
                Some(provider) => {
                    providers.insert(input.clone(), provider.id);
                }
                None => missing.push(input.clone()),
            }
        }
        if !missing.is_empty() {
            missing.sort();
            missing.dedup();
            let message = format!(
                "no task before `{}` provides {}",
                runner.name,
                missing.join(", ")
            );
            return Err(TaskError::host(HostErrorKind::MissingDependencies, message)
                .with("task", &*runner.name)
                .with("missing", missing));
        }
        wiring.insert(runner.id, providers);
    }
    Ok(wiring)
}

/// A runner's inputs: what its providers returned, null where a name was left out, and those optional ones that a provider's
/// result holds, the nearest first.
pub(super) fn inputs(
    index: usize,
    runners: &[Arc<Runner>],
    wiring: &Wiring,
    history: &History,
) -> Object {
    let runner = &runners[index];
    let held = |task: TaskId, name: &str| -> Option<Value> {
        history.task(task)?.result.as_ref()?.get(name).cloned()
    };
    let mut inputs = Object::new();
    for (name, provider) in wiring.get(&runner.id).into_iter().flatten() {
        inputs.insert(name.clone(), held(*provider, name).unwrap_or(Value::Null));
    }
    for name in &runner.task.spec().optional {
        if !inputs.contains_key(name) {
            let mut providers = runners[..index]
                .iter()
                .rev()
                .filter(|other| other.task.spec().provides.contains(name));
            if let Some(value) = providers.find_map(|other| held(other.id, name)) {
                inputs.insert(name.clone(), value);
            }
        }
    }
    inputs
}
