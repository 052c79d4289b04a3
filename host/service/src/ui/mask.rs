//! Masks the values of settings that a plugin's schema marks as secret.
//!
//! A schema marks a value with `writeOnly`, with the format `password`, or with `x-secret`. Of a plugin whose schema is not known, and where a
//! schema says nothing about a value, only the shape of the settings is shown.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use cairn::value::Digest;
use cairn::{Object, Value};
use parking_lot::Mutex;

use crate::app::App;
use crate::readers::blocking;

/// The schemas of settings, by the digests of their components.
pub(crate) type Schemas = BTreeMap<Digest, Value>;

/// What stands for a masked value.
const MASK: &str = "•••";

/// How deep a schema is followed. One that goes deeper masks what is below.
const DEPTH: usize = 64;

/// How many schemas are remembered.
const MOST: usize = 1_000;

/// Schemas that components have returned. A digest has one schema for ever.
static KNOWN: LazyLock<Mutex<Schemas>> = LazyLock::new(Mutex::default);

/// Returns the schemas of these components; those that cannot be had are left out.
pub(super) async fn schemas(app: &Arc<App>, digests: impl IntoIterator<Item = Digest>) -> Schemas {
    let mut schemas = Schemas::default();
    for digest in digests {
        let known = KNOWN.lock().get(&digest).cloned();
        if let Some(schema) = known {
            schemas.insert(digest, schema);
            continue;
        }
        let Ok(host) = app.host().cloned() else {
            continue;
        };
        match blocking(move || Ok(host.settings_schema(digest)?)).await {
            Ok(schema) => {
                let mut known = KNOWN.lock();
                if known.len() >= MOST {
                    known.clear();
                }
                known.insert(digest, schema.clone());
                schemas.insert(digest, schema);
            }
            Err(error) => {
                tracing::debug!(%digest, detail = error.problem.detail, "a settings schema is not known");
            }
        }
    }
    schemas
}

/// Returns settings as a page shows them.
pub(super) fn settings(settings: &Object, schema: Option<&Value>) -> Value {
    let settings = settings
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    let settings = Value::Object(settings.collect());
    match schema {
        None => masked(&settings),
        Some(root) => {
            let masking = Masking {
                root,
                shows_unknown: false,
            };
            masking.value(&settings, &[root], DEPTH)
        }
    }
}

/// Masks the value of a record where the schema of its collection marks a secret; what the schema says nothing about is shown.
pub(super) fn record(row: &mut Object, schema: &Value) {
    let masking = Masking {
        root: schema,
        shows_unknown: true,
    };
    for name in ["value", "held"] {
        if let Some(value) = row.get_mut(name) {
            *value = match (name, &*value) {
                // A flow that holds the record, with the value that it has put.
                ("held", Value::Object(held)) => {
                    let mut held = held.clone();
                    if let Some(pending) = held.get_mut("value") {
                        *pending = masking.value(pending, &[schema], DEPTH);
                    }
                    held.into()
                }
                ("held", other) => other.clone(),
                (_, value) => masking.value(value, &[schema], DEPTH),
            };
        }
    }
}

/// Masks every value, and keeps the names.
fn masked(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), masked(value)))
            .collect::<Object>()
            .into(),
        Value::Array(_) | Value::String(_) | Value::Number(_) | Value::Bool(_) => MASK.into(),
        Value::Null => Value::Null,
    }
}

struct Masking<'s> {
    root: &'s Value,
    /// Whether a value is shown about which no schema says anything.
    shows_unknown: bool,
}

impl<'s> Masking<'s> {
    /// Masks a value that all of these schemas are about.
    fn value(&self, value: &Value, schemas: &[&'s Value], depth: usize) -> Value {
        let mut all = Vec::new();
        for schema in schemas {
            self.collect(schema, &mut all, DEPTH);
        }
        if all.is_empty() && self.shows_unknown {
            return value.clone();
        }
        if depth == 0 || all.is_empty() || all.iter().any(|schema| is_secret(schema)) {
            return masked(value);
        }
        match value {
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| {
                    let schemas = members_of(&all, name);
                    (name.clone(), self.value(value, &schemas, depth - 1))
                })
                .collect::<Object>()
                .into(),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(at, item)| self.value(item, &items_of(&all, at), depth - 1))
                .collect::<Vec<_>>()
                .into(),
            plain => plain.clone(),
        }
    }

    /// Collects the schemas that a schema consists of: those that it refers to, and its alternatives.
    fn collect(&self, schema: &'s Value, all: &mut Vec<&'s Value>, depth: usize) {
        let Some(members) = schema.as_object().filter(|_| depth > 0) else {
            return;
        };
        if all.iter().any(|known| std::ptr::eq(*known, schema)) {
            return;
        }
        all.push(schema);
        let reference = members.get("$ref").and_then(Value::as_str);
        let target = reference
            .and_then(|reference| reference.strip_prefix('#'))
            .and_then(|pointer| self.root.pointer(pointer));
        if let Some(target) = target {
            self.collect(target, all, depth - 1);
        }
        for key in ["allOf", "anyOf", "oneOf"] {
            for part in members
                .get(key)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                self.collect(part, all, depth - 1);
            }
        }
        for key in ["if", "then", "else"] {
            if let Some(part) = members.get(key) {
                self.collect(part, all, depth - 1);
            }
        }
        let dependent = members.get("dependentSchemas").and_then(Value::as_object);
        for part in dependent.into_iter().flat_map(|parts| parts.values()) {
            self.collect(part, all, depth - 1);
        }
    }
}

