//! A database whose projects are divided among several hosts: which host owns what, and requests for flows of projects that another host owns.

use std::time::Duration;

use cairn_model::id::FlowId;
use cairn_model::value::Value;

use crate::StoreError;
pub use crate::partitions::{PARTITIONS, Partitions, partition_of};

/// How many requests of one project may wait in the inbox.
pub const INBOX_MOST: i64 = 10_000;

/// What a host wants to own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// Whether it takes a fair share of all partitions.
    pub shares: bool,
    /// Partitions that it needs in any case.
    pub needed: Partitions,
}

/// Who owns what, as a host last saw it.
#[derive(Clone, Copy, Debug)]
pub struct Territory {
    /// The partitions that this host owns.
    pub owned: Partitions,
    /// The partitions of other hosts.
    pub elsewhere: Partitions,
    /// Owned partitions that other processes wait for, to make an operator's change: to be given back soon.
    pub wanted: Partitions,
    /// How many partitions this host should own at most.
    pub share: usize,
    /// How many live hosts take a share, this one included if it does.
    pub sharing: usize,
    /// Whether this host is to take nothing new and to give back everything.
    pub is_draining: bool,
    /// Whether this host has claimed partitions since it last took up the flows in them: see [`Shared::take_up`].
    pub has_left_over: bool,
    /// The lease of this host.
    pub lease: Duration,
}

/// A request for a flow of a project that another host owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The id of the flow to create.
    pub flow: FlowId,
    /// The project.
    pub project_id: String,
    /// The request, as the host that forwards it wrote it.
    pub request: String,
}

/// What there is to say about a flow that a host waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It rests, is stuck, or is not in the database.
    Settled,
    /// The owner of its project refused the request, with this answer.
    Answered(Value),
}

/// Who owns what.
pub trait Shared {
    /// Reads who owns what. Ends hosts whose lease has expired, and claims what this host wants of the partitions without an owner.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Fenced`].
    fn tend(&self, wishes: &Wishes) -> Result<Territory, StoreError>;

    /// Claims a project for this host.
    ///
    /// # Errors
    /// [`StoreError::Elsewhere`] when a live host owns it; [`StoreError::Database`].
    fn claim(&self, project_id: &str) -> Result<(), StoreError>;

    /// Gives partitions back, in a batch of its own, after everything that was written before; those that another process waits for are
    /// that process's then. `moved` are flows in them that rest between two tasks: the next owner continues them.
    ///
    /// # Errors
    /// [`StoreError::Lost`], [`StoreError::Database`]: this host owns them still.
    fn give_back(&self, parts: &Partitions, moved: &[FlowId]) -> Result<(), StoreError>;

    /// Takes over the flows in owned partitions whose host does not own them any more, and returns the flows that this host owns but does
    /// not run. Claims nothing; stuck flows are left out.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn take_up(&self) -> Result<Vec<FlowId>, StoreError>;

    /// Returns which of these flows were resting between two tasks when their partition was given back.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn moved(&self, flows: &[FlowId]) -> Result<Vec<FlowId>, StoreError>;

    /// Says that these flows are about to be created from the inbox: the batch that creates one removes its request.
    fn expect(&self, flows: &[FlowId]);

    /// Answers a request in the inbox whose flow is not created, unless it is gone.
    ///
    /// # Errors
    /// [`StoreError::Lost`], [`StoreError::Database`].
    fn refuse(&self, flow: FlowId, answer: &Value) -> Result<(), StoreError>;

    /// Opens the inbox.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn inbox(&self) -> Result<Box<dyn Inbox>, StoreError>;

    /// Listens for what other hosts ask of this one.
    fn hints(&self) -> Box<dyn Hints>;
}

/// Hears that other hosts ask something of this one.
pub trait Hints: Send {
    /// Waits at most this long, and returns whether another host has written a request for a project of this host, or waits for one of its
    /// projects. Connects when that is needed. A hint can be lost: whoever waits for hints must look without them, too.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn wait(&mut self, most: Duration) -> Result<bool, StoreError>;
}

/// Requests for flows of projects that another host owns, on a connection beside the store's.
pub trait Inbox: Send {
    /// Writes requests, and returns those that were refused, as their project has [`INBOX_MOST`] that wait. May be repeated after an error.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn put(&mut self, requests: &[Forwarded]) -> Result<Vec<FlowId>, StoreError>;

    /// Returns the oldest requests for projects that this host owns, at most `most` and about 16 MiB, without those in `but`, and without
    /// those in the partitions that it is `leaving`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn open(
        &mut self,
        but: &[FlowId],
        leaving: &Partitions,
        most: usize,
    ) -> Result<Vec<Forwarded>, StoreError>;

    /// Returns what became of flows: nothing of those that wait or run.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn fates(&mut self, flows: &[FlowId]) -> Result<Vec<(FlowId, Fate)>, StoreError>;

    /// Removes requests, and returns those that were there and had no answer: they will not run. A request that the owner of its project has
    /// read stays: its flow may be about to be created.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn withdraw(&mut self, flows: &[FlowId]) -> Result<Vec<FlowId>, StoreError>;

    /// Removes what nobody asks for: answers that are older than an hour.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn tidy(&mut self) -> Result<(), StoreError>;
}
