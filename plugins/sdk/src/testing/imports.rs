//! The imports as native code: functions with the signatures of the generated bindings, served by the current fake
//! host.

use serde_json::{Value, json};

use super::{ask, current};
use crate::Error;
pub(crate) use crate::bindings::cairn::plugin::types;

/// Parses a JSON document that would cross the component boundary as text.
fn document(text: &str) -> Value {
    serde_json::from_str(text).expect("the plugin sends JSON")
}

fn text(answer: Result<Value, Error>) -> Result<String, types::Error> {
    Ok(answer?.to_string())
}

/// Returns the JSON text of an answer; `None` for null.
fn optional(answer: Value) -> Option<String> {
    (!answer.is_null()).then(|| answer.to_string())
}

fn string(function: &str, answer: Value) -> String {
    match answer {
        Value::String(text) => text,
        other => panic!("`{function}` answers a string, but was told {other}"),
    }
}

fn boolean(function: &str, answer: Value) -> bool {
    answer
        .as_bool()
        .unwrap_or_else(|| panic!("`{function}` answers true or false, but was told {answer}"))
}

/// Returns the answer of a function that has no error in its signature.
fn infallible(function: &str, arguments: Value) -> Value {
    ask(function, arguments)
        .unwrap_or_else(|error| panic!("`{function}` cannot fail, but was told {error}"))
}

pub(crate) mod context {
    use super::{Value, current};
    use crate::context::Identity;

    pub(crate) fn requester() -> Identity {
        current().borrow().requester.clone()
    }

    pub(crate) fn settings() -> String {
        current().borrow().settings.to_string()
    }

    /// Does nothing: a fake host does not undo effects.
    pub(crate) fn checkpoint() {}

    pub(crate) fn quota_committed() -> bool {
        current().borrow().quota_committed
    }

    pub(crate) fn request() -> Option<String> {
        current().borrow().request.as_ref().map(Value::to_string)
    }
}

pub(crate) mod log {
    use super::{infallible, json};
    pub(crate) use crate::bindings::cairn::plugin::log::Level;

    pub(crate) fn write(level: Level, message: &str) {
        let level = match level {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        };
        infallible("log.write", json!({"level": level, "message": message}));
    }
}

pub(crate) mod results {
    use super::{infallible, json, optional};

    pub(crate) fn get(name: &str) -> Option<String> {
        optional(infallible("results.get", json!({"name": name})))
    }

    pub(crate) fn tasks() -> Vec<(String, String)> {
        let answer = infallible("results.tasks", json!({}));
        let tasks: Vec<(String, serde_json::Value)> = serde_json::from_value(answer)
            .expect("`results.tasks` answers pairs of a name and a result");
        tasks
            .into_iter()
            .map(|(name, result)| (name, result.to_string()))
            .collect()
    }
}

pub(crate) mod policy {
    use super::{ask, document, json, types};

    pub(crate) fn enforce(action: &str, target: &str) -> Result<(), types::Error> {
        ask(
            "policy.enforce",
            json!({"action": action, "target": document(target)}),
        )?;
        Ok(())
    }
}

pub(crate) mod zones {
    use super::{ask, boolean, infallible, json, string, types};

    pub(crate) fn valid(zone: &str) -> Result<bool, types::Error> {
        Ok(boolean(
            "zones.valid",
            ask("zones.valid", json!({"zone": zone}))?,
        ))
    }

    pub(crate) fn default() -> String {
        string("zones.default", infallible("zones.default", json!({})))
    }
}

pub(crate) mod catalog {
    use super::{ask, boolean, json, optional, text, types};

    pub(crate) fn volume_type(id_or_name: &str) -> Result<String, types::Error> {
        text(ask(
            "catalog.volume-type",
            json!({"id-or-name": id_or_name}),
        ))
    }

    pub(crate) fn default_volume_type() -> Result<Option<String>, types::Error> {
        Ok(optional(ask("catalog.default-volume-type", json!({}))?))
    }

    pub(crate) fn qos_specs(volume_type_id: &str) -> Result<Option<String>, types::Error> {
        Ok(optional(ask(
            "catalog.qos-specs",
            json!({"volume-type-id": volume_type_id}),
        )?))
    }

    pub(crate) fn encrypted(volume_type_id: &str) -> Result<bool, types::Error> {
        Ok(boolean(
            "catalog.encrypted",
            ask(
                "catalog.encrypted",
                json!({"volume-type-id": volume_type_id}),
            )?,
        ))
    }

