//! Effects and look-ups: typed functions over rows, each with a type of its own. No list of them exists anywhere.

use std::any::Any;

use serde::Serialize;
use serde::de::DeserializeOwned;

use cairn_model::value::Value;

use crate::rows::{Rows, Stop};

/// A change that a task asks for. It is a function of itself and of rows alone: time and new ids come from [`Rows`], so that it
/// does the same when it runs again for rows that were missing.
pub trait Effect: Send + Sync + 'static {
    /// What the journal calls it, such as `quota_reserve`. It never changes: journals are read by it.
    const NAME: &'static str;

    /// The contract's function that asks for it, such as `quota.reserve`.
    const FUNCTION: &'static str;

    /// What it answers.
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// Its arguments, by their names in the contract.
    fn arguments(&self) -> Value;

    /// Applies it whole, or not at all, and notes its changes.
    ///
    /// # Errors
    /// [`Stop::Refused`] with the kinds that the contract names; [`Stop::Missing`].
    fn apply(&self, rows: &mut Rows<'_>) -> Result<Self::Answer, Stop>;

    /// Ids in an answer that the host made up, in order.
    fn new_ids(_answer: &Self::Answer) -> Vec<String> {
        Vec::new()
    }
}

/// A question that a task asks. It sees rows with what the flow did to them so far, and changes none.
pub trait LookUp: Send + Sync + 'static {
    /// The contract's function that asks it, such as `catalog.volume`; `None` of one that the host asks for itself.
    const FUNCTION: Option<&'static str>;

    /// What it answers.
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// Its arguments, by their names in the contract.
    fn arguments(&self) -> Value;

    /// Answers it.
    ///
    /// # Errors
    /// [`Stop::Refused`] when there is no such thing, or it is another's; [`Stop::Missing`].
    fn look_up(&self, rows: &mut Rows<'_>) -> Result<Self::Answer, Stop>;
}

/// An answer whose type only the asker knows.
pub type AnyAnswer = Box<dyn Any + Send>;

/// Any [`Effect`].
pub trait DynEffect: Send + Sync {
    /// The effect, as its own type can be made of it.
    fn as_any(&self) -> &dyn Any;

    /// [`Effect::NAME`].
    fn name(&self) -> &'static str;

    /// [`Effect::FUNCTION`].
    fn function(&self) -> &'static str;

    /// [`Effect::arguments`].
    fn arguments_dyn(&self) -> Value;

    /// [`Effect::apply`].
    ///
    /// # Errors
    /// Those of [`Effect::apply`].
    fn apply_dyn(&self, rows: &mut Rows<'_>) -> Result<AnyAnswer, Stop>;

    /// An answer in JSON; null when it is no answer of this effect's.
    fn show(&self, answer: &(dyn Any + Send)) -> Value;

    /// Reads an answer.
    ///
    /// # Errors
    /// When the value is no answer of this effect's.
    fn read(&self, answer: Value) -> Result<AnyAnswer, serde_json::Error>;

    /// [`Effect::new_ids`].
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

/// Any [`LookUp`].
pub trait DynLookUp: Send + Sync {
    /// The look-up, as its own type can be made of it.
    fn as_any(&self) -> &dyn Any;

    /// [`LookUp::FUNCTION`].
    fn function(&self) -> Option<&'static str>;

    /// [`LookUp::arguments`].
    fn arguments_dyn(&self) -> Value;

    /// [`LookUp::look_up`].
    ///
    /// # Errors
    /// Those of [`LookUp::look_up`].
    fn look_up_dyn(&self, rows: &mut Rows<'_>) -> Result<AnyAnswer, Stop>;

    /// An answer in JSON; null when it is no answer of this look-up's.
    fn show(&self, answer: &(dyn Any + Send)) -> Value;

    /// Reads an answer.
    ///
    /// # Errors
    /// When the value is no answer of this look-up's.
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
