//! Records a plugin's calls of host functions, by the contract's names.

use cairn::{TaskError, Value};
use serde::Serialize;

/// A call of a host function.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Asked {
    /// Interface and function, such as `quota.reserve`.
    pub function: String,
    /// The arguments by their names in the contract.
    pub arguments: Value,
    /// The host's answer; null if the call failed.
    pub answer: Value,
    /// The error if the call failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
}

impl Asked {
    pub(crate) fn new(function: &str, arguments: Value, answer: Result<Value, TaskError>) -> Self {
        let (answer, error) = match answer {
            Ok(answer) => (answer, None),
            Err(error) => (Value::Null, Some(error)),
        };
        Self {
            function: function.to_owned(),
            arguments,
            answer,
            error,
        }
    }

    /// Returns the function and arguments, without the answer.
    pub(crate) fn request(&self) -> String {
        format!("{} {}", self.function, self.arguments)
    }
}

/// Formats as `quota.reserve {"deltas":{"volumes":1}} -> ["0197…"]`.
impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.request())?;
        match &self.error {
            Some(error) => write!(f, " -> error {error}"),
            None if self.answer.is_null() => Ok(()),
            None => write!(f, " -> {}", self.answer),
        }
    }
}
