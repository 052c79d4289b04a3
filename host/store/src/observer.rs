//! What is told of a store's writes to somebody who records them elsewhere, such as traces.

use cairn_effects::event::Entry;
use cairn_model::clock::Timestamp;
use cairn_model::id::FlowId;

use crate::backend::FlowEntries;

/// Learns what a store has written. It is called by threads that hold the store's writer: it must not block, nor use the store.
pub trait Observer: Send + Sync {
    /// This process takes up a flow that is on disk, with these entries.
    fn loaded(&self, flow: FlowId, entries: &[Entry]);

    /// A batch is on disk.
    fn committed(&self, commit: &Commit<'_>);
}

/// A batch that is on disk.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// When its writing began.
    pub began: Timestamp,
    /// When it was on disk.
    pub ended: Timestamp,
    /// The entries of flows in it.
    pub flows: &'a [FlowEntries<'a>],
}
