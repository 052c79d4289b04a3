//! What a plugin asks of the host, as the contract calls it.

use cairn::effect::{Answer, Effect, Query};
use cairn::error::TaskError;
use cairn::value::Value;
use serde::Serialize;
use serde_json::json;

/// One call of a host function.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Asked {
    /// Interface and function, such as `quota.reserve`.
    pub function: String,
    /// The arguments by their names in the contract.
    pub arguments: Value,
    /// What the host answered; null where it failed.
    pub answer: Value,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
}

impl Asked {
    pub(crate) fn new(function: &str, arguments: Value, answer: Result<Value, TaskError>) -> Self {
        let (answer, error) = match answer {
            Ok(answer) => (answer, None),
            Err(error) => (Value::Null, Some(error)),
        };
        Self {
            function: function.to_owned(),
            arguments,
            answer,
            error,
        }
    }

    /// What was asked, without the answer.
    pub(crate) fn request(&self) -> String {
        format!("{} {}", self.function, self.arguments)
    }
}

/// `quota.reserve {"deltas":{"volumes":1}} -> ["0197…"]`.
impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.request())?;
        match &self.error {
            Some(error) => write!(f, " -> error {error}"),
            None if self.answer.is_null() => Ok(()),
            None => write!(f, " -> {}", self.answer),
        }
    }
}

/// The function that an effect is asked for by, and its arguments.
pub(crate) fn of_effect(effect: &Effect) -> (&'static str, Value) {
    match effect {
        Effect::QuotaReserve(reserve) => ("quota.reserve", json!({"deltas": reserve.deltas})),
        Effect::QuotaCommit(commit) => {
            ("quota.commit", json!({"reservations": commit.reservations}))
        }
        Effect::QuotaRollback(rollback) => (
            "quota.rollback",
            json!({"reservations": rollback.reservations}),
        ),
        Effect::VolumeCreate(create) => {
            ("volumes.create", json!({"properties": create.properties}))
        }
        Effect::VolumeUpdate(update) => (
            "volumes.update",
            json!({"id": update.id, "changes": update.changes}),
        ),
        Effect::VolumeDestroy(destroy) => ("volumes.destroy", json!({"id": destroy.id})),
        Effect::KeyCreate(_) => ("keys.create", json!({})),
        Effect::KeyCopy(copy) => ("keys.copy", json!({"id": copy.id})),
        Effect::KeyDelete(delete) => ("keys.delete", json!({"id": delete.id})),
        Effect::Cast(cast) => (
            "rpc.cast",
            json!({"topic": cast.topic, "method": cast.method, "arguments": cast.arguments}),
        ),
    }
}

/// The function that a query is asked by, and its arguments; `None` where the host asks for itself.
pub(crate) fn of_query(query: &Query) -> Option<(&'static str, Value)> {
    Some(match query {
        Query::VolumeType(id) => ("catalog.volume-type", json!({"id-or-name": id})),
        Query::DefaultVolumeType => ("catalog.default-volume-type", json!({})),
        Query::QosSpecs(id) => ("catalog.qos-specs", json!({"volume-type-id": id})),
        Query::Encrypted(id) => ("catalog.encrypted", json!({"volume-type-id": id})),
        Query::Snapshot(id) => ("catalog.snapshot", json!({"id": id})),
        Query::Volume(id) => ("catalog.volume", json!({"id": id})),
        Query::Image(id) => ("images.show", json!({"id": id})),
        Query::ZoneIsValid(zone) => ("zones.valid", json!({"zone": zone})),
        Query::VolumeTypeName(id) => ("quota.with-volume-type", json!({"volume-type-id": id})),
        // Whether a narrowed grant reaches what is to be committed.
        Query::ReservedResources(_) => return None,
    })
}

/// What an effect answers, as the contract has it.
pub(crate) fn of_answer(answer: &Answer) -> Value {
    match answer {
        Answer::Reservations(ids) => json!(ids),
        Answer::Volume(volume) => volume.clone(),
        Answer::Key(id) => json!(id),
        Answer::Done => Value::Null,
    }
}

/// Ids that the host made up for an answer.
pub(crate) fn new_ids(effect: &Effect, answer: &Answer) -> Vec<String> {
    match (effect, answer) {
        (Effect::VolumeCreate(_), Answer::Volume(volume)) => {
            let id = volume["id"].as_str();
            id.map(str::to_owned).into_iter().collect()
        }
        (_, Answer::Reservations(ids)) => ids.clone(),
        (_, Answer::Key(id)) => vec![id.clone()],
        (_, Answer::Volume(_) | Answer::Done) => Vec::new(),
    }
}
