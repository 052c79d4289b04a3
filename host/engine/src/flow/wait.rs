//! Waits of a flow: steps that end at a time, or when a signal comes.

use std::sync::Arc;

use cairn_effects::event::{Event, FlowState, NEVER, TaskState};
use cairn_effects::task::{Context, Task, TaskSpec};
use cairn_manifest::manifest::Wait;
use cairn_manifest::wire::Wiring;
use cairn_model::clock::Timestamp;
use cairn_model::error::{Cause, HostErrorKind, TaskError};
use cairn_model::id::TaskId;
use cairn_model::value::{Object, Value};

use super::flow_task::{self, FlowTask};
use super::progress::Progress;
use super::{Flow, FlowError, SignalError, TaskOptions};

/// Makes a wait, for [`Flow::add_with`].
pub fn waiting(name: &str, wait: &Wait) -> (TaskOptions, Arc<dyn Task>) {
    let spec = TaskSpec::new(name)
        .requires(wait.requires())
        .provides(&wait.provides);
    let options = TaskOptions {
        wait: Some(wait.clone()),
        ..TaskOptions::default()
    };
    (options, Arc::new(Waiting(spec)))
}

/// A wait as a task: it has inputs and a result, and nothing to revert.
struct Waiting(TaskSpec);

impl Task for Waiting {
    fn spec(&self) -> &TaskSpec {
        &self.0
    }

    fn call(&self, _context: &Arc<dyn Context>, _inputs: Object) -> Result<Value, TaskError> {
        let message = "a wait was added to a flow without the option `wait`";
        Err(TaskError::host(HostErrorKind::Instantiation, message))
    }
}

impl Flow {
    /// Ends a wait whose signal or time has come; else lets the flow sleep. The inner error is the cause of the rollback.
    pub(super) fn wait(
        &self,
        flow_task: &Arc<FlowTask>,
        wait: &Wait,
        wiring: &Wiring<TaskId>,
    ) -> Result<Result<Progress, Cause>, FlowError> {
        let now = self.0.store.now();
        let id = flow_task.id;
        let (begun, input) = {
            let live = self.0.live();
            let begun = live.record_of(id).and_then(|task| task.wake_at);
            (begun, flow_task::inputs(wiring, &live.history))
        };
        let end = match begun {
            Some(end) => Ok(end),
            None => {
                let input = wait.requires().and_then(|name| input.get(name));
                wait.end(now, input).map(|end| end.unwrap_or(NEVER))
            }
        };
        // The signal and the decision to sleep are under one lock, so that no signal is missed.
        let mut live = self.0.live();
        if live.history.state == FlowState::Interrupted {
            return Ok(Ok(Progress::Over));
        }
        let mut events = Vec::new();
        if live.record_of(id).is_none() {
            live.started.insert(id, Arc::clone(flow_task));
        }
        let waits = |wake_at: Timestamp| Event::Waits {
            task: id,
            name: flow_task.name.to_string(),
            signal: wait.signal.clone(),
            wake_at: (wake_at != NEVER).then_some(wake_at),
        };
        let signal = wait.signal.as_ref();
        let payload = signal.and_then(|name| live.history.signals.get(name).cloned());
        if begun.is_none() {
            events.push(waits(end.as_ref().copied().unwrap_or(now)));
        }
        let over = match (end, payload) {
            (Err(problem), _) => Err(TaskError::host(HostErrorKind::WaitInvalid, problem)),
            (Ok(_), Some(result)) => Ok(result),
            (Ok(end), None) if now < end => {
                self.post(&mut live, [waits(end)]);
                drop(live);
                if begun.is_none() {
                    self.tell_task(id, TaskState::Waiting);
                }
                return Ok(Ok(Progress::Asleep));
            }
            (Ok(_), None) => match (&wait.until, signal) {
                (None, Some(name)) => {
                    let message = format!("the signal `{name}` did not come in time");
                    Err(TaskError::host(HostErrorKind::Timeout, message)
                        .with("signal", name.as_str()))
                }
                _ => Ok(Arc::new(Value::Object(Object::new()))),
            },
        };
        // One append: a wait that is over is never found asleep.
        let over = match over {
            Ok(result) => {
                events.push(Event::Succeeded { task: id, result });
                Ok(Progress::More)
            }
            Err(error) => {
                let cause = Cause {
                    task: flow_task.name.to_string(),
                    error: error.clone(),
                };
                events.push(Event::TaskFailed { task: id, error });
                events.push(Event::Failed(cause.clone()));
                Err(cause)
            }
        };
        self.post(&mut live, events);
        drop(live);
        let state = match over {
            Ok(_) => TaskState::Success,
            Err(_) => TaskState::Failure,
        };
        self.tell_task(id, state);
        Ok(over)
    }

    /// Gives the flow a signal, which a wait of it asks for now or later. The same signal again changes nothing.
    ///
    /// # Errors
    /// [`FlowError::Signal`]: no wait asks for it, its payload lacks a name, the flow has another one of that name, or has ended.
    pub fn signal(&self, name: &str, payload: &Value, user_id: &str) -> Result<(), FlowError> {
        self.signal_for(name, payload, user_id, None)
    }

    /// Gives the flow a signal as [`signal`](Self::signal) does, with the event that says who asked for it.
    pub(crate) fn signal_for(
        &self,
        name: &str,
        payload: &Value,
        user_id: &str,
        operated: Option<Event>,
    ) -> Result<(), FlowError> {
        let mut live = self.0.live();
        let mut waits = live.flow_tasks.iter().filter_map(|task| task.wait.as_ref());
        let wait = waits.find(|wait| wait.signal.as_deref() == Some(name));
        let Some(wait) = wait else {
            let known = live.flow_tasks.iter();
            let known = known.filter_map(|task| task.wait.as_ref()?.signal.clone());
            return Err(SignalError::Unknown {
                name: name.to_owned(),
                known: known.collect(),
            }
            .into());
        };
        if !payload.is_object() {
            return Err(SignalError::NotAnObject.into());
        }
        let lacks = |name: &&String| payload.get(name.as_str()).is_none();
        if let Some(missing) = wait.provides.iter().find(lacks) {
            let missing = missing.clone();
            return Err(SignalError::Lacks { missing }.into());
        }
        if let Some(kept) = live.history.signals.get(name) {
            return match **kept == *payload {
                true => Ok(()),
                false => Err(SignalError::Other(name.to_owned()).into()),
            };
        }
        if matches!(
            live.history.state,
            FlowState::Success | FlowState::Failure | FlowState::Reverting
        ) {
            return Err(SignalError::Over(live.history.state).into());
        }
        let signalled = Event::Signalled {
            name: name.to_owned(),
            payload: Arc::new(payload.clone()),
            user_id: user_id.to_owned(),
        };
        self.record(&mut live, operated.into_iter().chain([signalled]).collect())?;
        drop(live);
        self.0.interrupted.notify_all();
        Ok(())
    }
}
