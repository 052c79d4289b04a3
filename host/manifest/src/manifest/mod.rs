//! The manifest: the TOML file that says of which plugins a flow is made, what each may do, and in which order they run.
//!
//! Reading is pure: no plugin is opened and no path is looked at. The next stage is
//! [`Manifest::plan`](crate::manifest::Manifest::plan), for which the host must have loaded and asked every plugin.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use cairn_model::error::Diagnostic;
use cairn_model::value::{Digest, Object};

mod grants;
mod grants_at;
mod kinds;
mod limits;
mod read;

pub use cairn_model::retry::Retry;
pub(crate) use grants::key;
pub use grants::{Grant, Grants, read_names};
pub use grants_at::{GrantsAt, GrantsForm};
pub use kinds::{GrantKind, GrantKinds, SimpleGrantKind};
pub(crate) use kinds::{interface, is_base};
pub(crate) use limits::size;
pub use limits::{LimitKey, Limits};

/// A manifest that is sound in itself: every task names a plugin that is there, and no two tasks share a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the flow.
    pub name: String,
    /// What policy is asked about and what task names bear behind their semicolon, such as `volume:create`.
    #[serde(default)]
    pub action: Option<String>,
    /// What recovery does with a flow whose caller is gone.
    #[serde(default)]
    pub on_lost: OnLost,
    /// The plugins by the key of their table.
    pub plugins: BTreeMap<String, PluginEntry>,
    /// The tasks in the order in which they run; at least one.
    pub tasks: Vec<TaskEntry>,
    /// Policies that are asked before the first task, in this order.
    #[serde(default)]
    pub policies: Vec<PolicyEntry>,
    /// Validators of the request, asked after the policies.
    #[serde(default)]
    pub validators: Vec<ValidatorEntry>,
    /// The file this was read from, as it was named to [`Manifest::parse`].
    pub file: PathBuf,
    /// What is not wrong but is hardly meant, one sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl Manifest {
    /// Reads the text of a manifest. `file` names it in messages; relative paths in it start at the folder of `file`. Plugins may be
    /// granted the capabilities in `kinds`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and the fix: text that is no TOML, a key that nobody knows, a value
    /// of a wrong type or out of its range, a task whose plugin is not there, two tasks of one name, no task at all.
    pub fn parse(text: &str, file: &Path, kinds: &GrantKinds) -> Result<Self, Diagnostic> {
        read::manifest(text, file, kinds)
    }
}

/// What becomes of a flow whose caller is gone when its host comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLost {
    /// It is rolled back.
    #[default]
    Rollback,
    /// It goes on after its last finished task.
    Resume,
}

/// Where a plugin's component comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A file; relative paths were resolved against the manifest's folder.
    Path(PathBuf),
    /// One that is built into the program, by name.
    Builtin(String),
}

/// One `[plugins.KEY]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginEntry {
    /// Where its component comes from.
    pub source: Source,
    /// What the component's digest must be, where it is pinned.
    #[serde(default)]
    pub sha256: Option<Digest>,
    /// Its settings, not yet checked against its schema.
    #[serde(default)]
    pub settings: Object,
    /// The line of each of its settings, by its JSON pointer; the settings as a whole are under the empty one.
    #[serde(default)]
    pub settings_at: BTreeMap<String, usize>,
    /// What one call may use up.
    #[serde(default)]
    pub limits: Limits,
    /// The lines of the limits that the manifest names; the others are defaults, which yield to the operator's ceilings.
    #[serde(default)]
    pub limit_lines: BTreeMap<LimitKey, usize>,
    /// What it may import.
    #[serde(default)]
    pub grants: Grants,
    /// Where its grants stand, for whoever is told to add one.
    #[serde(default)]
    pub grants_at: GrantsAt,
    /// The line of its table, counted from 1.
    pub line: usize,
}

impl PluginEntry {
    /// The line of the setting that a JSON pointer names, or of what it would stand in.
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

/// One `[[task]]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskEntry {
    /// Key of the plugin that does the work.
    pub plugin: String,
    /// Its name, where it is not its plugin's key; see [`TaskEntry::name`].
    #[serde(default)]
    pub name: Option<String>,
    /// How often its `call` is tried.
    #[serde(default)]
    pub retry: Retry,
    /// How often its `revert` is tried.
    #[serde(default)]
    pub revert: Retry,
    /// The line of its table, counted from 1.
    pub line: usize,
}

/// What a policy's denial comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The flow fails.
    #[default]
    Enforce,
    /// It is noted, and the flow goes on.
    Monitor,
}

impl Mode {
    /// The mode as a manifest writes it.
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
    /// What its denial comes to.
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
    /// The keys of the plugins that a table names, each as often as it is named.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        let tasks = self.tasks.iter().map(|task| &task.plugin);
        let policies = self.policies.iter().map(|policy| &policy.plugin);
        let validators = self.validators.iter().map(|validator| &validator.plugin);
        tasks.chain(policies).chain(validators).map(String::as_str)
    }
}

impl TaskEntry {
    /// The task's name, unique in its flow: its own, else its plugin's key.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.plugin)
    }
}

#[cfg(test)]
mod tests;
