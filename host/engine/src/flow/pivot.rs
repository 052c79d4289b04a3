//! The pivot of a flow: the task that removes objects which other flows made. Nothing brings them back, so a flow that has begun to do so only
//! goes forward.

use cairn_effects::effect::Applied;
use cairn_effects::event::{Event, FlowState};
use cairn_effects::external::{
    ActError, ActStep, ExternalKey, ExternalObject, IntendRemoval, OF_NO_FLOW, is_removal, token,
};
use cairn_effects::history::Act;
use cairn_effects::task::Unwanted;
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::error::{Cause, TaskError};
use cairn_model::id::{CallId, Phase, TaskId};
use cairn_store::{Caller, StoreError};

use super::acts::{Acting, ask_to_remove, in_doubt, pause_after};
use super::progress::Progress;
use super::{Flow, FlowError, Inner, Provider};

impl Inner {
    /// Removes an object for a call: see [`Context::remove_external`](cairn_effects::task::Context::remove_external).
    pub(super) fn remove(
        &self,
        by: Caller<'_>,
        call: CallId,
        unwanted: &Unwanted<'_>,
    ) -> Result<(), TaskError> {
        if call.phase == Phase::Revert {
            let message = "a revert removes no objects outside the database";
            return Err(TaskError::new("NotInRevert", message));
        }
        let is_pivot = {
            let live = self.live();
            let flow_task = live.started.get(&call.task);
            flow_task.is_some_and(|flow_task| flow_task.pivot)
        };
        if !is_pivot {
            let message = "nothing brings a removed object back, so only the pivot of a flow removes objects: add `pivot = true` to its [[task]]";
            return Err(TaskError::new("NotPivot", message));
        }
        let provider = self.provider(unwanted.provider)?;
        let key = ExternalKey {
            provider: unwanted.provider.into(),
            kind: unwanted.kind.into(),
            id: unwanted.id.into(),
        };
        let (number, next) = {
            let mut live = self.live();
            let begun = live.history.act_on(&key);
            if let Some((_, act)) = begun.filter(|(intent, _)| is_removal(intent)) {
                return match act {
                    Act::Removed => Ok(()),
                    _ => Err(in_doubt(&key, "an act on it has not ended")),
                };
            }
            let intent = IntendRemoval {
                key: key.clone(),
                digest: provider.digest,
                host: self.store.host(),
            };
            let (next, applied) = self.store.apply_dyn(by, &intent)?;
            let number = applied.number;
            live.history.applied(applied);
            self.acting.lock().insert(number);
            (number, next.downcast().map_or(0, |next| *next))
        };
        let _acting = Acting { flow: self, number };
        match self.take_away(&provider, &key, next, call.task)? {
            Ok(()) => {
                self.step(call, &ActStep::Removed(key), Event::Removed { number })?;
                Ok(())
            }
            Err(ActError::Refused(error)) => {
                let event = Event::Closed {
                    number,
                    error: error.clone(),
                };
                self.step(call, &ActStep::Restored(key), event)?;
                Err(error)
            }
            Err(ActError::Unsure(error)) => {
                self.end_in_doubt(call, number, &key, &error)?;
                Err(in_doubt(&key, &error.to_string()))
            }
        }
    }

    /// Asks the provider to remove an object, once the intent is on disk.
    fn take_away(
        &self,
        provider: &Provider,
        key: &ExternalKey,
        next: u64,
        task: TaskId,
    ) -> Result<Result<(), ActError>, StoreError> {
        let lane = self.enter_lane();
        self.settle_on_disk(lane.as_deref())?;
        reach(CrashPoint::RemovalIntended);
        let object = ExternalObject {
            kind: key.kind.to_string(),
            id: key.id.to_string(),
            // After all acts of the flow that made it.
            token: token(OF_NO_FLOW, next),
        };
        let removed = ask_to_remove(provider, &object, &self.act_log(task, "remove", &object));
        drop(lane);
        reach(CrashPoint::RemovalDone);
        Ok(removed)
    }

