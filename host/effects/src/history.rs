//! Folds a flow's events into its state. Running flows and recovery share the fold.

mod account;
mod acts;
mod sleep;
mod subject;

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_model::clock::Timestamp;
use cairn_model::error::{Cause, TaskError};
use cairn_model::id::{Identity, Phase, TaskId};
use cairn_model::idempotency::{self, Key};
use cairn_model::value::{Digest, Value};

use crate::domain::Domains;
use crate::effect::Applied;
use crate::event::{Disposition, Entry, Event, FlowState, NEVER, TaskState};
use crate::external::is_removal;
use crate::task::Outcome;

pub use account::Account;
pub use acts::{Act, is_intent};
pub use sleep::{Sleep, fold as fold_sleep};
pub use subject::Subject;

/// The state of a flow: the fold of its events.
#[derive(Clone, Debug)]
pub struct History {
    /// The flow's name.
    pub name: String,
    /// The user who requested it.
    pub requester: Arc<Identity>,
    /// Its request.
    pub request: Arc<Value>,
    /// The plan it was built from.
    pub plan: Option<Digest>,
    /// Its idempotency key.
    pub key: Option<Key>,
    /// Why an operator accepted its incomplete rollback.
    pub accepted: Option<String>,
    /// Its state.
    pub state: FlowState,
    /// The states it went through: to, from.
    pub transitions: Vec<(FlowState, FlowState)>,
    /// Its started tasks, in order of their first start.
    pub tasks: Vec<TaskRecord>,
    /// The accumulator: started tasks that are not reverted, the newest last.
    pub started: Vec<TaskId>,
    /// Reverted tasks, in order of their reverts.
    pub reverted: Vec<TaskId>,
    /// Its error: the first cause.
    pub failure: Option<Cause>,
    /// Its sleep, while it needs no process.
    pub sleep: Option<Sleep>,
    /// The payloads of the signals that came for it, by their names.
    pub signals: BTreeMap<String, Arc<Value>>,
    /// The operation that was asked for last, until the flow rests or has ended: an [`Event::Operated`].
    under_way: Option<Event>,
    /// Effects that were applied, in order.
    effects: Vec<Recorded>,
    /// The domains, which know the tables that the effects changed.
    domains: Domains,
}

/// The state of one task.
#[derive(Clone, Debug)]
pub struct TaskRecord {
    /// The task.
    pub id: TaskId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: TaskState,
    /// The result of its call, once it has returned.
    pub result: Option<Arc<Value>>,
    /// Why its call failed.
    pub error: Option<TaskError>,
    /// The error of its revert, or of its last one.
    pub revert_error: Option<TaskError>,
    /// The answer of its revert.
    pub disposition: Option<Disposition>,
    /// Why its last attempt failed, if another one follows.
    pub retried: Option<TaskError>,
    /// When it is over at the latest, if it is a wait that has begun; [`NEVER`] if only a signal ends it.
    pub wake_at: Option<Timestamp>,
    /// The number of attempts of `call` and of `revert` so far.
    attempts: [u32; 2],
    /// The number of attempts in a row that failed and were followed by another, of `call` and of `revert`.
    retries: [u32; 2],
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Recorded {
    applied: Applied,
    undone: bool,
    /// Whether a checkpoint of its revert came after it, so that a failed revert does not undo it.
    settled: bool,
    /// Set for an effect from before a reset, which is never undone.
    past: Option<Past>,
    /// How far the act of an intent is; `None` of any other effect.
    act: Option<Act>,
}

/// The fate of an effect at the time of a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    /// It was not undone, and its task was not reverted.
    Stands,
    /// It was not undone, and its task was reverted: the revert's answer kept it, or the revert made it.
    Kept,
    /// A message that the flow's success released.
    Sent,
}

impl TaskRecord {
    /// Returns how its call ended.
    pub fn outcome(&self) -> Outcome {
        match (&self.result, &self.error) {
            (Some(result), _) => Outcome::Completed(Value::clone(result)),
            (None, Some(error)) => Outcome::Failed(error.clone()),
            (None, None) => Outcome::Interrupted,
        }
    }

