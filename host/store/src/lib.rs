//! The store: everything that survives. Effects and events go in order into one open batch, and a batch becomes durable
//! by one commit, so the database always holds a prefix of what happened.

pub mod backend;
mod batched;
mod config;
pub mod control;
pub mod deliver;
pub mod host;
pub mod journal;
pub mod memory;
pub mod request;
mod sqlite;

// The tests of what is inside of this crate lie beside its source.
#[cfg(test)]
extern crate self as cairn_store;
#[cfg(test)]
#[path = "../tests/inside/mod.rs"]
pub mod inside;
#[cfg(test)]
use inside::{any, operator, quota, rules};

pub use batched::Batched;
pub use config::{BatchConfig, StoreConfig};
pub use host::HostStore;
pub use sqlite::{Database, DatabaseFile, Restore, Sqlite, SqliteConfig, WalConfig, admin, view};

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use cairn_effects::domain::Domains;
use cairn_effects::effect::Applied;
pub use cairn_effects::effect::Caller;
use cairn_effects::event::{Entry, Event};
use cairn_effects::rules::{AnyAnswer, DynEffect, DynLookUp, Effect, LookUp};
use cairn_model::clock::{ClockError, Timestamp};
use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::id::FlowId;

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A rule of ours says no; nothing changed.
    #[error(transparent)]
    Refused(TaskError),
    /// The call that asks is over; nothing changed.
    #[error("the call is over: its effects are no longer taken")]
    CallClosed,
    /// The batch that held this flow's latest events is gone. The flow must be loaded anew.
    #[error(
        "what the flow did last could not be written to the database, and counts as not done: {0}"
    )]
    Lost(String),
    /// No such flow.
    #[error("no flow {0}")]
    UnknownFlow(FlowId),
    /// This process took too long to renew its lease, and another one took its flows over. It may write nothing more.
    #[error(
        "another process took this one's flows over, as it had not renewed its lease: it was stopped, or could not write"
    )]
    Fenced,
    /// A file of the database that is open has lost its name, or another has it: what is committed is gone with this process,
    /// which may write nothing more.
    #[error(
        "{} was removed, or replaced by another file, while this process worked on the database: nothing is written any more, \
         and what is not reported as done is lost; put the right file back (`cairn db restore BACKUP` does it), and ask again",
        .0.display()
    )]
    Gone(PathBuf),
    /// Another process has the flow in hand.
    #[error("process {pid} has flow {flow} in hand")]
    InHand {
        /// The flow.
        flow: FlowId,
        /// The process.
        pid: u32,
    },
    /// The flow rested, and another process went on with it since it was loaded. It must be loaded anew.
    #[error("another process went on with flow {0}: try again")]
    WentOn(FlowId),
    /// The flow's journal cannot be read.
    #[error("the journal of flow {flow} is damaged: {reason}")]
    Damaged {
        /// The flow.
        flow: FlowId,
        /// What is wrong.
        reason: String,
    },
    /// The flow changed a table of a domain that this program does not have.
    #[error(
        "flow {flow} changed the table `{table}`, which no domain of this program knows: {others}"
    )]
    UnknownTable {
        /// The flow.
        flow: FlowId,
        /// The table.
        table: String,
        /// Which domains the database has been used with, and this program lacks.
        others: String,
    },
    /// A flow was asked for under this key before.
    #[error("flow {flow} was asked for under the same key before")]
    KeyTaken {
        /// The flow.
        flow: FlowId,
        /// Whether the same was asked then.
        same: bool,
    },
    /// The clock is wrong; nothing is written by it.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The database cannot be used.
    #[error("{0}")]
    Database(String),
}

/// Whom to tell when something is on disk, or lost.
pub struct WhenDurable(Box<dyn FnOnce(Result<(), StoreError>) + Send>);

impl WhenDurable {
    /// Calls `then`, from any thread and outside of the store's locks.
    pub fn new(then: impl FnOnce(Result<(), StoreError>) + Send + 'static) -> Self {
        Self(Box::new(then))
    }

    /// Tells. A panic of whoever is told is logged: it is not to end the thread that commits.
    pub fn tell(self, result: Result<(), StoreError>) {
        if catch_unwind(AssertUnwindSafe(|| (self.0)(result))).is_err() {
            tracing::error!("whoever was told that a flow is on disk, or lost, panicked");
        }
    }
}

impl StoreError {
    /// Whether the fault was of the moment: a flow may go on from what is on disk.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::WentOn(_) | Self::Database(_))
    }
}