    /// Removes the object of an intent whose outcome is not known. Whatever the provider answers now, an earlier act on the object may have
    /// removed it. The inner error says that it is still not known.
    fn take_away_again(&self, intent: &Applied) -> Result<Result<(), TaskError>, StoreError> {
        let number = intent.number;
        let Some(key) = ExternalKey::of(intent) else {
            return Ok(Ok(()));
        };
        // A call that has ended may have left a thread in it.
        self.wait_for_act(number);
        if matches!(self.live().history.act(number), None | Some(Act::Removed)) {
            return Ok(Ok(()));
        }
        let hindrance = match self.provider(&key.provider) {
            Ok(provider) => match self.hindrance(&key, &*provider.external)? {
                None => return self.take_away_with(&provider, intent, key),
                Some(why) => why,
            },
            Err(missing) => missing,
        };
        self.note_doubt(number, &hindrance)?;
        Ok(Err(in_doubt(&key, &hindrance.to_string())))
    }

    fn take_away_with(
        &self,
        provider: &Provider,
        intent: &Applied,
        key: ExternalKey,
    ) -> Result<Result<(), TaskError>, StoreError> {
        let (call, number) = (intent.call, intent.number);
        let removing = ActStep::Removing(key.clone(), self.store.host());
        let removed = match self.step(call, &removing, Event::Removing { number }) {
            Ok(next) => self.take_away(provider, &key, next, call.task)?,
            // An operator has removed the object.
            Err(StoreError::Refused(error)) if error.kind == "ExternalNotFound" => Ok(()),
            Err(error) => return Err(error),
        };
        match removed {
            Ok(()) => {
                let removed = ActStep::Removed(key);
                self.step(call, &removed, Event::Removed { number })?;
                Ok(Ok(()))
            }
            Err(ActError::Refused(error) | ActError::Unsure(error)) => {
                self.end_in_doubt(call, number, &key, &error)?;
                Ok(Err(in_doubt(&key, &error.to_string())))
            }
        }
    }
}

impl Flow {
    /// Returns whether the flow has passed its pivot, and only goes forward.
    pub(crate) fn is_past_pivot(&self) -> bool {
        self.0.live().history.is_past_pivot()
    }

    /// Ends the removals of this flow whose outcome is not known, before their task is called again. The inner error says that it is still not
    /// known.
    pub(super) fn end_removals(&self) -> Result<Result<(), TaskError>, FlowError> {
        let open = self.0.live().history.open_removals();
        for intent in open {
            if let Err(error) = self.0.take_away_again(&intent)? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Lets the flow sleep after a task failed that the flow cannot be rolled back for. It is tried again for ever, after ever longer pauses.
    pub(super) fn go_forward_later(&self, task: TaskId) -> Progress {
        let failures = {
            let live = self.0.live();
            live.record_of(task)
                .map_or(1, |task| task.retries(Phase::Call).max(1))
        };
        self.sleep_before(task, pause_after(failures))
    }

    /// Ends a flow that has passed its pivot and is not over, as an operator accepts what it has done so far. Nothing is reverted. Returns
    /// false if it is no such flow.
    pub(super) fn end_forward(&self, user_id: &str, reason: &str) -> Result<bool, FlowError> {
        use FlowState::{Failure, Reverting, Success};
        let changes = {
            let mut live = self.outside("accept")?;
            let history = &live.history;
            let from = history.state;
            if !history.is_past_pivot() || matches!(from, Success | Failure | Reverting) {
                return Ok(false);
            }
            let last = history.in_doubt().next().map(|(_, error)| error.clone());
            let cause = match last {
                Some(error) => Cause {
                    task: String::new(),
                    error,
                },
                None => Cause::requested(reason),
            };
            let changes = [(from, Reverting), (Reverting, Failure)];
            let accepted = Event::Accepted {
                user_id: user_id.to_owned(),
                reason: reason.to_owned(),
            };
            let [first, last] = changes.map(|(from, to)| Event::State { from, to });
            let failed = Event::Failed(cause);
            self.record(&mut live, vec![failed, first, last, accepted])?;
            changes
        };
        for (from, to) in changes {
            self.tell_flow(to, from);
        }
        Ok(true)
    }
}
