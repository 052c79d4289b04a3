use serde::{Deserialize, Serialize};

use cairn_model::error::Diagnostic;
use cairn_model::id::FlowId;
use cairn_sandbox::plugin::PluginError;
use cairn_store::StoreError;

use crate::flow::{FlowError, SignalError};
use cairn_store::flow_request::RequestError;

/// The error of an operation of the host. A flow that failed is no error: see its [`Report`](cairn_effects::report::Report).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// An input is wrong; nothing ran.
    #[error(transparent)]
    Invalid(#[from] Diagnostic),
    /// An error of the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An error of the sandbox.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The flow's state does not allow the operation.
    #[error(transparent)]
    Flow(FlowError),
    /// The flow cannot be restored from what is stored of it.
    #[error("flow {flow} cannot be taken up: {reason}")]
    CannotTakeUp {
        /// The flow.
        flow: FlowId,
        /// Why not.
        reason: String,
    },
    /// Another thread of this process is restoring the flow.
    #[error("flow {0} is being taken up: try again")]
    InHand(FlowId),
    /// The host stopped before it came to this request.
    #[error("the request was not started: the host stopped before its turn came")]
    NotStarted,
    /// The host stopped while it waited for a flow of another host.
    #[error(
        "flow {0} goes on at the host that owns its project, and this host stopped waiting for it"
    )]
    GoesOn(FlowId),
    /// The key was used for another request.
    #[error("key `{key}` was used for another request, flow {flow}: a key stands for one request")]
    KeyReused {
        /// The key.
        key: String,
        /// The flow of the first request.
        flow: FlowId,
    },
    /// The process that owns the flow did not do it.
    #[error("process {pid}, which owns the flow, answered: {message}")]
    Elsewhere {
        /// Its process id.
        pid: u32,
        /// Its error message.
        message: String,
        /// The reason of the failure there.
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

/// Why an operation on a flow failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Hindrance {
    /// The flow's state does not allow it.
    #[default]
    State,
    /// The flow has passed its pivot: see [`FlowError::PastPivot`].
    Refused,
    /// What was asked is wrong, whatever the flow's state.
    Input,
    /// The flow cannot be restored.
    Stuck,
    /// The host failed.
    Host,
}

impl HostError {
    /// Returns why an operation on a flow failed.
    pub fn hindrance(&self) -> Hindrance {
        match self {
            Self::Flow(
                FlowError::InvalidState { .. }
                | FlowError::EffectsStand
                | FlowError::Unreverted
                | FlowError::Left(_)
                | FlowError::NothingToAccept,
            ) => Hindrance::State,
            Self::Flow(FlowError::PastPivot) => Hindrance::Refused,
            Self::Flow(FlowError::Signal(SignalError::Other(_) | SignalError::Over(_))) => {
                Hindrance::State
            }
            Self::Flow(FlowError::Signal(_)) => Hindrance::Input,
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
            | Self::GoesOn(_)
            | Self::KeyReused { .. }
            | Self::Thread(_) => Hindrance::Host,
        }
    }

    /// Converts the error of an operation on a flow.
    pub(super) fn of_operation(error: FlowError) -> Self {
        match error {
            FlowError::Store(error) => error.into(),
            error => Self::Flow(error),
        }
    }

    /// Returns whether every further operation would fail too: the process may not write to the database any more.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_final())
    }

    /// Copies the error for another caller that waits for the flow.
    pub(super) fn of_flow(&self, flow: FlowId) -> Self {
        let reason = match self {
            Self::Store(error) => return error.clone().into(),
            Self::InHand(flow) => return Self::InHand(*flow),
            Self::CannotTakeUp { reason, .. } => reason.clone(),
            other => other.to_string(),
        };
        Self::CannotTakeUp { flow, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_these_errors_a_process_writes_no_more() {
        let lost = StoreError::HistoryLost {
            found: 1,
            expected: 2,
        };
        for error in [StoreError::Fenced, StoreError::Gone("x".into()), lost] {
            assert!(HostError::from(error).is_final());
        }
        for error in [
            StoreError::Lost("x".into()),
            StoreError::Database("x".into()),
        ] {
            assert!(!HostError::from(error).is_final());
        }
        assert!(!HostError::NotStarted.is_final());
    }

    #[test]
    fn who_waits_for_a_flow_that_is_in_hand_tries_again_as_the_first_caller_does() {
        let flow = FlowId::new();
        let told = HostError::InHand(flow).of_flow(flow);
        assert!(matches!(told, HostError::InHand(id) if id == flow) && told.is_anothers());
    }
}
