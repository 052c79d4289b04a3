//! Rolls a flow back: reverts every started task, newest first.

use std::sync::Arc;

use cairn_effects::event::{Disposition, Event, FlowState, TaskState};
use cairn_effects::history::is_intent;
use cairn_effects::task::Outcome;
use cairn_model::error::{Cause, HostErrorKind, TaskError};
use cairn_model::id::{Phase, TaskId};

use super::acts::is_in_doubt;
use super::flow_task::FlowTask;
use super::guard::guard;
use super::progress::Progress;
use super::{Completion, Flow, FlowError};

/// A rollback and its progress.
pub(super) struct Unwinding {
    pub(super) cause: Cause,
    /// Tasks that are not reverted yet, in order of their start.
    pub(super) left: Vec<TaskId>,
}

impl Flow {
    /// Rolls the flow back, then its parents. Tasks that have left the accumulator are not reverted again. The rollback is
    /// durable on return.
    ///
    /// # Errors
    /// [`FlowError::InvalidState`] while it runs; [`FlowError::PastPivot`]; [`FlowError::Store`]. A revert that fails is no error: see
    /// [`History::started`](cairn_effects::history::History::started) and the report's verdict.
    pub fn rollback(&self, cause: &Cause) -> Result<(), FlowError> {
        match self.rollback_to_end(cause).see_through() {
            // What a rollback that slept ends with.
            Err(FlowError::Failed(_)) => Ok(()),
            result => result,
        }
    }

    /// Rolls the flow back as [`rollback`](Self::rollback) does, without waiting for the disk, or until it sleeps.
    pub fn rollback_to_end(&self, cause: &Cause) -> Completion {
        Completion::new(self, self.rollback_undurable(cause))
    }

    pub(super) fn rollback_undurable(&self, cause: &Cause) -> Result<(), FlowError> {
        let _inside = {
            let mut live = self.outside("rollback")?;
            // A flow that was ended past its pivot was not reverted, and is not.
            if live.history.is_past_pivot() {
                return Err(FlowError::PastPivot);
            }
            self.enter(&mut live)
        };
        self.begin_rollback(cause)?;
        self.unwind(cause)
    }

    /// Accepts an incomplete rollback as it is, or one that waits until it is known what there is of an object; or ends a flow that has passed
    /// its pivot, without reverting it.
    ///
    /// # Errors
    /// [`FlowError::NothingToAccept`] unless a task of this flow could not be reverted; [`FlowError::Store`].
    pub fn accept(&self, user_id: &str, reason: &str) -> Result<(), FlowError> {
        if !self.end_forward(user_id, reason)? {
            let was_in_doubt = self.end_doubts()?;
            let mut live = self.outside("accept")?;
            let history = &live.history;
            if was_in_doubt && history.is_rolled_back() {
                // It became known after all.
                return Ok(());
            }
            if history.state != FlowState::Failure || history.started.is_empty() {
                return Err(FlowError::NothingToAccept);
            }
            let accepted = Event::Accepted {
                user_id: user_id.to_owned(),
                reason: reason.to_owned(),
            };
            self.record(&mut live, vec![accepted])?;
        }
        Completion::new(self, Ok(())).wait()
    }

    /// Ends a rollback that sleeps because it is not known what there is of an object: the task of that object counts as one that could not
    /// be reverted, and the others are reverted. Returns whether it was such a rollback.
    fn end_doubts(&self) -> Result<bool, FlowError> {
        let cause = {
            let mut live = self.outside("accept")?;
            let history = &live.history;
            let sleeps = history.state == FlowState::Reverting && history.sleep.is_some();
            if !sleeps || history.in_doubt().next().is_none() {
                return Ok(false);
            }
            let cause = history.failure.clone();
            self.record(&mut live, vec![Event::Woke])?;
            live.accepts_doubts = true;
            cause.unwrap_or_else(super::recover::lost_caller)
        };
        let ended = self.rollback_undurable(&cause);
        self.0.live().accepts_doubts = false;
        ended.map(|()| true)
    }

