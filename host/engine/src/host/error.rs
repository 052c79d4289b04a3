use serde::{Deserialize, Serialize};

use cairn_model::error::Diagnostic;
use cairn_model::id::FlowId;
use cairn_sandbox::plugin::PluginError;
use cairn_store::StoreError;

use crate::flow::FlowError;
use cairn_store::flow_request::RequestError;

/// Why the host could not do what it was asked. A flow that failed is no error: see its [`Report`](cairn_effects::report::Report).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Something that was given to read is wrong; nothing ran.
    #[error(transparent)]
    Invalid(#[from] Diagnostic),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sandbox.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// An operation that the flow's state does not allow.
    #[error(transparent)]
    Flow(FlowError),
    /// The flow cannot be made from what is stored of it.
    #[error("flow {flow} cannot be taken up: {reason}")]
    CannotTakeUp {
        /// The flow.
        flow: FlowId,
        /// Why not.
        reason: String,
    },
    /// Somebody in this process is taking the flow up.
    #[error("flow {0} is being taken up: try again")]
    InHand(FlowId),
    /// The host stopped before it came to this request.
    #[error("the request was not started: the host stopped before its turn came")]
    NotStarted,
    /// The key was used for another request.
    #[error("key `{key}` was used for another request, flow {flow}: a key stands for one request")]
    KeyReused {
        /// The key.
        key: String,
        /// The flow of the first request.
        flow: FlowId,
    },
    /// Another process, which has the flow in hand, did not do it.
    #[error("process {pid}, which has the flow in hand, answered: {message}")]
    Elsewhere {
        /// The process.
        pid: u32,
        /// What it said.
        message: String,
        /// What was in the way there.
        why: Hindrance,
    },
    /// A thread could not be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

impl From<RequestError> for HostError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Invalid(diagnostic) => diagnostic.into(),
            RequestError::Store(error) => error.into(),
            other => Self::Invalid(Diagnostic::new(other.to_string())),
        }
    }
}

/// What was in the way of an operation on a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Hindrance {
    /// The flow's state does not allow it.
    #[default]
    State,
    /// The flow cannot be taken up.
    Stuck,
    /// The host failed.
    Host,
}

impl HostError {
    /// What was in the way, for an operation on a flow.
    pub fn hindrance(&self) -> Hindrance {
        match self {
            Self::Flow(
                FlowError::InvalidState { .. }
                | FlowError::EffectsStand
                | FlowError::Unreverted
                | FlowError::Left(_)
                | FlowError::NothingToAccept,
            ) => Hindrance::State,
            Self::CannotTakeUp { .. }
            | Self::Store(StoreError::Damaged { .. } | StoreError::UnknownTable { .. }) => {
                Hindrance::Stuck
            }
            Self::Elsewhere { why, .. } => *why,
            Self::Invalid(_)
            | Self::Store(_)
            | Self::Plugin(_)
            | Self::Flow(_)
            | Self::InHand(_)
            | Self::NotStarted
            | Self::KeyReused { .. }
            | Self::Thread(_) => Hindrance::Host,
        }
    }

    /// Whether the host can do nothing more, and not this one thing only: its process may not write to the database any more.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Store(StoreError::Fenced | StoreError::Gone(_)))
    }

    /// The same for one more who waits for what became of a flow.
    pub(super) fn of_flow(&self, flow: FlowId) -> Self {
        let reason = match self {
            Self::Store(error) => return error.clone().into(),
            Self::CannotTakeUp { reason, .. } => reason.clone(),
            other => other.to_string(),
        };
        Self::CannotTakeUp { flow, reason }
    }
}
