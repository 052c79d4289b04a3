//! The case of a policy: requester, action and target, and the expected decision.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cairn::{Diagnostic, Object, Value};
use serde::{Deserialize, Deserializer, de};
use toml::value::Datetime;

use super::{Requester, Varies, World};
use crate::document::{check_names, maybe_object, object, read, unsound};

/// A question to a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyCase {
    /// The name of the case, unique in its file.
    pub name: String,
    /// The file that contains it.
    pub file: PathBuf,
    /// The policy's settings.
    pub settings: Object,
    /// The requester of the action.
    pub requester: Requester,
    /// The action, such as `volume:create`.
    pub action: String,
    /// The target of the action. `project_id` and `user_id` default to the requester's.
    pub target: Object,
    /// The time of the policy's clock since 1970; 2025-06-18 08:00 UTC when `None`.
    pub now: Option<Duration>,
    /// Sources besides the question and the settings that the answer may depend on.
    pub varies_with: Vec<Varies>,
    /// The expected answer.
    pub expect: PolicyExpect,
}

/// The expected answer of a policy: allow, unless another is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PolicyExpect {
    /// It allows.
    #[default]
    Allow,
    /// It denies, with this text in the reason.
    Deny(String),
    /// It fails with an error of this kind, which denies.
    Error(String),
}

impl<'de> Deserialize<'de> for PolicyExpect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form =
            r#"write "allow", "deny", { deny = "PART OF THE REASON" } or { error = "KIND" }"#;
        let wrong = || de::Error::custom(format!("this is no answer of a policy: {form}"));
        match Value::deserialize(deserializer)? {
            Value::String(word) if word == "allow" => Ok(Self::Allow),
            Value::String(word) if word == "deny" => Ok(Self::Deny(String::new())),
            Value::Object(mut table) if table.len() == 1 => {
                match (table.remove("deny"), table.remove("error")) {
                    (Some(Value::String(reason)), None) => Ok(Self::Deny(reason)),
                    (None, Some(Value::String(kind))) => Ok(Self::Error(kind)),
                    _ => Err(wrong()),
                }
            }
            _ => Err(wrong()),
        }
    }
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
    requester: Option<Requester>,
    action: Option<String>,
    #[serde(default, deserialize_with = "since_1970")]
    now: Option<Duration>,
    case: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default, deserialize_with = "maybe_object")]
    settings: Option<Object>,
    requester: Option<Requester>,
    action: Option<String>,
    #[serde(default, deserialize_with = "object")]
    target: Object,
    #[serde(default, deserialize_with = "since_1970")]
    now: Option<Duration>,
    #[serde(default)]
    varies_with: Vec<Varies>,
    #[serde(default)]
    expect: PolicyExpect,
}

impl PolicyCase {
    /// Reads the cases of a file.
    pub(super) fn parse(text: &str, file: &Path) -> Result<Vec<Self>, Diagnostic> {
        let parsed: File = read(text, file)?;
        check_names(parsed.case.iter().map(|case| case.name.as_str()), file)?;
        let cases = parsed.case.into_iter().map(|written| {
            let Some(action) = written.action.or_else(|| parsed.action.clone()) else {
                let help = "write `action = \"volume:create\"` or another, in the case or above the first [[case]]";
                return Err(unsound(&written.name, "names no `action`", file).help(help));
            };
            Ok(Self {
                name: written.name,
                file: file.to_owned(),
                settings: written
                    .settings
                    .or_else(|| parsed.settings.clone())
                    .unwrap_or_default(),
                requester: written
                    .requester
                    .or_else(|| parsed.requester.clone())
                    .unwrap_or_default(),
                action,
                target: written.target,
                now: written.now.or(parsed.now),
                varies_with: written.varies_with,
                expect: written.expect,
            })
        });
        cases.collect()
    }
}

/// Reads a TOML date and time with its offset.
fn since_1970<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = Datetime::deserialize(deserializer)?.to_string();
    let wrong = |problem: &str| {
        de::Error::custom(format!(
            "{text} {problem}: write a time such as 2026-01-05T12:00:00Z"
        ))
    };
    let now: jiff::Timestamp = text
        .parse()
        .map_err(|_| wrong("does not say which point in time it is"))?;
    let micros = u64::try_from(now.as_microsecond()).map_err(|_| wrong("is before 1970"))?;
    Ok(Some(Duration::from_micros(micros)))
}
