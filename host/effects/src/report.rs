//! Reports the outcome of a flow, for people and programs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use cairn_model::error::{Origin, TaskError};
use cairn_model::id::FlowId;
use cairn_model::value::{self, Object, Value};

use crate::event::{FlowState, TaskState};
use crate::history::{Account, History, Sleep};
use crate::net::{Fate, Left, Undone};

/// The report of one flow. Its JSON is the document that `cairn run --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The flow and its state.
    pub flow: FlowReport,
    /// The first error, for which it failed.
    pub error: Option<ErrorReport>,
    /// The rollback; null when nothing was reverted.
    pub rollback: Option<RollbackReport>,
    /// The started tasks, in order.
    pub tasks: Vec<TaskReport>,
    /// The states it went through, in order.
    pub transitions: Vec<Transition>,
    /// Whether the flow was pruned: then this is the [short](Self::short) report that its idempotency key keeps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pruned: bool,
}

/// The flow and its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "says it all")]
pub struct FlowReport {
    pub id: FlowId,
    pub name: String,
    pub state: FlowState,
    /// Its sleep; omitted unless it sleeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep: Option<SleepReport>,
    /// Whether it has passed its pivot, and has not ended: it only goes forward. Omitted when false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forward: bool,
}

/// The sleep of a flow: it needs no process meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SleepReport {
    /// The wait, or the task that is tried again.
    pub task: String,
    /// The signal that the flow waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// When it is woken at the latest, in RFC 3339; null if only the signal wakes it.
    pub until: Option<String>,
    /// Whether the signal has come, so that it is woken as soon as a process does so.
    pub is_signalled: bool,
    /// Whether its plan says that it waits. Else a call or revert is tried again.
    pub is_wait: bool,
    /// Why the task is tried again, or is not called yet: it may not be known what there is of an object. Omitted when it waits, and when the
    /// residue of a rollback says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
}

/// A flow's error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// The task that failed; null when a user requested the rollback.
    pub task: Option<String>,
    /// Where the error comes from.
    pub origin: Origin,
    /// One word that code can compare.
    pub kind: String,
    /// One sentence.
    pub message: String,
    /// The values in the message.
    pub details: Value,
    /// The last lines of the plugin's log, when the host ended its call; omitted when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// The outcome of a rollback. A worse verdict compares as greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// Every change of the flow was undone: nothing of it remains in the database.
    Clean,
    /// Every change that remains belongs to a reverted task: the revert's answer kept it, or the revert made it.
    Kept,
    /// An incomplete rollback was accepted, a message was sent, or a change remains that no task undoes.
    Residue,
    /// A task is still on the accumulator, because its revert failed. The revert can be retried.
    Incomplete,
    /// It is not known what there is of an object outside the database. The host looks again until it is.
    Unknown,
}

impl Verdict {
    /// Returns the verdict as reports write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Kept => "kept",
            Self::Residue => "residue",
            Self::Incomplete => "incomplete",
            Self::Unknown => "unknown",
        }
    }
}

/// The rollback of a flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RollbackReport {
    /// Its outcome.
    pub verdict: Verdict,
    /// The reverted tasks, in order of their reverts.
    pub reverted: Vec<String>,
    /// The tasks whose revert failed.
    pub failed: Vec<FailedRevert>,
    /// The differences from the state before, each with its fate and the reason.
    pub residue: Vec<Left>,
    /// The rows and counters that were changed and restored; empty in reports of older versions.
    #[serde(default)]
    pub undone: Vec<Undone>,
    /// The ids of the messages that were sent, which are also in `residue`.
    #[serde(default)]
    pub messages: Vec<String>,
    /// Why an operator accepted it although it is incomplete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
}

impl RollbackReport {
    /// Returns the verdict in words: itself, a colon, and what it means.
    pub const fn sentence(&self) -> &'static str {
        match self.verdict {
            Verdict::Clean => "clean: everything is as it was",
            Verdict::Kept => "kept: everything is as it was, except for what reverted tasks kept",
            Verdict::Incomplete => {
                "incomplete: not everything could be undone; the rollback can be repeated"
            }
            Verdict::Unknown => {
                "unknown: it is not known whether an object outside the database is there; the host looks again"
            }
            Verdict::Residue if self.accepted.is_some() => {
                "residue: not everything could be undone, and that was accepted"
            }
            Verdict::Residue if !self.messages.is_empty() => {
                "residue: messages have left and cannot be taken back"
            }
            Verdict::Residue => "residue: some things could not be undone",
        }
    }
}

/// A revert that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "says it all")]
pub struct FailedRevert {
    pub task: String,
    pub error: Option<TaskError>,
}

/// The outcome of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: TaskState,
    /// The result of its call; null until it has returned.
    #[serde(with = "cairn_model::value::shared")]
    pub result: Arc<Value>,
    /// Microseconds from the start of its call to its end; null when unknown.
    pub duration_us: Option<u64>,
}

/// One change of the flow's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The new state.
    pub state: FlowState,
    /// The state before.
    pub old: FlowState,
}

