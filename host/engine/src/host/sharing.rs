//! What the keeper does where several hosts share a database: claims projects and gives them back, takes over the flows of hosts that died,
//! forwards requests, and takes those that were forwarded.

mod dismiss;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cairn_model::id::FlowId;
use cairn_store::StoreError;
use cairn_store::shared::{self, Fate, Inbox, Partitions, Wishes};

use super::forward::{self, Answered};
use super::keeper::{AGAIN, Following, Outgoing, PATIENCE};
use super::{Core, HostError, territory};
use dismiss::{dismiss, not_known};

/// Interval between two looks at the inbox if nothing has come for some time.
const SELDOM: Duration = Duration::from_millis(250);

/// How long after the last request the inbox is looked at as often as other work is: those who wait for their flows may ask for the next.
const BUSY: Duration = Duration::from_secs(2);

/// Shortest interval between two looks at the inbox, or at flows that callers wait for: the keeper also wakes for other work.
const OFTEN: Duration = Duration::from_millis(5);

/// Interval between two looks at who owns what while other hosts ask something of this one.
const HINTED: Duration = Duration::from_millis(100);

/// Interval between two removals of old answers.
const TIDY: Duration = Duration::from_secs(60);

/// Interval between two looks at flows that callers wait for, for each of them: a look at many costs the server more.
const EACH: Duration = Duration::from_micros(50);

/// How many flows are asked about in one statement.
const TOGETHER: usize = 1_000;

/// The keeper's work where several hosts share a database.
pub(super) struct Sharing {
    inbox: Box<dyn Inbox>,
    tended: Instant,
    tidied: Instant,
    looked: Instant,
    /// When flows that callers wait for were last looked at.
    asked: Instant,
    /// Another host may wait for a project of this one.
    is_hinted: bool,
    /// When there was last a request in the inbox, or one under way.
    had_work: Option<Instant>,
    /// When this host last tried to say that it takes no share any more, and whether it has said so.
    asked_to_leave: Option<Instant>,
    has_left: bool,
    /// Since when the inbox cannot be reached.
    out_of_reach: Option<Instant>,
    /// Since when who owns what cannot be read.
    failing: Option<Instant>,
    /// Why this process does not write any more.
    over: Option<StoreError>,
}

impl Sharing {
    /// Opens the inbox, and claims a share if the host takes one; `None` where hosts do not share.
    pub(super) fn begin(core: &Arc<Core>) -> Result<Option<Self>, HostError> {
        let (Some(shared), Some(territory)) = (core.store.shared(), &core.territory) else {
            return Ok(None);
        };
        if core.shares {
            let seen = shared.tend(&Wishes {
                shares: true,
                ..Wishes::default()
            })?;
            territory.tended(&seen);
            // Flows that dead hosts left in its partitions, unless they are recovered before.
            core.keeper.try_again();
        }
        let now = Instant::now();
        Ok(Some(Self {
            inbox: shared.inbox()?,
            tended: now,
            tidied: now,
            looked: now,
            asked: now,
            is_hinted: false,
            had_work: None,
            asked_to_leave: None,
            has_left: false,
            out_of_reach: None,
            failing: None,
            over: None,
        }))
    }

    /// Does what is due. Returns whether partitions were claimed.
    pub(super) fn round(&mut self, core: &Arc<Core>) -> bool {
        if core.keeper.was_hinted() {
            self.is_hinted = true;
            self.had_work = Some(Instant::now());
        }
        self.send(core);
        let has_claimed = self.tend(core);
        self.give_back(core);
        self.take(core);
        has_claimed
    }

    /// Notes whether the inbox can be reached.
    fn reached<T>(&mut self, result: Result<T, StoreError>) -> Option<T> {
        match result {
            Ok(value) => {
                self.out_of_reach = None;
                Some(value)
            }
            Err(error) => {
                if self.out_of_reach.is_none() {
                    tracing::warn!(%error, "the inbox cannot be reached; trying again");
                    self.out_of_reach = Some(Instant::now());
                }
                None
            }
        }
    }

