//! Validates settings against the JSON schema of their plugin.
//!
//! The schema comes from the plugin, so it is not trusted: its size is checked before it is compiled, its patterns run on a
//! regex engine with linear time, and it can refer only to itself.

use std::collections::HashMap;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError};

use cairn_model::value::{Object, Value};

/// Maximum number of nodes of a schema with every `$ref` replaced by its target.
const MAX_NODES: u64 = 100_000;
/// Maximum depth, counted the same way.
const MAX_DEPTH: u64 = 200;
/// Maximum compiled size of one pattern, in bytes.
const MAX_PATTERN: usize = 1 << 20;
/// Maximum number of reported violations: a person fixes a few at a time.
const MAX_VIOLATIONS: usize = 8;

/// One violation of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaViolation {
    /// An RFC 6901 JSON pointer into the settings; empty for the settings as a whole.
    pub pointer: String,
    /// The problem.
    pub message: String,
    /// The fix, such as "remove `x`", if the schema implies one.
    pub fix: Option<String>,
}

/// Why settings are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The schema cannot be used; a defect of the plugin.
    #[error("the settings schema cannot be used: {0}")]
    Schema(String),
    /// The settings violate the schema; one to eight violations.
    #[error("{}", sentence(.0))]
    Settings(Vec<SchemaViolation>),
}

fn sentence(violations: &[SchemaViolation]) -> String {
    let each = violations
        .iter()
        .map(|violation| match violation.pointer.as_str() {
            "" => violation.message.clone(),
            pointer => format!("`{pointer}`: {}", violation.message),
        });
    each.collect::<Vec<_>>().join("; ")
}

/// Validates a plugin's settings against its schema.
///
/// The host does so before it passes the settings to `plugin.describe`. Defaults in the schema are not filled in.
///
/// # Errors
/// [`SettingsError::Schema`] when the schema is invalid, refers to another document or to itself, or is too large;
/// [`SettingsError::Settings`] with the violations.
pub fn check_settings(settings: &Object, schema: &Value) -> Result<(), SettingsError> {
    let schema = Schema::compile(schema).map_err(SettingsError::Schema)?;
    let violations = schema.check(&Value::Object(settings.clone()));
    if violations.is_empty() {
        Ok(())
    } else {
        Err(SettingsError::Settings(violations))
    }
}

/// A compiled JSON schema, for many values.
#[derive(Debug)]
pub struct Schema(jsonschema::Validator);

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// The rest of a sentence that begins "the schema cannot be used:": it is invalid, refers to another document or to itself,
    /// or is too large.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        measure(schema)?;
        jsonschema::options()
            .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN))
            .build(schema)
            .map(Self)
            .map_err(|error| plain(&error.to_string()))
    }

    /// Validates a value: returns at most eight violations, none if it is valid.
    pub fn check(&self, value: &Value) -> Vec<SchemaViolation> {
        let errors = self.0.iter_errors(value).take(MAX_VIOLATIONS);
        errors.map(|error| violation(&error)).collect()
    }
}

fn violation(error: &ValidationError<'_>) -> SchemaViolation {
    let fix = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            Some(format!("remove {}", super::missing::quoted(unexpected)))
        }
        ValidationErrorKind::Required { property } => property
            .as_str()
            .map(|name| format!("add `{}`", plain(name))),
        _ => None,
    };
    SchemaViolation {
        pointer: plain(&error.instance_path().to_string()),
        message: plain(&error.to_string()),
        fix,
    }
}

