//! Compares two JSON schemas, and decides whether the new one may refuse settings that the old one accepts.
//!
//! This cannot be decided for every schema, so the comparison is conservative: a new or changed rule counts as one that may
//! refuse, unless it is clearly looser.

use std::collections::BTreeSet;

use cairn_model::value::{Object, Value};

use super::{Part, PluginChange};

/// The kind of a JSON value in a schema.
#[derive(Clone, Copy)]
enum Place {
    /// A schema, whose keys are keywords.
    Schema,
    /// Schemas by property names.
    Properties,
    /// Schemas by names that only the schema itself refers to.
    Definitions,
}

pub(super) fn changes(changes: &mut Vec<PluginChange>, old: &Value, new: &Value) {
    compare(changes, "", Place::Schema, old, new);
}

// The recursion is bounded: documents from plugins are parsed with a depth limit.
fn compare(changes: &mut Vec<PluginChange>, path: &str, place: Place, old: &Value, new: &Value) {
    match (old, new) {
        (old, new) if old == new => {}
        (Value::Object(old), Value::Object(new)) => objects(changes, path, place, old, new),
        _ => {
            let takes_anything =
                *new == Value::Bool(true) || new.as_object().is_some_and(Object::is_empty);
            let widens = (!takes_anything).then_some(STRICTER);
            push(changes, path, Some(old), Some(new), widens);
        }
    }
}

const STRICTER: &str = "settings that were right may be refused";

fn objects(changes: &mut Vec<PluginChange>, path: &str, place: Place, old: &Object, new: &Object) {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for key in keys {
        let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
        let (old, new) = (old.get(key), new.get(key));
        if old == new {
            continue;
        }
        match (place, old, new) {
            (Place::Schema, _, _) => keyword(changes, &path, key, old, new),
            (Place::Properties | Place::Definitions, Some(old), Some(new)) => {
                compare(changes, &path, Place::Schema, old, new);
            }
            (Place::Properties, Some(_), None) => {
                push(
                    changes,
                    &path,
                    old,
                    None,
                    Some("this setting is not known any more"),
                );
            }
            (Place::Properties | Place::Definitions, _, _) => push(changes, &path, old, new, None),
        }
    }
}

fn keyword(
    changes: &mut Vec<PluginChange>,
    path: &str,
    key: &str,
    old: Option<&Value>,
    new: Option<&Value>,
) {
    match (key, old, new) {
        ("required", _, _) => names(changes, path, old, new, |is_new| {
            is_new.then_some("this setting may not be left out any more")
        }),
        ("enum", Some(_), Some(_)) => names(changes, path, old, new, |is_new| {
            (!is_new).then_some("this value is not taken any more")
        }),
        ("properties", _, _) => {
            let nothing = Value::Object(Object::new());
            let (old, new) = (old.unwrap_or(&nothing), new.unwrap_or(&nothing));
            compare(changes, path, Place::Properties, old, new);
        }
        ("$defs" | "definitions", _, _) => {
            let nothing = Value::Object(Object::new());
            let (old, new) = (old.unwrap_or(&nothing), new.unwrap_or(&nothing));
            compare(changes, path, Place::Definitions, old, new);
        }
        // Values must satisfy these subschemas, so they are compared recursively. `not` and `if` invert, and items of a list of
        // schemas cannot be matched up.
        (
            "additionalProperties" | "contains" | "else" | "items" | "propertyNames" | "then",
            Some(old @ Value::Object(_)),
            Some(new @ Value::Object(_)),
        ) => compare(changes, path, Place::Schema, old, new),
        _ => {
            let widens = (!is_looser(key, old, new)).then_some(STRICTER);
            push(changes, path, old, new, widens);
        }
    }
}

/// Returns whether a changed keyword accepts at least what it accepted before.
fn is_looser(key: &str, old: Option<&Value>, new: Option<&Value>) -> bool {
    let numbers = || Some((old?.as_f64()?, new?.as_f64()?));
    match key {
        // Annotations, without effect on validation.
        "$schema" | "$id" | "$comment" | "title" | "description" | "default" | "examples"
        | "deprecated" | "readOnly" | "writeOnly" => true,
        // Without these, keywords beside them change their meaning.
        "if" | "patternProperties" => false,
        _ if new.is_none() => true,
        "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties" => {
            numbers().is_some_and(|(old, new)| new >= old)
        }
        "minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties" => {
            numbers().is_some_and(|(old, new)| new <= old)
        }
        "additionalProperties" => new.is_some_and(|new| *new == Value::Bool(true)),
        "uniqueItems" => new.is_some_and(|new| *new == Value::Bool(false)),
        "type" => match (old, new) {
            (Some(old), Some(new)) => types(old).is_subset(&types(new)),
            _ => false,
        },
        _ => false,
    }
}

/// Returns the types in `type`; an integer is a number too.
fn types(value: &Value) -> BTreeSet<&str> {
    let listed = value.as_array().into_iter().flatten().chain(
        // A single name needs no list.
        value.is_string().then_some(value),
    );
    let mut types: BTreeSet<&str> = listed.filter_map(Value::as_str).collect();
    if types.contains("number") {
        types.insert("integer");
    }
    types
}

/// Compares two lists as sets: reports added and dropped names, each with its reason to widen.
fn names(
    changes: &mut Vec<PluginChange>,
    path: &str,
    old: Option<&Value>,
    new: Option<&Value>,
    widens: impl Fn(bool) -> Option<&'static str>,
) {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let (old, new) = (list(old), list(new));
    for gone in old.iter().filter(|one| !new.contains(one)) {
        push(changes, path, Some(gone), None, widens(false));
    }
    for one in new.iter().filter(|one| !old.contains(one)) {
        push(changes, path, None, Some(one), widens(true));
    }
}

fn push(
    changes: &mut Vec<PluginChange>,
    path: &str,
    old: Option<&Value>,
    new: Option<&Value>,
    widens: Option<&str>,
) {
    changes.push(PluginChange {
        part: Part::Settings,
        path: Some(path.to_owned()),
        old: old.cloned().unwrap_or_default(),
        new: new.cloned().unwrap_or_default(),
        widens: widens.map(str::to_owned),
    });
}
