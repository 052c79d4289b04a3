//! Events of flows, which the journal holds. A flow's state is a fold over its events.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use cairn_model::audit::Asker;
use cairn_model::clock::Timestamp;
use cairn_model::error::{Cause, TaskError};
use cairn_model::id::{FlowId, Identity, TaskId};
use cairn_model::value::{Digest, Value};

use crate::effect::Applied;

/// The state of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FlowState {
    /// Not started, or reset.
    Pending,
    /// `run` was called.
    Started,
    /// Finished tasks are replayed from a resumer.
    Resuming,
    /// Tasks run.
    Running,
    /// Every task succeeded.
    Success,
    /// Stopped between two tasks; can be continued.
    Interrupted,
    /// Tasks are reverted.
    Reverting,
    /// Rolled back.
    Failure,
}

impl FlowState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Started,
        Self::Resuming,
        Self::Running,
        Self::Success,
        Self::Interrupted,
        Self::Reverting,
        Self::Failure,
    ];

    /// Returns whether no process works on a flow in this state, unless it sleeps.
    pub const fn is_at_rest(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Interrupted)
    }

    /// Parses a state, ignoring case.
    pub fn parse(text: &str) -> Option<Self> {
        let mut states = Self::ALL.into_iter();
        states.find(|state| state.as_str().eq_ignore_ascii_case(text))
    }

    /// Returns the state as the journal and the command line write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Started => "STARTED",
            Self::Resuming => "RESUMING",
            Self::Running => "RUNNING",
            Self::Success => "SUCCESS",
            Self::Interrupted => "INTERRUPTED",
            Self::Reverting => "REVERTING",
            Self::Failure => "FAILURE",
        }
    }
}

impl std::fmt::Display for FlowState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The state of a task in a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskState {
    /// Its call began.
    Started,
    /// Its call returned a result.
    Success,
    /// Its call failed.
    Failure,
    /// Its revert began.
    Reverting,
    /// Its revert is done.
    Reverted,
    /// Its revert failed; its effects may not be undone.
    RevertFailed,
    /// It is a wait that is not over: no code runs.
    Waiting,
}

impl TaskState {
    /// Returns the state as the journal and the command line write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Success => "SUCCESS",
            Self::Failure => "FAILURE",
            Self::Reverting => "REVERTING",
            Self::Reverted => "REVERTED",
            Self::RevertFailed => "REVERT_FAILED",
            Self::Waiting => "WAITING",
        }
    }
}

impl std::fmt::Display for TaskState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A revert's decision about those effects of the completed call that are not undone yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// The host undoes them.
    #[default]
    Undo,
    /// They stay, and the report lists them as kept.
    Keep,
}

/// The time of a sleep that only a signal ends.
pub const NEVER: Timestamp = Timestamp::LATEST;

/// The level of a log entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the usual four")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

