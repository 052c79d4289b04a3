//! Reads and checks the TOML of a file of cases.

use std::collections::BTreeSet;
use std::path::Path;

use cairn::{Diagnostic, Object, Value};
use serde::{Deserialize, Deserializer, de};

/// Reads a TOML document.
pub(crate) fn read<T: de::DeserializeOwned>(text: &str, file: &Path) -> Result<T, Diagnostic> {
    toml::from_str(text).map_err(|error| {
        let line = error
            .span()
            .map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        Diagnostic::new(error.message().trim()).at(file, line)
    })
}

/// Checks that a file has cases, and that each has a name of its own.
///
/// # Errors
/// The first case without a name or with the name of another, or that there is no case.
pub(super) fn check_names<'n>(
    names: impl Iterator<Item = &'n str>,
    file: &Path,
) -> Result<(), Diagnostic> {
    let wrong = |message: String| Err(Diagnostic::new(message).at(file, None));
    let mut known = BTreeSet::new();
    for name in names {
        if name.trim().is_empty() {
            return wrong("a case has no name".to_owned());
        }
        if !known.insert(name) {
            return wrong(format!("two cases are called `{name}`"));
        }
    }
    match known.is_empty() {
        true => wrong("there is no [[case]]".to_owned()),
        false => Ok(()),
    }
}

/// Makes the error of a case that contradicts itself or is incomplete.
pub(super) fn unsound(name: &str, problem: &str, file: &Path) -> Diagnostic {
    Diagnostic::new(format!("case `{name}` {problem}")).at(file, None)
}

// ---- JSON in TOML, which has no null: a string that contains JSON text is accepted too -----------------------------------

pub(super) fn json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => cairn::value::parse(&text)
            .map_err(|error| de::Error::custom(format!("a string here is JSON text: {error}"))),
        value => Ok(value),
    }
}

pub(super) fn maybe_json<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Value>, D::Error> {
    json(deserializer).map(Some)
}

pub(super) fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
    match json(deserializer)? {
        Value::Object(object) => Ok(object),
        _ => Err(de::Error::custom(
            "expected a table, or the text of a JSON object",
        )),
    }
}

pub(super) fn maybe_object<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Object>, D::Error> {
    object(deserializer).map(Some)
}
