//! Invariants of every flow's journal.

use std::collections::{BTreeMap, BTreeSet};

use cairn::event::{Entry, Event, FlowState};
use cairn::id::{CallId, Phase};
use cairn::outbox::Cast;
use cairn::rules::Effect as _;
use cairn::{FlowId, TaskId};

use crate::tally::Tally;

/// The effects that one journal records, and the state needed to check each entry.
#[derive(Default)]
struct Walk {
    /// Started tasks that are not reverted.
    accumulator: Vec<TaskId>,
    /// During a rollback: tasks to be visited, the next one last.
    to_visit: Option<Vec<TaskId>>,
    /// The task that is being visited.
    visited: Option<TaskId>,
    open: Option<CallId>,
    /// Effect -> its call, and whether it was undone.
    effects: BTreeMap<u32, (CallId, bool)>,
    casts: BTreeSet<u32>,
    /// Effects of reverts that a checkpoint ended.
    settled: BTreeSet<u32>,
    attempts: BTreeMap<TaskId, u32>,
    state: Option<FlowState>,
}

/// Effects of a flow: number -> whether it was undone.
pub type Effects = BTreeMap<u32, bool>;

/// Checks a journal and counts its events.
///
/// # Errors
/// The first entry that breaks an invariant, in one sentence.
pub fn check(flow: FlowId, journal: &[Entry], tally: &mut Tally) -> Result<Effects, String> {
    let mut walk = Walk::default();
    for (index, entry) in journal.iter().enumerate() {
        walk.step(flow, &entry.event, tally)
            .map_err(|what| format!("entry {index}, {:?}: {what}", entry.event))?;
    }
    walk.check_end()?;
    let effects = walk.effects.into_iter();
    Ok(effects
        .map(|(number, (_, undone))| (number, undone))
        .collect())
}

impl Walk {
    fn step(&mut self, flow: FlowId, event: &Event, tally: &mut Tally) -> Result<(), String> {
        let call = |task, phase, attempt| CallId {
            flow,
            task,
            phase,
            attempt,
        };
        match event {
            Event::Started { task, attempt, .. } => {
                ensure(self.to_visit.is_none(), "a call while the flow reverts")?;
                let before = self.attempts.insert(*task, *attempt).unwrap_or(0);
                ensure(*attempt == before + 1, "an attempt is left out")?;
                ensure(
                    self.standing(|c| c.task == *task).is_empty(),
                    "an attempt does not start from nothing",
                )?;
                if !self.accumulator.contains(task) {
                    self.accumulator.push(*task);
                }
                self.open = Some(call(*task, Phase::Call, *attempt));
            }
            Event::Reverting { task, attempt } => {
                self.visit(*task)?;
                let before = self.standing(|c| c.task == *task && c.phase == Phase::Revert);
                ensure(
                    before.iter().all(|number| self.settled.contains(number)),
                    "an attempt of a revert does not start from nothing",
                )?;
                self.open = Some(call(*task, Phase::Revert, *attempt));
            }
            Event::Retried { task, .. } => {
                self.open = None;
                match self.visited {
                    Some(visited) if visited == *task => tally.revert_retries += 1,
                    _ => tally.call_retries += 1,
                }
            }
            Event::Succeeded { .. } | Event::TaskFailed { .. } => self.open = None,
            Event::Reverted { task, .. } => {
                ensure(self.visited == Some(*task), "a revert that did not begin")?;
                self.accumulator.retain(|started| started != task);
                self.open = None;
            }
            Event::RevertFailed { task, .. } => {
                // A task whose effects cannot be undone fails before its own revert is called.
                if self.visited != Some(*task) {
                    self.visit(*task)?;
                }
                let left = self.standing(|c| c.task == *task && c.phase == Phase::Revert);
                let unsettled = left.iter().any(|number| !self.settled.contains(number));
                tally.refused_revert_undos += usize::from(unsettled);
                tally.failed_reverts += 1;
                self.open = None;
            }
            Event::Failed(_) => {
                self.to_visit = Some(self.accumulator.clone());
                self.visited = None;
            }
            Event::State { to, .. } => {
                if *to == FlowState::Failure {
                    let left = self.to_visit.as_ref().is_some_and(|left| !left.is_empty());
                    ensure(!left, "the rollback ends before every task was visited")?;
                }
                tally.interrupted += usize::from(*to == FlowState::Interrupted);
                self.state = Some(*to);
            }
            Event::Applied(applied) => {
                ensure(
                    self.open == Some(applied.call),
                    "an effect of a call that is not open",
                )?;
                let next = self.effects.len() as u32 + 1;
                ensure(
                    applied.number == next,
                    "a number is left out or given twice",
                )?;
                self.effects.insert(next, (applied.call, false));
                if applied.effect == Cast::NAME {
                    self.casts.insert(next);
                }
            }
            Event::Undone { number } => {
                let Some((call, undone)) = self.effects.get_mut(number) else {
                    return Err("an effect that was never applied".to_owned());
                };
                ensure(!*undone, "undone twice")?;
                *undone = true;
                let call = *call;
                // The newest effect of a task's call is undone first, except messages, which precede all.
                let later = self.standing(|c| c.task == call.task && c.phase == call.phase);
                ensure(
                    self.casts.contains(number)
                        || call.phase == Phase::Revert
                        || later.last() < Some(number),
                    "a newer effect of the task's call stands",
                )?;
            }
            Event::Checkpoint { task, attempt } => {
                tally.checkpoints += 1;
                let ended = call(*task, Phase::Revert, *attempt);
                let settled = self.standing(|c| *c == ended);
                self.settled.extend(settled);
            }
            Event::Denied { .. } => tally.denied += 1,
            Event::Created { .. } | Event::Log { .. } => {}
            other => return Err(format!("no flow here has an event like this: {other:?}")),
        }
        Ok(())
    }

    /// Moves a rollback on to a task, which must be the newest one not visited yet.
    fn visit(&mut self, task: TaskId) -> Result<(), String> {
        if self.visited == Some(task) {
            return Ok(());
        }
        let expected = self.to_visit.as_mut().and_then(Vec::pop);
        ensure(expected == Some(task), "not the newest started task")?;
        self.visited = Some(task);
        Ok(())
    }

    /// Returns the numbers of standing effects whose call satisfies `of`.
    fn standing(&self, of: impl Fn(&CallId) -> bool) -> Vec<u32> {
        let effects = self.effects.iter();
        effects
            .filter(|(_, (call, undone))| !undone && of(call))
            .map(|(number, _)| *number)
            .collect()
    }

    fn check_end(&self) -> Result<(), String> {
        let state = self.state;
        ensure(
            matches!(state, Some(FlowState::Success | FlowState::Failure)),
            "the flow has not ended",
        )?;
        if state == Some(FlowState::Success) {
            let old = self.standing(|call| {
                call.phase == Phase::Revert || self.attempts.get(&call.task) != Some(&call.attempt)
            });
            ensure(
                old.is_empty(),
                "a flow succeeded with effects of an attempt that failed",
            )?;
        }
        Ok(())
    }
}

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}