    /// Records the cause and the state in one append, so that recovery never continues a flow that is to be rolled back.
    fn begin_rollback(&self, cause: &Cause) -> Result<(), FlowError> {
        let to = FlowState::Reverting;
        let from = {
            let mut live = self.0.live();
            let from = live.history.state;
            let mut events = vec![Event::Failed(cause.clone())];
            if from != to {
                events.push(Event::State { from, to });
            }
            self.record(&mut live, events)?;
            from
        };
        if from != to {
            self.tell_flow(to, from);
        }
        Ok(())
    }

    pub(super) fn unwind(&self, cause: &Cause) -> Result<(), FlowError> {
        let mut unwinding = self.begin_unwinding(cause.clone())?;
        while self.unwind_one(&mut unwinding)? == Progress::More {}
        Ok(())
    }

    pub(super) fn begin_unwinding(&self, cause: Cause) -> Result<Unwinding, FlowError> {
        self.change(FlowState::Reverting);
        // Messages that a success released are withdrawn, whatever the reverts return. A message that was taken stays with its
        // task.
        let sent = self.0.live().history.sent();
        for cast in sent {
            let _taken = self.undo_all(vec![cast])?;
        }
        let left = self.0.live().history.started.clone();
        Ok(Unwinding { cause, left })
    }

    /// Reverts the newest remaining task, and ends the rollback after the last one.
    pub(super) fn unwind_one(&self, unwinding: &mut Unwinding) -> Result<Progress, FlowError> {
        let cause = &unwinding.cause;
        if let Some(task) = unwinding.left.pop() {
            if self.revert_task(task, cause)? == Progress::Asleep {
                unwinding.left.push(task);
                return Ok(Progress::Asleep);
            }
            if !unwinding.left.is_empty() {
                return Ok(Progress::More);
            }
        }
        self.change(FlowState::Failure);
        let parents = self.0.live().parents.clone();
        let mut first = Ok(());
        for parent in parents {
            // A running parent rolls itself back when its own task fails. An error of one does not stop the others.
            match parent.rollback(cause) {
                Err(FlowError::InvalidState { .. } | FlowError::PastPivot) | Ok(()) => {}
                Err(error) => first = first.and(Err(error)),
            }
        }
        first.map(|()| Progress::Over)
    }

