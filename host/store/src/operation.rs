//! Operations on flows, and the requests by which one process asks another for them.

use serde::{Deserialize, Serialize};

use cairn_model::id::FlowId;
use cairn_model::value::Value;

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
    /// Give the flow a signal, which a wait of it asks for.
    Signal {
        /// The signal's name.
        name: String,
        /// Its payload, an object.
        payload: Value,
        /// The user who sends it.
        user_id: String,
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
            Self::Signal { .. } => "signal",
            Self::Accept { .. } => "accept",
        }
    }
}

/// A request for an operation on a flow that another process may own; not answered yet. A flow's own request is a value: see
/// [`flow_request`](crate::flow_request).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRequest {
    /// Its number.
    pub id: i64,
    /// The flow.
    pub flow: FlowId,
    /// The operation.
    pub operation: Operation,
}
