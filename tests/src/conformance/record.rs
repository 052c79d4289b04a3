//! Records events in the form of the vectors.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn::error::Cause;
use cairn::event::TaskState;
use cairn::flow::{AlreadyRegistered, FlowNotice, TaskNotice};
use cairn::task::Outcome;
use cairn::{Flow, FlowError, TaskError, Value};
use serde_json::json;

use super::names;
use super::probe::Run;

/// The events since the last [`take`](Recorder::take).
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Record>);

/// Events and reverts, in order.
#[derive(Debug, Default)]
pub struct Record {
    /// Events, in the form of the vectors of kind `flow`.
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
    /// The result of the call; null if it had none.
    pub result: Value,
    /// The reason for the rollback.
    pub cause: Value,
    /// The error of the revert.
    pub error: Option<TaskError>,
}

impl Revert {
    /// Returns the truth value of the result in Python.
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

    /// Returns the record and clears it.
    pub fn take(&self) -> Record {
        let mut record = self.lock();
        Record {
            events: std::mem::take(&mut record.events),
            reverts: std::mem::take(&mut record.reverts),
            failed: Vec::new(),
        }
    }

    /// Records an event.
    pub fn event(&self, event: Value) {
        self.lock().events.push(event);
    }

    /// Records a state change of the flow called `name`.
    pub fn flow(&self, name: &str, notice: &FlowNotice) {
        self.event(json!([
            "flow",
            name,
            notice.state.as_str(),
            notice.old.as_str()
        ]));
    }

    /// Records a state change of a task in the flow called `name`. Ignores the states that only Cairn has.
    pub fn task(&self, name: &str, notice: &TaskNotice) {
        let task = names::task(&notice.name);
        let mut event = json!(["task", name, task, notice.state.as_str()]);
        let more = match notice.state {
            TaskState::Started => None,
            TaskState::Success => Some(notice.result.as_deref().cloned().unwrap_or_default()),
            TaskState::Failure => Some(json!({"$exception": notice.error.as_ref().map(exception)})),
            TaskState::Reverting
            | TaskState::Reverted
            | TaskState::RevertFailed
            | TaskState::Waiting => return,
        };
        if let (Some(more), Value::Array(event)) = (more, &mut event) {
            event.push(more);
        }
        self.event(event);
    }

    /// Records a failed call of a task.
    pub fn failed(&self, flow: &str, task: &str, error: &TaskError) {
        self.lock()
            .failed
            .push((flow.to_owned(), task.to_owned(), error.clone()));
    }

    /// Records the revert of a task.
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

    /// Records a failed revert. The error comes from the task, or from the host, which may fail after the task has finished, or before it
    /// is called.
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
    /// Returns the cause of a rollback: the value given in a request, or the failed task and its flow.
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

/// Records every state of a flow called `name` and of its tasks, until it is reset.
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

/// Records the errors of reverts, which no event of the vectors contains, until the flow is reset.
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

/// Converts a task's error to an exception.
pub fn exception(error: &TaskError) -> Value {
    json!({"class": error.kind, "fields": error.details})
}

/// Converts a flow's error to an exception.
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

/// Returns the error of an operation on a flow as an exception; null if it succeeded.
pub fn outcome<T>(result: &Result<T, FlowError>) -> Value {
    result.as_ref().err().map_or(Value::Null, flow_exception)
}

/// Returns the state of a flow's caller after it.
pub fn context_after(flow: &Flow, quota_committed: bool) -> Value {
    let requester = flow.history().requester;
    json!({
        "is_admin": requester.is_admin,
        "roles": requester.roles,
        "quota_committed": quota_committed,
    })
}
