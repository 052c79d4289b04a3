//! Compares an outcome with the expected one, and finds the first difference.

use std::collections::BTreeSet;
use std::fmt;

use cairn::{Object, Value};
use serde_json::json;

use super::format::Kind;
use super::names::tidy;

/// The first difference between an outcome and the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The place, as in `[2].db_after.volumes[0].status`.
    pub path: String,
    /// The expected value.
    pub expected: String,
    /// The value found.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    at       {}", self.path)?;
        writeln!(f, "    expected {}", self.expected)?;
        write!(f, "    found    {}", self.found)
    }
}

/// Exceptions defined by Python itself. Where the vectors give only a class, this list tells whether it is one of Python's.
const PYTHONS: [&str; 8] = [
    "AttributeError",
    "Exception",
    "IndexError",
    "KeyError",
    "NameError",
    "RuntimeError",
    "TypeError",
    "ValueError",
];

/// Returns the first difference between the outcomes of a vector and the expected ones.
pub fn first_difference(kind: Kind, vector: &Value, found: &[Value]) -> Option<Difference> {
    let rules = Rules {
        injected: injected(vector),
    };
    let none = Vec::new();
    let expected = vector["expected"].as_array().unwrap_or(&none);
    let ops = vector["ops"].as_array().unwrap_or(&none);
    for (index, expected) in expected.iter().enumerate() {
        let path = format!("[{index}]");
        let Some(found) = found.get(index) else {
            return Some(difference(&path, Some(expected), None));
        };
        let op = ops
            .get(index)
            .and_then(|op| op["op"].as_str())
            .unwrap_or_default();
        let (expected, found) = (comparable(kind, op, expected), comparable(kind, op, found));
        if let Some(difference) = rules.compare(&path, &expected, &found) {
            return Some(difference);
        }
    }
    let more = found.get(expected.len())?;
    Some(difference(
        &format!("[{}]", expected.len()),
        None,
        Some(more),
    ))
}

/// Removes the parts of an outcome that are not compared.
fn comparable(kind: Kind, op: &str, outcome: &Value) -> Value {
    let mut outcome = outcome.clone();
    tidy(&mut outcome);
    sort_rows(&mut outcome);
    if let Some(rows) = outcome.get_mut("db_after") {
        sort_rows(rows);
    }
    if let Some(Value::Array(events)) = outcome.get_mut("events") {
        events.retain(|event| !is_call_of_a_fake(kind, event));
        for event in events {
            // The return value of an operation is not compared, but the fact that it returned is.
            if event[0] == "action" && event[3].get("returned").is_some() {
                event[3]["returned"] = Value::Null;
            }
        }
    }
    if kind == Kind::Flow
        && op != "add_many"
        && let Value::Object(outcome) = &mut outcome
    {
        outcome.remove("returned");
    }
    outcome
}

/// Sorts the rows of tables whose order is insignificant. The order of volumes is significant.
fn sort_rows(tables: &mut Value) {
    for (table, columns) in [
        ("snapshots", ["id", "id"]),
        ("reservations", ["id", "id"]),
        ("reservations_after", ["id", "id"]),
        ("quota_usages", ["project_id", "resource"]),
        ("quota_usages_after", ["project_id", "resource"]),
    ] {
        if let Some(Value::Array(rows)) = tables.get_mut(table) {
            rows.sort_by_cached_key(|row| {
                columns.map(|column| row[column].as_str().unwrap_or_default().to_owned())
            });
        }
    }
}

/// Returns whether an event is a call that the recording had faked, whose information is compared elsewhere. Calls of a vector's own tasks
/// have inputs.
fn is_call_of_a_fake(kind: Kind, event: &Value) -> bool {
    event[0] == "call" && (kind == Kind::Create || event.get(2).is_none())
}

