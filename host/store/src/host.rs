//! What a host needs of its store besides what its flows need: plans, requests of other processes, and what dead processes left behind.

use std::ops::ControlFlow;
use std::time::Duration;

use cairn_effects::event::Entry;
use cairn_effects::report::Report;
use cairn_model::id::{FlowId, Identity};
use cairn_model::idempotency::Key;
use cairn_model::value::{Digest, Value};

use crate::admin::Admin;
use crate::control::{Operation, Request};
use crate::deliver::Outbox;
use crate::view::{Pruned, View};
use crate::{Store, StoreError};

/// A store that a host can run on.
pub trait HostStore: Store {
    /// Returns how many batches were committed since the store was opened.
    fn commits(&self) -> u64;

    /// Takes over the flows of processes that are gone, and returns the flows that nobody works on now: they are this process's to
    /// recover. Flows that were set aside are left out unless `stuck_too`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn take_over(&self, stuck_too: bool) -> Result<Vec<FlowId>, StoreError>;

    /// Sets a flow aside that cannot be recovered, for this reason.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn set_aside(&self, flow: FlowId, reason: &str) -> Result<(), StoreError>;

    /// Commits what is open, and returns what the database holds of a flow.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Database`].
    fn on_disk(&self, flow: FlowId) -> Result<FlowOnDisk, StoreError>;

    /// Returns the flow that was asked for with the same request under a key of the requester's project; `None` when the key is free,
    /// has lapsed, or stands for another request.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when what was asked cannot be read, [`StoreError::Database`].
    fn repeat_of(&self, requester: &Identity, key: &Key) -> Result<Option<FlowId>, StoreError>;

    /// Keeps a plan, as JSON; it is on disk when this returns. One that is kept stays as it is.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn keep_plan(&self, digest: Digest, body: &str) -> Result<(), StoreError>;

    /// Returns a plan that was kept.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn plan(&self, digest: Digest) -> Result<Option<String>, StoreError>;

    /// Asks something of a flow that another process has in hand. Returns the request's number, once it is on disk.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn ask(&self, flow: FlowId, operation: &Operation) -> Result<i64, StoreError>;

    /// Answers a request.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn answer(&self, request: i64, answer: &Value) -> Result<(), StoreError>;

    /// Returns the answer to a request, once it has one.
    ///
    /// # Errors
    /// [`StoreError::Database`]; [`StoreError::Refused`] when there is no such request any more.
    fn answer_to(&self, request: i64) -> Result<Option<Value>, StoreError>;

    /// Returns what is asked of flows that this process has in hand, or nobody has.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn requests(&self) -> Result<Vec<Request>, StoreError>;

    /// Returns something that notices what other processes write; `None` where there can be none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn watch(&self) -> Result<Option<Box<dyn Watch>>, StoreError>;

    /// Opens the outbox for a dispatcher; `None` of a database that is in memory only.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn outbox(&self) -> Result<Option<Box<dyn Outbox>>, StoreError>;

    /// Returns the store as operators use it; `None` of one that runs no SQL.
    fn operators(&self) -> Option<&dyn Operators>;
}

/// What the database holds of a flow.
#[derive(Clone, Debug, Default)]
pub struct FlowOnDisk {
    /// Its journal; empty for a flow that is not there.
    pub journal: Vec<Entry>,
    /// Why it cannot be recovered; `None` of a flow that can.
    pub stuck: Option<String>,
    /// What a key keeps of a flow that was pruned; `None` of one that was not.
    pub kept: Option<Report>,
}

/// Notices what other processes write, beside the store.
pub trait Watch: Send {
    /// Returns what the database holds of a flow.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Database`].
    fn on_disk(&self, flow: FlowId) -> Result<FlowOnDisk, StoreError>;

    /// Says whether something is asked of a flow that this process has in hand, or nobody has. Costs next to nothing while
    /// nobody writes.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn has_requests(&mut self) -> Result<bool, StoreError>;
}

