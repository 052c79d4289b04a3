//! Which projects this host takes flows of, where several hosts share a database; and how it gives partitions back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use cairn_model::error::TaskError;
use cairn_model::id::FlowId;
use cairn_store::StoreError;
use cairn_store::shared::{self, Partitions, Shared, partition_of};

/// What this host knows about who owns what.
pub(super) struct Territory {
    state: Mutex<State>,
    /// Whether flows of some partition are to rest at their next task, so that it can be given back.
    rests: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Partitions of this host. The store may own more of them, never less.
    owned: Partitions,
    /// Partitions of other hosts, as last seen.
    elsewhere: Partitions,
    /// Owned partitions that are to be given back: no flow of them begins here. With the time of that decision.
    leaving: HashMap<u8, Instant>,
    /// Owned partitions that an operator's change waits for: they are given back as soon as their flows can rest.
    wanted: Partitions,
    is_draining: bool,
    /// Whether this host gives everything back, and no other host takes it.
    is_last: bool,
    /// Whether this host has stopped: what it owns is given back as its flows end.
    is_stopping: bool,
    /// How long flows in a partition that is to be given back may go on.
    patience: Duration,
    /// How many flows of each partition run here.
    flows: HashMap<u8, usize>,
    /// Flows that rest at their next task, until their partition is given back.
    handed: HashMap<FlowId, u8>,
}

/// A flow of this host in a partition, which is not given back meanwhile.
pub(super) struct Stay {
    territory: Arc<Territory>,
    part: u8,
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut state = self.territory.state();
        if let Some(flows) = state.flows.get_mut(&self.part) {
            *flows -= 1;
            if *flows == 0 {
                state.flows.remove(&self.part);
            }
        }
    }
}

/// Where a flow runs.
pub(super) enum Route {
    /// Here; without a stay where hosts do not share.
    Here(Option<Stay>),
    /// At the host that owns its project.
    Elsewhere,
}

impl State {
    /// Returns whether flows of a partition are to rest, so that it can be given back: where no host would go on with them, they end here,
    /// and those of a host that stops do, too.
    fn must_rest(&self, part: u8) -> bool {
        let since = self.leaving.get(&part);
        !self.is_last
            && !self.is_stopping
            && since
                .is_some_and(|since| self.wanted.contains(part) || since.elapsed() >= self.patience)
    }
}

impl Territory {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            rests: AtomicBool::new(false),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Counts a flow that is here already.
    pub(super) fn stay(self: &Arc<Self>, project_id: &str) -> Stay {
        let part = partition_of(project_id);
        *self.state().flows.entry(part).or_default() += 1;
        Stay {
            territory: Arc::clone(self),
            part,
        }
    }

    /// Counts a new flow if this host takes flows of its partition.
    pub(super) fn enter(self: &Arc<Self>, part: u8) -> Option<Stay> {
        let mut state = self.state();
        if !state.owned.contains(part) || state.leaving.contains_key(&part) {
            return None;
        }
        *state.flows.entry(part).or_default() += 1;
        drop(state);
        Some(Stay {
            territory: Arc::clone(self),
            part,
        })
    }

    /// Decides where a new flow runs if that is known without a look at the database.
    fn known(self: &Arc<Self>, part: u8, forwarded: bool) -> Option<Result<Route, StoreError>> {
        if let Some(stay) = self.enter(part) {
            return Some(Ok(Route::Here(Some(stay))));
        }
        let state = self.state();
        if state.is_last {
            return Some(Err(draining()));
        }
        let is_known = state.elsewhere.contains(part) || state.leaving.contains_key(&part);
        (forwarded && (is_known || state.is_draining)).then_some(Ok(Route::Elsewhere))
    }