/// Makes text that a plugin influences fit for a terminal: short, and without control characters.
fn plain(text: &str) -> String {
    const MAX: usize = 300;
    let mut plain: String = text
        .chars()
        .take(MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(MAX).is_some() {
        plain.push('…');
    }
    plain
}

/// Refuses a schema that would need too much time or stack to compile or to validate against.
fn measure(schema: &Value) -> Result<(), String> {
    if !schema.is_object() && !schema.is_boolean() {
        return Err("it is neither an object nor a boolean".to_owned());
    }
    // Draft 4's keyword `id` changes the meaning of a `$ref`, and is a likely name for something else.
    if schema["$schema"]
        .as_str()
        .is_some_and(|uri| uri.contains("draft-04"))
    {
        return Err("it is of draft 4; drafts 6 to 2020-12 are supported".to_owned());
    }
    let mut measuring = Measuring {
        root: schema,
        known: HashMap::new(),
    };
    measuring.extent(schema, 0).map(drop)
}

/// The size of a schema with its references replaced.
#[derive(Clone, Copy)]
struct Extent {
    nodes: u64,
    depth: u64,
}

struct Measuring<'s> {
    root: &'s Value,
    /// By the address of a node in `root`; `None` while it is being measured, to detect cycles.
    known: HashMap<*const Value, Option<Extent>>,
}

impl<'s> Measuring<'s> {
    fn extent(&mut self, node: &'s Value, level: u64) -> Result<Extent, String> {
        match self.known.get(&std::ptr::from_ref(node)) {
            Some(Some(extent)) => return Ok(*extent),
            Some(None) => return Err("it refers to itself".to_owned()),
            None => {}
        }
        // Bounds the recursion here; the sums below bound it for code that follows every reference again.
        if level > MAX_DEPTH {
            return Err(format!("it is more than {MAX_DEPTH} levels deep"));
        }
        self.known.insert(node, None);
        let mut extent = Extent { nodes: 1, depth: 1 };
        for child in self.children(node)? {
            let child = self.extent(child, level + 1)?;
            extent.nodes = extent.nodes.saturating_add(child.nodes);
            extent.depth = extent.depth.max(child.depth + 1);
        }
        if extent.nodes > MAX_NODES {
            return Err(format!(
                "it has more than {MAX_NODES} nodes, references replaced"
            ));
        }
        if extent.depth > MAX_DEPTH {
            return Err(format!(
                "it is more than {MAX_DEPTH} levels deep, references replaced"
            ));
        }
        self.known.insert(node, Some(extent));
        Ok(extent)
    }

    /// Returns the children of a node, and the target of its reference.
    fn children(&self, node: &'s Value) -> Result<Vec<&'s Value>, String> {
        let object = match node {
            Value::Array(values) => return Ok(values.iter().collect()),
            Value::Object(object) => object,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Ok(vec![]);
            }
        };
        let mut children: Vec<_> = object.values().collect();
        for (key, value) in object {
            // A property with the name of a keyword has a schema as its value, never a string.
            let Some(text) = value.as_str() else { continue };
            match key.as_str() {
                "$ref" => children.push(self.target(text)?),
                "$dynamicRef" | "$recursiveRef" => {
                    return Err(format!("`{key}` is not supported"));
                }
                // Each would change the meaning of a `$ref` below it. At the root they change nothing.
                "$id" | "$schema" if !std::ptr::eq(node, self.root) => {
                    return Err(format!("`{key}` is supported at the root only"));
                }
                _ => {}
            }
        }
        Ok(children)
    }

    fn target(&self, reference: &str) -> Result<&'s Value, String> {
        let pointer = reference
            .strip_prefix('#')
            // Implementations differ in decoding percent signs.
            .filter(|pointer| !pointer.contains('%'))
            .ok_or_else(|| unsupported(reference))?;
        self.root
            .pointer(pointer)
            .ok_or_else(|| unsupported(reference))
    }
}