/// Reads through a [`View`].
pub type Read<'f> = &'f mut dyn FnMut(&View<'_>);

/// Makes changes through an [`Admin`], or takes them back with `Break`.
pub type Work<'f> = &'f mut dyn FnMut(&mut Admin<'_, '_>) -> ControlFlow<()>;

/// A store that operators can read and change by SQL.
pub trait Operators {
    /// Commits the open batch, then reads as `requester`. `read` runs once, or not at all.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Lost`].
    fn read_dyn(&self, requester: &Identity, read: Read<'_>) -> Result<(), StoreError>;

    /// Changes things as `requester`, in one transaction that is on disk when this returns. `work` runs once, or not at all; when it
    /// breaks, nothing is changed.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Lost`], with nothing changed.
    fn admin_dyn(&self, requester: &Identity, work: Work<'_>) -> Result<(), StoreError>;

    /// Removes flows that ended before `older_than`, in many short transactions: see [`Sqlite::prune_flows`](crate::Sqlite::prune_flows).
    ///
    /// # Errors
    /// `AdminRequired`; [`StoreError::Database`] or [`StoreError::Lost`].
    fn prune_flows(&self, requester: &Identity, older_than: Duration)
    -> Result<Pruned, StoreError>;
}

impl dyn HostStore + '_ {
    /// Commits the open batch, then reads as `requester`.
    ///
    /// # Errors
    /// Those of `read`; [`StoreError::Database`] for a store without [`operators`](HostStore::operators).
    pub fn read<T>(
        &self,
        requester: &Identity,
        read: impl FnOnce(&View<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.try_read(requester, read)
    }

    /// `read` for a reader with an error of its own.
    ///
    /// # Errors
    /// As `read`.
    pub fn try_read<T, E: From<StoreError>>(
        &self,
        requester: &Identity,
        read: impl FnOnce(&View<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (mut read, mut answer) = (Some(read), None);
        let mut run = |view: &View<'_>| {
            if let Some(read) = read.take() {
                answer = Some(read(view));
            }
        };
        self.operated()?.read_dyn(requester, &mut run)?;
        answer.unwrap_or_else(|| Err(not_run().into()))
    }

    /// Changes things as `requester`, in one transaction that is on disk when this returns.
    ///
    /// # Errors
    /// Those of `work`, with nothing changed; [`StoreError::Database`] for a store without [`operators`](HostStore::operators).
    pub fn admin<T>(
        &self,
        requester: &Identity,
        work: impl FnOnce(&mut Admin<'_, '_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.try_admin(requester, work)
    }

    /// `admin` for changes that are refused with an error of the caller's own.
    ///
    /// # Errors
    /// As `admin`.
    pub fn try_admin<T, E: From<StoreError>>(
        &self,
        requester: &Identity,
        work: impl FnOnce(&mut Admin<'_, '_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (mut work, mut answer) = (Some(work), None);
        let mut run = |admin: &mut Admin<'_, '_>| {
            let Some(work) = work.take() else {
                return ControlFlow::Continue(());
            };
            let done = answer.insert(work(admin));
            match done {
                Ok(_) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        };
        self.operated()?.admin_dyn(requester, &mut run)?;
        answer.unwrap_or_else(|| Err(not_run().into()))
    }

    /// Removes flows that ended before `older_than`: see [`Operators::prune_flows`].
    ///
    /// # Errors
    /// Those; [`StoreError::Database`] for a store without [`operators`](HostStore::operators).
    pub fn prune_flows(
        &self,
        requester: &Identity,
        older_than: Duration,
    ) -> Result<Pruned, StoreError> {
        self.operated()?.prune_flows(requester, older_than)
    }

    fn operated(&self) -> Result<&dyn Operators, StoreError> {
        let without = || StoreError::Database("this store runs no SQL of operators".to_owned());
        self.operators().ok_or_else(without)
    }
}

fn not_run() -> StoreError {
    StoreError::Database("the store did not do what it was asked".to_owned())
}