fn is_secret(schema: &Value) -> bool {
    let is_true = |key: &str| schema.get(key) == Some(&Value::Bool(true));
    is_true("writeOnly")
        || is_true("x-secret")
        || schema.get("format").and_then(Value::as_str) == Some("password")
}

/// Returns the schemas of a member. One without a schema of its own has those of the others.
fn members_of<'s>(schemas: &[&'s Value], name: &str) -> Vec<&'s Value> {
    let mut found = Vec::new();
    for schema in schemas {
        let own = schema.get("properties").and_then(|all| all.get(name));
        found.extend(own);
        // A name may match any pattern: matching it would take an engine for regular expressions, so all count.
        let patterns = schema.get("patternProperties").and_then(Value::as_object);
        found.extend(patterns.into_iter().flat_map(|patterns| patterns.values()));
        found.extend(schema.get("additionalProperties"));
        found.extend(schema.get("unevaluatedProperties"));
    }
    found
}

fn items_of<'s>(schemas: &[&'s Value], at: usize) -> Vec<&'s Value> {
    let mut found = Vec::new();
    for schema in schemas {
        match schema.get("items") {
            Some(Value::Array(items)) => found.extend(items.get(at)),
            Some(items) => found.push(items),
            None => {}
        }
        found.extend(schema.get("prefixItems").and_then(|items| items.get(at)));
        found.extend(schema.get("contains"));
        found.extend(schema.get("additionalItems"));
        found.extend(schema.get("unevaluatedItems"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(schema: Value, given: Value, shown: Value) {
        let given = given.as_object().cloned().unwrap();
        assert_eq!(settings(&given, Some(&schema)), shown);
    }

    #[test]
    fn each_mark_of_a_secret_masks_it() {
        for mark in [
            json!({"writeOnly": true}),
            json!({"format": "password"}),
            json!({"x-secret": true}),
        ] {
            check(
                json!({"properties": {"a": mark, "b": {"type": "string"}}}),
                json!({"a": "s", "b": "t"}),
                json!({"a": MASK, "b": "t"}),
            );
        }
    }

    #[test]
    fn a_secret_is_found_behind_references_and_in_lists() {
        let schema = json!({
            "properties": {
                "servers": {"type": "array", "items": {"$ref": "#/$defs/server"}},
                "other": {"anyOf": [{"$ref": "#/$defs/secret"}, {"type": "null"}]},
            },
            "$defs": {
                "server": {"properties": {"url": {"type": "string"}, "key": {"$ref": "#/$defs/secret"}}},
                "secret": {"type": "string", "format": "password"},
            },
        });
        check(
            schema,
            json!({"servers": [{"url": "u", "key": "k"}], "other": "o"}),
            json!({"servers": [{"url": "u", "key": MASK}], "other": MASK}),
        );
    }

    #[test]
    fn what_the_schema_does_not_know_is_masked() {
        check(
            json!({}),
            json!({"a": {"b": [1]}, "c": null}),
            json!({"a": {"b": MASK}, "c": null}),
        );
        check(
            json!({"additionalProperties": {"writeOnly": true}}),
            json!({"a": 1}),
            json!({"a": MASK}),
        );
    }

    #[test]
    fn a_record_is_shown_but_for_its_secrets() {
        let schema = json!({"properties": {"key": {"writeOnly": true}}});
        let mut row = json!({"key": "k", "value": {"key": "s", "other": 1}, "held": {"flow": "f", "value": {"key": "t"}}});
        let Value::Object(row) = &mut row else {
            panic!("an object")
        };
        record(row, &schema);
        assert_eq!(row["value"], json!({"key": MASK, "other": 1}));
        assert_eq!(row["held"], json!({"flow": "f", "value": {"key": MASK}}));
        assert_eq!(row["key"], "k");
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"$ref": "#", "properties": {"a": {"$ref": "#"}}});
        check(
            schema,
            json!({"a": {"a": {"a": 1}}}),
            json!({"a": {"a": {"a": 1}}}),
        );
    }
}