impl From<TaskError> for StoreError {
    fn from(error: TaskError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for TaskError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(error) => error,
            StoreError::CallClosed => Self::host(HostErrorKind::CallClosed, error.to_string()),
            StoreError::Lost(_)
            | StoreError::UnknownFlow(_)
            | StoreError::Fenced
            | StoreError::Gone(_)
            | StoreError::WentOn(_)
            | StoreError::InHand { .. }
            | StoreError::Damaged { .. }
            | StoreError::UnknownTable { .. }
            | StoreError::KeyTaken { .. }
            | StoreError::Clock(_)
            | StoreError::Database(_) => Self::host(HostErrorKind::StoreLost, error.to_string()),
        }
    }
}

/// Gives an answer its type.
fn typed<A: 'static>(answer: AnyAnswer) -> Result<A, StoreError> {
    let answer = answer.downcast().map(|answer| *answer);
    answer.map_err(|_| StoreError::Database("an answer is of another type".to_owned()))
}

/// What flows need of the store. Every function may be called from any thread; what is written is durable after the next
/// [`barrier`](Store::barrier), not before.
pub trait Store: Send + Sync {
    /// What flows may change.
    fn domains(&self) -> &Domains;

    /// Adds events to a flow, and says when they happened. The first one ever must be [`Event::Created`].
    ///
    /// # Errors
    /// [`StoreError::Lost`] when earlier events of this flow are gone.
    fn append(&self, flow: FlowId, events: &[Event]) -> Result<Timestamp, StoreError>;

    /// [`append`](Self::append), without waiting for anybody; not for the first events of a flow with a key. What goes wrong is told by the
    /// next function that is asked about this flow.
    fn post(&self, flow: FlowId, events: &Arc<[Event]>) -> Timestamp;

    /// Applies an effect, and writes it to the flow's journal in the same transaction. An operator's is not journalled.
    ///
    /// # Errors
    /// [`StoreError::Refused`] with nothing changed but a quota refresh, which is a repair.
    fn apply_dyn(
        &self,
        by: Caller<'_>,
        effect: &dyn DynEffect,
    ) -> Result<(AnyAnswer, Applied), StoreError>;

    /// [`apply_dyn`](Self::apply_dyn), with an answer of its own type.
    ///
    /// # Errors
    /// The same.
    fn apply<E: Effect>(
        &self,
        by: Caller<'_>,
        effect: &E,
    ) -> Result<(E::Answer, Applied), StoreError>
    where
        Self: Sized,
    {
        let (answer, applied) = self.apply_dyn(by, effect)?;
        Ok((typed(answer)?, applied))
    }

    /// Takes an effect back, and writes that to the flow's journal in the same transaction.
    ///
    /// # Errors
    /// [`StoreError::Refused`] of kind `UndoRefused` when a row changed since, or another row depends on it.
    fn undo(&self, applied: &Applied) -> Result<(), StoreError>;

    /// Looks something up, with what open batches changed.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when there is no such thing, or it is another's.
    fn look_up_dyn(&self, by: Caller<'_>, look_up: &dyn DynLookUp)
    -> Result<AnyAnswer, StoreError>;

    /// [`look_up_dyn`](Self::look_up_dyn), with an answer of its own type.
    ///
    /// # Errors
    /// The same.
    fn look_up<L: LookUp>(&self, by: Caller<'_>, look_up: &L) -> Result<L::Answer, StoreError>
    where
        Self: Sized,
    {
        typed(self.look_up_dyn(by, look_up)?)
    }

    /// Returns when everything this flow wrote is on disk.
    ///
    /// # Errors
    /// [`StoreError::Lost`] when it is gone instead.
    fn barrier(&self, flow: FlowId) -> Result<(), StoreError>;

    /// Tells when everything this flow wrote is on disk, as [`barrier`](Self::barrier) does, but holds nobody up: many
    /// flows share a commit.
    fn when_durable(&self, flow: FlowId, then: WhenDurable);

    /// Commits what is open: nobody else will write soon.
    fn flush(&self);

    /// A flow's journal as it is on disk, and makes that the state to go on from. The flow is in this process's hand then.
    ///
    /// # Errors
    /// [`StoreError::UnknownFlow`]; [`StoreError::InHand`] when another process works on it; [`StoreError::Damaged`].
    fn load(&self, flow: FlowId) -> Result<Vec<Entry>, StoreError>;

    /// Forgets what is kept in memory of a flow that nobody will write to.
    fn release(&self, flow: FlowId);
}