    fn send(&mut self, core: &Arc<Core>) {
        let outgoing = core.keeper.outgoing();
        if outgoing.is_empty() {
            return;
        }
        if let Some(error) = &self.over {
            for one in outgoing {
                (one.tell)(Err(error.clone().into()));
            }
            return;
        }
        let sent = forward::send(&mut *self.inbox, outgoing);
        core.keeper.sent(sent.written);
        core.keeper.not_sent(sent.left);
        self.reached(sent.result);
    }

    fn tend(&mut self, core: &Arc<Core>) -> bool {
        let (Some(shared), Some(territory)) = (core.store.shared(), &core.territory) else {
            return false;
        };
        let interval = if self.is_hinted { HINTED } else { AGAIN };
        let is_due = self.tended.elapsed() >= interval;
        if !is_due || self.over.is_some() || core.stopping.load(Ordering::SeqCst) {
            return false;
        }
        self.tended = Instant::now();
        self.is_hinted = false;
        let seen = match shared.tend(&Wishes {
            shares: core.shares,
            needed: core.keeper.needed().and(&core.sleepers.needed()),
        }) {
            Ok(seen) => seen,
            Err(error) => {
                if self.failing.is_none() {
                    tracing::warn!(%error, "who owns which projects cannot be read; trying again");
                }
                self.failed(error);
                return false;
            }
        };
        self.failing = None;
        for (flow, stay) in territory.tended(&seen) {
            core.go_on_here(flow, stay);
        }
        if seen.is_draining && seen.sharing == 0 {
            self.refuse_orphans(core, &seen);
        }
        if self.tidied.elapsed() >= TIDY {
            self.tidied = Instant::now();
            let tidied = self.inbox.tidy();
            self.reached(tidied);
        }
        if seen.has_left_over
            && let Err(error) = core.recover_own()
        {
            tracing::warn!(%error, "flows could not be recovered; trying again later");
            core.keeper.try_again();
        }
        seen.has_left_over
    }

    /// Tells callers that nobody will take their requests, or goes on with their flows before another host starts: this host drains, and no
    /// other host shares.
    fn refuse_orphans(&mut self, core: &Arc<Core>, seen: &shared::Territory) {
        let taken = seen.owned.iter().chain(seen.elsewhere.iter()).collect();
        let orphaned: Partitions = Partitions::all().without(&taken).into_iter().collect();
        let is_orphan = |one: &Following| orphaned.contains(one.part);
        let orphans = core.keeper.take_following(is_orphan);
        if orphans.is_empty() {
            return;
        }
        let flows: Vec<FlowId> = orphans.iter().map(|one| one.flow).collect();
        let withdrawn = self.inbox.withdraw(&flows);
        let Some(withdrawn) = self.reached(withdrawn) else {
            return core.keeper.wait_on(orphans);
        };
        let (refused, others) = split(orphans, withdrawn);
        for one in refused {
            (one.tell)(Err(territory::draining().into()));
        }
        let flows: Vec<FlowId> = others.iter().map(|one| one.flow).collect();
        let fates = self.inbox.fates(&flows);
        let Some(fates) = self.reached(fates) else {
            return core.keeper.wait_on(others);
        };
        let (ended, unfinished) = split(others, fates.into_iter().map(|(flow, _)| flow));
        for one in unfinished {
            (one.tell)(Err(HostError::GoesOn(one.flow)));
        }
        core.keeper.wait_on(ended);
    }

    /// Notes an error of the store. After some the process must not write any more; then nobody may be left who takes up the flows that
    /// its callers wait for, so they are told.
    fn failed(&mut self, error: StoreError) {
        let since = *self.failing.get_or_insert_with(Instant::now);
        if error.is_final() || since.elapsed() >= PATIENCE {
            self.over = Some(error);
        }
    }

    fn give_back(&mut self, core: &Arc<Core>) {
        let (Some(shared), Some(territory)) = (core.store.shared(), &core.territory) else {
            return;
        };
        if core.stopping.load(Ordering::SeqCst) {
            territory.stop();
            self.leave(core);
        }
        let (parts, moved) = territory.vacated();
        if parts.is_empty() || self.over.is_some() {
            return;
        }
        match shared.give_back(&parts, &moved) {
            Ok(()) => territory.gave_back(&parts),
            Err(error) => {
                tracing::warn!(%error, "projects could not be given back; trying again");
                self.failed(error);
            }
        }
    }

