//! Persists flows and the rows they change. Effects and events are appended in order to one open batch, and one commit makes a
//! batch durable, so the database always holds a prefix of the history.

pub mod audit_row;
pub mod backend;
mod batched;
mod config;
#[cfg(feature = "postgres")]
mod copy;
pub mod deliver;
mod extent;
pub mod flow_request;
pub mod host;
mod host_lock;
pub mod hosts;
pub mod journal;
mod location;
pub mod locks;
pub mod memory;
pub mod observer;
pub mod operation;
mod operators;
mod partitions;
#[cfg(feature = "postgres")]
pub mod postgres;
mod reader;
pub mod shared;
pub mod sql;
mod sqlite;
mod statements;
mod survivor;
mod survivors;

// Tests of private items; they are kept beside `src`, in `tests/inside`.
#[cfg(test)]
extern crate self as cairn_store;
#[cfg(test)]
#[path = "../tests/inside/mod.rs"]
pub mod inside;
#[cfg(test)]
use inside::{any, operator, quota, rules};

pub use batched::Batched;
pub use config::{BatchConfig, StoreConfig};
#[cfg(feature = "postgres")]
pub use copy::Copied;
pub use host::{Component, HostStore};
pub use location::Location;
pub use operators::{admin, audit, deployments, projects, tokens, view};
pub use sqlite::{Database, DatabaseFile, Restore, Sqlite, SqliteConfig, WalConfig};
pub use survivor::Survivor;

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
use cairn_model::id::{CallId, FlowId, HostId};
use cairn_model::value::Digest;

/// An error of the store.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A rule refused the operation; nothing changed.
    #[error(transparent)]
    Refused(TaskError),
    /// The call that made this request is over; nothing changed.
    #[error("the call is over: its effects are no longer accepted")]
    CallClosed,
    /// The batch that held this flow's latest events was rolled back. The flow must be loaded again.
    #[error(
        "the flow's latest events and effects could not be written to the database and were rolled back: {0}"
    )]
    Lost(String),
    /// The flow does not exist.
    #[error("no flow {0}")]
    UnknownFlow(FlowId),
    /// This process did not renew its lease in time and was fenced off: another process took its flows over. It must not write again.
    #[error(
        "another process took this one's flows over, because it did not renew its lease in time: it was stopped, or could not write"
    )]
    Fenced,
    /// An open file of the database was unlinked or replaced under its name: what this process commits to it is lost when the
    /// process ends, so it must not write again.
    #[error(
        "{} was removed, or replaced by another file, while this process worked on the database: this process no longer writes, \
         and whatever it did not report as done is lost; put the right file back (`cairn db restore BACKUP` does it), and try again",
        .0.display()
    )]
    Gone(PathBuf),
    /// Another process owns the flow.
    #[error("process {pid} owns flow {flow}")]
    InHand {
        /// The flow.
        flow: FlowId,
        /// The process.
        pid: u32,
    },
    /// Another process continued the flow, which was at rest, after this process loaded it. It must be loaded again.
    #[error("another process continued flow {0}: try again")]
    WentOn(FlowId),
    /// The flow's journal cannot be read.
    #[error("the journal of flow {flow} is damaged: {reason}")]
    Damaged {
        /// The flow.
        flow: FlowId,
        /// The problem.
        reason: String,
    },
    /// A stored component has other bytes than its digest says.
    #[error("the component {digest} in the database is damaged: {reason}")]
    DamagedComponent {
        /// The digest that it should have.
        digest: Digest,
        /// The problem.
        reason: String,
    },
    /// The flow changed a table of a domain that is not registered in this program.
    #[error(
        "flow {flow} changed the table `{table}`, which no domain of this program knows: {others}"
    )]
    UnknownTable {
        /// The flow.
        flow: FlowId,
        /// The table.
        table: String,
        /// The domains that the database was used with and this program lacks, as advice.
        others: String,
    },
    /// Another flow has this idempotency key.
    #[error("flow {flow} was already requested under the same key")]
    KeyTaken {
        /// The flow.
        flow: FlowId,
        /// Whether that flow was created for the same request.
        same: bool,
    },
    /// Another host owns the project.
    #[error(
        "the host `{host}` (process {pid}) owns this project, and only that host changes it: try again when it has ended or has given the \
         project back"
    )]
    Elsewhere {
        /// The name of its machine.
        host: String,
        /// Its process.
        pid: u32,
    },
    /// A live host has other settings, and rules depend on them. Nothing was written.
    #[error(
        "these settings differ from those of the host `{name}` (process {pid}, {host}), which works on this database: {}",
        keys.join(", ")
    )]
    OtherSettings {
        /// That host.
        host: HostId,
        /// The name of its machine.
        name: String,
        /// Its process.
        pid: u32,
        /// The names of the settings that differ.
        keys: Vec<String>,
    },
    /// The database has lost batches that it had acknowledged, as a standby does that was not synchronous. This process writes nothing more.
    #[error(
        "the database has lost history: its last batch of this host is {found}, and {expected} was acknowledged; a standby that was not \
         synchronous was promoted, so what was reported as done may be gone: compare, and start again"
    )]
    HistoryLost {
        /// The last batch that the database has.
        found: i64,
        /// The last batch that it acknowledged.
        expected: i64,
    },
    /// The database was restored, and an operator has not released it yet; nothing changed.
    #[error(
        "the database was restored at {since} and is held: no flow is run, recovered or changed, no message is delivered, and nothing is \
         pruned, until `cairn db release`"
    )]
    Held {
        /// When it was restored, in RFC 3339.
        since: String,
    },
    /// The clock is wrong; nothing is written with its time.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The database cannot be used.
    #[error("{0}")]
    Database(String),
}

