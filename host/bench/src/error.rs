use cairn::flow_request::RequestError;
use cairn::plugin::PluginError;
use cairn::{Diagnostic, FlowError, HostError, StoreError, TaskError};

/// The reason why a measurement failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// An error of the host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// An error of the host's database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An error of a baseline's database.
    #[error("a baseline's database: {0}")]
    Database(String),
    /// An error of a baseline's sandbox.
    #[error("the bare loop of instances: {0}")]
    Sandbox(String),
    /// An error of a file or folder.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The folder of the databases cannot be used, for example because it is kept in memory, where a commit costs nothing.
    #[error(transparent)]
    Folder(Diagnostic),
    /// A flow did not end as its case expects, so its cost is meaningless.
    #[error("{0}")]
    Unexpected(String),
}

// No `From`, which would make the libraries of the baselines a part of this crate's interface.
impl BenchError {
    /// Converts an error of a baseline's database.
    pub(crate) fn database(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }

    /// Converts an error of a baseline's sandbox.
    pub(crate) fn sandbox(error: wasmtime::Error) -> Self {
        Self::Sandbox(format!("{error:#}"))
    }
}

impl From<Diagnostic> for BenchError {
    fn from(error: Diagnostic) -> Self {
        HostError::from(error).into()
    }
}

impl From<PluginError> for BenchError {
    fn from(error: PluginError) -> Self {
        HostError::from(error).into()
    }
}

impl From<FlowError> for BenchError {
    fn from(error: FlowError) -> Self {
        HostError::Flow(error).into()
    }
}

impl From<TaskError> for BenchError {
    fn from(error: TaskError) -> Self {
        Self::Unexpected(error.to_string())
    }
}

impl From<RequestError> for BenchError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Invalid(error) => error.into(),
            RequestError::Store(error) => error.into(),
            other => Self::Unexpected(other.to_string()),
        }
    }
}
