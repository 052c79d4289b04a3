//! The manifest: the TOML file that lists the plugins of a flow, their grants, and the order of the tasks.
//!
//! Parsing is pure: no plugin is opened and no path is accessed. The next stage is
//! [`Manifest::plan`](crate::manifest::Manifest::plan), before which the host loads every plugin and reads its description.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use cairn_model::error::Diagnostic;
use cairn_model::value::{Digest, Object};

mod grants;
mod grants_at;
mod kinds;
mod limits;
mod read;
mod wait;

pub use cairn_model::retry::Retry;
pub(crate) use grants::key;
pub use grants::{Grant, Grants, read_names};
pub use grants_at::{GrantsAt, GrantsForm};
pub use kinds::{GrantKind, GrantKinds, SimpleGrantKind};
pub(crate) use kinds::{interface, is_base};
pub(crate) use limits::size;
pub use limits::{LimitKey, Limits};
pub use wait::{LONGEST as LONGEST_WAIT, Until, Wait};

/// A consistent manifest: every task names an existing plugin, and no two tasks share a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the flow.
    pub name: String,
    /// The action that policies decide on, and that task names have behind their semicolon, such as `volume:create`.
    #[serde(default)]
    pub action: Option<String>,
    /// How recovery treats a flow whose process is gone.
    #[serde(default)]
    pub on_lost: OnLost,
    /// The plugins by the key of their table.
    pub plugins: BTreeMap<String, PluginEntry>,
    /// Those of them that provide objects outside the database, from tables `[externals.KEY]`.
    #[serde(default)]
    pub externals: BTreeMap<String, ExternalEntry>,
    /// The tasks in the order in which they run; at least one.
    pub tasks: Vec<TaskEntry>,
    /// Policies that are checked before the first task, in this order.
    #[serde(default)]
    pub policies: Vec<PolicyEntry>,
    /// Validators of the request, which run after the policies.
    #[serde(default)]
    pub validators: Vec<ValidatorEntry>,
    /// The file, as given to [`Manifest::parse`].
    pub file: PathBuf,
    /// Warnings, one sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl Manifest {
    /// Parses the text of a manifest. `file` names it in messages; relative paths in it start at the folder of `file`. Plugins
    /// may be granted the capabilities in `kinds`.
    ///
    /// # Errors
    /// The first problem, with its line and the fix: text that is not TOML, an unknown key, a value of a wrong type or out of
    /// its range, a task whose plugin does not exist, two tasks of one name, no task at all.
    pub fn parse(text: &str, file: &Path, kinds: &GrantKinds) -> Result<Self, Diagnostic> {
        read::manifest(text, file, kinds)
    }
}

/// How recovery treats a flow whose process is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLost {
    /// Rolls it back.
    #[default]
    Rollback,
    /// Continues it after its last finished task.
    Resume,
}

/// The source of a plugin's component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A file; relative paths were resolved against the manifest's folder.
    Path(PathBuf),
    /// A component that is built into the program, by name.
    Builtin(String),
}

impl Source {
    /// Returns the name of a component that is built into the program.
    pub fn builtin(&self) -> Option<&str> {
        match self {
            Self::Builtin(name) => Some(name),
            Self::Path(_) => None,
        }
    }
}

/// For messages: the path, or ``builtin `NAME` ``.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Builtin(name) => write!(f, "builtin `{name}`"),
        }
    }
}

/// One `[plugins.KEY]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginEntry {
    /// The source of its component.
    pub source: Source,
    /// The pinned digest of its component.
    #[serde(default)]
    pub sha256: Option<Digest>,
    /// Its settings, not yet validated against its schema.
    #[serde(default)]
    pub settings: Object,
    /// The line of each setting, by JSON pointer; the empty pointer is the settings as a whole.
    #[serde(default)]
    pub settings_at: BTreeMap<String, usize>,
    /// Limits of one call.
    #[serde(default)]
    pub limits: Limits,
    /// The lines of the limits that the manifest sets; the others are defaults, which are lowered to the operator's bounds.
    #[serde(default)]
    pub limit_lines: BTreeMap<LimitKey, usize>,
    /// Its granted capabilities.
    #[serde(default)]
    pub grants: Grants,
    /// The place of its grants, for help texts that add one.
    #[serde(default)]
    pub grants_at: GrantsAt,
    /// The line of its table, counted from 1.
    pub line: usize,
}

impl PluginEntry {
    /// Returns the line of the setting at a JSON pointer, or of its closest existing parent.
    pub fn settings_line(&self, pointer: &str) -> usize {
        let mut pointer = pointer;
        loop {
            match (self.settings_at.get(pointer), pointer.rsplit_once('/')) {
                (Some(line), _) => return *line,
                (None, Some((parent, _))) => pointer = parent,
                (None, None) => return self.line,
            }
        }
    }
}

/// What an `[externals.KEY]` table says besides its plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalEntry {
    /// Whether its backend refuses acts with an older token.
    #[serde(default)]
    pub fences: bool,
}

/// One `[[task]]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskEntry {
    /// What it does.
    pub work: Work,
    /// Its name, if it has one of its own; see [`TaskEntry::name`].
    #[serde(default)]
    pub name: Option<String>,
    /// Retries of its `call`.
    #[serde(default)]
    pub retry: Retry,
    /// Retries of its `revert`.
    #[serde(default)]
    pub revert: Retry,
    /// Whether it may remove objects outside the database, after which the flow only goes forward.
    #[serde(default)]
    pub pivot: bool,
    /// The line of its table, counted from 1.
    pub line: usize,
}

/// What a task of a manifest does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// It calls a plugin, named by its key.
    Plugin(String),
    /// It waits.
    Wait(Wait),
}

/// The effect of a policy's denial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The flow fails.
    #[default]
    Enforce,
    /// The denial is recorded, and the flow continues.
    Monitor,
}

impl Mode {
    /// Returns the mode as written in a manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Monitor => "monitor",
        }
    }
}

/// One `[[policy]]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyEntry {
    /// Key of the plugin that decides.
    pub plugin: String,
    /// The effect of its denial.
    #[serde(default)]
    pub mode: Mode,
    /// The line of its table, counted from 1.
    pub line: usize,
}

/// One `[[validator]]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidatorEntry {
    /// Key of the plugin that validates.
    pub plugin: String,
    /// The line of its table, counted from 1.
    pub line: usize,
}

impl Manifest {
    /// Returns the plugin keys in `[[task]]`, `[[policy]]` and `[[validator]]` tables and those of providers, with repetitions.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        let tasks = self.tasks.iter().filter_map(|task| match &task.work {
            Work::Plugin(key) => Some(key),
            Work::Wait(_) => None,
        });
        let policies = self.policies.iter().map(|policy| &policy.plugin);
        let validators = self.validators.iter().map(|validator| &validator.plugin);
        let named = tasks.chain(policies).chain(validators);
        named.chain(self.externals.keys()).map(String::as_str)
    }
}

impl TaskEntry {
    /// Returns the task's name, unique in its flow: its own, else its plugin's key, else the signal that it waits for.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(match &self.work {
            Work::Plugin(key) => key,
            Work::Wait(wait) => wait.signal.as_deref().unwrap_or("wait"),
        })
    }
}

#[cfg(test)]
mod tests;
