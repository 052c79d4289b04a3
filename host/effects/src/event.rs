//! What can happen to a flow: the vocabulary of the journal. A flow's state is a fold over its events.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

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
    /// Stopped between two tasks; can go on.
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

    /// The state that is written like this, in capitals or not.
    pub fn parse(text: &str) -> Option<Self> {
        let mut states = Self::ALL.into_iter();
        states.find(|state| state.as_str().eq_ignore_ascii_case(text))
    }

    /// The state as the journal and the command line write it.
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
    /// Its revert failed; its effects may still stand.
    RevertFailed,
}

impl TaskState {
    /// The state as the journal and the command line write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Success => "SUCCESS",
            Self::Failure => "FAILURE",
            Self::Reverting => "REVERTING",
            Self::Reverted => "REVERTED",
            Self::RevertFailed => "REVERT_FAILED",
        }
    }
}

impl std::fmt::Display for TaskState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a revert says becomes of the effects of the completed call that nobody has undone yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// The host undoes them.
    #[default]
    Undo,
    /// They stay, and the report lists them as kept.
    Keep,
}

/// How much a log entry matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the usual four")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

/// One thing that happened to a flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The flow exists. Always the first.
    Created {
        /// What it is called.
        name: String,
        /// Who asked.
        requester: Identity,
        /// What was asked; null for a flow that takes nothing.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        request: Value,
        /// The plan it was built from; `None` for a flow built through the API.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan: Option<Digest>,
        /// Whoever asks again under this key, for the same project, gets this flow.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The digest of what was asked under the key: see [`asked`](cairn_model::idempotency::asked). Absent before schema 4.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<Digest>,
    },
    /// The flow changed its state.
    State {
        /// From this.
        from: FlowState,
        /// To this.
        to: FlowState,
    },
    /// Everything that the flow knew is forgotten.
    Reset,
    /// The flow is rolled back, for this cause. Only the first one stays the flow's error.
    Failed(Cause),
    /// A task's call begins; with attempt 1 the task goes on the accumulator.
    Started {
        /// The task.
        task: TaskId,
        /// What it is called.
        name: String,
        /// Counts from 1 over the life of the flow.
        attempt: u32,
    },
    /// A task that a resumer names as finished goes on the accumulator without a call.
    Replayed {
        /// The task.
        task: TaskId,
        /// What it is called.
        name: String,
    },
    /// An attempt failed and another follows.
    Retried {
        /// The task.
        task: TaskId,
        /// Why.
        error: TaskError,
    },
    /// A task's call returned.
    Succeeded {
        /// The task.
        task: TaskId,
        /// What it returned.
        #[serde(with = "cairn_model::value::shared")]
        result: Arc<Value>,
    },
    /// A task's call failed for good.
    TaskFailed {
        /// The task.
        task: TaskId,
        /// Why.
        error: TaskError,
    },
    /// A task's revert begins.
    Reverting {
        /// The task.
        task: TaskId,
        /// Counts from 1 over the life of the flow.
        attempt: u32,
    },
    /// A step of a revert is done: its effects stay whatever becomes of the rest.
    Checkpoint {
        /// The task.
        task: TaskId,
        /// The attempt of its revert.
        attempt: u32,
    },
    /// A task is reverted and off the accumulator.
    Reverted {
        /// The task.
        task: TaskId,
        /// What became of its effects.
        disposition: Disposition,
    },
    /// A revert failed for good; the task stays on the accumulator.
    RevertFailed {
        /// The task.
        task: TaskId,
        /// Why.
        error: TaskError,
    },
    /// Somebody took note of what an incomplete rollback left, and closed it.
    Accepted {
        /// Who.
        user_id: String,
        /// Why that is all right.
        reason: String,
    },
    /// An effect was applied. Written by the store, in the effect's transaction.
    Applied(Applied),
    /// An effect was undone. Written by the store, in the inverse's transaction.
    Undone {
        /// [`Applied::number`].
        number: u32,
    },
    /// A plugin named a thing of another project or flow, and was answered as if it did not exist.
    Denied {
        /// The task.
        task: TaskId,
        /// What it named: `volume`, `key`, ….
        kind: String,
        /// Its id.
        id: String,
    },
    /// A policy in monitor mode would have denied the flow.
    WouldDeny {
        /// What the manifest calls it.
        policy: String,
        /// The error that the flow would have ended with.
        error: TaskError,
    },
    /// A policy or validator, asked before the first task, has something to say.
    CheckLog {
        /// What the manifest calls it.
        plugin: String,
        /// How much it matters.
        level: LogLevel,
        /// What it says.
        message: String,
    },
    /// A plugin, or the host about a plugin, has something to say.
    Log {
        /// The task.
        task: TaskId,
        /// How much it matters.
        level: LogLevel,
        /// What it says.
        message: String,
    },
}

/// An event as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// A flow as the list of flows shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlowSummary {
    /// Its id.
    pub id: FlowId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: FlowState,
    /// Whose it is.
    pub project_id: String,
    /// Who asked.
    pub user_id: String,
    /// The kind of its error.
    pub error: Option<String>,
    /// Whether a revert failed, and nobody has accepted that.
    pub incomplete: bool,
    /// Why it cannot be recovered.
    pub stuck: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its last event was written.
    pub updated_at: Timestamp,
}
