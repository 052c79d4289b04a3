//! Checks the harness itself: altering any single expected value of a vector must be detected.

use std::collections::BTreeSet;
use std::path::Path;

use cairn::Value;
use serde_json::json;

use super::compare::first_difference;
use super::database::Databases;
use super::format::Kind;
use super::sandbox::Sandbox;
use super::suite::{Tally, VectorResult, outcomes, read, run_vector};

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

/// Collects the paths to every value in `value`, including containers.
fn ways(value: &Value, way: &mut Vec<Step>, all: &mut Vec<Vec<Step>>) {
    all.push(way.clone());
    let mut enter = |step: Step, value: &Value| {
        way.push(step);
        ways(value, way, all);
        way.pop();
    };
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| enter(Step::Index(index), item)),
        Value::Object(object) => object
            .iter()
            .for_each(|(name, value)| enter(Step::Name(name.clone()), value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn at<'a>(value: &'a mut Value, way: &[Step]) -> &'a mut Value {
    way.iter().fold(value, |value, step| match step {
        Step::Name(name) => &mut value[name.as_str()],
        Step::Index(index) => &mut value[*index],
    })
}

/// Alters a value: changes a leaf, removes the last item of a list, or adds a key to an object.
fn altered(value: &Value) -> Value {
    match value {
        Value::Null => json!("not null"),
        Value::Bool(flag) => json!(!flag),
        Value::Number(number) => json!(number.as_i64().unwrap_or_default() + 1),
        Value::String(text) => json!(format!("{text}?")),
        Value::Array(items) => match items.split_last() {
            Some((_, rest)) => json!(rest),
            None => json!(["something"]),
        },
        Value::Object(object) => {
            let mut object = object.clone();
            object.insert("more".to_owned(), Value::Null);
            Value::Object(object)
        }
    }
}

/// Returns whether the value at the path `way` is excluded from comparison by the vectors' README.
fn is_not_compared(kind: Kind, op: &str, expected: &Value, way: &[Step]) -> bool {
    let mut value = expected;
    let mut names = Vec::new();
    for step in way {
        // Exceptions are excluded here; `compare` has its own tests of them.
        let class = value.get("class").is_some();
        let (next, name) = match step {
            Step::Name(name) => (&value[name.as_str()], name.as_str()),
            Step::Index(index) => (&value[*index], ""),
        };
        if class && (value["kind"] == "python" || name == "kind" || value.get("kind").is_none()) {
            return true;
        }
        if value[0] == "call" && (kind == Kind::Create || value.get(2).is_none()) {
            return true;
        }
        value = next;
        names.push(name);
    }
    // An error may have more fields than the original's.
    let exception = value.get("class").is_some() || names.last() == Some(&"fields");
    let fake = value[0] == "call" && (kind == Kind::Create || value.get(2).is_none());
    let returned =
        names.contains(&"returned") && kind == Kind::Flow && (op != "add_many" || names.len() > 2);
    let ignored = ["key_manager", "volume_metadata"]
        .iter()
        .any(|name| names.contains(name));
    exception || fake || returned || ignored || *value == "$timestamp"
}

/// Alters each expected value of a passing vector, which must be detected. Returns the number of detected alterations,
/// and of values that are not compared.
fn check(vector: &Value, kind: Kind, found: &[Value]) -> (usize, usize) {
    let (mut missed, mut passed_over) = (0, 0);
    let expected = vector["expected"].as_array().expect("a list of outcomes");
    for (index, expected) in expected.iter().enumerate() {
        let op = vector["ops"][index]["op"].as_str().unwrap_or_default();
        let mut all = Vec::new();
        ways(expected, &mut Vec::new(), &mut all);
        for way in all {
            if is_not_compared(kind, op, expected, &way) {
                passed_over += 1;
                continue;
            }
            let mut vector = vector.clone();
            let value = at(&mut vector["expected"][index], &way);
            *value = altered(value);
            let name = &vector["name"];
            assert!(
                first_difference(kind, &vector, found).is_some(),
                "{name}: nobody misses [{index}] {way:?}"
            );
            missed += 1;
        }
    }
    (missed, passed_over)
}

fn vectors() -> Vec<Value> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")).unwrap()
}

#[test]
fn every_expected_value_of_a_vector_of_each_feature_is_missed_when_it_is_another() {
    let sandbox = Sandbox::new(Databases::Memory).unwrap();
    let mut features = BTreeSet::new();
    let (mut missed, mut passed_over) = (0, 0);
    for vector in vectors() {
        let feature = format!("{}.{}", vector["kind"], vector["feature"]);
        if features.contains(&feature) {
            continue;
        }
        let (kind, found) = outcomes(&vector, &sandbox).unwrap();
        if first_difference(kind, &vector, &found).is_none() {
            let (more, others) = check(&vector, kind, &found);
            missed += more;
            passed_over += others;
            features.insert(feature);
        }
    }
    assert_eq!(features.len(), 43, "{features:?}");
    assert!(
        missed > 5_000 && passed_over < missed / 10,
        "{missed} values were altered, {passed_over} were passed over"
    );
}

#[test]
fn a_vector_whose_scenario_is_another_does_not_pass() {
    let sandbox = Sandbox::new(Databases::Memory).unwrap();
    let vectors = vectors();
    let named = |name: &str| {
        vectors
            .iter()
            .find(|vector| vector["name"] == name)
            .cloned()
            .unwrap()
    };
    let alter = |name: &str, alter: fn(&mut Value)| {
        let mut vector = named(name);
        assert_eq!(
            run_vector(&vector, &sandbox),
            VectorResult::Passed,
            "{name}"
        );
        alter(&mut vector);
        run_vector(&vector, &sandbox)
    };
    let faultless = alter("create.task_failure.blank_cast.v0", |vector| {
        vector["requests"][0]["faults"] = json!([]);
    });
    assert!(
        matches!(faultless, VectorResult::Differs(_)),
        "{faultless:?}"
    );
    let stranger = alter("quota.commit_rollback.commit.v0", |vector| {
        vector["ops"][1]["reservations"] = json!(["no-such"])
    });
    assert!(matches!(stranger, VectorResult::Differs(_)), "{stranger:?}");
    let unknown = alter("flow.basic.linear_data.v0", |vector| {
        vector["ops"][0]["op"] = json!("explode")
    });
    assert!(matches!(unknown, VectorResult::Broke(_)), "{unknown:?}");
    let untargeted = alter("create.task_failure.blank_cast.v0", |vector| {
        vector["requests"][0]["faults"][0]["target"] = json!("db.backup_create");
    });
    assert!(
        matches!(untargeted, VectorResult::Broke(_)),
        "{untargeted:?}"
    );
}

#[test]
fn to_run_nothing_is_no_success() {
    let tally = |passed, failed| Tally {
        passed,
        failed,
        filter: None,
    };
    assert!(tally(1, 0).is_success());
    assert!(!tally(0, 0).is_success());
    assert!(!tally(1, 1).is_success());
    assert_eq!(tally(7, 2).to_string(), "7 passed, 2 failed");
}