    /// Takes no share any more, so that other hosts take what this one gives back.
    fn leave(&mut self, core: &Arc<Core>) {
        let is_due = self
            .asked_to_leave
            .is_none_or(|asked| asked.elapsed() >= HINTED);
        let Some(shared) = core.store.shared() else {
            return;
        };
        if !core.shares || self.has_left || self.over.is_some() || !is_due {
            return;
        }
        self.asked_to_leave = Some(Instant::now());
        match shared.tend(&Wishes::default()) {
            Ok(_) => self.has_left = true,
            Err(error) => {
                tracing::warn!(%error, "that this host takes no share any more was not written; trying again");
                self.failed(error);
            }
        }
    }

    fn take(&mut self, core: &Arc<Core>) {
        let is_busy = self.had_work.is_some_and(|had| had.elapsed() < BUSY);
        let interval = if is_busy { OFTEN } else { SELDOM };
        if self.over.is_some() || self.looked.elapsed() < interval {
            return;
        }
        self.looked = Instant::now();
        let taken = forward::take(core, &mut *self.inbox);
        if self.reached(taken) == Some(true) {
            self.had_work = Some(self.looked);
        }
    }

    /// Tells callers whose forwarded request was answered. Returns those whose flow must be looked at, and those that wait on.
    pub(super) fn settled(
        &mut self,
        following: Vec<Following>,
    ) -> (Vec<Following>, Vec<Following>) {
        if let Some(error) = &self.over {
            for one in following {
                (one.tell)(Err(error.clone().into()));
            }
            return (Vec::new(), Vec::new());
        }
        let many = u32::try_from(following.len()).unwrap_or(u32::MAX);
        if self.asked.elapsed() < EACH.saturating_mul(many).max(OFTEN) {
            return (Vec::new(), following);
        }
        self.asked = Instant::now();
        let flows: Vec<FlowId> = following.iter().map(|one| one.flow).collect();
        let mut fates = HashMap::new();
        for page in flows.chunks(TOGETHER) {
            let found = self.inbox.fates(page);
            match self.reached(found) {
                Some(found) => fates.extend(found),
                None => return self.unreachable(following),
            }
        }
        let (mut settled, mut others, mut answered) = (Vec::new(), Vec::new(), Vec::new());
        for mut one in following {
            match fates.remove(&one.flow) {
                None => {
                    one.since = Instant::now();
                    others.push(one);
                }
                Some(Fate::Settled) => settled.push(one),
                Some(Fate::Answered(answer)) => {
                    answered.push(one.flow);
                    match forward::read(&answer) {
                        Answered::Instead(flow) => others.push(Following {
                            flow,
                            since: Instant::now(),
                            ..one
                        }),
                        Answered::Failed(error) => (one.tell)(Err(error)),
                    }
                }
            }
        }
        if !answered.is_empty() {
            // An answer that stays is removed when it is old.
            let removed = self.inbox.withdraw(&answered);
            self.reached(removed);
        }
        (settled, others)
    }

    fn unreachable(&self, following: Vec<Following>) -> (Vec<Following>, Vec<Following>) {
        let since = self.out_of_reach.map(|since| since.elapsed());
        if since.is_none_or(|since| since < PATIENCE) {
            return (Vec::new(), following);
        }
        for one in following {
            (one.tell)(Err(not_known(one.flow)));
        }
        (Vec::new(), Vec::new())
    }

    /// Withdraws requests that were forwarded and not begun, and tells callers that they wait no longer. Gives back what the last flows have
    /// left.
    pub(super) fn end(
        &mut self,
        core: &Arc<Core>,
        following: Vec<Following>,
        outgoing: Vec<Outgoing>,
    ) {
        self.give_back(core);
        let withdrawn = dismiss(&mut *self.inbox, following, outgoing);
        self.reached(withdrawn);
    }
}

/// Splits callers into those that wait for one of these flows, and the others.
fn split(
    following: Vec<Following>,
    flows: impl IntoIterator<Item = FlowId>,
) -> (Vec<Following>, Vec<Following>) {
    let flows: HashSet<FlowId> = flows.into_iter().collect();
    let is_one = |one: &Following| flows.contains(&one.flow);
    following.into_iter().partition(is_one)
}
