use crate::error::Diagnostic;
use crate::flow::FlowError;
use crate::id::FlowId;
use crate::plugin::PluginError;
use crate::store::StoreError;

/// Why the host could not do what it was asked. A flow that failed is no error: see its [`Report`](crate::report::Report).
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Something that was given to read is wrong; nothing ran.
    #[error("{0}")]
    Invalid(#[from] Diagnostic),
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The sandbox.
    #[error("{0}")]
    Plugin(#[from] PluginError),
    /// An operation that the flow's state does not allow.
    #[error("{0}")]
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
    },
    /// A thread could not be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}
