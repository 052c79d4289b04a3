//! The case of an external: the object that it is asked to make, and the expected outcome.

use std::path::{Path, PathBuf};

use cairn::{Diagnostic, Object, Value};
use serde::Deserialize;

use super::{HostSettings, TaskExpect, World};
use crate::document::{check_names, json, maybe_object, read, unsound};

/// An object that an external is asked to make. Its backend must be there: cases run against it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalCase {
    /// The name of the case, unique in its file.
    pub name: String,
    /// The file that contains it.
    pub file: PathBuf,
    /// The external's settings.
    pub settings: Object,
    /// Its grants, as in a manifest; `None` grants all of its imports.
    pub grants: Option<Object>,
    /// The operator's settings, of which secrets matter.
    pub host: HostSettings,
    /// The kind of the object.
    pub kind: String,
    /// What a task asks for.
    pub spec: Value,
    /// The expected outcome. An error must be a refusal.
    pub expect: TaskExpect,
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
    #[serde(default, deserialize_with = "maybe_object")]
    grants: Option<Object>,
    host: Option<HostSettings>,
    kind: Option<String>,
    case: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default, deserialize_with = "maybe_object")]
    settings: Option<Object>,
    #[serde(default, deserialize_with = "maybe_object")]
    grants: Option<Object>,
    host: Option<HostSettings>,
    kind: Option<String>,
    #[serde(default, deserialize_with = "json")]
    spec: Value,
    #[serde(default)]
    expect: TaskExpect,
}

impl ExternalCase {
    /// Reads the cases of a file.
    pub(super) fn parse(text: &str, file: &Path) -> Result<Vec<Self>, Diagnostic> {
        let parsed: File = read(text, file)?;
        check_names(parsed.case.iter().map(|case| case.name.as_str()), file)?;
        let cases = parsed.case.into_iter().map(|written| {
            let Some(kind) = written.kind.or_else(|| parsed.kind.clone()) else {
                let help =
                    "write `kind = \"record\"` or another, in the case or above the first [[case]]";
                return Err(unsound(&written.name, "names no `kind`", file).help(help));
            };
            let expect = written.expect;
            if expect.error.is_some() && expect.result.is_some() {
                return Err(unsound(
                    &written.name,
                    "expects a result and an error",
                    file,
                ));
            }
            Ok(Self {
                name: written.name,
                file: file.to_owned(),
                settings: written
                    .settings
                    .or_else(|| parsed.settings.clone())
                    .unwrap_or_default(),
                grants: written.grants.or_else(|| parsed.grants.clone()),
                host: written
                    .host
                    .or_else(|| parsed.host.clone())
                    .unwrap_or_default(),
                kind,
                spec: written.spec,
                expect,
            })
        });
        cases.collect()
    }
}
