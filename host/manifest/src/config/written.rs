use std::collections::BTreeMap;
use std::path::Path;

use cairn_model::error::Diagnostic;
use cairn_model::value::{Object, Value};

/// Returns the values in the text of a `cairn.toml` as they are written, by dotted names: `records.greetings.max_keys`. A table counts as a
/// value only if it is empty. `file` names the text in messages.
///
/// # Errors
/// The text is no TOML.
pub fn written(text: &str, file: &Path) -> Result<BTreeMap<String, Value>, Diagnostic> {
    let values: Object =
        toml::from_str(text).map_err(|error| Diagnostic::new(error.message()).at(file, None))?;
    let mut found = BTreeMap::new();
    walk("", values, &mut found);
    Ok(found)
}

fn walk(above: &str, values: Object, found: &mut BTreeMap<String, Value>) {
    for (key, value) in values {
        let name = match above {
            "" => key,
            above => format!("{above}.{key}"),
        };
        match value {
            Value::Object(values) if !values.is_empty() => walk(&name, values, found),
            value => {
                found.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_have_dotted_names_and_empty_tables_are_values() {
        let text = "zone = 'a'\n[records.b]\nmax_keys = 1\ncounters = {}\n[[c]]\nd = 1\n";
        let found = written(text, Path::new("cairn.toml")).unwrap();
        let expected = BTreeMap::from([
            ("zone".to_owned(), json!("a")),
            ("records.b.max_keys".to_owned(), json!(1)),
            ("records.b.counters".to_owned(), json!({})),
            ("c".to_owned(), json!([{"d": 1}])),
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_toml_is_refused_with_its_file() {
        let error = written("zone =", Path::new("etc/cairn.toml")).unwrap_err();
        assert!(error.to_string().contains("etc/cairn.toml"), "{error}");
    }
}