/// An event of a flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The flow was created. Always the first event.
    Created {
        /// Its name.
        name: String,
        /// The user who requested the flow.
        requester: Identity,
        /// The flow's request; null for a flow that takes none.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        request: Value,
        /// The plan it was built from; `None` for a flow built through the API.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan: Option<Digest>,
        /// The idempotency key: a repeat of the request under it, in the same project, returns this flow.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The digest of the request under the key: see [`asked`](cairn_model::idempotency::asked). Absent before schema 4.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<Digest>,
    },
    /// The flow changed its state.
    State {
        /// The state before.
        from: FlowState,
        /// The state after.
        to: FlowState,
    },
    /// The flow was reset to its initial state.
    Reset,
    /// The flow is rolled back for this cause. Only the first cause is kept as the flow's error.
    Failed(Cause),
    /// A task's call begins; at attempt 1 the task is pushed on the accumulator.
    Started {
        /// The task.
        task: TaskId,
        /// Its name.
        name: String,
        /// Its number, counted from 1 over the life of the flow.
        attempt: u32,
    },
    /// A task that a resumer reports as finished is pushed on the accumulator without a call.
    Replayed {
        /// The task.
        task: TaskId,
        /// Its name.
        name: String,
    },
    /// An attempt failed and another follows.
    Retried {
        /// The task.
        task: TaskId,
        /// The error.
        error: TaskError,
    },
    /// A wait begins, or goes on after an interruption; the first time, it is pushed on the accumulator. The flow sleeps: it needs no process
    /// until `wake_at`, or until the signal.
    Waits {
        /// The wait, which is a task of the flow.
        task: TaskId,
        /// Its name.
        name: String,
        /// The signal that ends it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<String>,
        /// When it is over at the latest; `None` if only the signal ends it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wake_at: Option<Timestamp>,
    },
    /// The flow sleeps before the next attempt of a call or revert: it needs no process until `wake_at`.
    Sleeps {
        /// The task that is tried again.
        task: TaskId,
        /// When the attempt is due.
        wake_at: Timestamp,
    },
    /// A process continues a flow that slept.
    Woke,
    /// A signal came for the flow. It is kept until a wait asks for it.
    Signalled {
        /// Its name.
        name: String,
        /// Its payload, an object: the result of the wait.
        #[serde(with = "cairn_model::value::shared")]
        payload: Arc<Value>,
        /// The user who sent it.
        user_id: String,
    },
    /// A task's call returned.
    Succeeded {
        /// The task.
        task: TaskId,
        /// Its result.
        #[serde(with = "cairn_model::value::shared")]
        result: Arc<Value>,
    },
    /// A task's call failed for good.
    TaskFailed {
        /// The task.
        task: TaskId,
        /// The error.
        error: TaskError,
    },
    /// A task's revert begins.
    Reverting {
        /// The task.
        task: TaskId,
        /// Its number, counted from 1 over the life of the flow.
        attempt: u32,
    },
    /// A step of a revert is done: its effects stay even if the revert fails later.
    Checkpoint {
        /// The task.
        task: TaskId,
        /// The attempt of its revert.
        attempt: u32,
    },
    /// A task is reverted and removed from the accumulator.
    Reverted {
        /// The task.
        task: TaskId,
        /// The revert's decision about the call's effects.
        disposition: Disposition,
    },
    /// A revert failed for good; the task stays on the accumulator.
    RevertFailed {
        /// The task.
        task: TaskId,
        /// The error.
        error: TaskError,
    },
    /// Somebody asked for an operation on the flow, which the next events carry out. Written with its row of the audit.
    Operated {
        /// The operation: `interrupt`, `resume`, `reset`, `rollback`, `signal` or `accept`.
        operation: String,
        /// Who asked, and from where.
        #[serde(flatten)]
        by: Asker,
        /// Why, of an operation that has a reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// An operator accepted what an incomplete rollback left, and closed it.
    Accepted {
        /// The operator.
        user_id: String,
        /// Why the remaining effects are acceptable.
        reason: String,
    },
    /// An effect was applied. Written by the store, in the effect's transaction.
    Applied(Applied),
    /// An effect was undone. Written by the store, in the undo's transaction.
    Undone {
        /// [`Applied::number`].
        number: u32,
    },
    /// An object outside the database was made, as the intent with this number says. Written with its row.
    Settled {
        /// [`Applied::number`] of the intent.
        number: u32,
        /// What its making returned.
        #[serde(with = "cairn_model::value::shared")]
        result: Arc<Value>,
    },
    /// The act that an intent announced has changed nothing: there is no object. Written with the removal of its row.
    Closed {
        /// [`Applied::number`] of the intent.
        number: u32,
        /// The provider's error.
        error: TaskError,
    },
    /// It is not known what there is of an object. The host looks again later.
    InDoubt {
        /// [`Applied::number`] of the intent.
        number: u32,
        /// Why it is not known.
        error: TaskError,
    },
    /// An object is about to be removed. Written with its row. [`Undone`](Self::Undone) says that it is; or, when the intent is one to remove
    /// it, [`Removed`](Self::Removed).
    Removing {
        /// [`Applied::number`] of the intent.
        number: u32,
    },
    /// An object was removed, as the intent with this number says. Written with the removal of its row.
    Removed {
        /// [`Applied::number`] of the intent.
        number: u32,
    },
    /// A plugin named a row of another project or flow, and got the answer for a missing row.
    Denied {
        /// The task.
        task: TaskId,
        /// The kind of row: `volume`, `key`, ….
        kind: String,
        /// The row's id.
        id: String,
    },
    /// A policy in monitor mode would have denied the flow.
    WouldDeny {
        /// Its name in the manifest.
        policy: String,
        /// The error that the flow would have ended with.
        error: TaskError,
    },
    /// A log message of a policy or validator, from its admission check before the first task.
    CheckLog {
        /// Its name in the manifest.
        plugin: String,
        /// The level.
        level: LogLevel,
        /// The text.
        message: String,
    },
    /// A log message of a plugin, or of the host about a plugin.
    Log {
        /// The task.
        task: TaskId,
        /// The level.
        level: LogLevel,
        /// The text.
        message: String,
    },
}

/// An event as the journal holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it happened.
    pub at: Timestamp,
    /// The event.
    pub event: Event,
}

/// A flow in the list of flows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlowSummary {
    /// Its id.
    pub id: FlowId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: FlowState,
    /// The project that owns it.
    pub project_id: String,
    /// The user who requested it.
    pub user_id: String,
    /// The kind of its error.
    pub error: Option<String>,
    /// Whether a revert failed and no operator has accepted that.
    pub incomplete: bool,
    /// Why it cannot be recovered.
    pub stuck: Option<String>,
    /// When it is to be woken; `None` unless it sleeps, [`NEVER`] if only a signal wakes it.
    pub wake_at: Option<Timestamp>,
    /// Whether it has passed its pivot, and has not ended: it only goes forward.
    pub forward: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its last event was written.
    pub updated_at: Timestamp,
}
