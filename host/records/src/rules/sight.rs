//! A record as one flow sees it. The journal notes a change of a record as the flow's sight before and after it.

use cairn_model::id::FlowId;
use cairn_model::value::{Object, Value};

use super::tables::Record;
use crate::settings::{Reads, shown};
use cairn_effects::rows::{Json, Text};

/// A value with its version. Without a value the record does not exist; a version without a value is that of a removal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) value: Option<Text>,
    pub(super) version: i64,
    /// The task that wrote it, while it is pending.
    pub(super) task: Option<Text>,
}

impl Sight {
    /// Returns it as a change notes it; `None` if nothing was ever written.
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

    /// Reads it from the note of a change.
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

    /// Returns whether both are equal once published: a removed record then equals one that never existed.
    pub(super) fn is_published_as(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (None, None) => true,
            (Some(_), Some(_)) => self.version == other.version,
            _ => false,
        }
    }

    /// Returns the value as text for messages.
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

    /// Returns the flow that holds the key, unless it is this one.
    pub(super) fn other_holder(&self, flow: Option<FlowId>) -> Option<FlowId> {
        self.flow.filter(|holder| Some(*holder) != flow)
    }

    /// Returns what a flow sees: its own pending change, or another flow's if the collection has [`Reads::Latest`]; else the published
    /// value.
    pub(super) fn seen(&self, flow: Option<FlowId>, reads: Reads) -> Sight {
        match self.flow {
            Some(holder) if Some(holder) == flow || reads == Reads::Latest => self.held(),
            _ => self.published(),
        }
    }

    /// Releases the key: returns the record without the pending change, or `None` when nothing is published.
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

    /// Returns the record with the pending change published, or `None` when that is a removal.
    pub(super) fn publish(&self, now: cairn_model::clock::Timestamp) -> Option<Self> {
        let published = Self {
            value: self.pending.clone(),
            version: self.pending_version,
            updated_at: Some(now),
            ..self.clone()
        };
        published.let_go()
    }

    /// Sets the published value and version.
    pub(super) fn set_published(&mut self, sight: &Sight) {
        self.value = sight.value.clone().map(Json);
        self.version = if sight.value.is_some() {
            sight.version
        } else {
            0
        };
    }

    /// Sets the pending value, version and task.
    pub(super) fn set_held(&mut self, sight: &Sight) {
        self.pending = sight.value.clone().map(Json);
        self.pending_version = sight.version;
        self.task = sight.task.clone();
    }
}
