//! The case of a task: what it is called with, in which state of the database, and what should come of it.

use std::path::{Path, PathBuf};

use cairn::error::Diagnostic;
use cairn::value::{Object, Value};
use serde::Deserialize;

use super::{Requester, Varies, World};
use crate::compare::Keep;
use crate::document::{check_names, maybe_json, maybe_object, object, read, unsound};
use crate::state::State;

/// One call of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskCase {
    /// What the case shows; unique in its file.
    pub name: String,
    /// The file it stands in. Paths in it start at the file's folder.
    pub file: PathBuf,
    /// What the plugin is called with. What it requires and is not here is null.
    pub inputs: Object,
    /// Its settings.
    pub settings: Object,
    /// What it is granted, as in a manifest; whatever it imports when `None`.
    pub grants: Option<Object>,
    /// Who asks for the flow.
    pub requester: Requester,
    /// What the operator has set up.
    pub host: HostSettings,
    /// The rows that are there.
    pub state: State,
    /// The tasks that ran before in the same flow.
    pub before: Vec<Before>,
    /// What a revert leaves on purpose.
    pub keep: Vec<Keep>,
    /// What the plugin's requests to the host may depend on, besides its inputs and what the host answers.
    pub varies_with: Vec<Varies>,
    /// What the call should come to.
    pub expect: TaskExpect,
}

/// What the operator has set up.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostSettings {
    /// Where a volume goes when nobody says otherwise; `nova` unless another is named.
    pub default_zone: Option<String>,
    /// Name of the type of volumes for which none is asked.
    pub default_volume_type: Option<String>,
    /// Policy rules by name, beside the built-in ones.
    pub policy: Object,
    /// Collections of records by name, as `[records]` of a `cairn.toml` has them. Without any the program's own are there.
    pub records: Object,
}

/// A task that ran before in the same flow.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// A component's file, or `builtin:NAME`.
    pub plugin: String,
    /// Its settings.
    #[serde(default, deserialize_with = "object")]
    pub settings: Object,
    /// What it is granted; whatever it imports when `None`.
    #[serde(default)]
    pub grants: Option<Object>,
}

/// What a call should come to: its success, unless an error is named.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskExpect {
    /// What the result should hold. Objects may hold more than that.
    #[serde(deserialize_with = "maybe_json")]
    pub result: Option<Value>,
    /// The kind of its error.
    pub error: Option<String>,
}

/// A file of cases, as it is written. What stands beside the cases is for all of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Read before, to know that this is a task's file.
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
    /// The cases of a file.
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

    /// A case without a file, for one call.
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
