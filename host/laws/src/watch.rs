//! Records the host calls of a plugin, and injects faults into them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use cairn::capability::Enforcer;
use cairn::error::HostErrorKind;
use cairn::event::LogLevel;
use cairn::id::Phase;
use cairn::rules::{AnyAnswer, DynEffect, DynLookUp};
use cairn::store::view::Reader;
use cairn::task::{ContextLayer, Unwanted, Wanted};
use cairn::{Context, Identity, Object, Sqlite, SqliteConfig, StoreError, TaskError, Value};
use serde_json::json;

use crate::asked::Asked;
use crate::fake::Fakes;

/// The name of the task that precedes the subject.
pub(crate) const BEFORE: &str = "before-subject";

/// A fault in the call of the plugin under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The host call of this number is refused: it has no effect and returns an error.
    Refused(usize),
    /// The plugin traps after the host call of this number.
    Trap(usize),
    /// The deadline passes after the host call of this number.
    CutOff(usize),
    /// The host dies after the host call of this number; 0 is before the first one.
    Death(usize),
    /// The host dies after the call has returned, before it stores the result.
    DeathAtEnd,
}

/// The role of a task whose host calls are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A task before the subject: only its new ids are recorded.
    Before,
    /// The plugin under test.
    Subject,
}

/// The database of a host that dies, and the path for a copy of it at that moment.
pub(crate) struct Grave {
    pub(crate) database: PathBuf,
    pub(crate) copy: PathBuf,
    pub(crate) config: SqliteConfig,
}

/// The recorded host calls, and the fault to inject.
pub(crate) struct Watch {
    notes: Mutex<Notes>,
    fault: Option<Fault>,
    fakes: Fakes,
    grave: Option<Grave>,
}

#[derive(Default)]
struct Notes {
    /// The task and phase of the call in progress.
    current: Option<(Role, Phase)>,
    /// Number of host calls of the subject's `call` so far, without log messages.
    count: usize,
    /// The error of the injected fault, once it has ended the subject's call.
    fired: Option<TaskError>,
    call: Vec<Asked>,
    revert: Vec<Asked>,
    /// Ids that the host generated, in order.
    learned: Vec<String>,
    /// The error of copying the database of a host that died.
    not_copied: Option<StoreError>,
    is_dead: bool,
    /// Number of calls of each faked function.
    turns: BTreeMap<String, usize>,
}

impl Watch {
    pub(crate) fn new(fault: Option<Fault>, fakes: Fakes, grave: Option<Grave>) -> Arc<Self> {
        Arc::new(Self {
            notes: Mutex::default(),
            fault,
            fakes,
            grave,
        })
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock()
    }

    /// Returns the host calls of the subject's `call` and of its reverts, in order.
    pub(crate) fn asked(&self) -> (Vec<Asked>, Vec<Asked>) {
        let notes = self.notes();
        (notes.call.clone(), notes.revert.clone())
    }

    /// Returns the ids that the host generated -> names that are equal in every run.
    pub(crate) fn names(&self) -> BTreeMap<String, String> {
        let notes = self.notes();
        let numbered = notes.learned.iter().enumerate();
        numbered
            .map(|(index, id)| (id.clone(), format!("<id {}>", index + 1)))
            .collect()
    }

    pub(crate) fn not_copied(&self) -> Option<StoreError> {
        self.notes().not_copied.clone()
    }

    /// Returns the error with which the injected fault ended the subject's call.
    pub(crate) fn fired(&self) -> Option<TaskError> {
        self.notes().fired.clone()
    }

    pub(crate) fn enter(&self, role: Role, phase: Phase) {
        self.notes().current = Some((role, phase));
    }

    pub(crate) fn leave(&self) {
        self.notes().current = None;
    }

    /// Simulates the death of the host: commits the open batch, and copies the database from the disk.
    pub(crate) fn die(&self, store: &Sqlite) {
        let Some(grave) = &self.grave else { return };
        if std::mem::replace(&mut self.notes().is_dead, true) {
            return;
        }
        let copied = store
            .read(&Identity::default(), |_| Ok(()))
            .and_then(|()| {
                let clock = Arc::new(cairn::clock::SystemClock);
                Reader::open(&grave.database, grave.config.clone(), clock)
            })
            .and_then(|reader| reader.backup(&grave.copy));
        let mut notes = self.notes();
        notes.not_copied = copied.err();
        notes.fired = Some(TaskError::host(
            HostErrorKind::Interrupted,
            "the host died here",
        ));
    }