fn unsupported(reference: &str) -> String {
    let reference = plain(reference);
    format!("`$ref` must name a part of the same schema, such as `#/$defs/name`, not `{reference}`")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: Value, settings: Value) -> Result<(), String> {
        let settings = settings.as_object().expect("an object").clone();
        check_settings(&settings, &schema).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn unusable(schema: Value, reason: &str) {
        let error = check(schema, json!({})).unwrap_err();
        assert!(
            error.starts_with("the settings schema cannot be used: "),
            "{error}"
        );
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn anything_fits_the_empty_schema() {
        for schema in [json!({}), json!(true)] {
            check(schema, json!({"a": [1, null, {"b": "c"}]})).unwrap();
        }
    }

    #[test]
    fn every_violation_is_named_with_its_place() {
        let schema = json!({
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/$defs/names"}},
            "additionalProperties": false,
            "required": ["z"],
            "$defs": {"names": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}}},
        });
        check(schema.clone(), json!({"a": 1, "b": ["x"], "z": 0})).unwrap_err();
        let error = check(schema, json!({"a": "x", "b": ["x", "Y"]})).unwrap_err();
        for part in [
            "`/a`: \"x\" is not of type \"integer\"",
            "`/b/1`: \"Y\" does not match",
            "\"z\" is a required property",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_fix_is_named_where_the_schema_tells_it() {
        let schema = json!({"properties": {}, "additionalProperties": false, "required": ["z"]});
        let settings = json!({"a": 1, "b": 2});
        let Err(SettingsError::Settings(violations)) =
            check_settings(settings.as_object().unwrap(), &schema)
        else {
            panic!("refused")
        };
        let mut fixes: Vec<_> = violations.into_iter().filter_map(|one| one.fix).collect();
        fixes.sort();
        assert_eq!(fixes, ["add `z`", "remove `a` and `b`"]);
    }

    #[test]
    fn a_schema_that_is_none_is_refused() {
        unusable(json!("text"), "neither an object nor a boolean");
        unusable(json!({"type": "nonsense"}), "nonsense");
        unusable(
            json!({"$schema": "http://json-schema.org/draft-04/schema#"}),
            "draft 4",
        );
        unusable(json!({"$schema": "http://example.com/mine"}), "example.com");
        unusable(json!({"properties": {"a": {"pattern": "("}}}), "(");
        // Look-around would need an engine that can take exponential time.
        unusable(
            json!({"properties": {"a": {"pattern": "^(?=a)b"}}}),
            "regex",
        );
    }

    #[test]
    fn a_schema_refers_to_nothing_but_its_own_parts() {
        for reference in [
            "http://example.com/x",
            "file:///etc/passwd",
            "#/nowhere",
            "#anchor",
            "#/a%2fb",
        ] {
            unusable(
                json!({"$ref": reference}),
                "must name a part of the same schema",
            );
        }
        unusable(
            json!({"$dynamicRef": "#x"}),
            "`$dynamicRef` is not supported",
        );
        unusable(
            json!({"properties": {"a": {"$id": "x"}}}),
            "at the root only",
        );
        check(json!({"$id": "https://example.com/x", "properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {}}}), json!({"a": 1})).unwrap();
        // Properties may have any name.
        check(
            json!({"properties": {"$ref": {"type": "string"}, "$id": {}, "id": {}}}),
            json!({"$ref": "x"}),
        )
        .unwrap();
    }

    #[test]
    fn a_schema_that_refers_to_itself_is_refused() {
        unusable(json!({"$ref": "#"}), "refers to itself");
        unusable(
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
            "refers to itself",
        );
    }

    #[test]
    fn a_small_schema_that_unfolds_into_a_large_one_is_refused() {
        let doubling = |levels: usize, twice: bool| {
            let mut defs = Object::new();
            defs.insert("d00000".into(), json!({}));
            for level in 1..levels {
                let next = json!({"$ref": format!("#/$defs/d{:05}", level - 1)});
                let all = if twice {
                    json!([next, next])
                } else {
                    json!([next])
                };
                defs.insert(format!("d{level:05}"), json!({ "allOf": all }));
            }
            json!({"$ref": format!("#/$defs/d{:05}", levels - 1), "$defs": defs})
        };
        unusable(doubling(40, true), "nodes");
        unusable(doubling(2000, false), "levels deep");
        // The maximum depth, to show that the stack suffices.
        check(doubling(60, false), json!({})).unwrap();
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_stack_overflow() {
        let mut schema = json!({});
        for _ in 0..1000 {
            schema = json!({ "not": schema });
        }
        unusable(schema, "levels deep");
    }

    #[test]
    fn messages_are_short_and_hold_no_control_characters() {
        let schema =
            json!({"properties": {"a": {"const": format!("\u{9b}{}", "x".repeat(10_000))}}});
        let error = check(schema, json!({"a": 1})).unwrap_err();
        assert!(
            error.len() < 1000 && !error.chars().any(char::is_control),
            "{error}"
        );
    }
}
