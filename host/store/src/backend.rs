//! Defines the interface to a database. A backend makes no decisions: it opens and writes batches and runs reads.

use std::time::Instant;

use cairn_effects::event::{Entry, FlowState};
use cairn_effects::rows::{Fetched, Mark, RowId, Wants, Written};
use cairn_model::clock::{Clock, Timestamp};
use cairn_model::id::{FlowId, HostId};
use cairn_model::value::Digest;

use crate::StoreError;
use crate::audit_row::AuditRow;
use crate::partitions::Partitions;
use crate::survivor::Survivor;

/// An error of a backend.
#[derive(Debug)]
pub enum Fault {
    /// No batch was opened; the caller may retry. Only [`Backend::begin`] returns this.
    NotBegun(StoreError),
    /// The open batch is lost, for this reason: nothing of it is in the database or ever will be.
    Lost(String),
    /// This process must not write again, for example because it was fenced off. The open batch is lost.
    Barred(StoreError),
}

impl Fault {
    /// Returns what an error comes to that came before anything was written: a host that was ended must not write again, and after others
    /// the batch is still open.
    pub(crate) fn of(error: StoreError) -> Self {
        match error {
            StoreError::Fenced => Self::Barred(error),
            error => Self::NotBegun(error),
        }
    }
}

/// The changes of a batch as data, so that the same batch can be written again when the outcome of a commit is unknown. The
/// backend itself keeps the batch's changes to hosts and to the ownership of flows until the commit.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// Rows that rules changed, table by table. The database must hold their `base` (compare-and-set).
    pub rows: Vec<Written<'a>>,
    /// Keys that flows were given. They were free or had lapsed.
    pub keys: &'a [GivenKey],
    /// New journal entries, flow by flow.
    pub flows: Vec<FlowEntries<'a>>,
    /// New rows of the audit, for operations on the flows. A database without operators has no audit.
    pub audit: Vec<AuditRow>,
}

/// An idempotency key and the flow that gets it.
#[derive(Clone, Debug)]
pub struct GivenKey {
    /// The project in which the key is unique.
    pub project_id: String,
    /// The text of the key.
    pub key: String,
    /// The flow.
    pub flow: FlowId,
    /// The digest of the request.
    pub asked: Digest,
}

/// New entries of one flow, and its row after them.
#[derive(Debug)]
pub struct FlowEntries<'a> {
    /// The flow.
    pub flow: FlowId,
    /// The number of the first entry, counted from 0.
    pub first: i64,
    /// The entries: see [`journal`](crate::journal).
    pub entries: Vec<u8>,
    /// The flow's row; `None` when the writer does not know it.
    pub row: Option<FlowRow<'a>>,
}

/// A flow's row in the list of flows. Writing it makes this process the owner unless the flow is at rest, and clears the mark of
/// a flow that was set aside.
#[derive(Debug)]
pub struct FlowRow<'a> {
    /// Whether the row is not in the database yet.
    pub is_new: bool,
    /// The flow's name.
    pub name: &'a str,
    /// The project that owns the flow.
    pub project_id: &'a str,
    /// The user who requested it.
    pub user_id: &'a str,
    /// The plan it was built from.
    pub plan: Option<Digest>,
    /// Its state.
    pub state: FlowState,
    /// The kind of its error.
    pub error: Option<&'a str>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its last entry was written.
    pub updated_at: Timestamp,
    /// The number of entries in its journal.
    pub length: i64,
    /// Whether it is at rest: no process owns it.
    pub rests: bool,
    /// Whether its rollback left tasks unreverted and no operator has accepted that.
    pub incomplete: bool,
    /// When it is to be woken, if it sleeps.
    pub wake_at: Option<Timestamp>,
    /// Whether it has passed its pivot, and has not ended.
    pub forward: bool,
}

/// The result of taking ownership of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// This process owns it.
    Ours,
    /// No process owns it; the first process that writes to it becomes its owner.
    Resting,
    /// Another live process owns it: its process id.
    By(u32),
    /// The flow does not exist.
    Unknown,
}

/// The flow that has an idempotency key.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The flow.
    pub flow: FlowId,
    /// The digest of the request; `None` when it must be computed from the flow's journal.
    pub asked: Option<Digest>,
    /// Whether the key has not lapsed.
    pub stands: bool,
}