/// A callback that is run once a flow's writes are on disk, or lost.
pub struct WhenDurable(Box<dyn FnOnce(Result<(), StoreError>) + Send>);

impl WhenDurable {
    /// Wraps `then`, which is called from any thread and outside of the store's locks.
    pub fn new(then: impl FnOnce(Result<(), StoreError>) + Send + 'static) -> Self {
        Self(Box::new(then))
    }

    /// Runs the callback. A panic in it is caught and logged, so that it does not end the thread that commits.
    pub fn tell(self, result: Result<(), StoreError>) {
        if catch_unwind(AssertUnwindSafe(|| (self.0)(result))).is_err() {
            tracing::error!("a callback that reports whether a flow's writes are durable panicked");
        }
    }
}

impl StoreError {
    /// Returns whether the error is transient: the flow can continue from its state on disk.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::WentOn(_) | Self::Database(_))
    }

    /// Returns whether every further write would fail too: this process may not write to the database any more.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Fenced | Self::Gone(_) | Self::HistoryLost { .. }
        )
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
            | StoreError::DamagedComponent { .. }
            | StoreError::UnknownTable { .. }
            | StoreError::KeyTaken { .. }
            | StoreError::Elsewhere { .. }
            | StoreError::OtherSettings { .. }
            | StoreError::HistoryLost { .. }
            | StoreError::Held { .. }
            | StoreError::Clock(_)
            | StoreError::Database(_) => Self::host(HostErrorKind::StoreLost, error.to_string()),
        }
    }
}

/// Downcasts an answer to its type.
fn typed<A: 'static>(answer: AnyAnswer) -> Result<A, StoreError> {
    let answer = answer.downcast().map(|answer| *answer);
    answer.map_err(|_| StoreError::Database("an answer has an unexpected type".to_owned()))
}

/// The store as flows use it. Every function may be called from any thread; writes are durable after the next
/// [`barrier`](Store::barrier), not before.
pub trait Store: Send + Sync {
    /// Returns the domains, whose tables flows may change.
    fn domains(&self) -> &Domains;

    /// Returns the time, by the clock of all that is stored.
    fn now(&self) -> Timestamp;

    /// Appends events to a flow's journal and returns their time. The first event of a flow must be [`Event::Created`].
    ///
    /// # Errors
    /// [`StoreError::Lost`] when earlier events of this flow were rolled back.
    fn append(&self, flow: FlowId, events: &[Event]) -> Result<Timestamp, StoreError>;

