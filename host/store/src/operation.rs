//! Operations on flows, and the requests by which one process asks another for them.

use serde::{Deserialize, Serialize};

use cairn_model::id::FlowId;

/// An operation on a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// Stop it: the task in hand finishes, the next one does not start.
    Interrupt,
    /// Go on with it where it left off.
    Resume,
    /// Make it as new.
    Reset,
    /// Roll it back; stop it first when it runs.
    Rollback {
        /// Why, for the report.
        reason: String,
    },
    /// Close an incomplete rollback as it is.
    Accept {
        /// Who.
        user_id: String,
        /// Why that is all right.
        reason: String,
    },
}

impl Operation {
    /// What it is called.
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