    /// Returns the next answer of a faked function.
    fn fake(&self, function: &str) -> Option<Result<Value, TaskError>> {
        let mut notes = self.notes();
        let turn = notes.turns.entry(function.to_owned()).or_default();
        let answer = self.fakes.answer(function, *turn)?;
        *turn += 1;
        Some(answer)
    }

    /// Forwards and records a host call, and injects the fault if this is its call.
    fn ask<T>(
        &self,
        store: &Sqlite,
        (function, arguments): (&str, Value),
        answer: impl FnOnce() -> Result<T, TaskError>,
        show: impl FnOnce(&T) -> Value,
    ) -> Result<T, TaskError> {
        let (current, number) = {
            let mut notes = self.notes();
            if let (Some(ended), Some((Role::Subject, Phase::Call))) = (&notes.fired, notes.current)
            {
                return Err(ended.clone());
            }
            let is_counted = notes.current == Some((Role::Subject, Phase::Call));
            notes.count += usize::from(is_counted);
            (notes.current, if is_counted { notes.count } else { 0 })
        };
        let at = |fault: Fault| number > 0 && self.fault == Some(fault);
        let result = if at(Fault::Refused(number)) {
            Err(refusal(function))
        } else {
            answer()
        };
        self.note(
            current,
            Asked::new(
                function,
                arguments,
                result.as_ref().map(show).map_err(Clone::clone),
            ),
        );
        let ended = match self.fault {
            Some(Fault::Trap(_)) if at(Fault::Trap(number)) => {
                TaskError::host(HostErrorKind::Trap, "the plugin trapped here")
            }
            Some(Fault::CutOff(_)) if at(Fault::CutOff(number)) => {
                TaskError::host(HostErrorKind::DeadlineExceeded, "the deadline passed here")
            }
            Some(Fault::Death(_)) if at(Fault::Death(number)) => {
                self.die(store);
                return Err(self.fired().unwrap_or_else(|| refusal(function)));
            }
            _ => return result,
        };
        self.notes().fired = Some(ended.clone());
        Err(ended)
    }

    /// Forwards a host call that cannot fail. A fault in it ends the call at the next host call that can fail, or at the end of the call.
    fn tell<T: Clone>(
        &self,
        store: &Sqlite,
        asked: (&str, Value),
        answer: impl Fn() -> T,
        show: impl Fn(&T) -> Value,
    ) -> T {
        let told = self.ask(store, asked, || Ok(answer()), show);
        told.unwrap_or_else(|_| answer())
    }

    fn note(&self, current: Option<(Role, Phase)>, asked: Asked) {
        let mut notes = self.notes();
        match current {
            Some((Role::Subject, Phase::Call)) => notes.call.push(asked),
            Some((Role::Subject, Phase::Revert)) => notes.revert.push(asked),
            Some((Role::Before, _)) | None => {}
        }
    }

    fn learn(&self, new_ids: Vec<String>) {
        let mut notes = self.notes();
        for id in new_ids {
            if !notes.learned.contains(&id) {
                notes.learned.push(id);
            }
        }
    }
}

/// Makes the error of a refused host call.
fn refusal(function: &str) -> TaskError {
    match function {
        "policy.enforce" => TaskError::new("PolicyNotAuthorized", "policy does not allow this"),
        _ => TaskError::new(
            "ServiceUnavailable",
            format!("`{function}` is refused, to test how the plugin handles that"),
        ),
    }
}

/// The context of a call, with a watch before it.
pub(crate) struct Watched {
    pub(crate) inner: Arc<dyn Context>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) store: Arc<Sqlite>,
}

impl ContextLayer for Watched {
    fn below(&self) -> &dyn Context {
        &*self.inner
    }

    fn result(&self, name: &str) -> Option<Value> {
        let asked = ("results.get", json!({"name": name}));
        let show = |value: &Option<Value>| value.clone().unwrap_or_default();
        let fake = self.watch.fake(asked.0);
        let answer = || match &fake {
            Some(Ok(Value::Null) | Err(_)) => None,
            Some(Ok(value)) => Some(value.clone()),
            None => self.inner.result(name),
        };
        self.watch.tell(&self.store, asked, answer, show)
    }

