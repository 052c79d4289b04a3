use cairn::error::Diagnostic;
use cairn::flow_request::RequestError;
use cairn::host::HostError;
use cairn::plugin::PluginError;
use cairn::{FlowError, StoreError, TaskError};

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The database of a host.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database of a baseline.
    #[error("a baseline's database: {0}")]
    Sqlite(rusqlite::Error),
    /// The sandbox of a baseline.
    #[error("the bare loop of instances: {0:#}")]
    Sandbox(wasmtime::Error),
    /// The folder of the databases.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The folder is kept in memory, where a commit costs nothing.
    #[error(transparent)]
    Folder(Diagnostic),
    /// A flow did not do what its case says, so its cost says nothing.
    #[error("{0}")]
    Unexpected(String),
}

impl From<rusqlite::Error> for BenchError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
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

impl From<wasmtime::Error> for BenchError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Sandbox(error)
    }
}
