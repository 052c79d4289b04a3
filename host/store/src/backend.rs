//! What only a database can do. A backend decides nothing: it opens and writes batches, and reads what it is asked for.

use std::time::Instant;

use cairn_effects::event::{Entry, FlowState};
use cairn_effects::rows::{Fetched, Mark, RowId, Wants, Written};
use cairn_model::clock::{Clock, Timestamp};
use cairn_model::id::FlowId;
use cairn_model::value::Digest;

use crate::StoreError;

/// Why a backend did not do what it was asked.
#[derive(Debug)]
pub enum Fault {
    /// No batch was opened; it may be tried again. Only [`Backend::begin`] says this.
    NotBegun(StoreError),
    /// The open batch is lost, for this reason: nothing of it is in the database, and never will be.
    Lost(String),
    /// This process may write nothing more. The open batch is lost.
    Barred(StoreError),
}

/// What a batch changes for flows, as data: the same batch can be written again when nobody knows what became of it. What the backend was
/// asked in the batch besides, about hosts and who has a flow in hand, it keeps itself until then.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// Rows that rules changed, table by table. What the database holds must be their `base`.
    pub rows: Vec<Written<'a>>,
    /// Keys that flows were given. They were free, or had lapsed.
    pub keys: &'a [GivenKey],
    /// What is added to flows.
    pub flows: Vec<FlowEntries<'a>>,
}

/// An idempotency key that a flow is given.
#[derive(Clone, Debug)]
pub struct GivenKey {
    /// For whom it stands.
    pub project_id: String,
    /// Its text.
    pub key: String,
    /// The flow.
    pub flow: FlowId,
    /// The digest of what was asked.
    pub asked: Digest,
}

/// New entries of one flow, and what its row says after them.
#[derive(Debug)]
pub struct FlowEntries<'a> {
    /// The flow.
    pub flow: FlowId,
    /// The number of the first entry, counted from 0.
    pub first: i64,
    /// The entries: see [`journal`](crate::journal).
    pub entries: Vec<u8>,
    /// The flow's row; `None` of a flow of which no row is known.
    pub row: Option<FlowRow<'a>>,
}

/// What the list of flows shows of one. Writing it takes the flow in hand unless it rests, and a flow that was set aside is so no more.
#[derive(Debug)]
pub struct FlowRow<'a> {
    /// The row is not in the database yet.
    pub is_new: bool,
    /// The flow's name.
    pub name: &'a str,
    /// Whose it is.
    pub project_id: &'a str,
    /// Who asked.
    pub user_id: &'a str,
    /// The plan it was built from.
    pub plan: Option<Digest>,
    /// Its state.
    pub state: FlowState,
    /// The kind of its error.
    pub error: Option<&'a str>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its last entry was written.
    pub updated_at: Timestamp,
    /// How many entries it has.
    pub length: i64,
    /// It rests: no process has it in hand.
    pub rests: bool,
    /// Its rollback left tasks unreverted, and nobody has accepted that.
    pub incomplete: bool,
}

/// What came of taking a flow in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in this process's hand.
    Ours,
    /// It is in nobody's hand, and stays there until somebody writes to it.
    Resting,
    /// A live process has it in hand: its number.
    By(u32),
    /// There is none.
    Unknown,
}

/// Who has an idempotency key.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The flow.
    pub flow: FlowId,
    /// The digest of what was asked; `None` where the flow's journal alone tells.
    pub asked: Option<Digest>,
    /// It has not lapsed.
    pub stands: bool,
}

