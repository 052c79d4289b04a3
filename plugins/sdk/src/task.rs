//! The trait that an author implements, and what a revert is told.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Wiring, json};

/// Something that can be done, and undone.
///
/// The value of the task is its settings: the struct that implements this trait is what the manifest's `settings` are
/// read into, and its schema is what they are checked against. A task without settings is an empty struct with
/// `#[serde(deny_unknown_fields)]`.
pub trait Task: DeserializeOwned + JsonSchema {
    /// What the task is given. Each field is an input that some earlier task must provide, and an `Option` field is
    /// one that may be null. Only a field with `#[serde(default)]` may be left out. See [`Wiring`] for the exact rule.
    type Inputs: DeserializeOwned + JsonSchema;

    /// What the task provides, a field each; `()` when it provides nothing.
    type Output: Serialize + JsonSchema;

    /// Does the work. Whatever it changed through the host is undone by the host when it errs or panics, so a `call`
    /// need not clean up after itself.
    fn call(&self, inputs: Self::Inputs) -> Result<Self::Output, Error>;

    /// Takes back what `call` did. The default lets the host do it, which is enough for a task whose effects are all
    /// the host's.
    ///
    /// Asked for every task that was started, in a fresh instance, and perhaps more than once: a repeat must be
    /// harmless.
    fn revert(&self, _outcome: Outcome, _cause: &Failure) -> Result<Disposition, Error> {
        Ok(Disposition::Undo)
    }

    /// How the task is wired to those before and after it: by the fields of [`Inputs`](Task::Inputs) and
    /// [`Output`](Task::Output), unless it depends on the settings. The same settings must give the same wiring.
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
    /// It returned this result. Its effects stand.
    Completed(Value),
    /// It returned this error, or the host ended it (`Trap`, `DeadlineExceeded`, …). Its effects are undone already.
    Failed(Error),
    /// It was cut off, or its end is not known. Its effects are undone already.
    Interrupted,
}

impl Outcome {
    /// The result of a completed call, and nothing for any other.
    ///
    /// # Errors
    /// `ResultInvalid` when the result does not fit `T`: another version of the plugin may have returned it.
    pub fn result<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        match self {
            Outcome::Completed(value) => {
                json::from_value("ResultInvalid", "the result to revert", value).map(Some)
            }
            Outcome::Failed(_) | Outcome::Interrupted => Ok(None),
        }
    }
}

/// Why the flow is being rolled back.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Name of the task that failed; empty when somebody asked for the rollback.
    pub task: String,
    /// The first error, which is the flow's error.
    pub error: Error,
}

/// What becomes of the effects of the completed `call` that nobody has undone yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The host applies their inverses, newest first.
    Undo,
    /// They stay, and the report lists them as kept.
    Keep,
}
