//! Journal entries as text. The text of an entry is made once, by whoever adds it, and is packed with the others of its batch.

use serde::Serialize;

use cairn_effects::effect::Applied;
use cairn_model::clock::Timestamp;

use crate::journal;

/// Bytes that a few entries take.
const ROOM: usize = 1024;

/// Entries of one flow, as a JSON array without its last bracket.
#[derive(Debug, Default)]
pub(super) struct Written {
    text: Vec<u8>,
    number: usize,
    last: Option<Timestamp>,
}

/// [`Entry`](cairn_effects::event::Entry), of an event that is somebody else's.
#[derive(Serialize)]
struct Entry<E> {
    at: Timestamp,
    event: E,
}

/// [`Event::Applied`](cairn_effects::event::Event::Applied), of an effect that is somebody else's.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Effect<'a> {
    Applied(&'a Applied),
}

impl Written {
    /// Adds an entry.
    pub(super) fn add(&mut self, at: Timestamp, event: impl Serialize) {
        if self.number == 0 {
            self.text.reserve(ROOM);
        }
        self.text.push(if self.number == 0 { b'[' } else { b',' });
        serde_json::to_writer(&mut self.text, &Entry { at, event })
            .expect("the keys of an event's objects are strings, and memory can be written to");
        self.number += 1;
        self.last = Some(at);
    }

    /// Adds entries after these.
    pub(super) fn append(&mut self, more: Self) {
        if self.number == 0 {
            return *self = more;
        }
        if let Some((_, entries)) = more.text.split_first() {
            self.text.push(b',');
            self.text.extend_from_slice(entries);
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

    /// Bytes of their text.
    pub(super) fn size(&self) -> usize {
        self.text.len()
    }

    /// When the last one happened.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// The whole array, as a row of the journal has it.
    pub(super) fn pack(&self) -> Vec<u8> {
        journal::pack(&[&self.text, &b"]"[..]].concat())
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
