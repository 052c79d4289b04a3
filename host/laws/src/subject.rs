//! The plugin under test, and the tools to test it.

use std::path::PathBuf;
use std::sync::Arc;

use cairn::domain::Domain;
use cairn::plugin::Plugins;

/// The prefix of a built-in plugin's name.
pub(crate) const BUILTIN: &str = "builtin:";

/// The sandbox, domains and built-in plugins that cases use.
pub struct Tools {
    /// The sandbox.
    pub plugins: Arc<Plugins>,
    /// Names and components of the plugins that cases may refer to as `builtin:NAME`. `inject` must be one of them.
    pub builtins: Vec<(&'static str, &'static [u8])>,
    /// Domains besides block storage. Their capabilities are the sandbox's.
    pub domains: Vec<Domain>,
    /// The folder for temporary databases of runs in which the host dies.
    pub folder: PathBuf,
}

/// The plugin under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(pub(crate) String);

impl Subject {
    /// Names the file of a component.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(path.into().to_string_lossy().into_owned())
    }

    /// Names a built-in plugin.
    pub fn builtin(name: &str) -> Self {
        Self(format!("{BUILTIN}{name}"))
    }
}
