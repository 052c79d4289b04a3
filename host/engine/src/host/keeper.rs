//! The keeper: a thread that serves requests of other processes, reports the end of flows that they own, and recovers flows
//! that were left behind. Where several hosts share a database it also does what [`sharing`](super::sharing) does.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use cairn_effects::history::History;
use cairn_effects::report::Report;
use cairn_model::id::FlowId;
use cairn_store::StoreError;
use cairn_store::host::{FlowOnDisk, Watch};
use cairn_store::shared::{Forwarded, Hints, Partitions, partition_of};

use super::sharing::Sharing;
use super::submit::Tell;
use super::{Core, HostError, recovery};

/// Interval between two polls for writes of other processes.
const LOOK: Duration = Duration::from_millis(10);

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
    pub(super) tell: Tell,
}

/// A request for another host, and the caller who waits for the end of its flow.
pub(super) struct Outgoing {
    pub(super) request: Forwarded,
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

    /// Calls `tell` when a flow has ended, in any process. For a pruned flow it passes the report that is kept with its key.
    /// The queue of the host bounds the number of followers: see [`Aside`](super::pool::Aside).
    pub(super) fn follow(&self, flow: FlowId, project_id: &str, tell: Tell) {
        let mut work = self.work();
        if work.closed {
            drop(work);
            return tell(Err(HostError::NotStarted));
        }
        work.following.push(Following {
            flow,
            since: Instant::now(),
            part: partition_of(project_id),
            failing: None,
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
        let following = sent
            .into_iter()
            .map(|Outgoing { request, tell }| Following {
                flow: request.flow,
                since: Instant::now(),
                part: partition_of(&request.project_id),
                failing: None,
                tell,
            });
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

/// Starts the keeper's thread, which ends when the keeper is closed.
pub(super) fn start(core: &Arc<Core>) -> Result<std::thread::JoinHandle<()>, HostError> {
    let watch = core.store.watch()?;
    let sharing = Sharing::begin(core)?;
    if core.shares
        && let Some(shared) = core.store.shared()
    {
        let (keeper, hints) = (Arc::downgrade(&core.keeper), shared.hints());
        // Ends by itself once the host is gone.
        std::thread::Builder::new()
            .name("cairn-hints".to_owned())
            .spawn(move || hear(&keeper, hints))
            .map_err(HostError::Thread)?;
    }
    let core = Arc::downgrade(core);
    std::thread::Builder::new()
        .name("cairn-keeper".to_owned())
        .spawn(move || keep(&core, watch, sharing))
        .map_err(HostError::Thread)
}

/// Passes on that other hosts ask something of this one, which the keeper would find out later.
fn hear(keeper: &Weak<Keeper>, mut hints: Box<dyn Hints>) {
    while keeper.strong_count() > 0 {
        match hints.wait(AGAIN) {
            Ok(true) => {
                if let Some(keeper) = keeper.upgrade() {
                    keeper.hint();
                }
            }
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(%error, "other hosts cannot be heard; trying again");
                std::thread::sleep(AGAIN);
            }
        }
    }
}

fn keep(core: &Weak<Core>, mut watch: Option<Box<dyn Watch>>, mut sharing: Option<Sharing>) {
    let mut tried = Instant::now();
    // The database could not be reached at the last look.
    let mut is_blind = false;
    // The thread drops its reference after each round, so it does not keep the host alive.
    while let Some(core) = core.upgrade() {
        if let Some(sharing) = &mut sharing
            && sharing.round(&core)
            && let Some(watch) = &mut watch
        {
            watch.look_again();
        }
        let was_blind = std::mem::take(&mut is_blind);
        if let Some(watch) = &mut watch {
            match watch.has_requests() {
                Ok(true) => serve(&core),
                Ok(false) => {}
                Err(error) => {
                    is_blind = true;
                    if !was_blind {
                        tracing::warn!(%error, "other processes cannot be watched; trying again");
                    }
                }
            }
        }
        tell_followers(&core, watch.as_deref(), sharing.as_mut());
        if tried.elapsed() > AGAIN {
            tried = Instant::now();
            take_up(&core);
        }
        // Also for requests that came while the host was stopping.
        let gives_up = core.keeper.work().gives_up;
        if gives_up {
            let is_elsewhere = |one: &Following| !core.active().contains_key(&one.flow);
            let following = core.keeper.take_following(is_elsewhere);
            give_up(&core, sharing.as_mut(), following);
        }
        let mut work = core.keeper.work();
        if work.closed {
            let following = std::mem::take(&mut work.following);
            drop(work);
            give_up(&core, sharing.as_mut(), following);
            return;
        }
        let wait = match (&watch, work.following.is_empty() && !work.left_behind) {
            (None, true) => AGAIN,
            _ if is_blind => LOOK * 10,
            _ => LOOK,
        };
        core.keeper.told.wait_for(&mut work, wait);
    }
}

/// Tells callers that they wait no longer, also those whose request is still to be forwarded.
fn give_up(core: &Arc<Core>, sharing: Option<&mut Sharing>, following: Vec<Following>) {
    let outgoing = core.keeper.outgoing();
    match sharing {
        Some(sharing) => sharing.end(core, following, outgoing),
        // What is forwarded needs an inbox.
        None => {
            for one in following {
                (one.tell)(Err(HostError::NotStarted));
            }
        }
    }
}

fn serve(core: &Arc<Core>) {
    let requests = match core.store.requests() {
        Ok(requests) => requests,
        Err(error) => return tracing::warn!(%error, "requests of other processes cannot be read"),
    };
    for request in requests {
        match core.claim(request.id) {
            Ok(true) => core.serve(request),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "a request of another process cannot be read"),
        }
    }
}

fn take_up(core: &Arc<Core>) {
    if !std::mem::take(&mut core.keeper.work().left_behind) {
        return;
    }
    if let Err(error) = core.recover_own() {
        tracing::warn!(%error, "flows could not be recovered; trying again later");
        core.keeper.work().left_behind = true;
    }
}

/// Tells callers about flows that have ended.
fn tell_followers(core: &Core, watch: Option<&dyn Watch>, sharing: Option<&mut Sharing>) {
    let following = std::mem::take(&mut core.keeper.work().following);
    if following.is_empty() {
        return;
    }
    let (following, mut others) = match sharing {
        Some(sharing) => sharing.settled(following),
        None => (following, Vec::new()),
    };
    for mut following in following {
        let id = following.flow;
        let found = look(core, watch, id);
        let was_failing = following.failing.take();
        match found {
            Ok(Seen::AtRest(report)) => (following.tell)(Ok(*report)),
            Ok(Seen::Stuck(reason)) => {
                (following.tell)(Err(HostError::CannotTakeUp { flow: id, reason }));
            }
            // The flow's batch was lost, and with it the key.
            Ok(Seen::Nothing) if following.since.elapsed() > AGAIN => {
                (following.tell)(Err(StoreError::UnknownFlow(id).into()));
            }
            Ok(Seen::Nothing | Seen::AtWork) => others.push(following),
            // The database is away: its server may come back.
            Err(StoreError::Database(_))
                if was_failing.is_none_or(|at| at.elapsed() < PATIENCE) =>
            {
                following.failing = was_failing.or_else(|| Some(Instant::now()));
                others.push(following);
            }
            Err(error) => (following.tell)(Err(error.into())),
        }
    }
    core.keeper.wait_on(others);
}

/// The state of a flow on disk.
enum Seen {
    Nothing,
    AtWork,
    AtRest(Box<Report>),
    /// It cannot be recovered, for this reason.
    Stuck(String),
}

fn look(core: &Core, watch: Option<&dyn Watch>, id: FlowId) -> Result<Seen, StoreError> {
    let FlowOnDisk {
        journal,
        stuck,
        kept,
    } = match watch {
        Some(watch) => watch.on_disk(id)?,
        None => core.store.on_disk(id)?,
    };
    Ok(
        match (History::fold(&journal, core.store.domains()), stuck, kept) {
            (Some(history), ..) if recovery::is_rest(history.state) => {
                Seen::AtRest(Box::new(Report::new(id, &history)))
            }
            (_, Some(reason), _) => Seen::Stuck(reason),
            (Some(_), None, _) => Seen::AtWork,
            (None, None, Some(report)) => Seen::AtRest(Box::new(report)),
            (None, None, None) => Seen::Nothing,
        },
    )
}