/// A database as its one writer uses it.
///
/// A batch is opened by [`begin`](Self::begin) and ended by [`commit`](Self::commit) or [`roll_back`](Self::roll_back). Between the
/// two, no other process can write what is read here. After [`Fault::Lost`] and [`Fault::Barred`] the caller rolls back.
pub trait Backend: Send + 'static {
    /// Reads rows concurrently with the writer.
    type Reader: Reader;

    /// Opens a batch: waits for the write lock, then checks that this process still holds its lease, by `clock` after the wait. Returns
    /// whether others have written since the last check.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn begin(&mut self, clock: &dyn Clock) -> Result<bool, Fault>;

    /// Returns whether a batch is open, or what a fault left of one.
    fn is_open(&self) -> bool;

    /// Writes a whole batch and commits it. Returns the database's mark after it.
    ///
    /// # Errors
    /// [`Fault::Lost`]: nothing of it is in the database. [`Fault::Barred`].
    fn commit(&mut self, batch: &Batch<'_>) -> Result<Mark, Fault>;

    /// Drops the open batch.
    fn roll_back(&mut self);

    /// Returns whether others have written since the last check. Called only while no batch is open.
    ///
    /// # Errors
    /// The database's error text.
    fn have_others_written(&mut self) -> Result<bool, String>;

    // ---- Reading

    /// Creates a reader that runs concurrently with the writer; it is used when [`reads_beside`](Self::reads_beside).
    fn reader(&self) -> Self::Reader;

    /// Returns whether rows can be read without blocking the writer.
    fn reads_beside(&self) -> bool;

    /// Returns a number that grows when the connections of readers may be stale.
    fn generation(&self) -> u64;

    /// Reads rows in the open batch.
    ///
    /// # Errors
    /// [`Fault::Lost`].
    fn fetch(&mut self, wants: Wants) -> Result<Fetched, Fault>;

    /// Reads a flow's journal from the database; it is empty for an unknown flow.
    ///
    /// # Errors
    /// The problem, when it cannot be read.
    fn journal(&self, flow: FlowId) -> Result<Vec<Entry>, String>;

    /// Returns the holder of a key. A key has lapsed when its flow had ended by `lapsed`; an incomplete or stuck flow has not ended.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn key_holder(
        &self,
        project_id: &str,
        key: &str,
        lapsed: Timestamp,
    ) -> Result<Option<Holder>, StoreError>;

    /// Returns the domains whose tables the database has.
    fn domains(&self) -> Vec<String>;

    // ---- Hosts: processes that own flows

    /// Makes the liveness of this process visible to others, before it is registered.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn announce(&mut self) -> Result<(), StoreError>;

    /// Registers this process as a host, in the open batch, unless it is registered.
    ///
    /// # Errors
    /// [`Fault::Lost`].
    fn register(&mut self, now: Timestamp) -> Result<(), Fault>;

    /// Returns when this process's lease must be renewed, which a batch does, if [`must_write`](Self::must_write); `None` without a lease.
    fn renewal(&self) -> Option<Instant>;

    /// Returns whether an empty batch must be written at the time of [`renewal`](Self::renewal). Called only while no batch is open.
    fn must_write(&mut self) -> bool {
        true
    }

    /// Postpones the renewal of the lease after a failed attempt.
    fn postpone_renewal(&mut self);

    /// Claims a project for this process: its rows in memory are right only while it owns them. Where one process at a time writes there
    /// is nothing to claim.
    ///
    /// # Errors
    /// [`Fault::NotBegun`] with [`StoreError::Elsewhere`] when a live host owns it; the batch stays open.
    fn own(&mut self, _project_id: &str) -> Result<(), Fault> {
        Ok(())
    }

    /// Returns the partitions that this process owns; `None` where one process at a time writes, to all of them.
    fn owned(&self) -> Option<Partitions> {
        None
    }

    /// Returns whether a project was claimed since this was last asked, so that its rows in memory may be wrong.
    fn has_claimed(&mut self) -> bool {
        false
    }

    /// Takes ownership of a flow, in the open batch.
    ///
    /// # Errors
    /// [`Fault::Lost`].
    fn take(&mut self, flow: FlowId, now: Timestamp) -> Result<Taken, Fault>;

    /// Returns whether a flow that was at rest with this many entries is unchanged: no other process has continued it.
    ///
    /// # Errors
    /// [`Fault::Lost`].
    fn is_untouched(&mut self, flow: FlowId, entries: i64) -> Result<bool, Fault>;

    /// Gives up ownership of a flow, in the open batch.
    ///
    /// # Errors
    /// [`Fault::Lost`].
    fn put_down(&mut self, flow: FlowId) -> Result<(), Fault>;

    /// Takes over the flows of dead hosts, in the open batch, and returns the flows that this process owns then. Flows that were
    /// set aside are left out unless `stuck_too`.
    ///
    /// # Errors
    /// [`Fault::Lost`].
    fn take_over(&mut self, now: Timestamp, stuck_too: bool) -> Result<Vec<FlowId>, Fault>;

    /// Removes the locks of the hosts that the last [`take_over`](Self::take_over) found dead, once the removal of their rows is durable.
    fn sweep(&mut self);

    /// Returns the id of this process as a host.
    fn host_id(&self) -> HostId;

    /// Returns a host unless its process is known to be dead.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn survivor(&mut self, host: HostId) -> Result<Option<Survivor>, StoreError>;

    /// Prepares for closing the database; the last call.
    fn close(&mut self);
}

/// Reads rows concurrently with the writer, in any thread.
pub trait Reader: Send + 'static {
    /// Reads rows from one snapshot of the database. `generation` is [`Backend::generation`].
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn fetch(&mut self, generation: u64, wants: Wants) -> Result<Fetched, StoreError>;
}

/// Describes a row that is not what it was when it was read, as the reason why a batch was lost.
pub fn behind(row: &RowId) -> String {
    format!(
        "{} `{}` has changed since it was read: another program has written to the database",
        row.table.noun, row.key
    )
}
