//! The JSON of a policy file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::{Policy, parse};
use crate::error::Diagnostic;
use crate::value::Value;

/// A file of this kind is written by a person; a larger one is a mistake.
const MAX_BYTES: usize = 1 << 20;

pub(super) fn policy(text: &str, file: Option<&Path>) -> Result<Policy, Diagnostic> {
    let place = |diagnostic: Diagnostic, line: Option<usize>| match file {
        Some(file) => diagnostic.at(file, line),
        None => Diagnostic { line, ..diagnostic },
    };
    if text.len() > MAX_BYTES {
        let diagnostic = Diagnostic::new(format!("the policy is larger than {MAX_BYTES} bytes"));
        return Err(place(diagnostic, None));
    }
    let entries: Entries = serde_json::from_str(text).map_err(|error| {
        let diagnostic = Diagnostic::new(format!("the policy is no JSON object: {error}"))
            .help(r#"write {"volume:create": "role:member", …}"#);
        place(diagnostic, Some(error.line()).filter(|&line| line > 0))
    })?;
    let mut rules = BTreeMap::new();
    for (name, value) in entries.0 {
        if rules.contains_key(&name) {
            let diagnostic =
                Diagnostic::new(format!("rule `{}` stands twice", name.escape_debug()))
                    .help("take one of them out");
            return Err(place(diagnostic, line_of(text, &name, 1)));
        }
        let rule = parse::rule(&value).map_err(|error| {
            let message = format!("rule `{}` {}", name.escape_debug(), error.message);
            place(
                Diagnostic::new(message).help(error.help),
                line_of(text, &name, 0),
            )
        })?;
        rules.insert(name, rule);
    }
    let policy = Policy { rules };
    match policy.check_references() {
        Ok(()) => {}
        Err((name, diagnostic)) => return Err(place(diagnostic, line_of(text, name, 0))),
    }
    Ok(policy)
}

/// The line on which the key `name` stands for the `nth` time, counted from 0; `None` when it is written with escapes.
///
/// A string that a colon follows is a key, and the values of a policy hold no keys.
fn line_of(text: &str, name: &str, nth: usize) -> Option<usize> {
    let quoted = serde_json::to_string(name).ok()?;
    let (at, _) = text
        .match_indices(&quoted)
        .filter(|(at, found)| {
            let after = text.get(at + found.len()..).unwrap_or_default();
            after.trim_start().starts_with(':')
        })
        .nth(nth)?;
    Some(1 + text.get(..at)?.matches('\n').count())
}

/// The entries of a JSON object in their order, also those that repeat a name, which a map would drop.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of rules")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}
