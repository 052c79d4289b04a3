//! Tasks: steps of a flow, each with an action and a compensating action. A task is a WASM plugin or native Rust code.

use std::sync::Arc;

use cairn_model::error::{Cause, HostErrorKind, TaskError};
use cairn_model::id::{CallId, Identity};
use cairn_model::trace::TraceContext;
use cairn_model::value::{Object, Value};

use crate::event::{Disposition, LogLevel};
use crate::rules::{AnyAnswer, DynEffect, DynLookUp, Effect, LookUp};

/// A task's name and the names of its inputs and outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskSpec {
    /// Its name; need not be unique in a flow.
    pub name: String,
    /// Its version: major, minor.
    pub version: (u32, u32),
    /// Inputs that an earlier task must provide.
    pub requires: Vec<String>,
    /// Inputs that it gets if an earlier task's result has them.
    pub optional: Vec<String>,
    /// Names that its result has.
    pub provides: Vec<String>,
}

impl TaskSpec {
    /// Creates a task of version 1.0 without inputs and outputs.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: (1, 0),
            ..Self::default()
        }
    }

    /// Adds required inputs.
    #[must_use]
    pub fn requires(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.requires.extend(names.into_iter().map(Into::into));
        self
    }

    /// Adds optional inputs.
    #[must_use]
    pub fn optional(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.optional.extend(names.into_iter().map(Into::into));
        self
    }

    /// Adds provided names.
    #[must_use]
    pub fn provides(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.provides.extend(names.into_iter().map(Into::into));
        self
    }

    /// Returns name and version, as in `quota-reserve;volume:create==1.0`.
    pub fn display(&self) -> String {
        format!("{}=={}.{}", self.name, self.version.0, self.version.1)
    }
}

/// How the call that is being reverted ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It returned this.
    Completed(Value),
    /// It failed; its effects are already undone.
    Failed(TaskError),
    /// It was cut off; its effects are already undone.
    Interrupted,
}

/// An object outside the database that a task wants.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The provider, by its name in the flow's plan.
    pub provider: &'a str,
    /// The kind of the object, such as `record`.
    pub kind: &'a str,
    /// Tells the objects of one call apart.
    pub label: &'a str,
    /// What the provider is asked for.
    pub spec: &'a Value,
}

/// An object outside the database that a task no longer wants.
#[derive(Clone, Copy, Debug)]
pub struct Unwanted<'a> {
    /// The provider, by its name in the flow's plan.
    pub provider: &'a str,
    /// The kind of the object.
    pub kind: &'a str,
    /// Its name, as its provider was told it.
    pub id: &'a str,
}

/// The host's interface for a task during one call. Every change of state is an effect, which is refused once the call is over.
pub trait Context: Send + Sync {
    /// Returns the call.
    fn call(&self) -> CallId;

    /// Returns the user who requested the flow.
    fn requester(&self) -> &Identity;

    /// Returns the trace that the call belongs to, for requests to others: the call is their sender.
    fn trace(&self) -> Option<TraceContext> {
        let trace = self.requester().trace?;
        Some(trace.within(self.call().span()))
    }

    /// Returns the flow's request; null when there is none.
    fn request(&self) -> &Value;

    /// Returns whether a [fact](crate::domain::Fact) holds for the flow.
    fn fact(&self, name: &str) -> bool;

    /// Returns the value of `name` for the next task: that of the nearest earlier result that has it.
    fn result(&self, name: &str) -> Option<Value>;

    /// Returns the name and result of each finished task, in order.
    fn results(&self) -> Vec<(String, Value)>;

    /// Applies an effect: see [`apply`](#method.apply).
    ///
    /// # Errors
    /// A refusal of [`Origin::Plugin`](cairn_model::error::Origin::Plugin), which the task may handle; or an error of
    /// [`Origin::Host`](cairn_model::error::Origin::Host) when the store has lost the flow's writes or the call is over: then the
    /// task must fail.
    fn apply_dyn(&self, effect: &dyn DynEffect) -> Result<AnyAnswer, TaskError>;

    /// Ends a step of a revert: the changes of this attempt so far stay, even if it fails later. Does nothing in a call.
    ///
    /// # Errors
    /// As [`apply_dyn`](Self::apply_dyn).
    fn checkpoint(&self) -> Result<(), TaskError>;

    /// Runs a query.
    ///
    /// # Errors
    /// As [`apply_dyn`](Self::apply_dyn).
    fn look_up_dyn(&self, look_up: &dyn DynLookUp) -> Result<AnyAnswer, TaskError>;

    /// Makes an object outside the database: see [`external`](crate::external). Blocks until it is made, or is not. Its name follows from the
    /// flow, the task and `label`, so a repeat in the same call returns the same object.
    ///
    /// # Errors
    /// The provider's, when nothing was made; `InDoubt` when that is not known, after which the call cannot succeed; `InvalidInput` for a
    /// label that was used with another spec, `ProviderNotFound`, `NotInRevert`; those of [`apply_dyn`](Self::apply_dyn).
    fn make_external(&self, wanted: &Wanted<'_>) -> Result<Value, TaskError> {
        let message = format!("there is no provider `{}` here", wanted.provider);
        Err(TaskError::new("ProviderNotFound", message))
    }