    pub(crate) fn snapshot(id: &str) -> Result<String, types::Error> {
        text(ask("catalog.snapshot", json!({"id": id})))
    }

    pub(crate) fn volume(id: &str) -> Result<String, types::Error> {
        text(ask("catalog.volume", json!({"id": id})))
    }
}

pub(crate) mod images {
    use super::{ask, json, text, types};

    pub(crate) fn show(id: &str) -> Result<String, types::Error> {
        text(ask("images.show", json!({"id": id})))
    }
}

pub(crate) mod keys {
    use super::{ask, json, string, types};

    pub(crate) fn create() -> Result<String, types::Error> {
        Ok(string("keys.create", ask("keys.create", json!({}))?))
    }

    pub(crate) fn copy(id: &str) -> Result<String, types::Error> {
        Ok(string("keys.copy", ask("keys.copy", json!({"id": id}))?))
    }

    pub(crate) fn delete(id: &str) -> Result<(), types::Error> {
        ask("keys.delete", json!({"id": id}))?;
        Ok(())
    }
}

pub(crate) mod quota {
    use super::{Error, Value, ask, json};
    use crate::quota::{Delta, OverQuota, QuotaError, Usage};

    pub(crate) fn with_volume_type(
        deltas: &[Delta],
        volume_type_id: Option<&str>,
    ) -> Result<Vec<Delta>, QuotaError> {
        let arguments = json!({"deltas": object(deltas), "volume-type-id": volume_type_id});
        let answer = ask("quota.with-volume-type", arguments).map_err(quota_error)?;
        let deltas = answer
            .as_object()
            .expect("`quota.with-volume-type` answers an object of amounts");
        Ok(deltas
            .iter()
            .map(|(name, amount)| Delta::new(name, amount.as_i64().expect("an amount")))
            .collect())
    }

    pub(crate) fn reserve(deltas: &[Delta]) -> Result<Vec<String>, QuotaError> {
        let answer =
            ask("quota.reserve", json!({"deltas": object(deltas)})).map_err(quota_error)?;
        Ok(serde_json::from_value(answer)
            .expect("`quota.reserve` answers a list of reservation ids"))
    }

    pub(crate) fn commit(reservations: &[String]) -> Result<(), QuotaError> {
        ask("quota.commit", json!({"reservations": reservations})).map_err(quota_error)?;
        Ok(())
    }

    pub(crate) fn rollback(reservations: &[String]) -> Result<(), QuotaError> {
        ask("quota.rollback", json!({"reservations": reservations})).map_err(quota_error)?;
        Ok(())
    }

    /// Converts deltas to a form that is easy to read in an assertion: `{"volumes": 1}`.
    fn object(deltas: &[Delta]) -> Value {
        deltas
            .iter()
            .map(|delta| (delta.resource.clone(), json!(delta.amount)))
            .collect()
    }

    /// Inverts the conversion from `QuotaError` to `Error`, so that a test can script either.
    fn quota_error(error: Error) -> QuotaError {
        let names = |key: &str| {
            serde_json::from_value(error.details()[key].clone()).expect("a list of resources")
        };
        match error.kind() {
            "OverQuota" => {
                let usages = &error.details()["usages"];
                let usage = |(resource, limit): (&String, &Value)| Usage {
                    resource: resource.clone(),
                    limit: limit.as_i64().filter(|limit| *limit >= 0),
                    in_use: usages[resource]["in_use"].as_i64().expect("an amount"),
                    reserved: usages[resource]["reserved"].as_i64().expect("an amount"),
                };
                let quotas = error.details()["quotas"]
                    .as_object()
                    .expect("`quotas` by resource");
                QuotaError::Over(OverQuota {
                    overs: names("overs"),
                    usages: quotas.iter().map(usage).collect(),
                })
            }
            "QuotaResourceUnknown" => QuotaError::UnknownResource(names("unknown")),
            _ => QuotaError::Other(error.into()),
        }
    }
}

pub(crate) mod volumes {
    use super::{ask, document, json, text, types};

    pub(crate) fn create(properties: &str) -> Result<String, types::Error> {
        text(ask(
            "volumes.create",
            json!({"properties": document(properties)}),
        ))
    }

    pub(crate) fn update(id: &str, changes: &str) -> Result<String, types::Error> {
        text(ask(
            "volumes.update",
            json!({"id": id, "changes": document(changes)}),
        ))
    }

