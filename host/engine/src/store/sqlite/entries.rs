//! Journal entries as text. The text of an entry is made once, by whoever adds it, and goes to the disk as it is.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::effect::Applied;

/// Entries of one flow, as the inside of a JSON array.
#[derive(Debug, Default)]
pub(super) struct Written {
    text: String,
    number: usize,
    last: Option<Timestamp>,
}

/// [`Entry`](crate::event::Entry), of an event that is somebody else's.
#[derive(Serialize)]
struct Entry<E> {
    at: Timestamp,
    event: E,
}

/// [`Event::Applied`](crate::event::Event::Applied), of an effect that is somebody else's.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Effect<'a> {
    Applied(&'a Applied),
}

impl Written {
    /// Adds an entry.
    pub(super) fn add(&mut self, at: Timestamp, event: impl Serialize) {
        if self.number > 0 {
            self.text.push(',');
        }
        let entry = serde_json::to_string(&Entry { at, event })
            .expect("the keys of an event's objects are strings");
        self.text.push_str(&entry);
        self.number += 1;
        self.last = Some(at);
    }

    /// Adds entries after these.
    pub(super) fn append(&mut self, more: Self) {
        if self.number == 0 {
            return *self = more;
        }
        if more.number > 0 {
            self.text.push(',');
            self.text.push_str(&more.text);
            self.number += more.number;
            self.last = more.last;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.number == 0
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.number
    }

    /// When the last one happened.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// The whole array.
    pub(super) fn to_json(&self) -> String {
        format!("[{}]", self.text)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
