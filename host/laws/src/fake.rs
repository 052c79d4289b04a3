//! What host functions answer in place of the database.

use std::collections::BTreeMap;

use cairn::error::{Diagnostic, TaskError};
use cairn::manifest::GrantKinds;
use cairn::value::{Object, Value};
use serde::Deserialize;

/// What host functions answer in place of the database: `interface.function` -> answers.
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
    /// Adds what the functions of a capability answer: `{"reserve": {"answer": ["r1"]}, "commit": {"error": {"kind": "Busy"}}}`. A
    /// list of such is one a turn; the last one stays. `kinds` are the capabilities that the host has.
    ///
    /// # Errors
    /// When there is no such capability or function, or an answer is neither `answer` nor `error`.
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
                Diagnostic::new(format!("what `{name}` answers cannot be read: {error}"))
                    .help(r#"write {"answer": …} or {"error": {"kind": "…"}}, or a list of such"#)
            })?;
            if read.is_empty() {
                return Err(Diagnostic::new(format!("`{name}` has no answer")));
            }
            self.0.insert(name, read);
        }
        Ok(())
    }

    /// What the function answers when it is asked for the time of this number, counted from 0; `None` where it is not faked.
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
