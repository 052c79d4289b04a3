//! What one flow sees of a record. A change of a record is noted as what the flow saw before, and what it sees after.

use cairn_model::id::FlowId;
use cairn_model::value::{Object, Value};

use super::tables::Record;
use crate::settings::{Reads, shown};
use cairn_effects::rows::{Json, Text};

/// A value with its version. Without a value nothing is there; a version without a value is that of a removal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) value: Option<Text>,
    pub(super) version: i64,
    /// The task that wrote it, while it is pending.
    pub(super) task: Option<Text>,
}

impl Sight {
    /// Writes it as a change notes it; `None` where nothing was ever written.
    pub(super) fn noted(&self) -> Option<Object> {
        if self.version == 0 {
            return None;
        }
        let text = |text: &Option<Text>| text.as_deref().map_or(Value::Null, Value::from);
        Some(Object::from_iter([
            ("value".to_owned(), text(&self.value)),
            ("version".to_owned(), self.version.into()),
            ("task".to_owned(), text(&self.task)),
        ]))
    }

    /// Reads what a change noted.
    pub(super) fn read(noted: Option<&Object>) -> Self {
        let Some(noted) = noted else {
            return Self::default();
        };
        let text = |column: &str| noted.get(column).and_then(Value::as_str).map(Text::from);
        Self {
            value: text("value"),
            version: noted.get("version").and_then(Value::as_i64).unwrap_or(0),
            task: text("task"),
        }
    }

    /// Tells whether both are the same once they are published: a removal is then like a record that never was.
    pub(super) fn is_published_as(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (None, None) => true,
            (Some(_), Some(_)) => self.version == other.version,
            _ => false,
        }
    }

    /// Writes the value as a message names it.
    pub(super) fn told(&self) -> String {
        match &self.value {
            Some(value) => format!("`{}`", shown(value)),
            None => "absent".to_owned(),
        }
    }
}

impl Record {
    pub(super) fn published(&self) -> Sight {
        Sight {
            value: self.value.as_ref().map(|json| Text::clone(&json.0)),
            version: self.version,
            task: None,
        }
    }

    pub(super) fn held(&self) -> Sight {
        Sight {
            value: self.pending.as_ref().map(|json| Text::clone(&json.0)),
            version: self.pending_version,
            task: self.task.clone(),
        }
    }

    /// Finds the flow that holds the key, when it is another one than this.
    pub(super) fn other_holder(&self, flow: Option<FlowId>) -> Option<FlowId> {
        self.flow.filter(|holder| Some(*holder) != flow)
    }

    /// Returns what a flow sees: what it has written itself, else what is published, or where a collection says so what another flow has
    /// written.
    pub(super) fn seen(&self, flow: Option<FlowId>, reads: Reads) -> Sight {
        match self.flow {
            Some(holder) if Some(holder) == flow || reads == Reads::Latest => self.held(),
            _ => self.published(),
        }
    }

    /// Lets the key go: the same record, no longer held; `None` when nothing is published.
    pub(super) fn let_go(&self) -> Option<Self> {
        self.value.as_ref()?;
        Some(Self {
            flow: None,
            task: None,
            pending: None,
            pending_version: 0,
            ..self.clone()
        })
    }

    /// Publishes what the holder has done; `None` when that is a removal.
    pub(super) fn publish(&self, now: cairn_model::clock::Timestamp) -> Option<Self> {
        let published = Self {
            value: self.pending.clone(),
            version: self.pending_version,
            updated_at: Some(now),
            ..self.clone()
        };
        published.let_go()
    }

    /// Sets what is published.
    pub(super) fn set_published(&mut self, sight: &Sight) {
        self.value = sight.value.clone().map(Json);
        self.version = if sight.value.is_some() {
            sight.version
        } else {
            0
        };
    }

    /// Sets what the holder has done.
    pub(super) fn set_held(&mut self, sight: &Sight) {
        self.pending = sight.value.clone().map(Json);
        self.pending_version = sight.version;
        self.task = sight.task.clone();
    }
}
