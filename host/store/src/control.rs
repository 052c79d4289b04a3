//! Operations that a process requests on a flow owned by another process.

use serde::{Deserialize, Serialize};

use cairn_model::id::FlowId;

/// An operation on a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// Stop the flow: its running task finishes, the next one does not start.
    Interrupt,
    /// Continue the flow where it stopped.
    Resume,
    /// Reset the flow to its initial state.
    Reset,
    /// Roll the flow back; stop it first when it runs.
    Rollback {
        /// Why, for the report.
        reason: String,
    },
    /// Accept an incomplete rollback, and close it.
    Accept {
        /// The operator.
        user_id: String,
        /// Why the remaining effects are acceptable.
        reason: String,
    },
}

impl Operation {
    /// Returns the operation's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Interrupt => "interrupt",
            Self::Resume => "resume",
            Self::Reset => "reset",
            Self::Rollback { .. } => "rollback",
            Self::Accept { .. } => "accept",
        }
    }
}

/// A requested operation that has no answer yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The number of the request.
    pub id: i64,
    /// The flow.
    pub flow: FlowId,
    /// The requested operation.
    pub operation: Operation,
}
