//! Implements the tasks and resumers that a vector defines.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use cairn::error::Cause;
use cairn::event::Disposition;
use cairn::flow::{Finished, Resumer};
use cairn::task::Outcome;
use cairn::{Context, Flow, Object, Task, TaskError, TaskId, TaskSpec, Value};
use serde_json::json;

use super::format::{Behaviour, FinishedSpec, Raise, ResumerSpec, Synth};
use super::names;
use super::stage::Stage;

/// A task with the behaviour that its vector defines.
pub struct Native {
    spec: TaskSpec,
    calls: Vec<Behaviour>,
    made: AtomicUsize,
    revert: Option<Behaviour>,
    stage: Weak<Stage>,
}

impl Native {
    /// Creates the task that a vector defines.
    pub fn new(synth: Synth, stage: &Arc<Stage>) -> Self {
        let spec = TaskSpec {
            version: synth.version,
            ..TaskSpec::new(synth.name)
        };
        Self {
            spec: spec
                .requires(synth.requires)
                .optional(synth.optional)
                .provides(synth.provides),
            calls: synth.calls,
            made: AtomicUsize::new(0),
            // Without its own revert it uses the trait's default.
            revert: synth.revert.filter(|_| !synth.no_revert),
            stage: Arc::downgrade(stage),
        }
    }

    fn stage(&self) -> Result<Arc<Stage>, TaskError> {
        self.stage
            .upgrade()
            .ok_or_else(|| TaskError::new("NoStage", "the scenario is over"))
    }

    fn behave(&self, behaviour: &Behaviour) -> Result<(), TaskError> {
        self.stage()?.perform(&behaviour.actions)?;
        match &behaviour.raise {
            Some(raise) => Err(raise.error()),
            None => Ok(()),
        }
    }
}

impl Task for Native {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn call(&self, _context: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        let inputs = Value::Object(inputs);
        self.stage()?
            .run
            .recorder
            .event(json!(["call", self.spec.name, inputs]));
        let made = self.made.fetch_add(1, Ordering::SeqCst);
        let Some(behaviour) = self.calls.get(made).or(self.calls.last()) else {
            return Ok(Value::Null);
        };
        self.behave(behaviour)?;
        Ok(if behaviour.return_echo {
            inputs
        } else {
            behaviour.result.clone()
        })
    }

    fn revert(
        &self,
        _context: &Arc<dyn Context>,
        _outcome: &Outcome,
        _cause: &Cause,
    ) -> Result<Disposition, TaskError> {
        if let Some(behaviour) = &self.revert {
            self.behave(behaviour)?;
        }
        Ok(Disposition::Undo)
    }
}

/// A resumer with the finished tasks that its vector lists.
pub struct Finisher {
    /// Its specification.
    pub spec: ResumerSpec,
    /// Name of its flow.
    pub flow: String,
    /// The stage of its flow.
    pub stage: Weak<Stage>,
}

impl Resumer for Finisher {
    fn finished(
        &self,
        _flow: &Flow,
        order: &[(TaskId, Arc<str>)],
    ) -> Result<Vec<Finished>, TaskError> {
        if let Some(raise) = &self.spec.raise {
            return Err(raise.error());
        }
        let finished = order.iter().filter_map(|(id, name)| {
            let name = names::task(name);
            let spec = self
                .spec
                .finished
                .iter()
                .find(|finished| finished.task == name)?;
            let result = result(spec);
            if let (Some(stage), Err(error)) = (self.stage.upgrade(), &result) {
                stage.run.recorder.failed(&self.flow, name, error);
            }
            Some(Finished { task: *id, result })
        });
        Ok(finished.collect())
    }
}

/// Returns the result of a finished task or, if it is marked as failed, its error. A saved failure may be an exception;
/// any other value becomes an error of the engine.
fn result(spec: &FinishedSpec) -> Result<Value, TaskError> {
    if !spec.states.iter().any(|state| state == "FAILURE") {
        return Ok(spec.result.clone());
    }
    let saved = spec.result.get("$exception").cloned();
    let saved = saved.and_then(|saved| serde_json::from_value::<Raise>(saved).ok());
    Err(saved.map_or_else(
        || TaskError::new("InvalidStateException", "the task is known to have failed"),
        |saved| saved.error(),
    ))
}
