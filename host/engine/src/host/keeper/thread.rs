//! The keeper's thread.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use cairn_effects::history::History;
use cairn_effects::report::Report;
use cairn_model::id::FlowId;
use cairn_store::StoreError;
use cairn_store::host::{FlowOnDisk, Watch};
use cairn_store::shared::Hints;

use super::super::sharing::Sharing;
use super::super::sleepers::Rouser;
use super::super::{Core, HostError, recovery};
use super::{AGAIN, Following, Keeper, PATIENCE};

/// Interval between two polls for writes of other processes.
const LOOK: Duration = Duration::from_millis(10);

/// How many flows are read before their callers are told.
const TOGETHER: usize = 32;

/// Starts the keeper's thread, which ends when the keeper is closed.
pub(in crate::host) fn start(core: &Arc<Core>) -> Result<std::thread::JoinHandle<()>, HostError> {
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
    let mut rouser = Rouser::new();
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
        rouser.round(&core, watch.as_deref());
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
            core.leave_asleep(true);
            return;
        }
        let is_idle = work.following.is_empty() && !work.left_behind;
        let wait = match (&watch, is_idle && !core.is_watching_sleepers()) {
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
    let (mut following, mut others) = match sharing {
        Some(sharing) => sharing.settled(following),
        None => (following, Vec::new()),
    };
    while !following.is_empty() {
        let page = following.drain(..following.len().min(TOGETHER)).collect();
        tell_page(core, watch, page, &mut others);
    }
    core.keeper.wait_on(others);
}

/// Tells callers about flows that have ended; adds those that wait on to `others`.
fn tell_page(
    core: &Core,
    watch: Option<&dyn Watch>,
    page: Vec<Following>,
    others: &mut Vec<Following>,
) {
    let flows: Vec<FlowId> = page.iter().map(|one| one.flow).collect();
    let found = match watch {
        Some(watch) => watch.on_disk(&flows),
        None => flows.iter().map(|flow| core.store.on_disk(*flow)).collect(),
    };
    for (mut following, found) in page.into_iter().zip(found) {
        let id = following.flow;
        let found = found.map(|found| seen(core, id, found));
        let was_failing = following.failing.take();
        match found {
            Ok(Seen::AtRest(report)) => (following.tell)(Ok(*report)),
            Ok(Seen::Asleep(report, is_wait)) => {
                noted(&mut following);
                core.fell_asleep(*report, following.part, is_wait, following.tell);
            }
            Ok(Seen::Stuck(reason)) => {
                (following.tell)(Err(HostError::CannotTakeUp { flow: id, reason }));
            }
            // The flow's batch was lost, and with it the key.
            Ok(Seen::Nothing) if following.since.elapsed() > AGAIN => {
                (following.tell)(Err(StoreError::UnknownFlow(id).into()));
            }
            Ok(Seen::AtWork) => {
                noted(&mut following);
                others.push(following);
            }
            Ok(Seen::Nothing) => others.push(following),
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
}

/// Tells a caller that the flow goes on.
fn noted(following: &mut Following) {
    if let Some(note) = following.note.take() {
        note(following.flow);
    }
}

/// The state of a flow on disk.
enum Seen {
    Nothing,
    AtWork,
    AtRest(Box<Report>),
    /// It sleeps, as its plan says or before another attempt.
    Asleep(Box<Report>, bool),
    /// It cannot be recovered, for this reason.
    Stuck(String),
}

fn seen(core: &Core, id: FlowId, found: FlowOnDisk) -> Seen {
    let FlowOnDisk {
        journal,
        stuck,
        kept,
    } = found;
    match (History::fold(&journal, core.store.domains()), stuck, kept) {
        (Some(history), ..) if recovery::is_rest(history.state) => {
            Seen::AtRest(Box::new(Report::new(id, &history)))
        }
        (_, Some(reason), _) => Seen::Stuck(reason),
        (Some(history), None, _) => match &history.sleep {
            Some(sleep) => Seen::Asleep(Box::new(Report::new(id, &history)), sleep.is_wait),
            None => Seen::AtWork,
        },
        (None, None, Some(report)) => Seen::AtRest(Box::new(report)),
        (None, None, None) => Seen::Nothing,
    }
}