    /// Removes an object outside the database that another flow made. Nothing undoes that, so only the task that is the flow's pivot may do it;
    /// from then on the flow only goes forward, and the task is repeated until it succeeds. Blocks until the object is gone, or is not. A
    /// repeat in the same flow is success.
    ///
    /// # Errors
    /// The provider's, when it has refused and nothing was removed; `InDoubt` when that is not known, after which the call cannot succeed;
    /// `NotPivot`, `NotInRevert`, `ExternalNotFound`, `Busy` while another flow acts on it, `InvalidInput` for an object of this flow,
    /// `ProviderNotFound`; those of [`apply_dyn`](Self::apply_dyn).
    fn remove_external(&self, unwanted: &Unwanted<'_>) -> Result<(), TaskError> {
        let message = format!("there is no provider `{}` here", unwanted.provider);
        Err(TaskError::new("ProviderNotFound", message))
    }

    /// Adds a message to the flow's log.
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

    /// Runs a query.
    ///
    /// # Errors
    /// Those of [`look_up_dyn`](Context::look_up_dyn).
    pub fn look_up<L: LookUp>(&self, look_up: &L) -> Result<L::Answer, TaskError> {
        let function = L::FUNCTION.unwrap_or("a look-up of the host's");
        expected(function, self.look_up_dyn(look_up)?)
    }
}

/// Downcasts an answer to its type, which a context layer may have got wrong.
fn expected<A: 'static>(function: &str, answer: AnyAnswer) -> Result<A, TaskError> {
    answer.downcast().map(|answer| *answer).map_err(|_| {
        let message = format!("a context returned an answer of the wrong type for `{function}`");
        TaskError::host(HostErrorKind::StoreLost, message)
    })
}

/// A context on top of another one, to which it delegates by default.
pub trait ContextLayer: Send + Sync {
    /// Returns the context below.
    fn below(&self) -> &dyn Context;

    /// Overrides [`Context::request`].
    fn request(&self) -> &Value {
        self.below().request()
    }

    /// Overrides [`Context::result`].
    fn result(&self, name: &str) -> Option<Value> {
        self.below().result(name)
    }

    /// Overrides [`Context::results`].
    fn results(&self) -> Vec<(String, Value)> {
        self.below().results()
    }

    /// Overrides [`Context::apply_dyn`].
    ///
    /// # Errors
    /// Those of [`Context::apply_dyn`].
    fn apply_dyn(&self, effect: &dyn DynEffect) -> Result<AnyAnswer, TaskError> {
        self.below().apply_dyn(effect)
    }

    /// Overrides [`Context::checkpoint`].
    ///
    /// # Errors
    /// Those of [`Context::checkpoint`].
    fn checkpoint(&self) -> Result<(), TaskError> {
        self.below().checkpoint()
    }

    /// Overrides [`Context::look_up_dyn`].
    ///
    /// # Errors
    /// Those of [`Context::look_up_dyn`].
    fn look_up_dyn(&self, look_up: &dyn DynLookUp) -> Result<AnyAnswer, TaskError> {
        self.below().look_up_dyn(look_up)
    }

    /// Overrides [`Context::make_external`].
    ///
    /// # Errors
    /// Those of [`Context::make_external`].
    fn make_external(&self, wanted: &Wanted<'_>) -> Result<Value, TaskError> {
        self.below().make_external(wanted)
    }

    /// Overrides [`Context::remove_external`].
    ///
    /// # Errors
    /// Those of [`Context::remove_external`].
    fn remove_external(&self, unwanted: &Unwanted<'_>) -> Result<(), TaskError> {
        self.below().remove_external(unwanted)
    }

    /// Overrides [`Context::log`].
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

    fn make_external(&self, wanted: &Wanted<'_>) -> Result<Value, TaskError> {
        ContextLayer::make_external(self, wanted)
    }

    fn remove_external(&self, unwanted: &Unwanted<'_>) -> Result<(), TaskError> {
        ContextLayer::remove_external(self, unwanted)
    }

    fn log(&self, level: LogLevel, message: String) {
        ContextLayer::log(self, level, message);
    }
}

/// How much memory calls of a task have used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// The most bytes of one call.
    pub most: u64,
    /// How many it may use.
    pub limit: u64,
}

/// One step of a flow.
///
/// The host calls it from any thread, one call at a time for each flow, and never under a lock.
pub trait Task: Send + Sync {
    /// Returns its spec, which never changes.
    fn spec(&self) -> &TaskSpec;

    /// Returns how much memory its calls have used in this process; `None` of a task that is not bounded.
    fn memory(&self) -> Option<MemoryUse> {
        None
    }

    /// Runs the task. `inputs` has every required name, null where the provider omitted it, and the optional names that are
    /// known.
    ///
    /// # Errors
    /// After an error its changes through `context` are undone, and the flow is rolled back.
    fn call(&self, context: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError>;

    /// Compensates [`call`](Self::call). The default suffices for a task whose only effects are those of `context`, because the host
    /// undoes them.
    ///
    /// # Errors
    /// After an error the changes of this revert are undone. It may be retried; then the rollback continues with the next task.
    fn revert(
        &self,
        _context: &Arc<dyn Context>,
        _outcome: &Outcome,
        _cause: &Cause,
    ) -> Result<Disposition, TaskError> {
        Ok(Disposition::Undo)
    }
}