    /// Returns the number of the next attempt of a phase, counted from 1 over the life of the flow.
    pub fn next_attempt(&self, phase: Phase) -> u32 {
        self.attempts[phase as usize] + 1
    }

    /// Returns how many attempts of a phase failed in a row, each followed by another.
    pub fn retries(&self, phase: Phase) -> u32 {
        self.retries[phase as usize]
    }

    /// Returns how long its call took, including all attempts and the undos between them; `None` while it runs.
    pub fn duration(&self) -> Option<std::time::Duration> {
        Some(self.ended_at?.since(self.started_at))
    }
}

impl History {
    /// Creates the history of a flow without events.
    pub fn new(
        name: String,
        requester: Arc<Identity>,
        request: Arc<Value>,
        plan: Option<Digest>,
        key: Option<Key>,
        domains: Domains,
    ) -> Self {
        Self {
            name,
            requester,
            request,
            plan,
            key,
            accepted: None,
            state: FlowState::Pending,
            transitions: Vec::new(),
            tasks: Vec::new(),
            started: Vec::new(),
            reverted: Vec::new(),
            failure: None,
            sleep: None,
            signals: BTreeMap::new(),
            under_way: None,
            effects: Vec::new(),
            domains,
        }
    }

    /// Folds a journal. Returns `None` when it does not begin with [`Event::Created`].
    pub fn fold(entries: &[Entry], domains: &Domains) -> Option<Self> {
        let Event::Created {
            name,
            requester,
            request,
            plan,
            key,
            asked,
        } = &entries.first()?.event
        else {
            return None;
        };
        let key = key.clone().map(|key| {
            // An older journal has only the resolved request.
            let asked = asked.unwrap_or_else(|| idempotency::asked(name, request));
            Key::stored(key, asked)
        });
        let mut history = Self::new(
            name.clone(),
            Arc::new(requester.clone()),
            Arc::new(request.clone()),
            *plan,
            key,
            domains.clone(),
        );
        for entry in entries {
            history.apply(entry.at, &entry.event);
        }
        Some(history)
    }

    /// Returns the flow's first event.
    pub fn created(&self) -> Event {
        Event::Created {
            name: self.name.clone(),
            requester: Identity::clone(&self.requester),
            request: Value::clone(&self.request),
            plan: self.plan,
            key: self.key.as_ref().map(|key| key.text().to_owned()),
            asked: self.key.as_ref().map(Key::asked),
        }
    }

    /// Returns whether this operation, an [`Event::Operated`], was begun and has not come to its end: the process that carried it out was
    /// interrupted.
    pub fn is_under_way(&self, operated: &Event) -> bool {
        self.under_way.as_ref() == Some(operated)
    }

