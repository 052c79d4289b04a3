//! The interface that a host needs of its store beyond that of its flows: plans, requests of other processes, recovery of the flows of
//! dead processes.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use cairn_effects::event::Entry;
use cairn_effects::report::Report;
use cairn_model::clock::Timestamp;
use cairn_model::id::{FlowId, Identity};
use cairn_model::idempotency::Key;
use cairn_model::value::{Digest, Value};

use crate::admin::Admin;
use crate::deliver::Outbox;
use crate::observer::Observer;
use crate::operation::{Asked, OperationRequest};
use crate::shared::Shared;
use crate::view::{Pruned, View};
use crate::{Store, StoreError};

/// A store that a host can run on.
pub trait HostStore: Store {
    /// Returns how many batches were committed since the store was opened.
    fn commits(&self) -> u64;

    /// Returns why the last batch could not be written; `None` if it was. Does not wait for the writer.
    fn trouble(&self) -> Option<String>;

    /// Writes something, to find out whether the database can be written again.
    ///
    /// # Errors
    /// Those of any write.
    fn probe(&self) -> Result<(), StoreError>;

    /// Tells an observer, in place of any other one, of all that is written from now on.
    fn observe(&self, observer: Arc<dyn Observer>);

    /// Registers this process, so that others can tell whether it is dead: to be called before an act outside the database that belongs to no
    /// flow of it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn register(&self) -> Result<(), StoreError>;

    /// Takes over the flows of dead processes, and returns the flows that this process owns but does not run: it must recover
    /// them. Stuck flows are left out unless `stuck_too`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn take_over(&self, stuck_too: bool) -> Result<Vec<FlowId>, StoreError>;

    /// Sets aside a flow that cannot be recovered, with the reason.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn set_aside(&self, flow: FlowId, reason: &str) -> Result<(), StoreError>;

    /// Commits the open batch, then reads what the database holds of a flow.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Database`].
    fn on_disk(&self, flow: FlowId) -> Result<FlowOnDisk, StoreError>;

    /// Returns the flow that was created for the same request under a key of the requester's project; `None` when the key is free,
    /// has lapsed, or belongs to another request.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the first request cannot be read, [`StoreError::Database`].
    fn repeat_of(&self, requester: &Identity, key: &Key) -> Result<Option<FlowId>, StoreError>;

    /// Stores a plan, as JSON, with the components that it names; all are on disk when this returns. A plan or a component that is
    /// already stored stays unchanged; a component that is damaged is replaced.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn keep_plan(
        &self,
        digest: Digest,
        body: &str,
        components: &[Component<'_>],
    ) -> Result<(), StoreError>;

    /// Returns a stored plan.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn plan(&self, digest: Digest) -> Result<Option<String>, StoreError>;

    /// Reads a component and verifies its digest; `None` if there is none of this digest.
    ///
    /// # Errors
    /// [`StoreError::DamagedComponent`] for other bytes than were stored; [`StoreError::Database`].
    fn component(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError>;

    /// Requests an operation on a flow that another process owns. Returns the request's number once it is on disk.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn ask(&self, flow: FlowId, asked: &Asked) -> Result<i64, StoreError>;

    /// Stores the answer to a request.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn answer(&self, request: i64, answer: &Value) -> Result<(), StoreError>;

    /// Returns the answer to a request, once it has one.
    ///
    /// # Errors
    /// [`StoreError::Database`]; [`StoreError::Refused`] when there is no such request any more.
    fn answer_to(&self, request: i64) -> Result<Option<Value>, StoreError>;

    /// Returns the open requests for flows that this process owns or no process owns.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn requests(&self) -> Result<Vec<OperationRequest>, StoreError>;

    /// Returns flows that sleep and are to be woken, those that are due longest first; only those that this process may take.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn due(&self, due: Due) -> Result<Vec<FlowId>, StoreError>;

    /// Returns which of these flows do not sleep, or are to be woken by now.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn awake(&self, flows: &[FlowId], now: Timestamp) -> Result<Vec<FlowId>, StoreError>;

    /// Returns a watch on the writes of other processes; `None` where there can be none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn watch(&self) -> Result<Option<Box<dyn Watch>>, StoreError>;

    /// Opens the outbox for a dispatcher; `None` of a database that is in memory only.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn outbox(&self) -> Result<Option<Box<dyn Outbox>>, StoreError>;

    /// Returns who owns what of a database whose projects are divided among several hosts; `None` of any other one.
    fn shared(&self) -> Option<&dyn Shared> {
        None
    }

    /// Returns the interface for operators; `None` for a store that runs no SQL.
    fn operators(&self) -> Option<&dyn Operators>;
}

/// Which flows that sleep are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// Those that are to be woken by this time.
    pub now: Timestamp,
    /// At most so many.
    pub most: usize,
    /// Also those that were set aside.
    pub stuck_too: bool,
}