    pub(crate) fn destroy(id: &str) -> Result<(), types::Error> {
        ask("volumes.destroy", json!({"id": id}))?;
        Ok(())
    }
}

pub(crate) mod records {
    use super::{Value, ask, document, json, types};
    pub(crate) use crate::bindings::cairn::plugin::records::{Entry, Expect, Page};

    pub(crate) fn get(collection: &str, key: &str) -> Result<Option<Entry>, types::Error> {
        let found = ask("records.get", json!({"collection": collection, "key": key}))?;
        Ok((!found.is_null()).then(|| entry(&found)))
    }

    pub(crate) fn list(
        collection: &str,
        prefix: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page, types::Error> {
        let arguments =
            json!({"collection": collection, "prefix": prefix, "cursor": cursor, "limit": limit});
        let page = ask("records.list", arguments)?;
        let entries = page["entries"]
            .as_array()
            .expect("`records.list` answers `entries`");
        Ok(Page {
            entries: entries.iter().map(entry).collect(),
            next: page["next"].as_str().map(str::to_owned),
        })
    }

    pub(crate) fn put(
        collection: &str,
        key: &str,
        value: &str,
        expect: Expect,
    ) -> Result<u64, types::Error> {
        let arguments = json!({"collection": collection, "key": key, "value": document(value), "expect": expected(expect)});
        Ok(number("records.put", &ask("records.put", arguments)?))
    }

    pub(crate) fn remove(collection: &str, key: &str, expect: Expect) -> Result<(), types::Error> {
        let arguments = json!({"collection": collection, "key": key, "expect": expected(expect)});
        ask("records.remove", arguments)?;
        Ok(())
    }

    pub(crate) fn add(collection: &str, counter: &str, delta: i64) -> Result<(), types::Error> {
        let arguments = json!({"collection": collection, "counter": counter, "delta": delta});
        ask("records.add", arguments)?;
        Ok(())
    }

    pub(crate) fn count(collection: &str, counter: &str) -> Result<i64, types::Error> {
        let value = ask(
            "records.count",
            json!({"collection": collection, "counter": counter}),
        )?;
        Ok(value.as_i64().expect("`records.count` answers a number"))
    }

    pub(crate) fn next(collection: &str, sequence: &str) -> Result<u64, types::Error> {
        let given = ask(
            "records.next",
            json!({"collection": collection, "sequence": sequence}),
        )?;
        Ok(number("records.next", &given))
    }

    fn number(function: &str, answer: &Value) -> u64 {
        let number = answer.as_u64();
        number.unwrap_or_else(|| panic!("`{function}` answers a number from 0 on"))
    }

    fn entry(answer: &Value) -> Entry {
        Entry {
            key: answer["key"]
                .as_str()
                .expect("a record has a key")
                .to_owned(),
            value: answer["value"].to_string(),
            version: number("records.get", &answer["version"]),
        }
    }

    /// Converts a precondition to its form in the recorded calls: `"any"`, `"absent"` or `{"version": 1}`.
    fn expected(expect: Expect) -> Value {
        match expect {
            Expect::Any => json!("any"),
            Expect::Absent => json!("absent"),
            Expect::Version(version) => json!({"version": version}),
        }
    }
}

pub(crate) mod externals {
    use super::{ask, document, json, text, types};

    pub(crate) fn make(
        provider: &str,
        kind: &str,
        label: &str,
        spec: &str,
    ) -> Result<String, types::Error> {
        text(ask(
            "externals.make",
            json!({"provider": provider, "kind": kind, "label": label, "spec": document(spec)}),
        ))
    }

    pub(crate) fn remove(provider: &str, kind: &str, id: &str) -> Result<(), types::Error> {
        let arguments = json!({"provider": provider, "kind": kind, "id": id});
        ask("externals.remove", arguments)?;
        Ok(())
    }
}

pub(crate) mod secrets {
    use super::{ask, json, string, types};

    pub(crate) fn get(name: &str) -> Result<String, types::Error> {
        Ok(string(
            "secrets.get",
            ask("secrets.get", json!({"name": name}))?,
        ))
    }
}

pub(crate) mod rpc {
    use super::{ask, document, json, types};

    pub(crate) fn cast(topic: &str, method: &str, arguments: &str) -> Result<(), types::Error> {
        ask(
            "rpc.cast",
            json!({"topic": topic, "method": method, "arguments": document(arguments)}),
        )?;
        Ok(())
    }
}