    /// Folds one event.
    pub fn apply(&mut self, at: Timestamp, event: &Event) {
        sleep::fold(&mut self.sleep, event);
        match event {
            Event::Created { .. }
            | Event::Denied { .. }
            | Event::WouldDeny { .. }
            | Event::CheckLog { .. }
            | Event::Log { .. }
            | Event::Sleeps { .. }
            | Event::Woke => {}
            Event::Operated { .. } => self.under_way = Some(event.clone()),
            Event::Settled { .. }
            | Event::Closed { .. }
            | Event::InDoubt { .. }
            | Event::Removing { .. }
            | Event::Removed { .. } => self.fold_act(event),
            Event::State { from, to } => {
                self.state = *to;
                self.transitions.push((*to, *from));
                if to.is_at_rest() {
                    self.under_way = None;
                }
                if *to == FlowState::Started {
                    // An operator or a recovery continues it: with all attempts that its plan grants.
                    self.tasks.iter_mut().for_each(|task| task.retries = [0, 0]);
                }
            }
            Event::Reset => {
                self.carry_effects();
                self.tasks.clear();
                self.started.clear();
                self.reverted.clear();
                self.transitions.clear();
                self.failure = None;
                self.accepted = None;
                self.signals.clear();
            }
            Event::Accepted { reason, .. } => self.accepted = Some(reason.clone()),
            Event::Failed(cause) => {
                self.failure.get_or_insert_with(|| cause.clone());
            }
            Event::Started {
                task,
                name,
                attempt,
            } => {
                self.start(at, *task, name).attempts[Phase::Call as usize] = *attempt;
            }
            Event::Replayed { task, name } => {
                self.start(at, *task, name);
            }
            Event::Retried { task, error } => {
                if let Some(task) = self.task_mut(*task) {
                    task.retried = Some(error.clone());
                    let phase = match task.state {
                        TaskState::Reverting => Phase::Revert,
                        _ => Phase::Call,
                    };
                    task.retries[phase as usize] += 1;
                }
            }
            Event::Waits {
                task,
                name,
                wake_at,
                ..
            } => {
                let task = self.start(at, *task, name);
                task.state = TaskState::Waiting;
                task.wake_at = Some(wake_at.unwrap_or(NEVER));
            }
            Event::Signalled { name, payload, .. } => {
                let kept = self.signals.entry(name.clone());
                kept.or_insert_with(|| Arc::clone(payload));
            }
            Event::Succeeded { task, result } => {
                if let Some(task) = self.task_mut(*task) {
                    task.state = TaskState::Success;
                    task.result = Some(Arc::clone(result));
                    task.ended_at = Some(at);
                }
            }
            Event::TaskFailed { task, error } => {
                if let Some(task) = self.task_mut(*task) {
                    task.state = TaskState::Failure;
                    task.error = Some(error.clone());
                    task.ended_at = Some(at);
                }
            }
            Event::Reverting { task, attempt } => {
                if let Some(task) = self.task_mut(*task) {
                    task.state = TaskState::Reverting;
                    task.attempts[Phase::Revert as usize] = *attempt;
                }
            }
            Event::Reverted { task, disposition } => {
                self.started.retain(|started| started != task);
                self.reverted.push(*task);
                if let Some(task) = self.task_mut(*task) {
                    task.state = TaskState::Reverted;
                    task.disposition = Some(*disposition);
                    task.revert_error = None;
                }
            }
            Event::RevertFailed { task, error } => {
                if let Some(task) = self.task_mut(*task) {
                    task.state = TaskState::RevertFailed;
                    task.revert_error = Some(error.clone());
                    // A repeated rollback tries it as often again.
                    task.retries[Phase::Revert as usize] = 0;
                }
            }
            Event::Applied(applied) => self.applied(applied.clone()),
            Event::Checkpoint { task, attempt } => {
                for effect in &mut self.effects {
                    let call = &effect.applied.call;
                    effect.settled |= call.task == *task
                        && call.phase == Phase::Revert
                        && call.attempt == *attempt;
                }
            }
            Event::Undone { number } => {
                let effects = self.effects.iter_mut().rev();
                if let Some(effect) = effects
                    .into_iter()
                    .find(|effect| effect.applied.number == *number)
                {
                    effect.undone = true;
                }
            }
        }
    }

    /// Adds an applied effect.
    pub fn applied(&mut self, applied: Applied) {
        let act = Act::begun(&applied);
        self.effects.push(Recorded {
            applied,
            undone: false,
            settled: false,
            past: None,
            act,
        });
    }

    /// Carries the effects that are not undone over a reset: they are never undone, but count in the flow's net change.
    fn carry_effects(&mut self) {
        let sent = self.has_succeeded();
        self.effects.retain(|effect| !effect.undone);
        for effect in &mut self.effects {
            effect.past.get_or_insert(if effect.is_cast() && sent {
                Past::Sent
            } else if self.started.contains(&effect.applied.call.task) {
                Past::Stands
            } else {
                Past::Kept
            });
        }
    }

    /// Returns whether it has succeeded since its creation or last reset, so that its messages were released.
    fn has_succeeded(&self) -> bool {
        let mut transitions = self.transitions.iter();
        transitions.any(|(to, _)| *to == FlowState::Success)
    }

