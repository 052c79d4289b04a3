//! One call of a plugin, against capabilities that answer what they are told.

use std::collections::BTreeMap;

use cairn::error::{Diagnostic, TaskError};
use cairn::event::Disposition;
use cairn::manifest::GrantKinds;
use cairn::value::{Object, Value};
use serde::{Deserialize, Serialize};

use crate::asked::Asked;
use crate::case::{HostSettings, Requester, TaskCase};
use crate::compare::{Difference, differences};
use crate::error::LawsError;
use crate::scene::{Experiment, Scene};
use crate::state::State;
use crate::subject::{Subject, Tools};

/// What host functions answer in place of the database: `interface.function` -> answers.
#[derive(Clone, Debug, Default)]
pub struct Fakes(BTreeMap<String, Vec<Answer>>);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum Answer {
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
            let read = answers.into_iter().map(serde_json::from_value::<Answer>);
            let read: Vec<Answer> = read.collect::<Result<_, _>>().map_err(|error| {
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
            Answer::Answer(value) => Ok(value),
            Answer::Error(error) => Err(TaskError {
                details: error.details,
                ..TaskError::new(error.kind, error.message)
            }),
        })
    }
}

/// What came of one call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Called {
    /// What the call asked of the host, in order.
    pub asked: Vec<Asked>,
    /// What it returned; null when it failed.
    pub result: Value,
    /// Why it failed.
    pub error: Option<TaskError>,
    /// What is different in the database after the call.
    pub effects: Vec<Difference>,
    /// What came of the revert, where one was asked for.
    pub revert: Option<Reverted>,
}

/// What came of a revert.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reverted {
    /// What it asked of the host, in order.
    pub asked: Vec<Asked>,
    /// `undo` or `keep`; null when it failed.
    pub answer: Option<&'static str>,
    /// Why it failed.
    pub error: Option<TaskError>,
    /// What is different in the database after it, and what the host undid, from before the call.
    pub left: Vec<Difference>,
}

/// What a plugin is called with.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Its inputs.
    pub inputs: Object,
    /// Its settings.
    pub settings: Object,
    /// Who asks.
    pub requester: Requester,
    /// What the operator has set up.
    pub host: HostSettings,
    /// The rows that are there.
    pub state: State,
    /// What host functions answer in place of the database.
    pub fakes: Fakes,
}

/// Calls a plugin once, on a database of its own that is gone afterwards, and reverts it where that is asked for.
///
/// # Errors
/// When the call does not fit the plugin, or the host itself fails. An error of the plugin's is none.
pub fn call(
    tools: &Tools,
    subject: &Subject,
    call: &Call,
    revert: bool,
) -> Result<Called, LawsError> {
    let case = TaskCase {
        inputs: call.inputs.clone(),
        settings: call.settings.clone(),
        requester: call.requester.clone(),
        host: call.host.clone(),
        state: call.state.clone(),
        ..TaskCase::alone("call")
    };
    let scene = Scene::new(tools, subject, &case)?;
    let once = scene.run(&Experiment {
        succeeds: true,
        fakes: call.fakes.clone(),
        ..Experiment::default()
    })?;
    let before = once.seen.before.clone().unwrap_or_default();
    let (result, error) = match once.seen.result {
        Some(Ok(result)) => (result, None),
        Some(Err(error)) => (Value::Null, Some(error)),
        None => (Value::Null, None),
    };
    let effects = once.end.as_ref();
    let effects = effects.map(|end| differences(&before, end));
    let reverted = if revert {
        let run = scene.run(&Experiment {
            fakes: call.fakes.clone(),
            ..Experiment::default()
        })?;
        let (before, after) = (run.seen.before, run.seen.after);
        let (answer, error) = match run.seen.reverts.last() {
            Some(Ok(Disposition::Undo)) => (Some("undo"), None),
            Some(Ok(Disposition::Keep)) => (Some("keep"), None),
            Some(Err(error)) => (None, Some(error.clone())),
            None => (None, run.revert_error),
        };
        Some(Reverted {
            asked: run.revert,
            answer,
            error,
            left: differences(&before.unwrap_or_default(), &after.unwrap_or_default()),
        })
    } else {
        None
    };
    Ok(Called {
        asked: once.call,
        result,
        error,
        effects: effects.unwrap_or_default(),
        revert: reverted,
    })
}
