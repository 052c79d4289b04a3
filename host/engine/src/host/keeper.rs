//! The keeper: a thread that serves requests of other processes, reports the end of flows that they own, and recovers flows
//! that were left behind. Where several hosts share a database it also does what [`sharing`](super::sharing) does.

pub(super) mod thread;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use cairn_model::id::FlowId;
use cairn_store::shared::{Forwarded, Partitions, partition_of};

use super::HostError;
use super::caller::{Note, Tell};

/// Interval between two attempts to recover flows that were left behind.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// How long the database may be away before callers that wait for flows are told so.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// State shared with the keeper's thread.
#[derive(Default)]
pub(super) struct Keeper {
    work: Mutex<Work>,
    told: Condvar,
}

#[derive(Default)]
struct Work {
    /// Callers that wait for the end of a flow.
    following: Vec<Following>,
    /// Requests that are to be written to the inbox.
    outgoing: Vec<Outgoing>,
    /// Requests in the inbox that this process is working on, and whether a worker has come to each.
    under_way: HashMap<FlowId, bool>,
    /// Requests that are being served.
    serving: HashSet<i64>,
    /// Flows of this process are to be recovered.
    left_behind: bool,
    /// Another host asks something of this one.
    hinted: bool,
    /// Callers are to wait no longer for flows that do not run here.
    gives_up: bool,
    closed: bool,
}

/// A caller that waits for the end of a flow.
pub(super) struct Following {
    pub(super) flow: FlowId,
    pub(super) since: Instant,
    /// The partition of its project.
    pub(super) part: u8,
    /// Since when its flow cannot be read.
    pub(super) failing: Option<Instant>,
    /// Told when it is seen that the flow goes on.
    pub(super) note: Option<Note>,
    pub(super) tell: Tell,
}

/// A request for another host, and the caller who waits for the end of its flow.
pub(super) struct Outgoing {
    pub(super) request: Forwarded,
    /// Told when the request is in the inbox, or under a key when its flow is seen there.
    pub(super) note: Option<Note>,
    /// Whether the request has a key: the flow may be another one then.
    pub(super) has_key: bool,
    /// Whether it was sent to the database, which has not answered: it may be in the inbox, and its flow may have begun.
    pub(super) tried: bool,
    pub(super) tell: Tell,
}

impl Keeper {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock()
    }

    /// Notes that another host asks something of this one.
    fn hint(&self) {
        self.work().hinted = true;
        self.told.notify_one();
    }

    /// Returns whether another host has asked something of this one since this was last called.
    pub(super) fn was_hinted(&self) -> bool {
        std::mem::take(&mut self.work().hinted)
    }

    /// Calls `tell` when a flow of this partition has ended, in any process. For a pruned flow it passes the report that is kept with its key.
    /// The queue of the host bounds the number of followers: see [`Aside`](super::pool::Aside).
    pub(super) fn follow(&self, flow: FlowId, part: u8, note: Option<Note>, tell: Tell) {
        let mut work = self.work();
        if work.closed {
            drop(work);
            return tell(Err(HostError::NotStarted));
        }
        work.following.push(Following {
            flow,
            since: Instant::now(),
            part,
            failing: None,
            note,
            tell,
        });
        drop(work);
        self.told.notify_one();
    }

    /// Forwards a request to the host that owns its project. What comes while the keeper writes is written together.
    pub(super) fn forward(&self, outgoing: Outgoing) {
        let mut work = self.work();
        if work.closed {
            drop(work);
            return (outgoing.tell)(Err(HostError::NotStarted));
        }
        work.outgoing.push(outgoing);
        drop(work);
        self.told.notify_one();
    }

    /// Takes what is to be forwarded.
    pub(super) fn outgoing(&self) -> Vec<Outgoing> {
        std::mem::take(&mut self.work().outgoing)
    }

    /// Takes what could not be forwarded yet back.
    pub(super) fn not_sent(&self, mut outgoing: Vec<Outgoing>) {
        let mut work = self.work();
        outgoing.append(&mut work.outgoing);
        work.outgoing = outgoing;
    }

    /// Follows the flows of requests that were forwarded.
    pub(super) fn sent(&self, sent: Vec<Outgoing>) {
        let following = sent.into_iter().map(|outgoing| {
            let Outgoing {
                request,
                mut note,
                has_key,
                tell,
                ..
            } = outgoing;
            if !has_key && let Some(note) = note.take() {
                note(request.flow);
            }
            Following {
                flow: request.flow,
                since: Instant::now(),
                part: partition_of(&request.project_id),
                failing: None,
                note,
                tell,
            }
        });
        let following: Vec<Following> = following.collect();
        self.work().following.extend(following);
    }

    /// Takes the callers that this is true of.
    pub(super) fn take_following(&self, is_one: impl Fn(&Following) -> bool) -> Vec<Following> {
        self.work()
            .following
            .extract_if(.., |one| is_one(one))
            .collect()
    }

    /// Takes callers back that wait on.
    pub(super) fn wait_on(&self, following: Vec<Following>) {
        self.work().following.extend(following);
    }

    /// Returns the partitions of the flows that callers wait for.
    pub(super) fn needed(&self) -> Partitions {
        let work = self.work();
        let following = work.following.iter().map(|following| following.part);
        following.collect()
    }

    /// Returns the requests in the inbox that this process is working on, and how many of them wait for a worker.
    pub(super) fn under_way(&self) -> (Vec<FlowId>, usize) {
        let under_way = &self.work().under_way;
        let waiting = under_way.values().filter(|is_taken| !**is_taken).count();
        (under_way.keys().copied().collect(), waiting)
    }

    /// Notes that this process works on requests in the inbox.
    pub(super) fn begin(&self, flows: &[FlowId]) {
        let flows = flows.iter().map(|flow| (*flow, false));
        self.work().under_way.extend(flows);
    }

    /// Notes that a worker has come to a request in the inbox.
    pub(super) fn taken(&self, flow: FlowId) {
        self.work().under_way.insert(flow, true);
    }

    /// Notes that a request in the inbox has led to a flow, was answered, or is left to the next owner.
    pub(super) fn settled(&self, flow: FlowId) {
        self.work().under_way.remove(&flow);
    }

    /// Claims a request until it is [`served`](Self::served); returns false if it is already claimed.
    pub(super) fn claim(&self, request: i64) -> bool {
        self.work().serving.insert(request)
    }

    /// Releases a claimed request, which was answered or is left to the next claim.
    pub(super) fn served(&self, request: i64) {
        self.work().serving.remove(&request);
    }

    /// Notes that a flow of this process was left behind: it is recovered when the database can be written again.
    pub(super) fn try_again(&self) {
        self.work().left_behind = true;
        self.told.notify_one();
    }

    /// Tells the callers that wait for flows which do not run here that they wait no longer.
    pub(super) fn give_up(&self) {
        self.work().gives_up = true;
        self.told.notify_one();
    }

    /// Ends the keeper's thread, which tells all that still wait.
    pub(super) fn close(&self) {
        self.work().closed = true;
        self.told.notify_one();
    }
}
