use cairn::domain::DomainError;
use cairn::plugin::PluginError;
use cairn::{Diagnostic, HostError, StoreError};

/// The reason why a case could not be run. Misbehaviour of the plugin is not such an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LawsError {
    /// The case, or a plugin that it names, is wrong.
    #[error(transparent)]
    Invalid(Diagnostic),
    /// A failure of the host itself.
    #[error(transparent)]
    Host(HostError),
    /// A failure of the database.
    #[error(transparent)]
    Store(StoreError),
    /// A conflict between the domains of the host.
    #[error(transparent)]
    Domains(DomainError),
    /// The folder of a database cannot be created.
    #[error("no temporary folder can be made: {0}")]
    Folder(std::io::Error),
}

impl From<Diagnostic> for LawsError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Invalid(diagnostic)
    }
}

impl From<HostError> for LawsError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Invalid(diagnostic) => Self::Invalid(diagnostic),
            HostError::Store(error) => Self::Store(error),
            other => Self::Host(other),
        }
    }
}

impl From<StoreError> for LawsError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<PluginError> for LawsError {
    fn from(error: PluginError) -> Self {
        Self::Host(error.into())
    }
}
