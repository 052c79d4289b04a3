//! Replaces ids and other values that differ between runs with the names that the vectors give them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::any::{Answer, Effect};
use cairn::{Object, Value};

/// Columns and inputs that are not compared. They are removed on both sides.
const NOT_COMPARED: [&str; 5] = [
    "key_manager",
    "volume_metadata",
    "created_at",
    "updated_at",
    "deleted_at",
];

/// The task names of the vectors, with those of the built-in plugins.
const TASKS: [(&str, &str); 7] = [
    ("InjectTask", "inject"),
    ("ExtractVolumeRequestTask", "extract-volume-request"),
    ("QuotaReserveTask", "quota-reserve"),
    ("EntryCreateTask", "entry-create"),
    ("QuotaCommitTask", "quota-commit"),
    ("OnFailureChangeStatusTask", "on-failure-change-status"),
    ("VolumeCastTask", "volume-cast"),
];

/// Returns the vectors' name of a task. A task that is not a built-in plugin keeps its name.
pub fn task(name: &str) -> &str {
    let plugin = name.split_once(';').map_or(name, |(plugin, _)| plugin);
    TASKS
        .iter()
        .find(|(_, known)| *known == plugin)
        .map_or(name, |(class, _)| class)
}

/// Returns the built-in plugin for a class of the vectors.
pub fn plugin(class: &str) -> Option<&'static str> {
    TASKS
        .iter()
        .find(|(known, _)| *known == class)
        .map(|(_, plugin)| *plugin)
}

/// The names of one scenario's ids, recorded as the store assigns them. Every id is numbered, also one whose row was undone later.
#[derive(Debug, Default)]
pub struct Names(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    names: HashMap<String, String>,
    volumes: u32,
    batches: u32,
    keys: u32,
}

impl Names {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the rows that an effect created.
    pub fn learn(&self, effect: &Effect, answer: &Answer) {
        let mut known = self.lock();
        match (effect, answer) {
            (Effect::VolumeCreate(_), Answer::Volume(volume)) => {
                known.volumes += 1;
                let name = format!("$volume_{}", known.volumes);
                known.name(volume["id"].as_str().unwrap_or_default(), name);
            }
            (Effect::QuotaReserve(reserve), Answer::Reservations(ids)) => {
                known.batches += 1;
                for (resource, id) in reserve.deltas.keys().zip(ids) {
                    let name = format!("$reservation_{}:{resource}", known.batches);
                    known.name(id, name);
                }
            }
            (Effect::KeyCreate(_), Answer::Key(id)) => {
                known.keys += 1;
                let name = format!("key-created-{}", known.keys);
                known.name(id, name);
            }
            (Effect::KeyCopy(copy), Answer::Key(id)) => {
                known.keys += 1;
                let original = known.names.get(&copy.id).unwrap_or(&copy.id);
                let name = format!("key-copied-{}-of-{original}", known.keys);
                known.name(id, name);
            }
            _ => {}
        }
    }

    /// Names one id.
    pub fn name(&self, id: &str, name: impl Into<String>) {
        self.lock().name(id, name.into());
    }

    /// Returns the number of reservation batches created so far.
    pub fn batches(&self) -> u32 {
        self.lock().batches
    }

    /// Returns the ids whose name is `name`, or begins with `name:` as in a batch; `name` itself if there is none.
    pub fn ids(&self, name: &str) -> Vec<String> {
        let known = self.lock();
        let mut named: Vec<_> = known
            .names
            .iter()
            .filter(|(_, known)| {
                known
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            })
            .map(|(id, name)| (name.clone(), id.clone()))
            .collect();
        if named.is_empty() {
            return vec![name.to_owned()];
        }
        named.sort();
        named.into_iter().map(|(_, id)| id).collect()
    }

    /// Returns a value with every id replaced by its name, [tidied](tidy).
    pub fn shown(&self, value: &Value) -> Value {
        let mut value = value.clone();
        self.lock().replace(&mut value);
        tidy(&mut value);
        value
    }
}

impl Known {
    fn name(&mut self, id: &str, name: String) {
        self.names.insert(id.to_owned(), name);
    }

