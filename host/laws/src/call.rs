//! Calls a plugin once, with capabilities that may be faked.

use cairn::event::Disposition;
use cairn::{Object, TaskError, Value};
use serde::Serialize;

use crate::asked::Asked;
use crate::case::{HostSettings, Requester, TaskCase};
use crate::compare::{Difference, differences};
use crate::error::LawsError;
use crate::fake::Fakes;
use crate::scene::{Experiment, Scene};
use crate::state::State;
use crate::subject::{Subject, Tools};

/// The outcome of a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Called {
    /// Its host calls, in order.
    pub asked: Vec<Asked>,
    /// Its result; null if it failed.
    pub result: Value,
    /// The error if it failed.
    pub error: Option<TaskError>,
    /// The differences in the database after the call.
    pub effects: Vec<Difference>,
    /// The outcome of the revert, if one was requested.
    pub revert: Option<Reverted>,
}

/// The outcome of a revert.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reverted {
    /// Its host calls, in order.
    pub asked: Vec<Asked>,
    /// `undo` or `keep`; null if it failed.
    pub answer: Option<&'static str>,
    /// The error if it failed.
    pub error: Option<TaskError>,
    /// The differences between the database before the call and after the rollback.
    pub left: Vec<Difference>,
}

/// The arguments and surroundings of a call.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Its inputs.
    pub inputs: Object,
    /// Its settings.
    pub settings: Object,
    /// The requester.
    pub requester: Requester,
    /// The operator's settings.
    pub host: HostSettings,
    /// The rows before the call.
    pub state: State,
    /// Answers of host functions that replace those of the database.
    pub fakes: Fakes,
}

/// Calls a plugin once, on a temporary database, and reverts it if requested.
///
/// # Errors
/// When the call does not match the plugin, or the host itself fails. An error of the plugin is part of the outcome.
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
