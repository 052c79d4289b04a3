//! Recovery of a flow whose process died, or whose batch was lost.

use std::sync::Arc;

use cairn_effects::event::{Entry, Event, FlowState};
use cairn_effects::history::History;
use cairn_model::error::{Cause, HostErrorKind, TaskError};
use cairn_model::id::{FlowId, Phase};
use cairn_store::{Store, StoreError};

use super::{Completion, Flow, FlowError};

/// How recovery treats a flow that was going forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Rolls it back; continues it if it has passed its pivot.
    Rollback,
    /// Continues it; the task that was running is called again.
    Resume,
    /// Interrupts it.
    Interrupt,
}

impl Flow {
    /// Restores a flow from its journal. Add its tasks, with the ids of the journal, before any other operation.
    ///
    /// # Errors
    /// [`FlowError::Store`] when there is no such flow.
    pub fn restore(
        id: FlowId,
        store: Arc<dyn Store>,
        journal: &[Entry],
    ) -> Result<Self, FlowError> {
        let history = History::fold(journal, store.domains()).ok_or(StoreError::UnknownFlow(id))?;
        Ok(Self::from_history(id, store, history, Vec::new(), true))
    }

    /// Recovers a flow that [`restore`](Self::restore) made: undoes the effects of the open call, then continues the flow or
    /// rolls it back. A flow that was reverting continues reverting; one that rests, sleeps or has ended stays as it is.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn recover(&self, how: Recovery) -> Result<(), FlowError> {
        self.recover_to_end(how).see_through()
    }

    /// Recovers the flow as [`recover`](Self::recover) does, without waiting for the disk, or until it sleeps.
    pub fn recover_to_end(&self, how: Recovery) -> Completion {
        Completion::new(self, self.recover_undurable(how))
    }

    fn recover_undurable(&self, how: Recovery) -> Result<(), FlowError> {
        use FlowState::{
            Failure, Interrupted, Pending, Resuming, Reverting, Running, Started, Success,
        };
        let (in_hand, inside) = {
            let mut live = self.outside("recover")?;
            if live.history.sleep.is_some() {
                // Nothing of it was under way.
                if how != Recovery::Interrupt {
                    return Ok(());
                }
                // Nobody else may wake it meanwhile.
                self.record(&mut live, vec![Event::Woke])?;
            }
            let in_hand = live.history.started.last().copied();
            (in_hand, self.enter(&mut live))
        };
        if let Some(task) = in_hand {
            self.undo_in_doubt(task)?;
        }
        drop(inside);
        // It may have been interrupted meanwhile: an act takes its time.
        let (state, failure) = {
            let live = self.0.live();
            (live.history.state, live.history.failure.clone())
        };
        // A task had failed for good, also if the flow was interrupted meanwhile; only the rollback is missing.
        let is_past_pivot = self.is_past_pivot();
        if state != Failure
            && !is_past_pivot
            && let Some(cause) = failure
        {
            return self.rollback_undurable(&cause);
        }
        match state {
            Pending | Interrupted | Success | Failure => Ok(()),
            Reverting => self.rollback_undurable(&lost_caller()),
            Started | Resuming | Running => match how {
                Recovery::Rollback if !is_past_pivot => self.rollback_undurable(&lost_caller()),
                Recovery::Interrupt => {
                    self.change(Interrupted);
                    Ok(())
                }
                Recovery::Resume | Recovery::Rollback => self.resume_undurable(),
            },
        }
    }

    /// Returns whether the flow is under way, and neither rolled back nor about to be.
    pub(crate) fn goes_forward(&self) -> bool {
        use FlowState::{Resuming, Running, Started};
        let live = self.0.live();
        matches!(live.history.state, Started | Resuming | Running) && live.history.failure.is_none()
    }

    /// Continues an interrupted flow, or runs a pending one.
    ///
    /// # Errors
    /// [`FlowError::InvalidState`] unless it is PENDING or INTERRUPTED; else as [`run`](Self::run).
    pub fn resume_to_end(&self) -> Completion {
        let result = match self.state() {
            FlowState::Pending => self.run_undurable(),
            FlowState::Interrupted => self.resume_undurable(),
            _ => self
                .outside("resume")
                .and_then(|live| Err(live.invalid("resume"))),
        };
        Completion::new(self, result)
    }

    /// Records INTERRUPTED, PENDING and STARTED in one append: wherever the process dies, recovery knows that the flow is to
    /// continue.
    fn resume_undurable(&self) -> Result<(), FlowError> {
        use FlowState::{Interrupted, Pending, Started};
        let (changes, _inside) = {
            let mut live = self.outside("resume")?;
            let mut from = live.history.state;
            let mut changes = Vec::new();
            for to in [Interrupted, Pending, Started] {
                if from != to {
                    changes.push((from, to));
                }
                from = to;
            }
            let events = changes.iter().map(|&(from, to)| Event::State { from, to });
            self.record(&mut live, events.collect())?;
            (changes, self.enter(&mut live))
        };
        for (from, to) in changes {
            self.tell_flow(to, from);
        }
        self.run_started()
    }

    /// Undoes the effects of a call or revert whose end is unknown.
    fn undo_in_doubt(&self, newest: cairn_model::id::TaskId) -> Result<(), FlowError> {
        let open = {
            let live = self.0.live();
            let mut tasks = live.history.tasks.iter();
            let reverting =
                tasks.find(|task| task.state == cairn_effects::event::TaskState::Reverting);
            match reverting {
                Some(task) => Some((task.id, Phase::Revert)),
                None => live
                    .record_of(newest)
                    .filter(|task| task.result.is_none() && task.error.is_none())
                    .map(|task| (task.id, Phase::Call)),
            }
        };
        // A refused undo is reported when the task is reverted.
        match open {
            Some((task, Phase::Revert)) => self.undo_attempt(task).map(drop),
            Some((task, Phase::Call)) => self.undo(task, Phase::Call).map(drop),
            None => Ok(()),
        }
    }
}

pub(super) fn lost_caller() -> Cause {
    Cause {
        task: String::new(),
        error: TaskError::host(
            HostErrorKind::Interrupted,
            "the process that ran this flow is gone, or could not write what the flow did last",
        ),
    }
}
