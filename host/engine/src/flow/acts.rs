//! Acts outside the database: objects that a task makes, and how they are taken away again.
//!
//! The intent of an act is on disk before its provider is asked. The flow's lock is not held while that waits, or while the provider works.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use cairn_effects::effect::Applied;
use cairn_effects::event::Event;
use cairn_effects::external::{
    ActError, ActLog, ActStep, External, ExternalKey, ExternalObject, Intend, Presence, name_of,
    spec_of, token,
};
use cairn_effects::history::Act;
use cairn_effects::task::Wanted;
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::error::{HostErrorKind, Origin, TaskError};
use cairn_model::id::{CallId, Phase, TaskId};
use cairn_model::value::{Digest, Value};
use cairn_store::{Caller, StoreError, WhenDurable};

use super::call::log;
use super::guard::guard;
use super::{FlowError, Inner};

/// A provider of objects outside the database.
#[derive(Clone)]
pub struct Provider {
    /// Makes, looks after and removes the objects.
    pub external: Arc<dyn External>,
    /// Identifies its code, for the rows of its objects.
    pub digest: Digest,
}

/// Providers by their names in a plan.
pub type Providers = BTreeMap<String, Provider>;

/// Where acts run: they take long, and other flows go on meanwhile.
pub trait Lanes: Send + Sync {
    /// Enters a lane; blocks while too many acts run.
    fn enter(&self) -> Box<dyn Lane>;
}

/// A place in which an act runs, until it is dropped.
pub trait Lane {
    /// Returns whether no other work adds to the open batch soon, so that it is to be committed now.
    fn is_alone(&self) -> bool;
}

/// The longest pause before the host looks again what there is of an object.
const LONGEST: Duration = Duration::from_secs(300);

/// Returns the pause after the host could not find out for the `doubts`th time what there is of an object.
pub(super) fn pause_after(doubts: u32) -> Duration {
    let doublings = doubts.saturating_sub(1).min(16);
    Duration::from_millis(500)
        .saturating_mul(1 << doublings)
        .min(LONGEST)
}

/// Returns whether an undo failed because it is not known what there is of an object.
pub(super) fn is_in_doubt(error: &TaskError) -> bool {
    error.origin == Origin::Host && error.kind == HostErrorKind::InDoubt.as_str()
}

/// What an act has come to.
enum Outcome {
    Made(Value),
    /// There is no object.
    Nothing(TaskError),
    InDoubt(TaskError),
}

impl Inner {
    /// Makes an object for a call: see [`Context::make_external`](cairn_effects::task::Context::make_external).
    pub(super) fn make(
        &self,
        by: Caller<'_>,
        call: CallId,
        wanted: &Wanted<'_>,
    ) -> Result<Value, TaskError> {
        if call.phase == Phase::Revert {
            let message = "a revert makes no objects outside the database";
            return Err(TaskError::new("NotInRevert", message));
        }
        let provider = self.provider(wanted.provider)?;
        let task = {
            let live = self.live();
            live.record_of(call.task).map(|task| task.name.clone())
        };
        let id = name_of(call.flow, call.task, wanted.label);
        let key = ExternalKey {
            provider: wanted.provider.into(),
            kind: wanted.kind.into(),
            id: id.as_str().into(),
        };
        let intent = Intend {
            key: key.clone(),
            task: task.unwrap_or_default(),
            spec: wanted.spec.clone(),
            digest: provider.digest,
            host: self.store.host(),
        };
        let number = {
            let mut live = self.live();
            if let Some((made, act)) = live.history.act_on(&key) {
                let Act::Made(result) = act else {
                    return Err(in_doubt(&key, "an act on it has not ended"));
                };
                if spec_of(made) == Some(wanted.spec) {
                    return Ok(Value::clone(result));
                }
                let label = wanted.label.escape_debug();
                let message =
                    format!("the label `{label}` was used for an object with another spec");
                return Err(TaskError::new("InvalidInput", message));
            }
            let (_, applied) = self.store.apply_dyn(by, &intent)?;
            let number = applied.number;
            live.history.applied(applied);
            self.acting.lock().insert(number);
            number
        };
        let _acting = Acting { flow: self, number };
        let lane = self.enter_lane();
        self.settle_on_disk(lane.as_deref())?;
        reach(CrashPoint::ActIntended);
        // Its call may have ended meanwhile, and the intent been undone.
        if self.live().history.act(number) != Some(&Act::Open) {
            return Err(StoreError::CallClosed.into());
        }
        let object = ExternalObject {
            kind: wanted.kind.to_owned(),
            id,
            token: token(number, 1),
        };
        let log = self.act_log(call.task, "make", &object);
        let outcome = ask_to_make(&provider, &object, wanted.spec, &log);
        drop(lane);
        reach(CrashPoint::ActDone);
        match outcome {
            Outcome::Made(result) => {
                let made = ActStep::Made(key, result.clone());
                let result = Arc::new(result);
                let event = Event::Settled {
                    number,
                    result: Arc::clone(&result),
                };
                self.step(call, &made, event)?;
                Ok(Value::clone(&result))
            }
            Outcome::Nothing(error) => {
                let event = Event::Closed {
                    number,
                    error: error.clone(),
                };
                self.step(call, &ActStep::Closed(key), event)?;
                Err(error)
            }
            Outcome::InDoubt(error) => {
                self.end_in_doubt(call, number, &key, &error)?;
                Err(in_doubt(&key, &error.to_string()))
            }
        }
    }

