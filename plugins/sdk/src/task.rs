//! The trait of a task, and the arguments of its revert.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Wiring, json};

/// An action with its compensating action.
///
/// The fields of the task are its settings: the manifest's `settings` are validated against the schema of the type that
/// implements this trait, and deserialized into it. A task without settings is an empty struct with
/// `#[serde(deny_unknown_fields)]`.
pub trait Task: DeserializeOwned + JsonSchema {
    /// The inputs of the task. Each field is an input that some earlier task must provide; an `Option` field may be
    /// null. Only a field with `#[serde(default)]` may be omitted. See [`Wiring`] for the exact rule.
    type Inputs: DeserializeOwned + JsonSchema;

    /// The values that the task provides, one per field; `()` when it provides nothing.
    type Output: Serialize + JsonSchema;

    /// Does the work. If it fails or panics, the host undoes its effects, so a `call` need not clean up after itself.
    fn call(&self, inputs: Self::Inputs) -> Result<Self::Output, Error>;

    /// Undoes the work of `call`. By default the host undoes its effects, which suffices for a task that changes things
    /// only through the host.
    ///
    /// The host calls it for every started task, in a fresh instance, and possibly more than once: it must be safe to
    /// repeat.
    fn revert(&self, _outcome: Outcome, _cause: &Failure) -> Result<Disposition, Error> {
        Ok(Disposition::Undo)
    }

    /// Returns the wiring to the tasks before and after this one: the fields of [`Inputs`](Task::Inputs) and
    /// [`Output`](Task::Output). Override it if the wiring depends on the settings. The same settings must give the
    /// same wiring.
    fn wiring(&self) -> Wiring {
        Wiring::of::<Self::Inputs, Self::Output>()
    }
}

/// The inputs of a task that needs none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct NoInputs {}

/// How the `call` that is being reverted ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It returned this result. Its effects are in place.
    Completed(Value),
    /// It returned this error, or the host stopped it (`Trap`, `DeadlineExceeded`, …). Its effects are already undone.
    Failed(Error),
    /// It did not finish, or its end is unknown. Its effects are already undone.
    Interrupted,
}

impl Outcome {
    /// Returns the result of a completed call; `None` for any other outcome.
    ///
    /// # Errors
    /// `ResultInvalid` when the result does not deserialize as `T`: another version of the plugin may have returned it.
    pub fn result<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        match self {
            Outcome::Completed(value) => {
                json::from_value("ResultInvalid", "the result to revert", value).map(Some)
            }
            Outcome::Failed(_) | Outcome::Interrupted => Ok(None),
        }
    }
}

/// The reason for the rollback.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Name of the task that failed; empty when the rollback was requested.
    pub task: String,
    /// The first error, which is the flow's error.
    pub error: Error,
}

/// The treatment of those effects of the completed `call` that have not been undone yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The host applies their inverses, newest first.
    Undo,
    /// The effects remain, and the report lists them as kept.
    Keep,
}
