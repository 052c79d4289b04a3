//! What happened, as the vectors tell it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn::error::{Cause, TaskError};
use cairn::event::TaskState;
use cairn::flow::{AlreadyRegistered, Flow, FlowError, FlowNotice, TaskNotice};
use cairn::task::Outcome;
use cairn::value::Value;
use serde_json::json;

use super::names;
use super::probe::Run;

/// What happened since the last [`take`](Recorder::take).
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Record>);

/// Events and reverts, in order.
#[derive(Debug, Default)]
pub struct Record {
    /// As the vectors of kind `flow` have them.
    pub events: Vec<Value>,
    /// Reverts.
    pub reverts: Vec<Revert>,
    /// Calls that failed, over the whole scenario: flow, task, error.
    failed: Vec<(String, String, TaskError)>,
}

/// One revert.
#[derive(Clone, Debug)]
pub struct Revert {
    /// The flow.
    pub flow: String,
    /// The task, by its name in the vectors.
    pub task: String,
    /// What the call had returned; null when it had not.
    pub result: Value,
    /// Why the flow was rolled back.
    pub cause: Value,
    /// What the revert failed with.
    pub error: Option<TaskError>,
}

impl Revert {
    /// What a result is worth in Python.
    pub fn had_result(&self) -> bool {
        match &self.result {
            Value::Null => false,
            Value::Bool(flag) => *flag,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(object) => !object.is_empty(),
        }
    }
}

impl Recorder {
    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happened, to start anew.
    pub fn take(&self) -> Record {
        let mut record = self.lock();
        Record {
            events: std::mem::take(&mut record.events),
            reverts: std::mem::take(&mut record.reverts),
            failed: Vec::new(),
        }
    }

    /// Something happened.
    pub fn event(&self, event: Value) {
        self.lock().events.push(event);
    }

    /// A flow called `name` changed its state.
    pub fn flow(&self, name: &str, notice: &FlowNotice) {
        self.event(json!([
            "flow",
            name,
            notice.state.as_str(),
            notice.old.as_str()
        ]));
    }

    /// A task of the flow called `name` changed its state. The states that only Cairn has are passed over.
    pub fn task(&self, name: &str, notice: &TaskNotice) {
        let task = names::task(&notice.name);
        let mut event = json!(["task", name, task, notice.state.as_str()]);
        let more = match notice.state {
            TaskState::Started => None,
            TaskState::Success => Some(notice.result.as_deref().cloned().unwrap_or_default()),
            TaskState::Failure => Some(json!({"$exception": notice.error.as_ref().map(exception)})),
            TaskState::Reverting | TaskState::Reverted | TaskState::RevertFailed => return,
        };
        if let (Some(more), Value::Array(event)) = (more, &mut event) {
            event.push(more);
        }
        self.event(event);
    }

    /// A call of a task failed.
    pub fn failed(&self, flow: &str, task: &str, error: &TaskError) {
        self.lock()
            .failed
            .push((flow.to_owned(), task.to_owned(), error.clone()));
    }

    /// A task is being reverted.
    pub fn reverting(&self, flow: &str, task: &str, outcome: &Outcome, cause: &Cause) {
        let result = match outcome {
            Outcome::Completed(result) => result.clone(),
            Outcome::Failed(_) | Outcome::Interrupted => Value::Null,
        };
        let mut record = self.lock();
        let cause = record.cause(cause);
        record.events.push(json!(["revert", task]));
        record.reverts.push(Revert {
            flow: flow.to_owned(),
            task: task.to_owned(),
            result,
            cause,
            error: None,
        });
    }

    /// A revert failed: the task says so, or the host, which may say it of a revert that the task thought done. The host may
    /// also have failed before it asked the task.
    pub fn revert_failed(&self, flow: &str, task: &str, error: &TaskError) {
        let mut record = self.lock();
        let revert = record
            .reverts
            .last_mut()
            .filter(|revert| revert.flow == flow && revert.task == task);
        match revert {
            Some(revert) => revert.error = Some(error.clone()),
            None => record.reverts.push(Revert {
                flow: flow.to_owned(),
                task: task.to_owned(),
                result: Value::Null,
                cause: Value::Null,
                error: Some(error.clone()),
            }),
        }
    }
}

impl Record {
    /// The cause of a rollback: what somebody gave who asked for it, or the task that failed, and in which flow.
    fn cause(&self, cause: &Cause) -> Value {
        let task = names::task(&cause.task);
        if task.is_empty() {
            return Value::from(cause.error.message.as_str());
        }
        let mut failed = self.failed.iter().rev();
        let flow = failed.find(|(_, name, error)| name == task && *error == cause.error);
        json!({
            "exception": exception(&cause.error),
            "flow": flow.map(|(flow, ..)| flow),
            "task": task,
        })
    }
}

/// Tells of every state of a flow called `name` and of its tasks, until it is reset.
///
/// # Errors
/// Never: the listener is a new one.
pub fn attach(run: &Arc<Run>, flow: &Flow, name: &str) -> Result<(), AlreadyRegistered> {
    let (of_flow, of_tasks) = (Arc::clone(run), Arc::clone(run));
    let (flow_name, task_name) = (name.to_owned(), name.to_owned());
    let listener = move |notice: &FlowNotice| {
        of_flow.recorder.flow(&flow_name, notice);
        Ok(())
    };
    flow.notifier().register(None, Arc::new(listener))?;
    let listener = move |notice: &TaskNotice| {
        of_tasks.recorder.task(&task_name, notice);
        Ok(())
    };
    flow.task_notifier().register(None, Arc::new(listener))
}

/// Notes what reverts fail with, until the flow is reset. No event of the vectors tells it.
///
/// # Errors
/// Never: the listener is a new one.
pub fn observe(run: &Arc<Run>, flow: &Flow, name: &str) -> Result<(), AlreadyRegistered> {
    let (run, name) = (Arc::clone(run), name.to_owned());
    let listener = move |notice: &TaskNotice| {
        if let Some(error) = &notice.error {
            run.recorder
                .revert_failed(&name, names::task(&notice.name), error);
        }
        Ok(())
    };
    flow.task_notifier()
        .register(TaskState::RevertFailed, Arc::new(listener))
}

/// A task's error as an exception.
pub fn exception(error: &TaskError) -> Value {
    json!({"class": error.kind, "fields": error.details})
}

/// A flow's error as an exception.
pub fn flow_exception(error: &FlowError) -> Value {
    let class = match error {
        FlowError::InvalidState { .. }
        | FlowError::EffectsStand
        | FlowError::Unreverted
        | FlowError::Left(_)
        | FlowError::NothingToAccept => "InvalidStateException",
        FlowError::UnknownTask(_) => "ValueError",
        FlowError::MissingDependencies(_) => "MissingDependencies",
        FlowError::Failed(cause) => return exception(&cause.error),
        FlowError::Store(error) => return exception(&error.clone().into()),
        other => panic!("no recording has an error like this: {other}"),
    };
    json!({"class": class, "fields": null})
}

/// What an operation on a flow failed with; null when it did not.
pub fn outcome<T>(result: &Result<T, FlowError>) -> Value {
    result.as_ref().err().map_or(Value::Null, flow_exception)
}

/// What a flow's caller looks like after it.
pub fn context_after(flow: &Flow, quota_committed: bool) -> Value {
    let requester = flow.history().requester;
    json!({
        "is_admin": requester.is_admin,
        "roles": requester.roles,
        "quota_committed": quota_committed,
    })
}
