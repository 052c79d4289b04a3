//! Flows that sleep: wakes those that are due, and keeps the callers who wait for them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use cairn_effects::report::Report;
use cairn_model::id::FlowId;
use cairn_store::StoreError;
use cairn_store::host::Watch;
use cairn_store::shared::Partitions;

use super::pool::Rest;
use super::recovery::{self, End, Recovered};
use super::submit::{Caller, Tell};
use super::{Core, Host, HostError};

/// Interval between two looks for flows that are due.
const DUE: Duration = Duration::from_millis(100);

/// The part of the interval that one flow adds for which callers wait.
const EACH: Duration = Duration::from_micros(20);

/// How many flows are being woken at most: the others stay in the database meanwhile.
const MOST: usize = 256;

/// Callers who wait for flows that sleep, and the flows that are being woken.
#[derive(Default)]
pub(super) struct Sleepers(Mutex<State>);

#[derive(Default)]
struct State {
    callers: HashMap<FlowId, Callers>,
    waking: HashSet<FlowId>,
    /// Callers do not wait for waits.
    leaves_waits: bool,
    /// Callers wait for no flow that sleeps.
    leaves_all: bool,
}

struct Callers {
    /// The partition of the flow's project.
    part: u8,
    /// Whether the flow waits; else a call or revert is tried again.
    is_wait: bool,
    tells: Vec<Tell>,
}

impl State {
    /// Returns whether callers are told at once that such a flow sleeps.
    fn leaves(&self, is_wait: bool) -> bool {
        self.leaves_all || self.leaves_waits && is_wait
    }
}

impl Sleepers {
    /// Adds a caller, who is told once the flow rests; gives it back if callers do not wait for such a flow.
    #[must_use = "a caller that is given back is to be told"]
    fn add(&self, id: FlowId, part: u8, is_wait: bool, tell: Tell) -> Option<Tell> {
        let mut state = self.0.lock();
        if state.leaves(is_wait) {
            return Some(tell);
        }
        let callers = state.callers.entry(id).or_insert_with(|| Callers {
            part,
            is_wait,
            tells: Vec::new(),
        });
        callers.is_wait = is_wait;
        callers.tells.push(tell);
        None
    }

    /// Takes the callers of a flow.
    fn take(&self, id: FlowId) -> Option<Callers> {
        self.0.lock().callers.remove(&id)
    }

    /// Takes the callers of a flow that rests.
    pub(super) fn take_callers(&self, id: FlowId) -> Vec<Tell> {
        self.take(id).map_or_else(Vec::new, |callers| callers.tells)
    }

    /// Notes that a flow is not being woken any more: it runs, or could not be woken.
    fn woken(&self, id: FlowId) {
        self.0.lock().waking.remove(&id);
    }

    /// Returns the partitions of the flows that callers wait for.
    pub(super) fn needed(&self) -> Partitions {
        let state = self.0.lock();
        state.callers.values().map(|callers| callers.part).collect()
    }

    /// Lets callers wait no longer for flows that wait, or for any that sleeps, from now on; returns those who did.
    fn leave(&self, all: bool) -> Vec<(FlowId, Vec<Tell>)> {
        let mut state = self.0.lock();
        state.leaves_waits = true;
        state.leaves_all |= all;
        let left = state
            .callers
            .extract_if(|_, callers| all || callers.is_wait);
        left.map(|(id, callers)| (id, callers.tells)).collect()
    }
}

/// Wakes flows that are due, as the keeper's thread does.
pub(super) struct Rouser {
    looked: Instant,
    /// When it looked after the flows that callers wait for.
    asked: Instant,
    is_failing: bool,
}

impl Rouser {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            looked: now,
            asked: now,
            is_failing: false,
        }
    }

    /// Wakes what is due.
    pub(super) fn round(&mut self, core: &Arc<Core>, watch: Option<&dyn Watch>) {
        if core.stopping.load(Ordering::SeqCst) || self.looked.elapsed() < DUE {
            return;
        }
        self.looked = Instant::now();
        match self.find(core, watch) {
            Ok(flows) => {
                self.is_failing = false;
                for id in flows {
                    core.rouse(id, |_| ());
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(%error, "flows that sleep cannot be read; trying again");
                }
            }
        }
    }

    fn find(
        &mut self,
        core: &Arc<Core>,
        watch: Option<&dyn Watch>,
    ) -> Result<Vec<FlowId>, StoreError> {
        let now = core.store.now();
        let mut found = Vec::new();
        if core.wakes {
            found = core.due(watch, MOST)?;
        }
        let asked: Vec<FlowId> = core.sleepers.0.lock().callers.keys().copied().collect();
        let many = u32::try_from(asked.len()).unwrap_or(u32::MAX);
        if !asked.is_empty() && self.asked.elapsed() >= EACH.saturating_mul(many) {
            self.asked = Instant::now();
            found.extend(match watch {
                Some(watch) => watch.awake(&asked, now)?,
                None => core.store.awake(&asked, now)?,
            });
        }
        Ok(found)
    }
}