/// A database, as its one writer uses it.
///
/// A batch is opened by [`begin`](Self::begin) and ended by [`commit`](Self::commit) or [`roll_back`](Self::roll_back). Between the
/// two nobody else writes what is read here. After [`Fault::Lost`] and [`Fault::Barred`] the caller rolls back.
pub trait Backend: Send + 'static {
    /// Reads rows beside the writer.
    type Reader: Reader;

    /// Opens a batch: waits for the right to write, and finds out whether this process still has it, by `clock` after the wait. Says
    /// whether others have written since this was asked last.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn begin(&mut self, clock: &dyn Clock) -> Result<bool, Fault>;

    /// Whether a batch is open, or part of one after a fault.
    fn is_open(&self) -> bool;

    /// Writes a batch whole, and ends it. Says how far the database has got by it.
    ///
    /// # Errors
    /// [`Fault::Lost`]: nothing of it is in the database. [`Fault::Barred`].
    fn commit(&mut self, batch: &Batch<'_>) -> Result<Mark, Fault>;

    /// Drops the open batch.
    fn roll_back(&mut self);

    /// Whether others have written since this was asked last. Called only while no batch is open.
    ///
    /// # Errors
    /// The database's words.
    fn have_others_written(&mut self) -> Result<bool, String>;

    // ---- Reading

    /// Something that reads beside the writer; it is used when [`reads_beside`](Self::reads_beside).
    fn reader(&self) -> Self::Reader;

    /// Whether rows can be read without holding the writer up.
    fn reads_beside(&self) -> bool;

    /// Grows when what readers know of the database may be wrong.
    fn generation(&self) -> u64;

    /// Reads rows in the open batch.
    ///
    /// # Errors
    /// [`Fault::Lost`].
    fn fetch(&mut self, wants: Wants) -> Result<Fetched, Fault>;

    /// A flow's journal as it is in the database; empty for a flow that nobody knows.
    ///
    /// # Errors
    /// What is wrong with it.
    fn journal(&self, flow: FlowId) -> Result<Vec<Entry>, String>;

    /// Who has a key. One whose flow had ended by `lapsed` has lapsed; a flow that is incomplete or stuck has not ended.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn key_holder(
        &self,
        project_id: &str,
        key: &str,
        lapsed: Timestamp,
    ) -> Result<Option<Holder>, StoreError>;

    /// The domains whose tables the database has.
    fn domains(&self) -> Vec<String>;

    // ---- Hosts: processes that have flows in hand

    /// Makes it known that this process lives, before it is registered.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn announce(&mut self) -> Result<(), StoreError>;

    /// Makes this process a host, in the open batch, unless it is one.
    ///
    /// # Errors
    /// [`Fault::Lost`].
    fn register(&mut self, now: Timestamp) -> Result<(), Fault>;

    /// When this process's lease is to be renewed, which opening a batch does; `None` without one.
    fn renewal(&self) -> Option<Instant>;

    /// Renews the lease later, as it could not be renewed now.
    fn postpone_renewal(&mut self);

    /// Takes a flow in hand, in the open batch.
    ///
    /// # Errors
    /// [`Fault::Lost`].
    fn take(&mut self, flow: FlowId, now: Timestamp) -> Result<Taken, Fault>;

    /// Whether nobody went on with a flow that rested when it had this many entries.
    ///
    /// # Errors
    /// [`Fault::Lost`].
    fn is_untouched(&mut self, flow: FlowId, entries: i64) -> Result<bool, Fault>;

    /// Gives a flow out of hand, in the open batch.
    ///
    /// # Errors
    /// [`Fault::Lost`].
    fn put_down(&mut self, flow: FlowId) -> Result<(), Fault>;

    /// Takes over the flows of hosts that are gone, in the open batch, and says which flows are in this process's hand by then.
    /// Those that were set aside are left out, unless they are wanted too.
    ///
    /// # Errors
    /// [`Fault::Lost`].
    fn take_over(&mut self, now: Timestamp, stuck_too: bool) -> Result<Vec<FlowId>, Fault>;

    /// Removes what is left of the hosts that the last [`take_over`](Self::take_over) found gone. Their rows are gone on disk.
    fn sweep(&mut self);

    /// Looks at the database for the last time.
    fn close(&mut self);
}

/// Reads rows beside the writer, in any thread.
pub trait Reader: Send + 'static {
    /// Reads rows as one state of the database has them. `generation` is [`Backend::generation`].
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn fetch(&mut self, generation: u64, wants: Wants) -> Result<Fetched, StoreError>;
}

/// That a row is not there that was: what a lost batch says.
pub fn behind(row: &RowId) -> String {
    format!(
        "{} `{}` is not what it was: another program has written to the database",
        row.table.noun, row.key
    )
}
