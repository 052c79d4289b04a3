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
use cairn_store::host::{Due, Watch};
use cairn_store::shared::Partitions;

use super::caller::{Caller, Tell};
use super::pool::Rest;
use super::recovery::{self, End, Recovered};
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
    fn leave(&self, all: bool, runs: impl Fn(&FlowId) -> bool) -> Vec<(FlowId, Vec<Tell>)> {
        let mut state = self.0.lock();
        state.leaves_waits = true;
        state.leaves_all |= all;
        let State {
            callers, waking, ..
        } = &mut *state;
        // The callers of one that is awake are told when it sleeps again, or rests.
        let is_asleep = |id: &FlowId| !waking.contains(id) && !runs(id);
        let left = callers.extract_if(|id, callers| (all || callers.is_wait) && is_asleep(id));
        left.map(|(id, callers)| (id, callers.tells)).collect()
    }

    /// Notes that a flow sleeps again, and returns its callers if they do not wait for such a flow.
    pub(super) fn slept_again(&self, id: FlowId, is_wait: bool) -> Vec<Tell> {
        let mut state = self.0.lock();
        if let Some(callers) = state.callers.get_mut(&id) {
            callers.is_wait = is_wait;
        }
        match state.leaves(is_wait) {
            true => state
                .callers
                .remove(&id)
                .map_or_else(Vec::new, |callers| callers.tells),
            false => Vec::new(),
        }
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
                    let host = Arc::clone(core);
                    core.rouse(id, move |result| {
                        if let Err(error) = host.concluded(id, result)
                            && !error.is_final()
                        {
                            tracing::warn!(flow = %id, %error, "a flow could not be woken; trying again later");
                        }
                    });
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
            found = core.due(watch, MOST, false)?;
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

    /// Wakes the flows that are due, each once, and returns what became of each, as [`recover`](Self::recover) does.
    ///
    /// # Errors
    /// [`HostError::Store`] when the database fails.
    pub fn wake_due(&self, stuck_too: bool) -> Result<Vec<Recovered>, HostError> {
        let mut woken = Vec::new();
        let mut tried = HashSet::new();
        loop {
            let due = self.core.due(None, MOST + tried.len(), stuck_too)?;
            let (tell, told) = channel();
            let mut roused = 0;
            for id in due.into_iter().filter(|id| tried.insert(*id)) {
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
    fn due(
        &self,
        watch: Option<&dyn Watch>,
        most: usize,
        stuck_too: bool,
    ) -> Result<Vec<FlowId>, StoreError> {
        let waking = self.sleepers.0.lock().waking.clone();
        if waking.len() >= most {
            return Ok(Vec::new());
        }
        let due = Due {
            now: self.store.now(),
            most: most + waking.len(),
            stuck_too,
        };
        let mut due = match watch {
            Some(watch) => watch.due(due)?,
            None => self.store.due(due)?,
        };
        due.retain(|id| !waking.contains(id));
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
        let active = self.active().keys().copied().collect::<HashSet<_>>();
        for (id, tells) in self.sleepers.leave(all, |id| active.contains(id)) {
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
        if self.stopping.load(Ordering::SeqCst) {
            self.sleepers.woken(id);
            self.leave_asleep(true);
            then(Err(HostError::NotStarted));
            return None;
        }
        let taken = self.take_up(id);
        self.sleepers.woken(id);
        match taken {
            Ok((flow, _)) if !flow.sleeps() && !recovery::is_rest(flow.state()) => {
                // Another process has woken it, or gave it back: it is recovered, or runs there.
                self.leave(id);
                drop(flow);
                self.follow_elsewhere(id);
                self.keeper.try_again();
                then(Err(HostError::InHand(id)));
                None
            }
            Ok((flow, _)) => {
                let tell: Tell =
                    Box::new(|report| then(report.map(|report| recovery::of(&report))));
                self.go_on(flow.wake(), flow, Caller::passing(tell))
            }
            Err(error) => {
                self.not_woken(id, &error);
                then(Err(error));
                None
            }
        }
    }

    /// Tells the callers of a flow that could not be woken. If another process works on it, they are told when it rests; if the database
    /// could not be read, it is tried again.
    fn not_woken(&self, id: FlowId, error: &HostError) {
        match error {
            error if error.is_anothers() => self.follow_elsewhere(id),
            HostError::Store(error) if error.is_passing() => {}
            error => {
                for tell in self.sleepers.take_callers(id) {
                    tell(Err(error.of_flow(id)));
                }
            }
        }
    }

    /// Lets the callers of a flow that slept here follow it to another process.
    pub(super) fn follow_elsewhere(&self, id: FlowId) {
        let Some(Callers { part, tells, .. }) = self.sleepers.take(id) else {
            return;
        };
        for tell in tells {
            self.keeper.follow(id, part, None, tell);
        }
    }
}
