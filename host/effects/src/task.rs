//! A task: one step of a flow, something that can be done and undone. A WASM plugin is one kind, native Rust code another.

use std::sync::Arc;

use cairn_model::error::{Cause, HostErrorKind, TaskError};
use cairn_model::id::{CallId, Identity};
use cairn_model::value::{Object, Value};

use crate::event::{Disposition, LogLevel};
use crate::rules::{AnyAnswer, DynEffect, DynLookUp, Effect, LookUp};

/// How a task is called and wired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskSpec {
    /// What it is called; need not be unique in a flow.
    pub name: String,
    /// Major, minor.
    pub version: (u32, u32),
    /// Inputs that an earlier task must provide.
    pub requires: Vec<String>,
    /// Inputs that are given when an earlier task's result holds them.
    pub optional: Vec<String>,
    /// Names that its result holds.
    pub provides: Vec<String>,
}

impl TaskSpec {
    /// A task that takes and provides nothing, in version 1.0.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: (1, 0),
            ..Self::default()
        }
    }

    /// The same task with these required inputs.
    #[must_use]
    pub fn requires(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.requires.extend(names.into_iter().map(Into::into));
        self
    }

    /// The same task with these optional inputs.
    #[must_use]
    pub fn optional(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.optional.extend(names.into_iter().map(Into::into));
        self
    }

    /// The same task providing these names.
    #[must_use]
    pub fn provides(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.provides.extend(names.into_iter().map(Into::into));
        self
    }

    /// Name and version, as in `quota-reserve;volume:create==1.0`.
    pub fn display(&self) -> String {
        format!("{}=={}.{}", self.name, self.version.0, self.version.1)
    }
}

/// How the call that is being reverted ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It returned this.
    Completed(Value),
    /// It failed; its effects are undone already.
    Failed(TaskError),
    /// It was cut off; its effects are undone already.
    Interrupted,
}

/// What the host offers a task during one call. Everything that changes state is an effect, refused once the call is over.
pub trait Context: Send + Sync {
    /// The call.
    fn call(&self) -> CallId;

    /// Who asked for the flow.
    fn requester(&self) -> &Identity;

    /// What the flow was asked to do; null when nothing was said.
    fn request(&self) -> &Value;

    /// Whether a [fact](crate::domain::Fact) holds of the flow.
    fn fact(&self, name: &str) -> bool;

    /// The value `name` has for the next task: from the nearest earlier result that holds it.
    fn result(&self, name: &str) -> Option<Value>;

    /// Name and result of each finished task, in order.
    fn results(&self) -> Vec<(String, Value)>;

    /// Applies an effect: see [`apply`](#method.apply).
    ///
    /// # Errors
    /// A refusal, which the task may handle, with the kind of [`Origin::Plugin`](cairn_model::error::Origin::Plugin); or
    /// [`Origin::Host`](cairn_model::error::Origin::Host) when the store is lost or the call is over, after which the task
    /// cannot but fail.
    fn apply_dyn(&self, effect: &dyn DynEffect) -> Result<AnyAnswer, TaskError>;

    /// Ends a step of a revert: what this attempt changed so far stays, even when it errs later. Nothing in a call.
    ///
    /// # Errors
    /// As [`apply_dyn`](Self::apply_dyn).
    fn checkpoint(&self) -> Result<(), TaskError>;

    /// Looks something up.
    ///
    /// # Errors
    /// As [`apply_dyn`](Self::apply_dyn).
    fn look_up_dyn(&self, look_up: &dyn DynLookUp) -> Result<AnyAnswer, TaskError>;

    /// Adds to the flow's log.
    fn log(&self, level: LogLevel, message: String);
}

impl dyn Context + '_ {
    /// Applies an effect.
    ///
    /// # Errors
    /// Those of [`apply_dyn`](Context::apply_dyn).
    pub fn apply<E: Effect>(&self, effect: &E) -> Result<E::Answer, TaskError> {
        expected(E::FUNCTION, self.apply_dyn(effect)?)
    }

    /// Looks something up.
    ///
    /// # Errors
    /// Those of [`look_up_dyn`](Context::look_up_dyn).
    pub fn look_up<L: LookUp>(&self, look_up: &L) -> Result<L::Answer, TaskError> {
        let function = L::FUNCTION.unwrap_or("a look-up of the host's");
        expected(function, self.look_up_dyn(look_up)?)
    }
}

