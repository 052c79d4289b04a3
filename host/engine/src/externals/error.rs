//! Why an operator's request about an object was not carried out.

use cairn_effects::external::{ActError, ExternalKey};
use cairn_model::error::TaskError;
use cairn_store::StoreError;

/// Why an operator's request about an object was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandleError {
    /// The object is not there, so it cannot be adopted.
    #[error("there is no object `{}` of `{}`", .0.id, .0.provider)]
    Absent(ExternalKey),
    /// The provider does not know what there is of the object.
    #[error("it is not known what there is of the object `{}` of `{}`: {error}", .key.id, .key.provider)]
    Unknown {
        /// The object.
        key: ExternalKey,
        /// What the provider says.
        error: Box<TaskError>,
    },
    /// The provider refuses to remove the object: nothing has changed.
    #[error("`{}` does not remove the object `{}`: {error}", .key.provider, .key.id)]
    Refused {
        /// The object.
        key: ExternalKey,
        /// What the provider says.
        error: Box<TaskError>,
    },
    /// Another process may be in an act on the object. The message names it, and the fix.
    #[error("{}", .0.message)]
    HostMayAct(TaskError),
    /// The provider says that it has removed the object, and that it is there.
    #[error("`{}` says that it has removed the object `{}`, which is still there", .0.provider, .0.id)]
    StillThere(ExternalKey),
    /// A failure of the database, or a refusal.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl HandleError {
    /// Tells why a removal has failed.
    pub(super) fn of_removal(key: &ExternalKey, error: ActError) -> Self {
        let key = key.clone();
        match error {
            ActError::Refused(error) => Self::Refused {
                key,
                error: Box::new(error),
            },
            ActError::Unsure(error) => match error.kind.as_str() {
                "HostMayAct" => Self::HostMayAct(error),
                "StillThere" => Self::StillThere(key),
                _ => Self::Unknown {
                    key,
                    error: Box::new(error),
                },
            },
        }
    }

    /// Returns what helps; `None` if the message says it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Absent(_) => Some("a scan of the provider lists objects without a row"),
            Self::Unknown { .. } => Some("try again when its backend answers"),
            Self::Refused { .. } => Some("nothing has changed: remove what it names, and repeat"),
            Self::StillThere(_) => Some("look at the object, and repeat the removal"),
            Self::HostMayAct(_) | Self::Store(_) => None,
        }
    }
}
