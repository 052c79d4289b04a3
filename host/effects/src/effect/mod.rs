//! Records of effects: the caller, and the rows that changed. Pure data.

mod caller;
mod change;

pub use caller::Caller;
pub use change::{Change, Counts, Name, counts};

use serde::{Deserialize, Serialize};

use cairn_model::id::CallId;

/// The record of an applied effect, sufficient to undo it and to report what it left. It is written in the effect's transaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// Its number, counted from 1 over the life of the flow.
    pub number: u32,
    /// The call that applied it.
    pub call: CallId,
    /// The kind of effect: see [`Effect::NAME`](crate::rules::Effect::NAME).
    pub effect: Name,
    /// Its changes, in order.
    pub changes: Vec<Change>,
}
