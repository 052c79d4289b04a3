//! Between a plugin and the host: takes down what is asked, and fails where it is told to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use cairn::Context;
use cairn::capability::Enforcer;
use cairn::error::{HostErrorKind, TaskError};
use cairn::event::LogLevel;
use cairn::id::{Identity, Phase};
use cairn::rules::{AnyAnswer, DynEffect, DynLookUp};
use cairn::store::view::Reader;
use cairn::store::{Sqlite, SqliteConfig, StoreError};
use cairn::task::ContextLayer;
use cairn::value::{Object, Value};
use serde_json::json;

use crate::asked::Asked;
use crate::fake::Fakes;

/// What the task is called that stands before the subject.
pub(crate) const BEFORE: &str = "before-subject";

/// What happens in the call of the plugin that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its host call of this number is refused: nothing is done, and the plugin is told.
    Refused(usize),
    /// Its host call of this number is done, and then the plugin traps.
    Trap(usize),
    /// Its host call of this number is done, and then its time is over.
    CutOff(usize),
    /// The host dies after the host call of this number; 0 is before any.
    Death(usize),
    /// The host dies when the call has returned, before that is written down.
    DeathAtEnd,
}

/// Whose calls are taken down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A task that ran before: only ids are learned from it.
    Before,
    /// The plugin that is looked at.
    Subject,
}

/// Where the copy of the database goes that a host leaves that dies.
pub(crate) struct Grave {
    pub(crate) database: PathBuf,
    pub(crate) copy: PathBuf,
    pub(crate) config: SqliteConfig,
}

/// What was asked, and what is to fail.
pub(crate) struct Watch {
    notes: Mutex<Notes>,
    fault: Option<Fault>,
    fakes: Fakes,
    grave: Option<Grave>,
}

#[derive(Default)]
struct Notes {
    /// Whose call is in progress, and which.
    current: Option<(Role, Phase)>,
    /// Host calls of the subject's `call` so far, logs left out.
    count: usize,
    /// What ended the subject's call.
    fired: Option<TaskError>,
    call: Vec<Asked>,
    revert: Vec<Asked>,
    /// Ids that the host made up, in order.
    learned: Vec<String>,
    /// Why the database of a host that died could not be copied.
    not_copied: Option<StoreError>,
    is_dead: bool,
    /// How often each faked function was asked.
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

    /// Host calls of the subject's `call` and of its reverts, in order.
    pub(crate) fn asked(&self) -> (Vec<Asked>, Vec<Asked>) {
        let notes = self.notes();
        (notes.call.clone(), notes.revert.clone())
    }

    /// Ids that the host made up -> what they are called in every run.
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

    /// What the injected fault ended the subject's call with.
    pub(crate) fn fired(&self) -> Option<TaskError> {
        self.notes().fired.clone()
    }

    pub(crate) fn enter(&self, role: Role, phase: Phase) {
        self.notes().current = Some((role, phase));
    }

    pub(crate) fn leave(&self) {
        self.notes().current = None;
    }

    /// The host dies: what it leaves is a copy of what is on disk when the open batch was committed.
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

    /// What a function answers that is faked.
    fn fake(&self, function: &str) -> Option<Result<Value, TaskError>> {
        let mut notes = self.notes();
        let turn = notes.turns.entry(function.to_owned()).or_default();
        let answer = self.fakes.answer(function, *turn)?;
        *turn += 1;
        Some(answer)
    }

    /// Passes a host call on, unless a fault says otherwise.
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

    /// A host call that cannot fail: what ends the call there ends it at the next one that can, or at its end.
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

/// What a plugin is told whose host call is refused.
fn refusal(function: &str) -> TaskError {
    match function {
        "policy.enforce" => TaskError::new("PolicyNotAuthorized", "policy does not allow this"),
        _ => TaskError::new(
            "ServiceUnavailable",
            format!("`{function}` is refused, to see what the plugin makes of it"),
        ),
    }
}

/// A call's context, with a watch before it.
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
            // The plugin is not to see what stands around it.
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

    fn log(&self, level: LogLevel, message: String) {
        let current = self.watch.notes().current;
        let arguments = json!({"level": level, "message": message});
        self.watch
            .note(current, Asked::new("log.write", arguments, Ok(Value::Null)));
        self.inner.log(level, message);
    }
}

/// A canned answer, as the type that the function answers with.
fn canned<E: std::fmt::Display>(
    function: &str,
    answer: Result<Value, TaskError>,
    read: impl FnOnce(Value) -> Result<AnyAnswer, E>,
) -> Result<AnyAnswer, TaskError> {
    read(answer?).map_err(|error| {
        let message = format!("what `{function}` was told to answer is no answer of it: {error}");
        TaskError::new("InvalidInput", message)
    })
}

/// Who decides on policy, with a watch before it.
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
