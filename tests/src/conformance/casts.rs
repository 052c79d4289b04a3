//! Reads the messages that were sent to other services.

use std::collections::HashSet;

use cairn::store::view::CAST;
use cairn::{Object, StoreError, Value};

use super::faults::SCHEDULER;
use super::names::Names;
use super::world::World;

/// The outbox of one scenario.
pub struct Casts {
    /// The topic of the services that create volumes; each listens behind its host's name.
    topic: String,
    told: HashSet<String>,
}

impl Casts {
    /// Creates the outbox of a scenario that has sent nothing.
    pub fn new(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            told: HashSet::new(),
        }
    }

    /// Returns the messages sent since the last call. A held message was not sent.
    ///
    /// # Errors
    /// Those of the database.
    pub fn sent(&mut self, world: &World, names: &Names) -> Result<Vec<Value>, StoreError> {
        let rows = world.read(|view| view.list(&CAST, None, true))?;
        let new = rows.iter().filter(|row| {
            let id = row.get("id").and_then(Value::as_str).unwrap_or_default();
            row.get("state") == Some(&Value::from("ready")) && self.told.insert(id.to_owned())
        });
        Ok(new
            .map(|row| names.shown(&cast(row, &self.topic)))
            .collect())
    }
}

/// Converts a message to the form of the vectors: the service, the method and the arguments.
fn cast(row: &Object, volume_topic: &str) -> Value {
    let text = |column: &str| row.get(column).and_then(Value::as_str).unwrap_or_default();
    let mut cast = row
        .get("arguments")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let topic = text("topic");
    let host = topic
        .strip_prefix(volume_topic)
        .and_then(|rest| rest.strip_prefix('.'));
    let service = match host {
        _ if topic == SCHEDULER => "scheduler",
        Some(host) if cast.get("host") == Some(&Value::from(host)) => "volume",
        // Kept as it is, so that it differs.
        _ => topic,
    };
    cast.insert("rpcapi".to_owned(), service.into());
    cast.insert("method".to_owned(), text("method").into());
    Value::Object(cast)
}
