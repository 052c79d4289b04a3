//! The plugin that is looked at, and what it is looked at with.

use std::path::PathBuf;
use std::sync::Arc;

use cairn::domain::Domain;
use cairn::plugin::Plugins;

/// What stands before the name of a built-in plugin.
pub(crate) const BUILTIN: &str = "builtin:";

/// The sandbox, and the plugins that cases may name as `builtin:NAME`. `inject` must be one of them.
pub struct Tools {
    /// The sandbox.
    pub plugins: Arc<Plugins>,
    /// Name and component.
    pub builtins: Vec<(&'static str, &'static [u8])>,
    /// Domains beside block storage. Their capabilities are the sandbox's.
    pub domains: Vec<Domain>,
    /// Where the databases are made of cases in which the host dies; they are gone after each.
    pub folder: PathBuf,
}

/// The plugin that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(pub(crate) String);

impl Subject {
    /// A component's file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(path.into().to_string_lossy().into_owned())
    }

    /// A built-in plugin.
    pub fn builtin(name: &str) -> Self {
        Self(format!("{BUILTIN}{name}"))
    }
}
