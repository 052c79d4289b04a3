//! Cases: what a plugin is called with, in which state of the database, and what should come of it.

use std::path::{Path, PathBuf};

use cairn::error::Diagnostic;
use cairn::id::Identity;
use cairn::value::{Object, Value};
use serde::{Deserialize, Deserializer, de};

use crate::compare::Keep;
use crate::state::State;

/// One `[[case]]` of a file in a plugin's folder `cases`.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
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
    pub expect: Expect,
}

/// Who asks for the flow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Requester {
    /// User's id; `demo` unless another is named.
    pub user: String,
    /// Project's id; `demo` unless another is named.
    pub project: String,
    /// Roles.
    pub roles: Vec<String>,
    /// Whether it is an admin.
    pub admin: bool,
    /// The quota class whose limits apply.
    pub quota_class: Option<String>,
}

impl Default for Requester {
    fn default() -> Self {
        Self {
            user: "demo".to_owned(),
            project: "demo".to_owned(),
            roles: Vec::new(),
            admin: false,
            quota_class: None,
        }
    }
}

impl From<&Identity> for Requester {
    fn from(identity: &Identity) -> Self {
        Self {
            user: identity.user_id.clone(),
            project: identity.project_id.clone(),
            roles: identity.roles.clone(),
            admin: identity.is_admin,
            quota_class: identity.quota_class.clone(),
        }
    }
}

impl Requester {
    pub(crate) fn identity(&self) -> Identity {
        let identity = Identity {
            request_id: "req-case".to_owned(),
            roles: self.roles.clone(),
            quota_class: self.quota_class.clone(),
            ..Identity::new(&self.user, &self.project)
        };
        if self.admin {
            identity.into_admin()
        } else {
            identity
        }
    }
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

/// What may be different each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Varies {
    /// What the clock says.
    Clock,
    /// Random numbers.
    Randomness,
}

/// What a call should come to: its success, unless an error is named.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
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
    expect: Expect,
}

impl Case {
    /// Reads the text of a file of cases. `file` names it in messages, and is where relative paths in it start.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line: text that is no TOML, a key that nobody knows, a value of a wrong type, two
    /// cases of one name, no case at all.
    pub fn parse(text: &str, file: &Path) -> Result<Vec<Self>, Diagnostic> {
        let parsed: File = read(text, file)?;
        let wrong = |message: String| Err(Diagnostic::new(message).at(file, None));
        if parsed.case.is_empty() {
            return wrong("there is no [[case]]".to_owned());
        }
        let mut cases = Vec::<Self>::new();
        for written in parsed.case {
            let name = written.name;
            if name.trim().is_empty() {
                return wrong("a case has no name".to_owned());
            }
            if cases.iter().any(|case| case.name == name) {
                return wrong(format!("two cases are called `{name}`"));
            }
            if written.expect.error.is_some() && written.expect.result.is_some() {
                return wrong(format!("case `{name}` expects a result and an error"));
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
            expect: Expect::default(),
        }
    }
}

/// A TOML document.
pub(crate) fn read<T: de::DeserializeOwned>(text: &str, file: &Path) -> Result<T, Diagnostic> {
    toml::from_str(text).map_err(|error| {
        let line = error
            .span()
            .map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        Diagnostic::new(error.message().trim()).at(file, line)
    })
}

// ---- JSON in TOML, which has no null: a string that holds the JSON text is taken too ------------------------------------

fn json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => cairn::value::parse(&text)
            .map_err(|error| de::Error::custom(format!("a string here is JSON text: {error}"))),
        value => Ok(value),
    }
}

fn maybe_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    json(deserializer).map(Some)
}

fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
    match json(deserializer)? {
        Value::Object(object) => Ok(object),
        _ => Err(de::Error::custom(
            "expected a table, or the text of a JSON object",
        )),
    }
}

fn maybe_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Object>, D::Error> {
    object(deserializer).map(Some)
}
