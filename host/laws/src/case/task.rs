//! The case of a task: its inputs, the start state of the database, and the expected outcome.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cairn::{Diagnostic, Object, Value};
use serde::Deserialize;

use super::{Requester, Varies, World};
use crate::compare::Keep;
use crate::document::{check_names, maybe_json, maybe_object, object, read, unsound};
use crate::state::State;

/// A call of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskCase {
    /// The name of the case, unique in its file.
    pub name: String,
    /// The file that contains it. Relative paths start at its folder.
    pub file: PathBuf,
    /// The inputs of the call. Required inputs that are missing here are null.
    pub inputs: Object,
    /// Its settings.
    pub settings: Object,
    /// Its grants, as in a manifest; `None` grants all of its imports.
    pub grants: Option<Object>,
    /// The requester of the flow.
    pub requester: Requester,
    /// The operator's settings.
    pub host: HostSettings,
    /// The rows before the flow.
    pub state: State,
    /// The tasks that run before it in the same flow.
    pub before: Vec<Before>,
    /// Differences that a revert leaves on purpose.
    pub keep: Vec<Keep>,
    /// Sources besides the inputs and the host's answers that the plugin's requests to the host may depend on.
    pub varies_with: Vec<Varies>,
    /// The expected outcome of the call.
    pub expect: TaskExpect,
}

/// The operator's settings.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostSettings {
    /// The zone of volumes that are requested without one; `nova` by default.
    pub default_zone: Option<String>,
    /// Name of the type of volumes that are requested without one.
    pub default_volume_type: Option<String>,
    /// Policy rules by name, in addition to the built-in ones.
    pub policy: Object,
    /// Collections of records by name, as in `[records]` of a `cairn.toml`. Without any, those of the program apply.
    pub records: Object,
    /// Values of secrets by name, for plugins that are granted `secrets`.
    pub secrets: BTreeMap<String, String>,
}

/// A task that runs before in the same flow.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// A component's file, or `builtin:NAME`.
    pub plugin: String,
    /// Its settings.
    #[serde(default, deserialize_with = "object")]
    pub settings: Object,
    /// Its grants; `None` grants all of its imports.
    #[serde(default)]
    pub grants: Option<Object>,
}

/// The expected outcome of a call: success, unless an error is named.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskExpect {
    /// The expected result. Objects in the result may have more keys.
    #[serde(deserialize_with = "maybe_json")]
    pub result: Option<Value>,
    /// The kind of its error.
    pub error: Option<String>,
}

/// A file of cases as written. Keys beside the cases apply to all of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Read before, by [`Head`](super::Head).
    #[serde(rename = "world")]
    _world: Option<World>,
    #[serde(default, deserialize_with = "maybe_object")]
    settings: Option<Object>,
    grants: Option<Object>,
    requester: Option<Requester>,
    host: Option<HostSettings>,
    #[serde(default)]
    state: State,
    #[serde(default)]
    before: Vec<Before>,
    case: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default, deserialize_with = "object")]
    inputs: Object,
    #[serde(default, deserialize_with = "maybe_object")]
    settings: Option<Object>,
    grants: Option<Object>,
    requester: Option<Requester>,
    host: Option<HostSettings>,
    #[serde(default)]
    state: State,
    before: Option<Vec<Before>>,
    #[serde(default)]
    keep: Vec<Keep>,
    #[serde(default)]
    varies_with: Vec<Varies>,
    #[serde(default)]
    expect: TaskExpect,
}

impl TaskCase {
    /// Reads the cases of a file.
    pub(super) fn parse(text: &str, file: &Path) -> Result<Vec<Self>, Diagnostic> {
        let parsed: File = read(text, file)?;
        check_names(parsed.case.iter().map(|case| case.name.as_str()), file)?;
        let mut cases = Vec::new();
        for written in parsed.case {
            let name = written.name;
            if written.expect.error.is_some() && written.expect.result.is_some() {
                return Err(unsound(&name, "expects a result and an error", file));
            }
            cases.push(Self {
                name,
                file: file.to_owned(),
                inputs: written.inputs,
                settings: written
                    .settings
                    .or_else(|| parsed.settings.clone())
                    .unwrap_or_default(),
                grants: written.grants.or_else(|| parsed.grants.clone()),
                requester: written
                    .requester
                    .or_else(|| parsed.requester.clone())
                    .unwrap_or_default(),
                host: written
                    .host
                    .or_else(|| parsed.host.clone())
                    .unwrap_or_default(),
                state: parsed.state.clone().and(written.state),
                before: written.before.unwrap_or_else(|| parsed.before.clone()),
                keep: written.keep,
                varies_with: written.varies_with,
                expect: written.expect,
            });
        }
        Ok(cases)
    }

    /// Makes a case without a file, for one call.
    pub(crate) fn alone(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            file: PathBuf::from("."),
            inputs: Object::new(),
            settings: Object::new(),
            grants: None,
            requester: Requester::default(),
            host: HostSettings::default(),
            state: State::default(),
            before: Vec::new(),
            keep: Vec::new(),
            varies_with: Vec::new(),
            expect: TaskExpect::default(),
        }
    }
}
