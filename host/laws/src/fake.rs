//! Fakes the answers of host functions.

use std::collections::BTreeMap;

use cairn::manifest::GrantKinds;
use cairn::{Diagnostic, Object, TaskError, Value};
use serde::Deserialize;

/// Answers of host functions that replace those of the database: `interface.function` -> answers.
#[derive(Clone, Debug, Default)]
pub struct Fakes(BTreeMap<String, Vec<FakeAnswer>>);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum FakeAnswer {
    Answer(Value),
    Error(Failure),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Failure {
    kind: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Value,
}

impl Fakes {
    /// Adds answers for functions of a capability: `{"reserve": {"answer": ["r1"]}, "commit": {"error": {"kind": "Busy"}}}`. A list
    /// contains one answer per call; its last answer is repeated. `kinds` are the capabilities of the host.
    ///
    /// # Errors
    /// When the capability or function does not exist, or an answer is neither `answer` nor `error`.
    pub fn add(
        &mut self,
        capability: &str,
        answers: &Object,
        kinds: &GrantKinds,
    ) -> Result<(), Diagnostic> {
        let Some(kind) = kinds.get(capability) else {
            let known: Vec<&str> = kinds.names().collect();
            return Err(
                Diagnostic::new(format!("there is no capability `{capability}` to fake"))
                    .help(format!("the capabilities are {}", known.join(", "))),
            );
        };
        let known = kind.functions();
        for (function, answers) in answers {
            let name = format!("{capability}.{function}");
            if !known.contains(&function.as_str()) {
                return Err(Diagnostic::new(format!("`{name}` cannot be faked"))
                    .help(format!("of `{capability}` these can: {}", known.join(", "))));
            }
            let answers = match answers {
                Value::Array(answers) => answers.clone(),
                one => vec![one.clone()],
            };
            let read = answers
                .into_iter()
                .map(serde_json::from_value::<FakeAnswer>);
            let read: Vec<FakeAnswer> = read.collect::<Result<_, _>>().map_err(|error| {
                Diagnostic::new(format!("the answer of `{name}` cannot be read: {error}"))
                    .help(r#"write {"answer": …} or {"error": {"kind": "…"}}, or a list of such"#)
            })?;
            if read.is_empty() {
                return Err(Diagnostic::new(format!("`{name}` has no answer")));
            }
            self.0.insert(name, read);
        }
        Ok(())
    }

    /// Returns the answer to the call with this number, counted from 0; `None` if the function is not faked.
    pub(crate) fn answer(&self, function: &str, turn: usize) -> Option<Result<Value, TaskError>> {
        let answers = self.0.get(function)?;
        let answer = answers.get(turn).or_else(|| answers.last())?.clone();
        Some(match answer {
            FakeAnswer::Answer(value) => Ok(value),
            FakeAnswer::Error(error) => Err(TaskError {
                details: error.details,
                ..TaskError::new(error.kind, error.message)
            }),
        })
    }
}