    /// Removes the object of an intent, then its row. The inner error is a refusal, or `InDoubt`.
    pub(super) fn unmake(&self, applied: &Applied) -> Result<Result<(), TaskError>, FlowError> {
        let Some(key) = ExternalKey::of(applied) else {
            return Ok(Ok(()));
        };
        let provider = self.live().providers.get(&*key.provider).cloned();
        let Some(provider) = provider else {
            let message = format!(
                "the object `{}` cannot be removed: this program does not have its provider `{}`",
                key.id, key.provider
            );
            return Ok(Err(TaskError::host(HostErrorKind::UndoRefused, message)));
        };
        let number = applied.number;
        self.wait_for_act(number);
        if let Some(why) = self.hindrance(&key, &*provider.external)? {
            self.note_doubt(number, &why)?;
            return Ok(Err(in_doubt(&key, &why.to_string())));
        }
        let removing = ActStep::Removing(key.clone(), self.store.host());
        let next = match self.step(applied.call, &removing, Event::Removing { number }) {
            Ok(next) => next,
            // An operator has removed the object.
            Err(StoreError::Refused(error)) if error.kind == "ExternalNotFound" => {
                return self.forget(applied);
            }
            Err(StoreError::Refused(error)) => return Ok(Err(error)),
            Err(error) => return Err(error.into()),
        };
        let lane = self.enter_lane();
        self.settle_on_disk(lane.as_deref())?;
        reach(CrashPoint::RemovalIntended);
        let object = ExternalObject {
            kind: key.kind.to_string(),
            id: key.id.to_string(),
            token: token(number, next),
        };
        let removed = ask_to_remove(
            &provider,
            &object,
            &self.act_log(applied.call.task, "remove", &object),
        );
        drop(lane);
        reach(CrashPoint::RemovalDone);
        match removed {
            Ok(()) => self.forget(applied),
            Err(ActError::Refused(error)) => {
                let message = format!(
                    "`{}` does not remove the object `{}`: {error}",
                    key.provider, key.id
                );
                self.end_refused(applied.call, &key, &message)?;
                Ok(Err(TaskError::host(HostErrorKind::UndoRefused, message)))
            }
            Err(ActError::Unsure(error)) => {
                self.end_in_doubt(applied.call, number, &key, &error)?;
                Ok(Err(in_doubt(&key, &error.to_string())))
            }
        }
    }