/// A plugin's component.
#[derive(Clone, Copy, Debug)]
pub struct Component<'a> {
    /// The digest of the bytes.
    pub digest: Digest,
    /// At most [`MAX_COMPONENT`](cairn_model::file::MAX_COMPONENT) bytes.
    pub bytes: &'a [u8],
}

/// A flow's state on disk.
#[derive(Clone, Debug, Default)]
pub struct FlowOnDisk {
    /// Its journal; empty for a flow that does not exist.
    pub journal: Vec<Entry>,
    /// Why it cannot be recovered; `None` for a flow that can.
    pub stuck: Option<String>,
    /// The report that its idempotency key keeps after the flow was pruned; `None` for a flow that was not pruned.
    pub kept: Option<Report>,
}

/// Notices writes of other processes, concurrently with the store.
pub trait Watch: Send {
    /// Reads what the database holds of each of these flows, in their order: [`StoreError::Damaged`], [`StoreError::Database`].
    fn on_disk(&self, flows: &[FlowId]) -> Vec<Result<FlowOnDisk, StoreError>>;

    /// Returns whether there are open requests for flows that this process owns or no process owns. Costs almost nothing while no
    /// process writes.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn has_requests(&mut self) -> Result<bool, StoreError>;

    /// Returns flows that are to be woken: see [`HostStore::due`].
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn due(&self, due: Due) -> Result<Vec<FlowId>, StoreError>;

    /// Returns which of these flows do not sleep any more: see [`HostStore::awake`].
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn awake(&self, flows: &[FlowId], now: Timestamp) -> Result<Vec<FlowId>, StoreError>;

    /// Says that requests which were not this process's business may be so now, as it has claimed partitions.
    fn look_again(&mut self) {}
}

/// Reads through a [`View`].
pub type Read<'f> = &'f mut dyn FnMut(&View<'_>);

/// Makes changes through an [`Admin`]; `Break` rolls them back.
pub type Work<'f> = &'f mut dyn FnMut(&mut Admin<'_>) -> ControlFlow<()>;

/// A store that operators can read and change by SQL.
pub trait Operators {
    /// Commits the open batch, then runs a read as `requester`. `read` runs at most once.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Lost`].
    fn read_dyn(&self, requester: &Identity, read: Read<'_>) -> Result<(), StoreError>;

    /// Makes changes as `requester` in one transaction, which is on disk when this returns. `work` runs at most once; when it
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
    /// Commits the open batch, then runs a read as `requester`.
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

    /// Runs a read like `read`, with the reader's own error type.
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

    /// Makes changes as `requester` in one transaction, which is on disk when this returns.
    ///
    /// # Errors
    /// Those of `work`, with nothing changed; [`StoreError::Database`] for a store without [`operators`](HostStore::operators).
    pub fn admin<T>(
        &self,
        requester: &Identity,
        work: impl FnOnce(&mut Admin<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.try_admin(requester, work)
    }

    /// Makes changes like `admin`, with the caller's own error type.
    ///
    /// # Errors
    /// As `admin`.
    pub fn try_admin<T, E: From<StoreError>>(
        &self,
        requester: &Identity,
        work: impl FnOnce(&mut Admin<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (mut work, mut answer) = (Some(work), None);
        let mut run = |admin: &mut Admin<'_>| {
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
        let without =
            || StoreError::Database("this store has no SQL interface for operators".to_owned());
        self.operators().ok_or_else(without)
    }
}

fn not_run() -> StoreError {
    StoreError::Database("the store did not run the operation".to_owned())
}
