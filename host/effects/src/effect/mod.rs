//! What is recorded of effects: who asked, and which rows changed. Pure data.

mod caller;
mod change;

pub use caller::Caller;
pub use change::{Change, Counts, Name, counts};

use serde::{Deserialize, Serialize};

use cairn_model::id::CallId;

/// An effect that was applied: enough to undo it, and to say what it left. It is written in the transaction of the effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// Counts from 1 over the life of the flow.
    pub number: u32,
    /// Whose it is.
    pub call: CallId,
    /// What was asked: see [`Effect::NAME`](crate::rules::Effect::NAME).
    pub effect: Name,
    /// What changed, in order.
    pub changes: Vec<Change>,
}
