//! The thread that keeps up with other processes: it serves what they ask of flows here, tells of flows that they end, and
//! takes up what is left behind.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::{Core, HostError, recovery};
use crate::history::History;
use crate::id::{FlowId, Identity};
use crate::report::Report;
use crate::store::{StoreError, Watch};
use crate::value::Value;

/// Between two looks at what other processes wrote.
const LOOK: Duration = Duration::from_millis(10);

/// Between two tries to take up what could not be.
const AGAIN: Duration = Duration::from_secs(1);

/// Whom to tell what came of a flow, and what it was asked to do.
pub(super) type TellWithRequest = Box<dyn FnOnce(Result<Report, HostError>, &Value) + Send>;

/// What the thread has to do.
#[derive(Default)]
pub(super) struct Keeper {
    work: Mutex<Work>,
    told: Condvar,
}

#[derive(Default)]
struct Work {
    /// Flows whose end somebody waits for.
    following: Vec<Following>,
    /// Requests that are being served.
    serving: HashSet<i64>,
    /// Flows of this process are left behind.
    left_behind: bool,
    closed: bool,
}

/// Somebody who waits for the end of a flow.
struct Following {
    flow: FlowId,
    since: Instant,
    tell: TellWithRequest,
}

impl Keeper {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells when a flow has ended, whoever runs it. How many wait is bounded by the queue of the host: see
    /// [`Aside`](super::pool::Aside).
    pub(super) fn follow(&self, flow: FlowId, tell: TellWithRequest) {
        let mut work = self.work();
        if work.closed {
            drop(work);
            return tell(Err(HostError::NotStarted), &Value::Null);
        }
        work.following.push(Following {
            flow,
            since: Instant::now(),
            tell,
        });
        drop(work);
        self.told.notify_one();
    }

    /// Whether nobody in this process serves a request; from now on the caller does, until it is [`served`](Self::served).
    pub(super) fn claim(&self, request: i64) -> bool {
        self.work().serving.insert(request)
    }

    /// A request was answered, or is left to whoever claims it next.
    pub(super) fn served(&self, request: i64) {
        self.work().serving.remove(&request);
    }

    /// A flow of this process is left behind: it is taken up when the database can be written again.
    pub(super) fn try_again(&self) {
        self.work().left_behind = true;
        self.told.notify_one();
    }

    pub(super) fn close(&self) {
        let following = {
            let mut work = self.work();
            work.closed = true;
            std::mem::take(&mut work.following)
        };
        self.told.notify_one();
        for Following { tell, .. } in following {
            tell(Err(HostError::NotStarted), &Value::Null);
        }
    }
}

/// Starts the thread, which ends when the keeper is closed.
pub(super) fn start(core: &Arc<Core>) -> Result<std::thread::JoinHandle<()>, HostError> {
    let watch = core.store.watch()?;
    let core = Arc::downgrade(core);
    std::thread::Builder::new()
        .name("cairn-keeper".to_owned())
        .spawn(move || keep(&core, watch))
        .map_err(HostError::Thread)
}

fn keep(core: &Weak<Core>, mut watch: Option<Watch>) {
    let mut tried = Instant::now();
    // Between two rounds nothing keeps the host alive but its handles.
    while let Some(core) = core.upgrade() {
        if let Some(watch) = &mut watch {
            match watch.has_requests() {
                Ok(true) => serve(&core),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "other processes cannot be watched"),
            }
        }
        tell_followers(&core, watch.as_ref());
        if tried.elapsed() > AGAIN {
            tried = Instant::now();
            take_up(&core);
        }
        let work = core.keeper.work();
        if work.closed {
            return;
        }
        let wait = match (&watch, work.following.is_empty() && !work.left_behind) {
            (None, true) => AGAIN,
            _ => LOOK,
        };
        drop(core.keeper.told.wait_timeout(work, wait));
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
    if let Err(error) = core.recover(false) {
        tracing::warn!(%error, "flows are left behind still");
        core.keeper.work().left_behind = true;
    }
}

/// Tells those who wait for flows that have ended.
fn tell_followers(core: &Core, watch: Option<&Watch>) {
    let following = std::mem::take(&mut core.keeper.work().following);
    let mut others = Vec::new();
    for following in following {
        let id = following.flow;
        match history(core, watch, id) {
            Ok(Some(history)) if recovery::is_rest(history.state) => {
                (following.tell)(Ok(Report::new(id, &history)), &history.request);
            }
            // Its batch was lost, and with it the key.
            Ok(None) if following.since.elapsed() > AGAIN => {
                (following.tell)(Err(StoreError::UnknownFlow(id).into()), &Value::Null);
            }
            Ok(_) => others.push(following),
            Err(error) => (following.tell)(Err(error.into()), &Value::Null),
        }
    }
    if !others.is_empty() {
        core.keeper.work().following.extend(others);
    }
}

/// What happened to a flow, as far as it is on disk.
fn history(core: &Core, watch: Option<&Watch>, id: FlowId) -> Result<Option<History>, StoreError> {
    let journal = match watch {
        Some(watch) => watch.journal(id)?,
        None => {
            let nobody = Identity::default();
            core.store.read(&nobody, |view| view.journal(id))?
        }
    };
    Ok(History::fold(&journal))
}