/// Gives an answer its type, which a context in between may have got wrong.
fn expected<A: 'static>(function: &str, answer: AnyAnswer) -> Result<A, TaskError> {
    answer.downcast().map(|answer| *answer).map_err(|_| {
        let message = format!("a context answered `{function}` with what is no answer of it");
        TaskError::host(HostErrorKind::StoreLost, message)
    })
}

/// A context over another one, which it asks wherever it does not answer itself.
pub trait ContextLayer: Send + Sync {
    /// The context below.
    fn below(&self) -> &dyn Context;

    /// [`Context::request`].
    fn request(&self) -> &Value {
        self.below().request()
    }

    /// [`Context::result`].
    fn result(&self, name: &str) -> Option<Value> {
        self.below().result(name)
    }

    /// [`Context::results`].
    fn results(&self) -> Vec<(String, Value)> {
        self.below().results()
    }

    /// [`Context::apply_dyn`].
    ///
    /// # Errors
    /// Those of [`Context::apply_dyn`].
    fn apply_dyn(&self, effect: &dyn DynEffect) -> Result<AnyAnswer, TaskError> {
        self.below().apply_dyn(effect)
    }

    /// [`Context::checkpoint`].
    ///
    /// # Errors
    /// Those of [`Context::checkpoint`].
    fn checkpoint(&self) -> Result<(), TaskError> {
        self.below().checkpoint()
    }

    /// [`Context::look_up_dyn`].
    ///
    /// # Errors
    /// Those of [`Context::look_up_dyn`].
    fn look_up_dyn(&self, look_up: &dyn DynLookUp) -> Result<AnyAnswer, TaskError> {
        self.below().look_up_dyn(look_up)
    }

    /// [`Context::log`].
    fn log(&self, level: LogLevel, message: String) {
        self.below().log(level, message);
    }
}

impl<L: ContextLayer> Context for L {
    fn call(&self) -> CallId {
        self.below().call()
    }

    fn requester(&self) -> &Identity {
        self.below().requester()
    }

    fn request(&self) -> &Value {
        ContextLayer::request(self)
    }

    fn fact(&self, name: &str) -> bool {
        self.below().fact(name)
    }

    fn result(&self, name: &str) -> Option<Value> {
        ContextLayer::result(self, name)
    }

    fn results(&self) -> Vec<(String, Value)> {
        ContextLayer::results(self)
    }

    fn apply_dyn(&self, effect: &dyn DynEffect) -> Result<AnyAnswer, TaskError> {
        ContextLayer::apply_dyn(self, effect)
    }

    fn checkpoint(&self) -> Result<(), TaskError> {
        ContextLayer::checkpoint(self)
    }

    fn look_up_dyn(&self, look_up: &dyn DynLookUp) -> Result<AnyAnswer, TaskError> {
        ContextLayer::look_up_dyn(self, look_up)
    }

    fn log(&self, level: LogLevel, message: String) {
        ContextLayer::log(self, level, message);
    }
}

/// One step of a flow.
///
/// The host calls it from any thread, one call at a time for each flow, and never under a lock.
pub trait Task: Send + Sync {
    /// How it is called and wired. Always the same.
    fn spec(&self) -> &TaskSpec;

    /// Does the work. `inputs` holds every required name, null where the provider left it out, and those optional ones
    /// that are known.
    ///
    /// # Errors
    /// Whatever it changed through `context` is undone, and the flow is rolled back.
    fn call(&self, context: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError>;

    /// Takes back what [`call`](Self::call) did. A task whose effects are all the host's needs none of its own.
    ///
    /// # Errors
    /// What this revert changed is undone. It may be tried again; then the walk goes on to the next task.
    fn revert(
        &self,
        _context: &Arc<dyn Context>,
        _outcome: &Outcome,
        _cause: &Cause,
    ) -> Result<Disposition, TaskError> {
        Ok(Disposition::Undo)
    }
}