    fn results(&self) -> Vec<(String, Value)> {
        let asked = ("results.tasks", json!({}));
        let show = |tasks: &Vec<(String, Value)>| json!(tasks);
        let answer = || {
            let mut tasks = self.inner.results();
            // The plugin must not see the task that observes it.
            tasks.retain(|(name, _)| name != BEFORE);
            tasks
        };
        self.watch.tell(&self.store, asked, answer, show)
    }

    fn apply_dyn(&self, effect: &dyn DynEffect) -> Result<AnyAnswer, TaskError> {
        let function = effect.function();
        let fake = self.watch.fake(function);
        let answer = || match fake {
            Some(fake) => canned(function, fake, |answer| effect.read(answer)),
            None => self.inner.apply_dyn(effect),
        };
        let asked = (function, effect.arguments_dyn());
        let show = |answer: &AnyAnswer| effect.show(&**answer);
        let answer = self.watch.ask(&self.store, asked, answer, show)?;
        self.watch.learn(effect.new_ids_dyn(&*answer));
        Ok(answer)
    }

    fn checkpoint(&self) -> Result<(), TaskError> {
        let asked = ("context.checkpoint", json!({}));
        let answer = || self.inner.checkpoint();
        self.watch.ask(&self.store, asked, answer, |()| Value::Null)
    }

    fn look_up_dyn(&self, look_up: &dyn DynLookUp) -> Result<AnyAnswer, TaskError> {
        let Some(function) = look_up.function() else {
            return self.inner.look_up_dyn(look_up);
        };
        let fake = self.watch.fake(function);
        let answer = || match fake {
            Some(fake) => canned(function, fake, |answer| look_up.read(answer)),
            None => self.inner.look_up_dyn(look_up),
        };
        let asked = (function, look_up.arguments_dyn());
        let show = |answer: &AnyAnswer| look_up.show(&**answer);
        self.watch.ask(&self.store, asked, answer, show)
    }

    fn make_external(&self, wanted: &Wanted<'_>) -> Result<Value, TaskError> {
        let fake = self.watch.fake("externals.make");
        let answer = || fake.unwrap_or_else(|| self.inner.make_external(wanted));
        let Wanted {
            provider,
            kind,
            label,
            spec,
        } = wanted;
        let asked = (
            "externals.make",
            json!({"provider": provider, "kind": kind, "label": label, "spec": spec}),
        );
        self.watch.ask(&self.store, asked, answer, Value::clone)
    }

    fn remove_external(&self, unwanted: &Unwanted<'_>) -> Result<(), TaskError> {
        let fake = self.watch.fake("externals.remove");
        let answer = || match fake {
            Some(fake) => fake.map(drop),
            None => self.inner.remove_external(unwanted),
        };
        let Unwanted { provider, kind, id } = unwanted;
        let asked = (
            "externals.remove",
            json!({"provider": provider, "kind": kind, "id": id}),
        );
        self.watch.ask(&self.store, asked, answer, |()| Value::Null)
    }

    fn log(&self, level: LogLevel, message: String) {
        let current = self.watch.notes().current;
        let arguments = json!({"level": level, "message": message});
        self.watch
            .note(current, Asked::new("log.write", arguments, Ok(Value::Null)));
        self.inner.log(level, message);
    }
}

/// Converts a faked answer to the answer type of the function.
fn canned<E: std::fmt::Display>(
    function: &str,
    answer: Result<Value, TaskError>,
    read: impl FnOnce(Value) -> Result<AnyAnswer, E>,
) -> Result<AnyAnswer, TaskError> {
    read(answer?).map_err(|error| {
        let message = format!("the faked answer of `{function}` has a wrong type: {error}");
        TaskError::new("InvalidInput", message)
    })
}

/// The policy enforcer, with a watch before it.
pub(crate) struct WatchedEnforcer {
    pub(crate) inner: Arc<dyn Enforcer>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) store: Arc<Sqlite>,
}

impl Enforcer for WatchedEnforcer {
    fn enforce(
        &self,
        requester: &Identity,
        action: &str,
        target: &Object,
        plugins: &dyn cairn::policy::Asks,
    ) -> Result<(), TaskError> {
        let asked = (
            "policy.enforce",
            json!({"action": action, "target": target}),
        );
        let fake = self.watch.fake(asked.0);
        let answer = || match fake {
            Some(fake) => fake.map(drop),
            None => self.inner.enforce(requester, action, target, plugins),
        };
        self.watch.ask(&self.store, asked, answer, |()| Value::Null)
    }
}