    fn replace(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(name) = self.names.get(text) {
                    text.clone_from(name);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.replace(item)),
            Value::Object(object) => object.values_mut().for_each(|value| self.replace(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Removes values that are not compared, replaces times by a placeholder, and sorts reservation ids, whose order is insignificant. Applied
/// to both sides.
pub fn tidy(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(tidy);
            let is_reservation = |item: &Value| {
                item.as_str()
                    .is_some_and(|id| id.starts_with("$reservation_"))
            };
            if items.iter().all(is_reservation) {
                items.sort_by(|one, two| one.as_str().cmp(&two.as_str()));
            }
        }
        Value::Object(object) => {
            object.retain(|name, _| !NOT_COMPARED.contains(&name.as_str()));
            for (name, value) in object.iter_mut() {
                if name == "scheduled_at" && !value.is_null() {
                    *value = Value::from("$timestamp");
                }
                tidy(value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns the result of `InjectTask`, with `$create_what.<key>` in place of the objects of the request that it passed on unchanged.
pub fn injected(result: &Value, request: &Object) -> Value {
    let Value::Object(result) = result else {
        return result.clone();
    };
    let shown = result.iter().map(|(name, value)| {
        let same = value.is_object() && request.get(name) == Some(value);
        let value = if same {
            Value::from(format!("$create_what.{name}"))
        } else {
            value.clone()
        };
        (name.clone(), value)
    });
    Value::Object(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn::volumes::{Expiry, KeyCopy, KeyCreate, QuotaReserve, VolumeCreate};
    use serde_json::json;

    fn made() -> Names {
        let names = Names::default();
        let create = Effect::VolumeCreate(VolumeCreate {
            properties: Object::new(),
        });
        for id in ["v-a", "v-b"] {
            names.learn(&create, &Answer::Volume(json!({"id": id})));
        }
        let deltas = [("volumes", 1), ("gigabytes", 2)];
        let reserve = Effect::QuotaReserve(QuotaReserve {
            project: None,
            deltas: deltas
                .into_iter()
                .map(|(name, delta)| (name.to_owned(), delta))
                .collect(),
            expiry: Expiry::Default,
        });
        names.learn(
            &reserve,
            &Answer::Reservations(vec!["r-g".to_owned(), "r-v".to_owned()]),
        );
        names
    }

    #[test]
    fn things_are_named_in_the_order_in_which_they_were_made() {
        let shown = made().shown(&json!({"id": "v-b", "of": ["r-v", "r-g"], "v-a": "v-a2"}));
        let expected = json!({"id": "$volume_2", "of": ["$reservation_1:gigabytes", "$reservation_1:volumes"], "v-a": "v-a2"});
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_batch_stands_for_its_reservations_and_an_unknown_id_for_itself() {
        let names = made();
        assert_eq!(names.ids("$reservation_1"), ["r-g", "r-v"]);
        assert_eq!(names.ids("$reservation_1:volumes"), ["r-v"]);
        assert_eq!(names.ids("$reservation_2"), ["$reservation_2"]);
        assert_eq!(names.ids("no-such"), ["no-such"]);
    }

    #[test]
    fn keys_that_are_made_and_copied_are_counted_together() {
        let names = Names::default();
        names.name("k", "key-orig-0");
        names.learn(&Effect::KeyCreate(KeyCreate), &Answer::Key("a".to_owned()));
        let copy = Effect::KeyCopy(KeyCopy { id: "k".to_owned() });
        names.learn(&copy, &Answer::Key("b".to_owned()));
        assert_eq!(
            names.shown(&json!(["a", "b"])),
            json!(["key-created-1", "key-copied-2-of-key-orig-0"])
        );
    }

    #[test]
    fn a_time_is_hidden_and_a_missing_one_is_not() {
        let mut value =
            json!([{"scheduled_at": "2013-10-17", "created_at": 1}, {"scheduled_at": null}]);
        tidy(&mut value);
        assert_eq!(
            value,
            json!([{"scheduled_at": "$timestamp"}, {"scheduled_at": null}])
        );
    }

    #[test]
    fn an_object_that_was_changed_on_the_way_keeps_its_content() {
        let request = json!({"snapshot": {"id": "s"}, "metadata": {}, "size": 2});
        let request = request.as_object().unwrap();
        let shown = injected(
            &json!({"snapshot": {"id": "s"}, "metadata": {"a": 1}, "size": 2}),
            request,
        );
        assert_eq!(
            shown,
            json!({"snapshot": "$create_what.snapshot", "metadata": {"a": 1}, "size": 2})
        );
    }
}
