//! Effects and look-ups: typed functions over rows. Each has its own type, and there is no central list of them.

use std::any::Any;

use serde::Serialize;
use serde::de::DeserializeOwned;

use cairn_model::value::Value;

use crate::rows::{Rows, Stop};

/// A change that a task requests. It depends only on its arguments and on rows: time and new ids come from [`Rows`], so that it
/// has the same outcome when it runs again after missing rows were fetched.
pub trait Effect: Send + Sync + 'static {
    /// Its name in the journal, such as `quota_reserve`. It must never change, because journals are read by it.
    const NAME: &'static str;

    /// The contract's function that requests it, such as `quota.reserve`.
    const FUNCTION: &'static str;

    /// The type of its answer.
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// Returns its arguments, by their names in the contract.
    fn arguments(&self) -> Value;

    /// Applies it whole or not at all, and records its changes.
    ///
    /// # Errors
    /// [`Stop::Refused`] with the kinds that the contract names; [`Stop::Missing`].
    fn apply(&self, rows: &mut Rows<'_>) -> Result<Self::Answer, Stop>;

    /// Returns the ids in an answer that the host generated, in order.
    fn new_ids(_answer: &Self::Answer) -> Vec<String> {
        Vec::new()
    }
}

/// A query of a task. It sees rows with the flow's changes so far, and changes none.
pub trait LookUp: Send + Sync + 'static {
    /// The contract's function that runs it, such as `catalog.volume`; `None` for a query of the host itself.
    const FUNCTION: Option<&'static str>;

    /// The type of its answer.
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// Returns its arguments, by their names in the contract.
    fn arguments(&self) -> Value;

    /// Runs it.
    ///
    /// # Errors
    /// [`Stop::Refused`] when the row does not exist or belongs to another project; [`Stop::Missing`].
    fn look_up(&self, rows: &mut Rows<'_>) -> Result<Self::Answer, Stop>;
}

/// An answer whose type only the caller knows.
pub type AnyAnswer = Box<dyn Any + Send>;

/// An [`Effect`] of any type.
pub trait DynEffect: Send + Sync {
    /// Returns the effect, for downcasting to its type.
    fn as_any(&self) -> &dyn Any;

    /// Returns [`Effect::NAME`].
    fn name(&self) -> &'static str;

    /// Returns [`Effect::FUNCTION`].
    fn function(&self) -> &'static str;

    /// Calls [`Effect::arguments`].
    fn arguments_dyn(&self) -> Value;

    /// Calls [`Effect::apply`].
    ///
    /// # Errors
    /// Those of [`Effect::apply`].
    fn apply_dyn(&self, rows: &mut Rows<'_>) -> Result<AnyAnswer, Stop>;

    /// Converts an answer to JSON; null when it is not an answer of this effect.
    fn show(&self, answer: &(dyn Any + Send)) -> Value;

    /// Reads an answer from JSON.
    ///
    /// # Errors
    /// When the value is not an answer of this effect.
    fn read(&self, answer: Value) -> Result<AnyAnswer, serde_json::Error>;

    /// Calls [`Effect::new_ids`].
    fn new_ids_dyn(&self, answer: &(dyn Any + Send)) -> Vec<String>;
}

impl<E: Effect> DynEffect for E {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &'static str {
        E::NAME
    }

    fn function(&self) -> &'static str {
        E::FUNCTION
    }

    fn arguments_dyn(&self) -> Value {
        self.arguments()
    }

    fn apply_dyn(&self, rows: &mut Rows<'_>) -> Result<AnyAnswer, Stop> {
        Ok(Box::new(self.apply(rows)?))
    }

    fn show(&self, answer: &(dyn Any + Send)) -> Value {
        shown(answer.downcast_ref::<E::Answer>())
    }

    fn read(&self, answer: Value) -> Result<AnyAnswer, serde_json::Error> {
        Ok(Box::new(serde_json::from_value::<E::Answer>(answer)?))
    }

    fn new_ids_dyn(&self, answer: &(dyn Any + Send)) -> Vec<String> {
        answer
            .downcast_ref::<E::Answer>()
            .map_or_else(Vec::new, E::new_ids)
    }
}

/// A [`LookUp`] of any type.
pub trait DynLookUp: Send + Sync {
    /// Returns the look-up, for downcasting to its type.
    fn as_any(&self) -> &dyn Any;

    /// Returns [`LookUp::FUNCTION`].
    fn function(&self) -> Option<&'static str>;

    /// Calls [`LookUp::arguments`].
    fn arguments_dyn(&self) -> Value;

    /// Calls [`LookUp::look_up`].
    ///
    /// # Errors
    /// Those of [`LookUp::look_up`].
    fn look_up_dyn(&self, rows: &mut Rows<'_>) -> Result<AnyAnswer, Stop>;

    /// Converts an answer to JSON; null when it is not an answer of this look-up.
    fn show(&self, answer: &(dyn Any + Send)) -> Value;

    /// Reads an answer from JSON.
    ///
    /// # Errors
    /// When the value is not an answer of this look-up.
    fn read(&self, answer: Value) -> Result<AnyAnswer, serde_json::Error>;
}

impl<L: LookUp> DynLookUp for L {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn function(&self) -> Option<&'static str> {
        L::FUNCTION
    }

    fn arguments_dyn(&self) -> Value {
        self.arguments()
    }

    fn look_up_dyn(&self, rows: &mut Rows<'_>) -> Result<AnyAnswer, Stop> {
        Ok(Box::new(self.look_up(rows)?))
    }

    fn show(&self, answer: &(dyn Any + Send)) -> Value {
        shown(answer.downcast_ref::<L::Answer>())
    }

    fn read(&self, answer: Value) -> Result<AnyAnswer, serde_json::Error> {
        Ok(Box::new(serde_json::from_value::<L::Answer>(answer)?))
    }
}

fn shown<A: Serialize>(answer: Option<&A>) -> Value {
    answer
        .and_then(|answer| serde_json::to_value(answer).ok())
        .unwrap_or(Value::Null)
}
