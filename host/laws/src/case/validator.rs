//! The case of a validator: a request and its expected violations.

use std::path::{Path, PathBuf};

use cairn::{Diagnostic, Object};
use serde::Deserialize;

use super::World;
use crate::document::{check_names, maybe_object, object, read, unsound};

/// A question to a validator.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatorCase {
    /// The name of the case, unique in its file.
    pub name: String,
    /// The file that contains it.
    pub file: PathBuf,
    /// The validator's settings.
    pub settings: Object,
    /// The request to be validated.
    pub inputs: Object,
    /// The expected answer.
    pub expect: ValidatorExpect,
}

/// The expected answer of a validator: no violations, unless some are named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidatorExpect {
    /// All violations, in order.
    pub violations: Vec<ExpectedViolation>,
    /// The kind of its error.
    pub error: Option<String>,
}

/// An expected violation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedViolation {
    /// Its pointer.
    pub pointer: String,
    /// Its kind.
    pub kind: String,
    /// Part of its message.
    #[serde(default)]
    pub message: String,
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
    case: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default, deserialize_with = "maybe_object")]
    settings: Option<Object>,
    #[serde(default, deserialize_with = "object")]
    inputs: Object,
    #[serde(default)]
    expect: ValidatorExpect,
}

impl ValidatorCase {
    /// Reads the cases of a file.
    pub(super) fn parse(text: &str, file: &Path) -> Result<Vec<Self>, Diagnostic> {
        let parsed: File = read(text, file)?;
        check_names(parsed.case.iter().map(|case| case.name.as_str()), file)?;
        let cases = parsed.case.into_iter().map(|written| {
            let expect = written.expect;
            if expect.error.is_some() && !expect.violations.is_empty() {
                let problem = "expects violations and an error";
                return Err(unsound(&written.name, problem, file));
            }
            Ok(Self {
                name: written.name,
                file: file.to_owned(),
                settings: written
                    .settings
                    .or_else(|| parsed.settings.clone())
                    .unwrap_or_default(),
                inputs: written.inputs,
                expect,
            })
        });
        cases.collect()
    }
}
