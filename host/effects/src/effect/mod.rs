//! Effects: the changes a task makes to state that the host owns. Pure data: what is asked, what is answered, which
//! rows changed, and what that leaves in the end. The store applies them.

mod caller;
mod cast;
mod change;
mod key;
mod net;
mod query;
mod quota;
mod volume;

pub use caller::Caller;
pub use cast::Cast;
pub use change::{Change, Table};
pub use key::{KeyCopy, KeyCreate, KeyDelete};
pub use net::{Left, Net};
pub use query::Query;
pub use quota::{Expiry, QuotaCommit, QuotaReserve, QuotaRollback};
pub use volume::{VolumeCreate, VolumeDestroy, VolumeUpdate};

use serde::{Deserialize, Serialize};

use cairn_model::id::CallId;
use cairn_model::value::Value;

/// What a task asks the host to change.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Hold quota.
    QuotaReserve(QuotaReserve),
    /// Turn what is held into usage.
    QuotaCommit(QuotaCommit),
    /// Give up what is held.
    QuotaRollback(QuotaRollback),
    /// Add a volume.
    VolumeCreate(VolumeCreate),
    /// Change a volume.
    VolumeUpdate(VolumeUpdate),
    /// Soft-delete a volume.
    VolumeDestroy(VolumeDestroy),
    /// Make a key.
    KeyCreate(KeyCreate),
    /// Make a key with the bits of another.
    KeyCopy(KeyCopy),
    /// Remove a key.
    KeyDelete(KeyDelete),
    /// Send a message once the flow has succeeded.
    Cast(Cast),
}

impl Effect {
    /// What the journal calls this effect.
    pub const fn name(&self) -> EffectName {
        match self {
            Self::QuotaReserve(_) => EffectName::QuotaReserve,
            Self::QuotaCommit(_) => EffectName::QuotaCommit,
            Self::QuotaRollback(_) => EffectName::QuotaRollback,
            Self::VolumeCreate(_) => EffectName::VolumeCreate,
            Self::VolumeUpdate(_) => EffectName::VolumeUpdate,
            Self::VolumeDestroy(_) => EffectName::VolumeDestroy,
            Self::KeyCreate(_) => EffectName::KeyCreate,
            Self::KeyCopy(_) => EffectName::KeyCopy,
            Self::KeyDelete(_) => EffectName::KeyDelete,
            Self::Cast(_) => EffectName::Cast,
        }
    }
}

/// The name of a kind of effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "named after the variants of `Effect`")]
pub enum EffectName {
    QuotaReserve,
    QuotaCommit,
    QuotaRollback,
    VolumeCreate,
    VolumeUpdate,
    VolumeDestroy,
    KeyCreate,
    KeyCopy,
    KeyDelete,
    Cast,
}

/// What an effect answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Ids of the new reservations, in order of their resources' names.
    Reservations(Vec<String>),
    /// The whole volume.
    Volume(Value),
    /// Id of the new key.
    Key(String),
    /// Nothing to say.
    Done,
}

/// An effect that was applied: enough to undo it, and to say what it left. It is written in the transaction of the effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// Counts from 1 over the life of the flow.
    pub number: u32,
    /// Whose it is.
    pub call: CallId,
    /// What was asked.
    pub effect: EffectName,
    /// What changed, in order.
    pub changes: Vec<Change>,
}