/// Returns the classes of the exceptions that a vector itself raises.
fn injected(vector: &Value) -> BTreeSet<String> {
    fn collect(value: &Value, classes: &mut BTreeSet<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| collect(item, classes)),
            Value::Object(object) => {
                for (name, value) in object {
                    match (name.as_str(), &value["class"]) {
                        ("raise" | "$exception", Value::String(class)) => {
                            classes.insert(class.clone());
                        }
                        ("expected", _) => {}
                        _ => collect(value, classes),
                    }
                }
            }
            _ => {}
        }
    }
    let mut classes = BTreeSet::new();
    collect(vector, &mut classes);
    classes
}

struct Rules {
    injected: BTreeSet<String>,
}

impl Rules {
    fn compare(&self, path: &str, expected: &Value, found: &Value) -> Option<Difference> {
        match (expected, found) {
            (Value::Object(expected), Value::Object(found)) => self.objects(path, expected, found),
            (Value::Array(expected), Value::Array(found)) => self.arrays(path, expected, found),
            _ => (expected != found).then(|| difference(path, Some(expected), Some(found))),
        }
    }

    fn objects(&self, path: &str, expected: &Object, found: &Object) -> Option<Difference> {
        let names: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
        for name in names {
            let path = format!("{path}.{name}");
            let difference = match (expected.get(name), found.get(name)) {
                (Some(expected), Some(found)) if is_exception(name) => {
                    self.exceptions(&path, expected, found)
                }
                (Some(expected), Some(found)) => self.compare(&path, expected, found),
                (expected, found) => Some(difference(&path, expected, found)),
            };
            if difference.is_some() {
                return difference;
            }
        }
        None
    }

    fn arrays(&self, path: &str, expected: &[Value], found: &[Value]) -> Option<Difference> {
        for index in 0..expected.len().max(found.len()) {
            let path = format!("{path}[{index}]");
            let difference = match (expected.get(index), found.get(index)) {
                (Some(expected), Some(found)) => self.compare(&path, expected, found),
                (expected, found) => Some(difference(&path, expected, found)),
            };
            if difference.is_some() {
                return difference;
            }
        }
        None
    }

    /// Compares class and fields. An exception that Python itself raised in the original matches any error; one that the vector raised must
    /// have the same class.
    fn exceptions(&self, path: &str, expected: &Value, found: &Value) -> Option<Difference> {
        let differ = || Some(difference(path, Some(expected), Some(found)));
        let (Value::Object(wanted), Value::Object(_)) = (expected, found) else {
            return if expected == found { None } else { differ() };
        };
        let class = wanted
            .get("class")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let is_python = match wanted.get("kind").and_then(Value::as_str) {
            Some(kind) => kind == "python",
            None => PYTHONS.contains(&class),
        };
        if is_python && !self.injected.contains(class) {
            return None;
        }
        if found["class"] != class {
            return differ();
        }
        let none = json!({});
        let fields = wanted.get("fields").unwrap_or(&none);
        let path = format!("{path}.fields");
        // An error may have more fields than the original's.
        fields
            .as_object()
            .into_iter()
            .flatten()
            .find_map(|(name, expected)| {
                let path = format!("{path}.{name}");
                match found["fields"].get(name) {
                    Some(found) => self.compare(&path, expected, found),
                    None => Some(difference(&path, Some(expected), None)),
                }
            })
    }
}

fn is_exception(name: &str) -> bool {
    matches!(name, "exception" | "error" | "$exception")
}