impl Host {
    /// Lets callers wait no longer for flows that wait, as their plan says: they get the report of such a flow as it is, now and from now
    /// on.
    pub fn leave_waiting(&self) {
        self.core.leave_asleep(false);
    }

    /// Wakes the flows that are due, and returns what became of each, as [`recover`](Self::recover) does.
    ///
    /// # Errors
    /// [`HostError::Store`] when the database fails.
    pub fn wake_due(&self) -> Result<Vec<Recovered>, HostError> {
        let mut woken = Vec::new();
        loop {
            let due = self.core.due(None, MOST)?;
            let (tell, told) = channel();
            let mut roused = 0;
            for id in due {
                let tell = tell.clone();
                roused += usize::from(self.core.rouse(id, move |result| {
                    // The receiver waits for the last sender.
                    let _ = tell.send((id, result));
                }));
            }
            drop(tell);
            if roused == 0 {
                woken.sort_by_key(|woken: &Recovered| woken.id);
                return Ok(woken);
            }
            for (id, result) in told {
                woken.extend(self.core.concluded(id, result)?);
            }
        }
    }
}

impl Core {
    /// Returns flows that are due and not being woken.
    fn due(&self, watch: Option<&dyn Watch>, most: usize) -> Result<Vec<FlowId>, StoreError> {
        let waking = self.sleepers.0.lock().waking.len();
        if waking >= most {
            return Ok(Vec::new());
        }
        let (now, asked) = (self.store.now(), most + waking);
        let mut due = match watch {
            Some(watch) => watch.due(now, asked)?,
            None => self.store.due(now, asked)?,
        };
        due.truncate(most);
        Ok(due)
    }

    /// Returns whether flows that sleep are to be looked at.
    pub(super) fn is_watching_sleepers(&self) -> bool {
        self.wakes || !self.sleepers.0.lock().callers.is_empty()
    }

    /// Keeps the caller of a flow that sleeps, or tells it so.
    pub(super) fn fell_asleep(&self, report: Report, part: u8, is_wait: bool, tell: Tell) {
        if let Some(tell) = self.sleepers.add(report.flow.id, part, is_wait, tell) {
            tell(Ok(report));
        }
    }

    /// Tells callers of flows that sleep how these are, now and from now on: those of waits, or all.
    pub(super) fn leave_asleep(&self, all: bool) {
        for (id, tells) in self.sleepers.leave(all) {
            for tell in tells {
                tell(self.report_on_disk(id));
            }
        }
    }

    /// Wakes a flow in a worker, unless it is at work; passes to `then` how it rests, sleeps again, or could not be woken.
    fn rouse(
        self: &Arc<Self>,
        id: FlowId,
        then: impl FnOnce(Result<End, HostError>) + Send + 'static,
    ) -> bool {
        if self.active().contains_key(&id) || !self.sleepers.0.lock().waking.insert(id) {
            return false;
        }
        let job = move |core: &Arc<Self>| core.wake_up(id, then);
        let pushed = self.pool.push_job(self, Box::new(job));
        if let Err(error) = &pushed {
            tracing::debug!(flow = %id, %error, "a flow is left asleep");
            self.sleepers.woken(id);
        }
        pushed.is_ok()
    }

    fn wake_up(
        self: &Arc<Self>,
        id: FlowId,
        then: impl FnOnce(Result<End, HostError>) + Send + 'static,
    ) -> Option<Rest> {
        let taken = self.take_up(id);
        self.sleepers.woken(id);
        match taken {
            Ok((flow, _)) => {
                let tell: Tell =
                    Box::new(|report| then(report.map(|report| recovery::of(&report))));
                let caller = Caller { tell, waits: false };
                self.go_on(flow.wake(), flow, caller)
            }
            Err(error) => {
                self.not_woken(id, &error);
                then(Err(error));
                None
            }
        }
    }

    /// Tells the callers of a flow that could not be woken. If another process works on it, they are told when it rests.
    fn not_woken(&self, id: FlowId, error: &HostError) {
        let Some(Callers { part, tells, .. }) = self.sleepers.take(id) else {
            return;
        };
        for tell in tells {
            match error.is_anothers() {
                true => self.keeper.follow(id, part, tell),
                false => tell(Err(error.of_flow(id))),
            }
        }
    }
}