    /// Returns whether its rollback left tasks unreverted and no operator has accepted that.
    pub fn is_incomplete(&self) -> bool {
        self.state == FlowState::Failure && !self.started.is_empty() && self.accepted.is_none()
    }

    /// Returns the effects since the flow's creation or last reset that are not undone, in order.
    fn present(&self) -> impl DoubleEndedIterator<Item = &Recorded> {
        let effects = self.effects.iter();
        effects.filter(|effect| !effect.undone && effect.past.is_none())
    }

    fn start(&mut self, at: Timestamp, id: TaskId, name: &str) -> &mut TaskRecord {
        if !self.started.contains(&id) {
            self.started.push(id);
        }
        let index = self
            .tasks
            .iter()
            .position(|task| task.id == id)
            .unwrap_or_else(|| {
                self.tasks.push(TaskRecord {
                    id,
                    name: name.to_owned(),
                    state: TaskState::Started,
                    result: None,
                    error: None,
                    revert_error: None,
                    disposition: None,
                    retried: None,
                    wake_at: None,
                    attempts: [0, 0],
                    retries: [0, 0],
                    started_at: at,
                    ended_at: None,
                });
                self.tasks.len() - 1
            });
        let task = &mut self.tasks[index];
        task.state = TaskState::Started;
        task.error = None;
        task.ended_at = None;
        task
    }

    /// Returns a started task.
    pub fn task(&self, id: TaskId) -> Option<&TaskRecord> {
        self.tasks.iter().find(|task| task.id == id)
    }

    fn task_mut(&mut self, id: TaskId) -> Option<&mut TaskRecord> {
        self.tasks.iter_mut().find(|task| task.id == id)
    }

    /// Returns whether it was rolled back and no task is left to revert.
    pub fn is_rolled_back(&self) -> bool {
        self.state == FlowState::Failure && self.started.is_empty()
    }

    /// Returns whether a [fact](crate::domain::Fact) holds: a `call` applied an effect that makes it hold and is not undone. False for a
    /// fact that no domain has.
    pub fn fact(&self, name: &str) -> bool {
        let Some(fact) = self.domains.fact(name) else {
            return false;
        };
        self.present()
            .any(|effect| effect.applied.call.phase == Phase::Call && (fact.holds)(&effect.applied))
    }

    /// Returns the effects of one phase of a task that are not undone, newest first. A removal is not among them: nothing undoes it.
    pub fn standing(&self, task: TaskId, phase: Phase) -> Vec<Applied> {
        let effects = self.present().rev().filter(|effect| {
            let call = &effect.applied.call;
            call.task == task && call.phase == phase && !is_removal(&effect.applied)
        });
        effects.map(|effect| effect.applied.clone()).collect()
    }

    /// Returns messages of calls that are not undone and, because the flow has succeeded, no longer held, newest
    /// first.
    pub fn sent(&self) -> Vec<Applied> {
        if !self.has_succeeded() {
            return Vec::new();
        }
        let casts = self.present().rev().filter(|effect| effect.is_cast());
        casts.map(|effect| effect.applied.clone()).collect()
    }

    /// Whether an effect is one of the messages that are [`sent`](Self::sent).
    pub fn is_sent(&self, applied: &Applied) -> bool {
        self.has_succeeded()
            && self
                .present()
                .any(|effect| effect.is_cast() && effect.applied.number == applied.number)
    }

    /// Returns the effects of a task's reverts that are neither undone nor before a checkpoint, newest first.
    pub fn unsettled(&self, task: TaskId) -> Vec<Applied> {
        let effects = self.present().rev().filter(|effect| {
            let call = &effect.applied.call;
            !effect.settled && call.task == task && call.phase == Phase::Revert
        });
        effects.map(|effect| effect.applied.clone()).collect()
    }

    /// Returns whether a task on the accumulator has effects that are not undone.
    pub fn effects_stand(&self) -> bool {
        self.present()
            .any(|effect| self.started.contains(&effect.applied.call.task))
    }
}

#[cfg(test)]
mod tests;