impl Report {
    /// Creates the report of a flow from its history.
    pub fn new(id: FlowId, history: &History) -> Self {
        let error = history.failure.as_ref().map(|cause| ErrorReport {
            task: (!cause.task.is_empty()).then(|| cause.task.clone()),
            origin: cause.error.origin,
            kind: cause.error.kind.clone(),
            message: cause.error.message.clone(),
            details: cause.error.details.clone(),
            log: cause.error.log.clone(),
        });
        let tasks = history.tasks.iter().map(|task| TaskReport {
            name: task.name.clone(),
            state: task.state,
            result: task.result.clone().unwrap_or_default(),
            duration_us: task
                .duration()
                .map(|duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)),
        });
        let transitions = history.transitions.iter();
        Self {
            flow: FlowReport {
                id,
                name: history.name.clone(),
                state: history.state,
                sleep: history.sleep.as_ref().map(|sleep| SleepReport {
                    task: history
                        .task(sleep.task)
                        .map(|task| task.name.clone())
                        .unwrap_or_default(),
                    signal: sleep.signal.clone(),
                    until: sleep.until().map(|until| until.to_string()),
                    is_signalled: sleep
                        .signal
                        .as_ref()
                        .is_some_and(|name| history.signals.contains_key(name)),
                    is_wait: sleep.is_wait,
                    error: why_again(history, sleep),
                }),
                forward: history.is_past_pivot()
                    && !matches!(history.state, FlowState::Success | FlowState::Failure),
            },
            error,
            rollback: rollback(history),
            tasks: tasks.collect(),
            transitions: transitions
                .map(|(state, old)| Transition {
                    state: *state,
                    old: *old,
                })
                .collect(),
            pruned: false,
        }
    }

    /// Shortens the report to what an idempotency key keeps when the flow is pruned: no transitions; at most 100 tasks, reverts,
    /// residues, undone changes and messages; of a task's result only the scalar values at the top level, such as an id; no value or
    /// message above 1 KiB. State and verdict are unchanged.
    #[must_use]
    pub fn short(mut self) -> Self {
        const MOST: usize = 100;
        self.pruned = true;
        self.transitions.clear();
        self.tasks.truncate(MOST);
        for task in &mut self.tasks {
            task.result = Arc::new(top(&task.result));
        }
        if let Some(error) = &mut self.error {
            shorten(&mut error.message);
            drop_long(&mut error.details);
        }
        if let Some(rollback) = &mut self.rollback {
            rollback.reverted.truncate(MOST);
            rollback.failed.truncate(MOST);
            for error in rollback
                .failed
                .iter_mut()
                .flat_map(|failed| &mut failed.error)
            {
                shorten(&mut error.message);
                drop_long(&mut error.details);
            }
            rollback.residue.truncate(MOST);
            rollback.undone.truncate(MOST);
            rollback.messages.truncate(MOST);
            for left in &mut rollback.residue {
                drop_long(&mut left.before);
                drop_long(&mut left.after);
            }
        }
        self
    }
}

/// Returns why a flow sleeps that does not wait.
fn why_again(history: &History, sleep: &Sleep) -> Option<TaskError> {
    if sleep.is_wait {
        return None;
    }
    let mut doubts = history.in_doubt();
    let doubt = doubts.find(|(intent, _)| intent.call.task == sleep.task);
    match doubt {
        Some((_, error)) if history.state != FlowState::Reverting => Some(error.clone()),
        _ => history.task(sleep.task)?.retried.clone(),
    }
}

/// The longest value and message of a short report, in bytes.
const SHORT: usize = 1 << 10;

/// Returns the texts, numbers and flags at the top level of a value, such as an id; null when there are none or they are too long.
fn top(value: &Value) -> Value {
    let members = value.as_object().into_iter().flatten();
    let plain =
        members.filter(|(_, value)| value.is_string() || value.is_number() || value.is_boolean());
    let kept: Object = plain
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if kept.is_empty() {
        return Value::Null;
    }
    let mut kept = Value::Object(kept);
    drop_long(&mut kept);
    kept
}

fn is_short(value: &Value) -> bool {
    value::text(value).len() <= SHORT
}

fn drop_long(value: &mut Value) {
    if !is_short(value) {
        *value = Value::Null;
    }
}

fn shorten(message: &mut String) {
    if message.len() > SHORT {
        message.truncate(message.floor_char_boundary(SHORT));
        message.push('…');
    }
}

fn rollback(history: &History) -> Option<RollbackReport> {
    let reverting = history
        .transitions
        .iter()
        .any(|(to, _)| *to == FlowState::Reverting);
    if !reverting {
        return None;
    }
    let name = |task| history.task(task).map(|task| task.name.clone());
    let failed: Vec<FailedRevert> = history
        .started
        .iter()
        .rev()
        .filter_map(|task| history.task(*task))
        .map(|task| FailedRevert {
            task: task.name.clone(),
            error: task.revert_error.clone(),
        })
        .collect();
    let Account { left, undone, sent } = history.account();
    let is_kept = |left: &Left| {
        let why = left.why.as_ref();
        why.is_some_and(|why| why.fate == Fate::Kept)
    };
    // Else nobody looks again.
    let goes_on = history.sleep.is_some() || history.state == FlowState::Reverting;
    let verdict = if goes_on && history.in_doubt().next().is_some() {
        Verdict::Unknown
    } else if !failed.is_empty() && history.accepted.is_none() {
        Verdict::Incomplete
    } else if !failed.is_empty() || !left.iter().all(is_kept) {
        Verdict::Residue
    } else if left.is_empty() {
        Verdict::Clean
    } else {
        Verdict::Kept
    };
    Some(RollbackReport {
        verdict,
        reverted: history
            .reverted
            .iter()
            .filter_map(|task| name(*task))
            .collect(),
        failed,
        residue: left,
        undone,
        messages: sent,
        accepted: history.accepted.clone(),
    })
}
