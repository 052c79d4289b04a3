//! One call of a plugin, against capabilities that answer what they are told.

use cairn::error::TaskError;
use cairn::event::Disposition;
use cairn::value::{Object, Value};
use serde::Serialize;

use crate::asked::Asked;
use crate::case::{HostSettings, Requester, TaskCase};
use crate::compare::{Difference, differences};
use crate::error::LawsError;
use crate::fake::Fakes;
use crate::scene::{Experiment, Scene};
use crate::state::State;
use crate::subject::{Subject, Tools};

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
