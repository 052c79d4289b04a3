//! Reads policies in JSON.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use cairn_model::error::Diagnostic;
use cairn_model::value::Value;

use super::Entry;

pub(super) fn entries(text: &str) -> Result<Vec<Entry>, Diagnostic> {
    let entries: Entries = serde_json::from_str(text).map_err(|error| {
        let diagnostic = Diagnostic::new(format!("the policy is no JSON object: {error}"))
            .help(r#"write {"volume:create": "role:member", …}"#);
        Diagnostic {
            line: Some(error.line()).filter(|&line| line > 0),
            ..diagnostic
        }
    })?;
    let mut lines = Lines::of(text);
    let entries = entries.0.into_iter().map(|(name, rule)| Entry {
        line: lines.next(&name),
        name,
        rule,
    });
    Ok(entries.collect())
}

/// The line numbers of the keys of a JSON text.
///
/// A string before a colon is a key; the rules of a valid policy contain no objects, and so no keys.
struct Lines(HashMap<String, std::vec::IntoIter<usize>>);

impl Lines {
    fn of(text: &str) -> Self {
        let mut lines: HashMap<String, Vec<usize>> = HashMap::new();
        let mut line = 1;
        let mut rest = text;
        while let Some(start) = rest.find('"') {
            let (before, string) = rest.split_at(start);
            line += newlines(before);
            let mut values = serde_json::Deserializer::from_str(string).into_iter::<String>();
            let Some(Ok(name)) = values.next() else {
                break;
            };
            let (string, after) = string.split_at(values.byte_offset());
            if after.trim_start().starts_with(':') {
                lines.entry(name).or_default().push(line);
            }
            line += newlines(string);
            rest = after;
        }
        let lines = lines.into_iter();
        Self(lines.map(|(name, at)| (name, at.into_iter())).collect())
    }

    /// Returns the line of the next key of this name.
    fn next(&mut self, name: &str) -> Option<usize> {
        self.0.get_mut(name)?.next()
    }
}

fn newlines(text: &str) -> usize {
    text.matches('\n').count()
}

/// The entries of a JSON object in order. Keeps entries that repeat a name, which a map would drop.
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
