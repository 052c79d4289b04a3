//! Journal entries as text. An entry is serialized once, in the thread that appends it, and packed with the others of its batch.

use serde::Serialize;

use cairn_effects::effect::Applied;
use cairn_model::clock::Timestamp;

use crate::journal;

/// The initial capacity in bytes, enough for a few entries.
const ROOM: usize = 1024;

/// Entries of one flow, as a JSON array without its last bracket.
#[derive(Debug, Default)]
pub(super) struct Written {
    text: Vec<u8>,
    number: usize,
    last: Option<Timestamp>,
}

/// An [`Entry`](cairn_effects::event::Entry) that borrows its event.
#[derive(Serialize)]
struct Entry<E> {
    at: Timestamp,
    event: E,
}

/// An [`Event::Applied`](cairn_effects::event::Event::Applied) that borrows its effect.
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

    /// Appends more entries.
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

    /// Returns the number of entries.
    pub(super) fn len(&self) -> usize {
        self.number
    }

    /// Returns the length of their text in bytes.
    pub(super) fn size(&self) -> usize {
        self.text.len()
    }

    /// Returns the time of the last entry.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// Packs the whole array as a row of the journal.
    pub(super) fn pack(&self) -> Vec<u8> {
        journal::pack(&[&self.text, &b"]"[..]].concat())
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