    /// Appends events like [`append`](Self::append), but does not wait for the writer. Not for the first events of a flow with a key. The
    /// next function that is called for this flow returns any error.
    fn post(&self, flow: FlowId, events: &Arc<[Event]>) -> Timestamp;

    /// Applies an effect and appends it to the flow's journal in the same transaction. An operator's effect is not journalled.
    ///
    /// # Errors
    /// [`StoreError::Refused`]; nothing changes then, except for a quota refresh, which is a repair.
    fn apply_dyn(
        &self,
        by: Caller<'_>,
        effect: &dyn DynEffect,
    ) -> Result<(AnyAnswer, Applied), StoreError>;

    /// Calls [`apply_dyn`](Self::apply_dyn) and returns the effect's own answer type.
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

    /// Runs a step of the host's own for a flow, and journals `event` in the same transaction, in place of the step's changes. Unlike an effect
    /// it needs no open call.
    ///
    /// # Errors
    /// As [`apply_dyn`](Self::apply_dyn).
    fn step_dyn(
        &self,
        call: CallId,
        step: &dyn DynEffect,
        event: &Event,
    ) -> Result<AnyAnswer, StoreError>;

    /// Calls [`step_dyn`](Self::step_dyn) and returns the step's own answer type.
    ///
    /// # Errors
    /// The same.
    fn step<E: Effect>(
        &self,
        call: CallId,
        step: &E,
        event: &Event,
    ) -> Result<E::Answer, StoreError>
    where
        Self: Sized,
    {
        typed(self.step_dyn(call, step, event)?)
    }

    /// Undoes an effect and appends the undo to the flow's journal in the same transaction.
    ///
    /// # Errors
    /// [`StoreError::Refused`] of kind `UndoRefused` when a row has changed since, or another row depends on it.
    fn undo(&self, applied: &Applied) -> Result<(), StoreError>;

    /// Runs a query, which sees the changes of the open batch.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the row does not exist or belongs to another project.
    fn look_up_dyn(&self, by: Caller<'_>, look_up: &dyn DynLookUp)
    -> Result<AnyAnswer, StoreError>;

    /// Calls [`look_up_dyn`](Self::look_up_dyn) and returns the query's own answer type.
    ///
    /// # Errors
    /// The same.
    fn look_up<L: LookUp>(&self, by: Caller<'_>, look_up: &L) -> Result<L::Answer, StoreError>
    where
        Self: Sized,
    {
        typed(self.look_up_dyn(by, look_up)?)
    }

    /// Returns the id of this process as a host of the database: acts outside the database that it begins name it.
    fn host(&self) -> HostId;

    /// Returns a host unless its process is known to be dead: its lock proves it on this machine, or another host or an operator has recorded
    /// it. An expired lease is no proof, and a host of which nothing is known is returned.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn survivor(&self, host: HostId) -> Result<Option<Survivor>, StoreError>;

    /// Waits until everything this flow wrote is on disk.
    ///
    /// # Errors
    /// [`StoreError::Lost`] when it was rolled back instead.
    fn barrier(&self, flow: FlowId) -> Result<(), StoreError>;

    /// Calls `then` once everything this flow wrote is on disk. Unlike [`barrier`](Self::barrier) it does not block, so many flows
    /// share a commit.
    fn when_durable(&self, flow: FlowId, then: WhenDurable);

    /// Commits the open batch; to be called when no other write is expected soon.
    fn flush(&self);

    /// Returns a flow's journal as it is on disk, and continues the flow from that state. This process owns the flow from then on.
    ///
    /// # Errors
    /// [`StoreError::UnknownFlow`]; [`StoreError::InHand`] when another process owns it; [`StoreError::Damaged`].
    fn load(&self, flow: FlowId) -> Result<Vec<Entry>, StoreError>;

    /// Drops a handle of a flow: without handles the flow's state is removed from memory.
    fn release(&self, flow: FlowId);
}