    /// Removes the row of an object that is gone. The inner error is a refusal.
    fn forget(&self, applied: &Applied) -> Result<Result<(), TaskError>, FlowError> {
        let number = applied.number;
        let mut live = self.live();
        match self.store.undo(applied) {
            Ok(()) => {
                let at = self.store.now();
                live.history.apply(at, &Event::Undone { number });
                Ok(Ok(()))
            }
            Err(StoreError::Refused(error)) => Ok(Err(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns how often it was not known what there is of the objects of this flow, for the one of which that is so most often.
    pub(super) fn doubts(&self) -> u32 {
        let live = self.live();
        let numbers = live.history.in_doubt().map(|(applied, _)| applied.number);
        let doubts = numbers.filter_map(|number| match live.history.act(number)? {
            Act::InDoubt(_, doubts) => Some(*doubts),
            _ => None,
        });
        doubts.max().unwrap_or(1)
    }

    /// Returns the provider of this name in the flow's plan.
    pub(super) fn provider(&self, name: &str) -> Result<Provider, TaskError> {
        let provider = self.live().providers.get(name).cloned();
        provider.ok_or_else(|| {
            let message = format!("the flow's plan has no provider `{name}`");
            TaskError::new("ProviderNotFound", message)
        })
    }

    /// Waits until an act that a thread is in has ended.
    pub(super) fn wait_for_act(&self, number: u32) {
        let mut acting = self.acting.lock();
        let goes_on = |acting: &mut HashSet<u32>| acting.contains(&number);
        self.acted.wait_while(&mut acting, goes_on);
    }

    pub(super) fn note_doubt(&self, number: u32, error: &TaskError) -> Result<(), StoreError> {
        let event = Event::InDoubt {
            number,
            error: error.clone(),
        };
        let mut live = self.live();
        let at = self.store.append(self.id, std::slice::from_ref(&event))?;
        live.history.apply(at, &event);
        Ok(())
    }

    /// Records a step of an act; returns the token of the next one.
    pub(super) fn step(
        &self,
        call: CallId,
        step: &ActStep,
        event: Event,
    ) -> Result<u64, StoreError> {
        let mut live = self.live();
        let answer = self.store.step_dyn(call, step, &event)?;
        live.history.apply(self.store.now(), &event);
        Ok(answer.downcast_ref().copied().unwrap_or(0))
    }

    /// Returns the flow's log for an act of a provider, `make` or `remove`, on an object of this task. The act is a span of the flow's trace.
    pub(super) fn act_log(&self, task: TaskId, act: &str, object: &ExternalObject) -> ActLog {
        let (store, flow) = (Arc::clone(&self.store), self.id);
        let trace = self.live().history.requester.trace;
        let span = flow.span_of_act(act, &object.id);
        ActLog::new(move |level, message| log(&*store, flow, task, level, message))
            .within(trace.map(|trace| trace.within(span)))
    }

    pub(super) fn enter_lane(&self) -> Option<Box<dyn Lane>> {
        let lanes = self.live().lanes.clone();
        lanes.map(|lanes| lanes.enter())
    }

    /// Waits until everything that the flow wrote is on disk. Flows that wait share a commit.
    pub(super) fn settle_on_disk(&self, lane: Option<&dyn Lane>) -> Result<(), StoreError> {
        let (tell, told) = sync_channel(1);
        let when = WhenDurable::new(move |durable| {
            // The receiver is below.
            let _ = tell.send(durable);
        });
        self.store.when_durable(self.id, when);
        if lane.is_none_or(|lane| lane.is_alone()) {
            self.store.flush();
        }
        let lost = || StoreError::Database("the store stopped before its commit".to_owned());
        told.recv().unwrap_or_else(|_| Err(lost()))
    }
}

/// An act that a thread is in, until it is dropped.
pub(super) struct Acting<'f> {
    pub(super) flow: &'f Inner,
    pub(super) number: u32,
}

impl Drop for Acting<'_> {
    fn drop(&mut self) {
        self.flow.acting.lock().remove(&self.number);
        self.flow.acted.notify_all();
    }
}

/// Asks a provider to make an object, and what there is of it when it does not know.
fn ask_to_make(
    provider: &Provider,
    object: &ExternalObject,
    spec: &Value,
    log: &ActLog,
) -> Outcome {
    let external = &provider.external;
    let error = match guarded(|| external.make(object, spec, log)) {
        Ok(result) => return Outcome::Made(result),
        Err(ActError::Refused(error)) => return Outcome::Nothing(error),
        Err(ActError::Unsure(error)) => error,
    };
    match guard(|| external.look(object, log)) {
        Ok(Presence::Whole(result)) => Outcome::Made(result),
        Ok(Presence::Absent) => Outcome::Nothing(error),
        Ok(Presence::Partial) => match ask_to_remove(provider, object, log) {
            Ok(()) => Outcome::Nothing(error),
            Err(ActError::Refused(why) | ActError::Unsure(why)) => Outcome::InDoubt(why),
        },
        Err(why) => Outcome::InDoubt(why),
    }
}

/// Asks a provider to remove an object, and whether it is gone.
pub(crate) fn ask_to_remove(
    provider: &Provider,
    object: &ExternalObject,
    log: &ActLog,
) -> Result<(), ActError> {
    let external = &provider.external;
    match guarded(|| external.remove(object, log)) {
        Ok(()) | Err(ActError::Unsure(_)) => {}
        refused => return refused,
    }
    match guard(|| external.look(object, log)) {
        Ok(Presence::Absent) => Ok(()),
        Ok(Presence::Partial | Presence::Whole(_)) => {
            let message = "it was removed, and is still there";
            Err(ActError::Unsure(TaskError::new("StillThere", message)))
        }
        Err(error) => Err(ActError::Unsure(error)),
    }
}

/// Runs an act. A panic may have changed something.
fn guarded<T>(act: impl FnOnce() -> Result<T, ActError>) -> Result<T, ActError> {
    guard(|| Ok(act())).unwrap_or_else(|panic| Err(ActError::Unsure(panic)))
}

pub(super) fn in_doubt(key: &ExternalKey, why: &str) -> TaskError {
    let message = format!(
        "it is not known whether the object `{}` of `{}` is there: {why}",
        key.id, key.provider
    );
    TaskError::host(HostErrorKind::InDoubt, message).with("id", &*key.id)
}