    fn revert_task(&self, task: TaskId, cause: &Cause) -> Result<Progress, FlowError> {
        let flow_task = self.0.live().started.get(&task).cloned();
        let Some(flow_task) = flow_task else {
            // The flow was recovered without the task's code: its effects remain, and the report says so.
            let message = "the task's code is not there";
            self.revert_failed(task, TaskError::host(HostErrorKind::Instantiation, message));
            return Ok(Progress::More);
        };
        let outcome = {
            let live = self.0.live();
            live.record_of(task)
                .map_or(Outcome::Interrupted, |task| task.outcome())
        };
        if !matches!(outcome, Outcome::Completed(_))
            && let Err(refused) = self.undo(task, Phase::Call)?
        {
            if is_in_doubt(&refused) && self.looks_again() {
                return Ok(self.look_again_later(task));
            }
            self.revert_failed(task, refused);
            return Ok(Progress::More);
        }
        // Its revert has answered: what it has begun to undo is not kept any more.
        let is_removing = self.0.live().history.is_removing(task);
        if is_removing && matches!(outcome, Outcome::Completed(_)) {
            return self.finish_undo(task);
        }
        // Each attempt starts without effects of the one before, also if they could not be undone then.
        if let Err(refused) = self.undo_attempt(task)? {
            self.revert_failed(task, refused);
            return Ok(Progress::More);
        }
        loop {
            let (attempt, retries) = {
                let live = self.0.live();
                live.record_of(task).map_or((1, 0), |task| {
                    (
                        task.next_attempt(Phase::Revert),
                        task.retries(Phase::Revert),
                    )
                })
            };
            self.post(&mut self.0.live(), [Event::Reverting { task, attempt }]);
            if retries == 0 {
                self.tell_task(task, TaskState::Reverting);
            }
            let made = retries + 1;
            match self.revert_once(&flow_task, attempt, &outcome, cause)? {
                Ok(disposition) => {
                    self.post(&mut self.0.live(), [Event::Reverted { task, disposition }]);
                    self.tell_task(task, TaskState::Reverted);
                    return Ok(Progress::More);
                }
                Err(error) if is_in_doubt(&error) && self.looks_again() => {
                    return Ok(self.look_again_later(task));
                }
                // A revert that has answered is not called again, once what it answered has begun.
                Err(error)
                    if flow_task.revert.again(made, &error.kind)
                        && !self.0.live().history.is_removing(task) =>
                {
                    // Closes the attempt before its effects are collected, so that late effects are refused.
                    let retried = Event::Retried {
                        task,
                        error: error.clone(),
                    };
                    self.post(&mut self.0.live(), [retried]);
                    if self.undo_attempt(task)?.is_err() {
                        self.revert_failed(task, error);
                        return Ok(Progress::More);
                    }
                    if self.pause(task, flow_task.revert.wait(made)) == Progress::Asleep {
                        return Ok(Progress::Asleep);
                    }
                }
                Err(error) => {
                    // Effects whose undo is refused here remain, and the report names them.
                    let _refused = self.undo_attempt(task)?;
                    self.revert_failed(task, error);
                    return Ok(Progress::More);
                }
            }
        }
    }

    /// Undoes the rest of a call, after its revert has answered `Undo`.
    fn finish_undo(&self, task: TaskId) -> Result<Progress, FlowError> {
        match self.undo(task, Phase::Call)? {
            Ok(()) => {
                let disposition = Disposition::Undo;
                self.post(&mut self.0.live(), [Event::Reverted { task, disposition }]);
                self.tell_task(task, TaskState::Reverted);
            }
            Err(error) if is_in_doubt(&error) && self.looks_again() => {
                return Ok(self.look_again_later(task));
            }
            Err(refused) => self.revert_failed(task, refused),
        }
        Ok(Progress::More)
    }

    /// Returns whether the flow sleeps until it is known what there is of an object.
    fn looks_again(&self) -> bool {
        !self.0.live().accepts_doubts
    }

    /// Makes one attempt of a revert, and undoes the effects of the call if it returns `Undo`.
    fn revert_once(
        &self,
        flow_task: &Arc<FlowTask>,
        attempt: u32,
        outcome: &Outcome,
        cause: &Cause,
    ) -> Result<Result<Disposition, TaskError>, FlowError> {
        let context = self.context(flow_task.id, Phase::Revert, attempt);
        match guard(|| flow_task.task.revert(&context, outcome, cause)) {
            Ok(Disposition::Undo) => {
                let standing = self.0.live().history.standing(flow_task.id, Phase::Call);
                if standing.iter().any(is_intent) {
                    // The removal of an object may have to be repeated later: what the revert itself has done stays then.
                    let event = Event::Checkpoint {
                        task: flow_task.id,
                        attempt,
                    };
                    self.post(&mut self.0.live(), [event]);
                }
                let undone = self.undo_all(standing)?;
                Ok(undone.map(|()| Disposition::Undo))
            }
            other => Ok(other),
        }
    }

    fn revert_failed(&self, task: TaskId, error: TaskError) {
        self.post(&mut self.0.live(), [Event::RevertFailed { task, error }]);
        self.tell_task(task, TaskState::RevertFailed);
    }

    /// Undoes the effects of failed revert attempts, except those that a checkpoint ended.
    pub(super) fn undo_attempt(&self, task: TaskId) -> Result<Result<(), TaskError>, FlowError> {
        let standing = self.0.live().history.unsettled(task);
        self.undo_all(standing)
    }
}