fn difference(path: &str, expected: Option<&Value>, found: Option<&Value>) -> Difference {
    let text =
        |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    Difference {
        path: path.to_owned(),
        expected: text(expected),
        found: text(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the first difference between the outcome `found` and `expected`, in a vector with this fault.
    fn check(expected: Value, found: Value, fault: Value) -> Option<String> {
        let vector = json!({"faults": [{"raise": fault}], "expected": [expected]});
        first_difference(Kind::Create, &vector, &[found]).map(|difference| difference.path)
    }

    fn exception(expected: Value, found: Value, fault: &str) -> bool {
        check(
            json!({"exception": expected}),
            json!({"exception": found}),
            json!({"class": fault}),
        )
        .is_none()
    }

    #[test]
    fn the_first_difference_is_told_with_its_path() {
        let expected =
            json!({"db_after": {"volumes": [{"id": "a", "size": 1}, {"id": "b", "size": 2}]}});
        let mut found = expected.clone();
        assert_eq!(check(expected.clone(), found.clone(), json!({})), None);
        found["db_after"]["volumes"][1]["size"] = json!(3);
        assert_eq!(
            check(expected, found, json!({})).unwrap(),
            "[0].db_after.volumes[1].size"
        );
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_a_difference() {
        for (expected, found) in [
            (json!({"a": null}), json!({})),
            (json!({}), json!({"a": null})),
            (json!({"a": [1]}), json!({"a": []})),
            (json!({"a": []}), json!({"a": [1]})),
            (json!({"a": false}), json!({"a": null})),
            (json!({"a": "1"}), json!({"a": 1})),
        ] {
            assert!(
                check(expected.clone(), found.clone(), json!({})).is_some(),
                "{expected} {found}"
            );
        }
    }

    #[test]
    fn an_outcome_too_few_and_one_too_many_is_a_difference() {
        let vector = json!({"expected": [{}]});
        assert!(first_difference(Kind::Quota, &vector, &[]).is_some());
        assert!(first_difference(Kind::Quota, &vector, &[json!({})]).is_none());
        assert!(first_difference(Kind::Quota, &vector, &[json!({}), json!({})]).is_some());
    }

    #[test]
    fn an_exception_is_its_class_and_fields() {
        let cinder =
            json!({"class": "VolumeNotFound", "kind": "cinder", "fields": {"volume_id": "v"}});
        let found = |class: &str, fields: Value| json!({"class": class, "fields": fields});
        assert!(exception(
            cinder.clone(),
            found("VolumeNotFound", json!({"volume_id": "v", "more": 1})),
            ""
        ));
        assert!(!exception(
            cinder.clone(),
            found("VolumeNotFound", json!({"volume_id": "w"})),
            ""
        ));
        assert!(!exception(
            cinder.clone(),
            found("VolumeNotFound", Value::Null),
            ""
        ));
        assert!(!exception(
            cinder.clone(),
            found("InvalidVolume", json!({"volume_id": "v"})),
            ""
        ));
        assert!(!exception(cinder, Value::Null, ""));
        assert!(!exception(
            Value::Null,
            found("VolumeNotFound", json!({})),
            ""
        ));
    }

    #[test]
    fn an_exception_of_pythons_own_is_any_error_and_an_injected_one_is_not() {
        let found = json!({"class": "InvalidInput", "fields": null});
        for python in [
            json!({"class": "TypeError", "kind": "python"}),
            json!({"class": "TypeError"}),
        ] {
            assert!(exception(python.clone(), found.clone(), "RuntimeError"));
            assert!(!exception(python.clone(), found.clone(), "TypeError"));
            assert!(!exception(python, Value::Null, "RuntimeError"));
        }
        let cinder = json!({"class": "ServiceUnavailable"});
        assert!(!exception(cinder, found, "RuntimeError"));
    }

    #[test]
    fn calls_of_fakes_are_passed_over_and_those_of_a_vectors_tasks_are_not() {
        let events =
            |call: Value| json!({"events": [["flow", "main", "RUNNING", "STARTED"], call]});
        let none = json!({"events": [["flow", "main", "RUNNING", "STARTED"]]});
        let check = |kind, call| {
            let vector = json!({"expected": [events(call)]});
            first_difference(kind, &vector, std::slice::from_ref(&none)).is_none()
        };
        assert!(check(Kind::Create, json!(["call", "az_check", "nova"])));
        assert!(check(
            Kind::Flow,
            json!(["call", "scheduler_rpcapi.create_volume"])
        ));
        assert!(!check(Kind::Flow, json!(["call", "A", {}])));
    }
}
