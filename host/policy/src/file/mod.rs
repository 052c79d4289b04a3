//! Reads policy files, in JSON or YAML.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use cairn_model::error::Diagnostic;
use cairn_model::value::{Value, without_bom};

use super::{Policy, parse};

mod json;
mod yaml;

#[cfg(test)]
mod tests;

/// Maximum size of a file, which a person writes: a larger one is a mistake.
const MAX_BYTES: usize = 1 << 20;

/// One rule in a file.
struct Entry {
    name: String,
    /// The line of the name, counted from 1, if known.
    line: Option<usize>,
    rule: Value,
}

pub(super) fn policy(text: &str, file: Option<&Path>) -> Result<Policy, Diagnostic> {
    let place = |diagnostic: Diagnostic| match file {
        Some(file) => {
            let line = diagnostic.line;
            diagnostic.at(file, line)
        }
        None => diagnostic,
    };
    let text = without_bom(text);
    read(text, is_json(text, file)).map_err(place)
}

/// Returns whether the file is JSON, by its name, or else by its first character.
fn is_json(text: &str, file: Option<&Path>) -> bool {
    let extension = file.and_then(Path::extension).and_then(OsStr::to_str);
    match extension {
        Some("json") => true,
        Some("yaml" | "yml") => false,
        Some(_) | None => text.trim_start().starts_with('{'),
    }
}

fn read(text: &str, is_json: bool) -> Result<Policy, Diagnostic> {
    if text.len() > MAX_BYTES {
        return Err(Diagnostic::new(format!(
            "the policy is larger than {MAX_BYTES} bytes"
        )));
    }
    let entries = match is_json {
        true => json::entries(text)?,
        false => yaml::entries(text)?,
    };
    let mut rules = BTreeMap::new();
    let mut lines = BTreeMap::new();
    for Entry { name, line, rule } in entries {
        let shown = name.escape_debug();
        if rules.contains_key(&name) {
            return Err(Diagnostic {
                line,
                ..Diagnostic::new(format!("rule `{shown}` stands twice"))
                    .help("take one of them out")
            });
        }
        let rule = parse::rule(&rule).map_err(|error| Diagnostic {
            line,
            ..Diagnostic::new(format!("rule `{shown}` {}", error.message)).help(error.help)
        })?;
        lines.insert(name.clone(), line);
        rules.insert(name, rule);
    }
    let policy = Policy { rules };
    match policy.check_references() {
        Ok(()) => {}
        Err((name, diagnostic)) => {
            let line = lines.get(name).copied().flatten();
            return Err(Diagnostic { line, ..diagnostic });
        }
    }
    Ok(policy)
}