    /// Decides where a new flow runs; claims its project if that has no owner. A flow that cannot be `forwarded` runs here or not at all.
    ///
    /// # Errors
    /// [`StoreError::Elsewhere`] of a flow that cannot be forwarded; `Draining` when nobody takes it.
    pub(super) fn route(
        self: &Arc<Self>,
        shared: &dyn Shared,
        project_id: &str,
        forwarded: bool,
    ) -> Result<Route, StoreError> {
        let part = partition_of(project_id);
        if let Some(known) = self.known(part, forwarded) {
            return known;
        }
        match shared.claim(project_id) {
            Ok(()) => {
                self.state().owned.insert(part);
                // Counted even if it is to be given back: it waits for this flow, which can run nowhere else.
                Ok(Route::Here(Some(self.stay(project_id))))
            }
            Err(StoreError::Elsewhere { .. }) if forwarded => {
                self.state().elsewhere.insert(part);
                Ok(Route::Elsewhere)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes in who owns what. Decides which partitions are to be given back, and returns the flows that rest here although their
    /// partition stays, or no host would take it: they go on.
    pub(super) fn tended(self: &Arc<Self>, seen: &shared::Territory) -> Vec<(FlowId, Stay)> {
        let mut state = self.state();
        state.owned = seen.owned;
        state.elsewhere = seen.elsewhere;
        state.is_draining = seen.is_draining;
        state.is_last = seen.is_draining && seen.sharing == 0;
        state.wanted = seen.wanted;
        state.patience = seen.lease / 2;
        let surplus = seen.owned.len().saturating_sub(seen.share);
        let State { leaving, flows, .. } = &mut *state;
        leaving.retain(|part, _| seen.owned.contains(*part));
        // Those that were chosen first are given back first; of the others, those without flows.
        let mut chosen: Vec<u8> = leaving.keys().copied().collect();
        chosen.sort_by_key(|part| leaving[part]);
        let mut rest: Vec<u8> = seen.owned.iter().collect();
        rest.retain(|part| !leaving.contains_key(part));
        rest.sort_by_key(|part| flows.get(part).copied().unwrap_or(0));
        chosen.extend(rest);
        chosen.truncate(surplus);
        let wanted = seen.wanted.iter().filter(|part| seen.owned.contains(*part));
        chosen.extend(wanted);
        leaving.retain(|part, _| chosen.contains(part));
        let now = Instant::now();
        for part in chosen {
            leaving.entry(part).or_insert(now);
        }
        self.note_rests(&state);
        let State {
            leaving,
            handed,
            flows,
            is_last,
            ..
        } = &mut *state;
        let back = handed.extract_if(|_, part| *is_last || !leaving.contains_key(part));
        back.map(|(flow, part)| {
            *flows.entry(part).or_default() += 1;
            let territory = Arc::clone(self);
            (flow, Stay { territory, part })
        })
        .collect()
    }

    fn note_rests(&self, state: &State) {
        let rests = state.leaving.keys().any(|part| state.must_rest(*part));
        self.rests.store(rests, Ordering::Relaxed);
    }

    /// Gives back everything that this host owns, as it runs no new flows.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        let State { owned, leaving, .. } = &mut *state;
        let now = Instant::now();
        for part in owned.iter() {
            leaving.entry(part).or_insert(now);
        }
        state.is_stopping = true;
    }

    /// Returns the partitions to give back now, none of whose flows runs here, with the flows in them that rest between two tasks.
    pub(super) fn vacated(&self) -> (Partitions, Vec<FlowId>) {
        let state = self.state();
        self.note_rests(&state);
        let parts = state.leaving.keys().copied();
        // A flow that has come to rest since nobody else takes it goes on here: it waits for the next look.
        let goes_on = state.is_last && !state.is_stopping;
        let waits = |part: &u8| goes_on && state.handed.values().any(|other| other == part);
        let parts: Partitions = parts
            .filter(|part| !state.flows.contains_key(part) && !waits(part))
            .collect();
        let moved = state.handed.iter();
        let moved = moved.filter(|(_, part)| parts.contains(**part));
        (parts, moved.map(|(flow, _)| *flow).collect())
    }

    /// Notes that partitions were given back. Until the next look another host owns them: a request would claim back what this host has to
    /// spare.
    pub(super) fn gave_back(&self, parts: &Partitions) {
        let mut state = self.state();
        for part in parts.iter() {
            state.owned.remove(part);
            state.elsewhere.insert(part);
            state.leaving.remove(&part);
        }
        state.handed.retain(|_, part| !parts.contains(*part));
        self.note_rests(&state);
    }

    /// Returns whether a flow is to rest at its next task, because its partition is given back.
    pub(super) fn must_rest(&self, project_id: impl FnOnce() -> String) -> bool {
        if !self.rests.load(Ordering::Relaxed) {
            return false;
        }
        let part = partition_of(&project_id());
        self.state().must_rest(part)
    }

    /// Notes a flow that rests between two tasks until its partition is given back.
    pub(super) fn hand_over(&self, flow: FlowId, project_id: &str) {
        let part = partition_of(project_id);
        self.state().handed.insert(flow, part);
    }

    /// Returns whether a flow rests here only until its partition is given back.
    pub(super) fn is_handed_over(&self, flow: FlowId) -> bool {
        self.state().handed.contains_key(&flow)
    }

    /// Returns the partitions from which this host takes no requests, of those that it owns.
    pub(super) fn leaving(&self) -> Partitions {
        self.state().leaving.keys().copied().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state().owned.is_empty()
    }
}

/// The error of a request that no host takes.
pub(super) fn draining() -> StoreError {
    let message = "this host gives its projects back, and there is no other host that takes them: start one with `cairn run --jsonl`";
    TaskError::new("Draining", message).into()
}

#[cfg(test)]
mod tests {
    use cairn_store::shared::PARTITIONS;

    use super::*;

    fn seen(owned: Partitions, share: usize) -> shared::Territory {
        shared::Territory {
            owned,
            elsewhere: Partitions::default(),
            wanted: Partitions::default(),
            share,
            sharing: usize::from(share > 0),
            is_draining: share == 0,
            has_left_over: false,
            lease: Duration::ZERO,
        }
    }

    /// What a host sees that drains, beside others that share.
    fn drained(owned: Partitions, others: usize) -> shared::Territory {
        shared::Territory {
            sharing: others,
            ..seen(owned, 0)
        }
    }

    #[test]
    fn what_exceeds_the_share_is_given_back_once_no_flow_of_it_runs() {
        let territory = Territory::new();
        territory.tended(&seen(Partitions::all(), PARTITIONS));
        assert!(territory.leaving().is_empty());
        let busy = partition_of("acme");
        let stay = territory.enter(busy).expect("it is owned");

        territory.tended(&seen(Partitions::all(), 128));
        let leaving = territory.leaving();
        assert_eq!(leaving.len(), 128);
        assert!(!leaving.contains(busy), "those without flows come first");
        let first = leaving.iter().next().expect("some leave");
        assert!(territory.enter(first).is_none(), "no flow of it begins");
        let (parts, moved) = territory.vacated();
        assert_eq!((parts, moved), (leaving, Vec::new()));
        territory.gave_back(&parts);
        assert!(territory.leaving().is_empty());
        let route = |forwarded| territory.known(first, forwarded);
        assert!(
            matches!(route(true), Some(Ok(Route::Elsewhere))),
            "a request does not claim it back"
        );
        assert!(route(false).is_none(), "unless it can run nowhere else");

        // Drained, all of it leaves, and the flow that runs holds its partition.
        let rest: Partitions = Partitions::all().without(&parts).into_iter().collect();
        territory.tended(&drained(rest, 1));
        assert!(!territory.vacated().0.contains(busy));
        assert!(
            territory.must_rest(|| "acme".to_owned()),
            "its time has passed"
        );
        let flow = FlowId::new();
        territory.hand_over(flow, "acme");
        drop(stay);
        assert_eq!(territory.vacated(), (rest, vec![flow]));
    }

    /// Returns whether a flow that was handed over goes on here, and holds its partition meanwhile.
    fn goes_on(territory: &Arc<Territory>, flow: FlowId, seen: &shared::Territory) -> bool {
        let back = territory.tended(seen);
        let part = partition_of("acme");
        let holds = territory.state().flows.contains_key(&part);
        assert_eq!(holds, !back.is_empty());
        back.iter().any(|(id, _)| *id == flow)
    }

    #[test]
    fn a_flow_that_was_handed_over_goes_on_here_when_its_partition_stays() {
        let territory = Territory::new();
        let stays = seen(Partitions::all(), PARTITIONS);
        // Also if this host drains and no other takes it any more.
        for stays in [stays, drained(Partitions::all(), 0)] {
            territory.tended(&drained(Partitions::all(), 1));
            let flow = FlowId::new();
            territory.hand_over(flow, "acme");
            assert!(territory.is_handed_over(flow));
            assert!(goes_on(&territory, flow, &stays));
            assert!(!territory.is_handed_over(flow));
            assert!(!territory.must_rest(|| "acme".to_owned()));
        }
    }

    #[test]
    fn a_partition_that_an_operator_waits_for_is_given_back_at_once() {
        let territory = Territory::new();
        let patient = shared::Territory {
            lease: Duration::from_secs(60),
            ..seen(Partitions::all(), PARTITIONS)
        };
        territory.tended(&patient);
        let part = partition_of("acme");
        let stay = territory.enter(part).expect("it is owned");
        let wanted: Partitions = [part].into_iter().collect();
        let asked = shared::Territory { wanted, ..patient };
        assert!(territory.tended(&asked).is_empty());
        assert_eq!(territory.leaving(), wanted);
        assert!(territory.enter(part).is_none(), "no flow of it begins");
        assert!(territory.must_rest(|| "acme".to_owned()));
        drop(stay);
        assert_eq!(territory.vacated(), (wanted, Vec::new()));
        // Whoever waited has given up.
        territory.tended(&patient);
        assert!(territory.leaving().is_empty());
    }

    #[test]
    fn a_partition_that_nobody_takes_is_not_given_back_before_its_flows_have_ended() {
        let territory = Territory::new();
        let drained = drained(Partitions::all(), 0);
        territory.tended(&drained);
        let flow = FlowId::new();
        // It came to rest before this host saw that it is the last one.
        territory.hand_over(flow, "acme");
        let (parts, moved) = territory.vacated();
        assert!(!parts.contains(partition_of("acme")));
        assert_eq!((parts.len(), moved), (PARTITIONS - 1, vec![]));
        assert!(goes_on(&territory, flow, &drained));
    }
}
