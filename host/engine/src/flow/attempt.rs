//! Calls a task, with its retries.

use std::sync::Arc;

use cairn_effects::event::{Event, TaskState};
use cairn_effects::history::Act;
use cairn_effects::task::Context;
use cairn_manifest::wire::Wiring;
use cairn_model::error::{Cause, HostErrorKind, TaskError};
use cairn_model::id::{CallId, Phase, TaskId};
use cairn_model::value::{Object, Value};

use super::acts::is_in_doubt;
use super::call::Call;
use super::flow_task::{self, FlowTask};
use super::guard::guard;
use super::progress::Progress;
use super::{Flow, FlowError};

impl Flow {
    /// Puts a task on the accumulator before anything else happens to it.
    pub(super) fn begin(&self, flow_task: &Arc<FlowTask>, event: Event) {
        {
            let mut live = self.0.live();
            live.started.insert(flow_task.id, Arc::clone(flow_task));
            self.post(&mut live, [event]);
        }
        self.tell_task(flow_task.id, TaskState::Started);
    }

    pub(super) fn succeeded(&self, flow_task: &FlowTask, result: impl Into<Arc<Value>>) {
        let event = Event::Succeeded {
            task: flow_task.id,
            result: result.into(),
        };
        self.post(&mut self.0.live(), [event]);
        self.tell_task(flow_task.id, TaskState::Success);
    }

    /// Records that a task failed for good, and undoes its effects. The caller rolls the flow back for the returned cause.
    pub(super) fn failed(
        &self,
        flow_task: &FlowTask,
        error: TaskError,
    ) -> Result<Cause, FlowError> {
        let cause = Cause {
            task: flow_task.name.to_string(),
            error: error.clone(),
        };
        let failed = Event::TaskFailed {
            task: flow_task.id,
            error,
        };
        // One append, so that recovery never calls a task again that had failed for good.
        let events = [failed, Event::Failed(cause.clone())];
        self.post(&mut self.0.live(), events);
        // An undo that is refused now is tried again, and reported, when the task is reverted.
        let _refused = self.undo(flow_task.id, Phase::Call)?;
        self.tell_task(flow_task.id, TaskState::Failure);
        Ok(cause)
    }

    /// Calls a task, with its retries. The inner error is the cause of the rollback.
    pub(super) fn run_task(
        &self,
        flow_task: &Arc<FlowTask>,
        wiring: &Wiring<TaskId>,
    ) -> Result<Result<Progress, Cause>, FlowError> {
        // If effects of an interrupted attempt cannot be undone, another attempt would repeat them.
        match self.undo(flow_task.id, Phase::Call)? {
            Ok(()) => {}
            Err(error) if is_in_doubt(&error) => {
                return Ok(Ok(self.look_again_later(flow_task.id)));
            }
            Err(refused) if self.is_past_pivot() => {
                // Counts as an attempt that failed, so that the pauses grow.
                let retried = Event::Retried {
                    task: flow_task.id,
                    error: refused,
                };
                self.post(&mut self.0.live(), [retried]);
                return Ok(Ok(self.go_forward_later(flow_task.id)));
            }
            Err(refused) => return self.failed(flow_task, refused).map(Err),
        }
        loop {
            if self.end_removals()?.is_err() {
                return Ok(Ok(self.look_again_later(flow_task.id)));
            }
            let (attempt, retries) = {
                let live = self.0.live();
                live.record_of(flow_task.id).map_or((1, 0), |task| {
                    (task.next_attempt(Phase::Call), task.retries(Phase::Call))
                })
            };
            let started = Event::Started {
                task: flow_task.id,
                name: flow_task.name.to_string(),
                attempt,
            };
            if retries == 0 {
                self.begin(flow_task, started);
            } else {
                self.post(&mut self.0.live(), [started]);
            }
            let made = retries + 1;
            let inputs = flow_task::inputs(wiring, &self.0.live().history);
            match self.call(flow_task, attempt, inputs) {
                Ok(result) => {
                    self.succeeded(flow_task, result);
                    return Ok(Ok(Progress::More));
                }
                Err(error) => {
                    let is_again = flow_task.call.again(made, &error.kind);
                    if !is_again && !self.is_past_pivot() {
                        return self.failed(flow_task, error).map(Err);
                    }
                    // Closes the attempt before its effects are collected, so that late effects are refused.
                    let retried = Event::Retried {
                        task: flow_task.id,
                        error: error.clone(),
                    };
                    self.post(&mut self.0.live(), [retried]);
                    match self.undo(flow_task.id, Phase::Call)? {
                        Ok(()) => {}
                        Err(error) if is_in_doubt(&error) => {
                            return Ok(Ok(self.look_again_later(flow_task.id)));
                        }
                        // It is not called again while effects of this attempt stand.
                        Err(_) if self.is_past_pivot() => {
                            return Ok(Ok(self.go_forward_later(flow_task.id)));
                        }
                        Err(_) => return self.failed(flow_task, error).map(Err),
                    }
                    if !is_again {
                        return Ok(Ok(self.go_forward_later(flow_task.id)));
                    }
                    match self.pause(flow_task.id, flow_task.call.wait(made)) {
                        Progress::More => {}
                        progress => return Ok(Ok(progress)),
                    }
                }
            }
        }
    }

    fn call(&self, flow_task: &FlowTask, attempt: u32, inputs: Object) -> Result<Value, TaskError> {
        let context = self.context(flow_task.id, Phase::Call, attempt);
        let result = guard(|| flow_task.task.call(&context, inputs))?;
        // A task that went on in spite of it has not succeeded.
        let live = self.0.live();
        match live.history.unsettled_act(context.call()) {
            Some(Act::InDoubt(error, _)) => Err(error.clone()),
            Some(_) => {
                let message = "the task returned before an act of it had ended";
                Err(TaskError::host(HostErrorKind::InDoubt, message))
            }
            None => Ok(result),
        }
    }

    /// Creates the context of a task for one call.
    pub(super) fn context(&self, task: TaskId, phase: Phase, attempt: u32) -> Arc<dyn Context> {
        let live = self.0.live();
        Arc::new(Call {
            id: CallId {
                flow: self.0.id,
                task,
                phase,
                attempt,
            },
            flow: Arc::clone(&self.0),
            requester: Arc::clone(&live.history.requester),
            request: Arc::clone(&live.history.request),
        })
    }
}
