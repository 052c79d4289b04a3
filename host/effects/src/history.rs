//! A flow's state: a fold over its events. Running and recovery share it.

mod account;

use std::sync::Arc;

use cairn_model::clock::Timestamp;
use cairn_model::error::{Cause, TaskError};
use cairn_model::id::{Identity, Phase, TaskId};
use cairn_model::idempotency::{self, Key};
use cairn_model::value::{Digest, Value};

use crate::domain::Domains;
use crate::effect::Applied;
use crate::event::{Disposition, Entry, Event, FlowState, TaskState};
use crate::task::Outcome;

pub use account::Account;

/// What the events of a flow add up to.
#[derive(Clone, Debug)]
pub struct History {
    /// The flow's name.
    pub name: String,
    /// Who asked.
    pub requester: Arc<Identity>,
    /// What was asked.
    pub request: Arc<Value>,
    /// The plan it was built from.
    pub plan: Option<Digest>,
    /// The key it was asked for under.
    pub key: Option<Key>,
    /// Why somebody closed its incomplete rollback as it is.
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
    /// Its error: the first one.
    pub failure: Option<Cause>,
    /// Effects that were applied, in order.
    effects: Vec<Recorded>,
    /// What knows the tables that they changed.
    domains: Domains,
}

/// What happened to one task.
#[derive(Clone, Debug)]
pub struct TaskRecord {
    /// The task.
    pub id: TaskId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: TaskState,
    /// What its call returned, once it has.
    pub result: Option<Arc<Value>>,
    /// Why its call failed.
    pub error: Option<TaskError>,
    /// Why its revert failed, or its last revert did.
    pub revert_error: Option<TaskError>,
    /// What its revert answered.
    pub disposition: Option<Disposition>,
    /// Attempts of `call` and of `revert` so far.
    attempts: [u32; 2],
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Recorded {
    applied: Applied,
    undone: bool,
    /// A checkpoint of its revert came after it.
    settled: bool,
    /// It was made before a reset: it stands for good.
    past: Option<Past>,
}

/// What became of an effect by the time of a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    /// It stands, and its task was not reverted.
    Stands,
    /// It stands, and its task was reverted: kept by the revert's answer, or made by the revert.
    Kept,
    /// A message that was let go by the flow's success.
    Sent,
}

impl TaskRecord {
    /// How its call ended.
    pub fn outcome(&self) -> Outcome {
        match (&self.result, &self.error) {
            (Some(result), _) => Outcome::Completed(Value::clone(result)),
            (None, Some(error)) => Outcome::Failed(error.clone()),
            (None, None) => Outcome::Interrupted,
        }
    }

    /// Number of the next attempt of a phase; counts from 1 over the life of the flow.
    pub fn next_attempt(&self, phase: Phase) -> u32 {
        self.attempts[phase as usize] + 1
    }

    /// How long its call took, all attempts and what was undone between them included; `None` while it runs.
    pub fn duration(&self) -> Option<std::time::Duration> {
        Some(self.ended_at?.since(self.started_at))
    }
}

impl History {
    /// A flow that nothing happened to yet.
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
            effects: Vec::new(),
            domains,
        }
    }

    /// Folds a journal. `None` when it does not begin with [`Event::Created`].
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
            // An older journal knows only what the flow was given.
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

    /// What the flow was made of, as its first event.
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

    /// Takes one event in.
    pub fn apply(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::Created { .. }
            | Event::Denied { .. }
            | Event::WouldDeny { .. }
            | Event::CheckLog { .. }
            | Event::Log { .. } => {}
            Event::State { from, to } => {
                self.state = *to;
                self.transitions.push((*to, *from));
            }
            Event::Reset => {
                self.carry_effects();
                self.tasks.clear();
                self.started.clear();
                self.reverted.clear();
                self.transitions.clear();
                self.failure = None;
                self.accepted = None;
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
            Event::Retried { .. } => {}
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

    /// Takes in an effect that was applied.
    pub fn applied(&mut self, applied: Applied) {
        self.effects.push(Recorded {
            applied,
            undone: false,
            settled: false,
            past: None,
        });
    }

    /// Keeps what stands when the flow is reset: nobody undoes it any more, but what the flow changed on the whole holds it.
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

    /// Whether it has succeeded since it was made or reset, so that its messages were let go.
    fn has_succeeded(&self) -> bool {
        let mut transitions = self.transitions.iter();
        transitions.any(|(to, _)| *to == FlowState::Success)
    }

    /// Whether its rollback left tasks unreverted, and nobody has accepted that.
    pub fn is_incomplete(&self) -> bool {
        self.state == FlowState::Failure && !self.started.is_empty() && self.accepted.is_none()
    }

    /// Effects since the flow was made or reset that stand, in order.
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
                    attempts: [0, 0],
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

    /// A task that was started.
    pub fn task(&self, id: TaskId) -> Option<&TaskRecord> {
        self.tasks.iter().find(|task| task.id == id)
    }

    fn task_mut(&mut self, id: TaskId) -> Option<&mut TaskRecord> {
        self.tasks.iter_mut().find(|task| task.id == id)
    }

    /// Whether it was rolled back and nothing is left to revert.
    pub fn is_rolled_back(&self) -> bool {
        self.state == FlowState::Failure && self.started.is_empty()
    }

    /// Whether a [fact](crate::domain::Fact) holds: a `call` did what makes it hold, and that was not undone. One that no domain knows
    /// does not.
    pub fn fact(&self, name: &str) -> bool {
        let Some(fact) = self.domains.fact(name) else {
            return false;
        };
        self.present()
            .any(|effect| effect.applied.call.phase == Phase::Call && (fact.holds)(&effect.applied))
    }

    /// Effects of one phase of a task that stand, the newest first.
    pub fn standing(&self, task: TaskId, phase: Phase) -> Vec<Applied> {
        let effects = self.present().rev().filter(|effect| {
            effect.applied.call.task == task && effect.applied.call.phase == phase
        });
        effects.map(|effect| effect.applied.clone()).collect()
    }

    /// Messages of calls that stand although the flow has succeeded meanwhile, so that they are no longer held; the
    /// newest first.
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

    /// Effects of a task's reverts that stand and are not behind a checkpoint, the newest first.
    pub fn unsettled(&self, task: TaskId) -> Vec<Applied> {
        let effects = self.present().rev().filter(|effect| {
            let call = &effect.applied.call;
            !effect.settled && call.task == task && call.phase == Phase::Revert
        });
        effects.map(|effect| effect.applied.clone()).collect()
    }

    /// Whether a task on the accumulator has effects that stand.
    pub fn effects_stand(&self) -> bool {
        self.present()
            .any(|effect| self.started.contains(&effect.applied.call.task))
    }
}
