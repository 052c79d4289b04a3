//! Defines the laws, and tries each one on a case.

use std::fmt;

use cairn::plan::Role;
use serde::{Serialize, Serializer};

use crate::asked::Asked;
use crate::case::{TaskCase, Varies};
use crate::compare::{Difference, differences, rename, renamed};
use crate::error::LawsError;
use crate::question::{Otherwise, Question};
use crate::scene::{Experiment, Run, Scene};
use crate::watch::Fault;

/// A property that a plugin must have. Those of tasks are mostly about rollback, those of policies and validators about answers, those of
/// externals about objects outside the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Law {
    /// A call followed by its revert restores the earlier state, except for differences that the case names in `keep`.
    Revert,
    /// A revert is idempotent: done twice, it leaves the same state as done once.
    Twice,
    /// A call that fails at a host call, because that is refused or right after it was done, is reverted to the earlier state.
    Failure,
    /// A call that exceeds its deadline after a host call is reverted to the earlier state.
    CutOff,
    /// A call whose end is unknown, because the host died before the first host call, after one, or before storing the result, is
    /// reverted to the earlier state by the next host, as `interrupted`.
    Interrupted,
    /// Equal inputs and equal answers of the host give equal requests to the host. They depend neither on the clock nor on
    /// randomness, unless the case allows that in `varies_with`.
    SameRequests,
    /// The same question gets the same answer. A policy's answer depends neither on the clock nor on randomness, unless the case allows
    /// that in `varies_with`; a validator's depends only on the inputs and the settings, not on the requester.
    SameAnswer,
    /// An external finds an object by its kind and id alone: at any time, in any process, and no other object in its place.
    ObjectName,
    /// `look` and `list` of an external change nothing.
    Looks,
    /// `make` or `remove` of an external twice has the effect of once.
    Once,
    /// After an act of an external that was cut off at any of its requests `look` knows what is there, and `remove` leaves nothing.
    CutActs,
    /// After an act of an external was refused, also because a request failed, `look` answers as before.
    Refused,
    /// `list` of an external names every object that was made, and no other.
    Listed,
}

impl Law {
    /// All laws, in order.
    pub const ALL: [Self; 13] = [
        Self::Revert,
        Self::Twice,
        Self::Failure,
        Self::CutOff,
        Self::Interrupted,
        Self::SameRequests,
        Self::SameAnswer,
        Self::ObjectName,
        Self::Looks,
        Self::Once,
        Self::CutActs,
        Self::Refused,
        Self::Listed,
    ];

    /// Returns whether the law applies to plugins of this role.
    pub const fn is_for(self, role: Role) -> bool {
        match self {
            Self::Revert
            | Self::Twice
            | Self::Failure
            | Self::CutOff
            | Self::Interrupted
            | Self::SameRequests => matches!(role, Role::Task),
            Self::SameAnswer => matches!(role, Role::Policy | Role::Validator),
            Self::ObjectName
            | Self::Looks
            | Self::Once
            | Self::CutActs
            | Self::Refused
            | Self::Listed => matches!(role, Role::External),
        }
    }

    /// Returns its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Revert => "revert",
            Self::Twice => "twice",
            Self::Failure => "failure",
            Self::CutOff => "cut-off",
            Self::Interrupted => "interrupted",
            Self::SameRequests => "same-requests",
            Self::SameAnswer => "same-answer",
            Self::ObjectName => "object-name",
            Self::Looks => "looks",
            Self::Once => "once",
            Self::CutActs => "cut-acts",
            Self::Refused => "refused",
            Self::Listed => "listed",
        }
    }

    /// Returns a sentence that states the law.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Revert => "a call and its revert leave everything as it was",
            Self::Twice => "a revert done twice leaves what it leaves when done once",
            Self::Failure => {
                "a call that fails at a host call, then reverted, leaves everything as it was"
            }
            Self::CutOff => {
                "a call cut off at a host call, then reverted, leaves everything as it was"
            }
            Self::Interrupted => {
                "a call whose end is not known, reverted as `interrupted`, leaves everything as it was"
            }
            Self::SameRequests => "the same inputs give the same requests to the host",
            Self::SameAnswer => "the same question gets the same answer",
            Self::ObjectName => "an object is found by its kind and id alone",
            Self::Looks => "`look` and `list` change nothing",
            Self::Once => "`make` or `remove` twice has the effect of once",
            Self::CutActs => {
                "after an act that was cut off `look` says what is there, and `remove` leaves nothing"
            }
            Self::Refused => "after `refused`, `look` answers as before",
            Self::Listed => "`list` names every object that was made, and no other",
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Law {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A law that was broken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Broken {
    /// The law.
    pub law: Law,
    /// The fault, in one sentence.
    pub message: String,
    /// The host calls that lead to it, in order: no shorter sequence breaks the law.
    pub sequence: Vec<Asked>,
    /// The differences in the database.
    pub differences: Vec<Difference>,
}

/// The fault of a run, and the differences that it left.
type Wrong = (String, Vec<Difference>);

/// Tries a law of tasks. `usual` is the run without a fault.
pub(crate) fn check(
    law: Law,
    scene: &Scene<'_>,
    case: &TaskCase,
    usual: &Run,
) -> Result<Option<Broken>, LawsError> {
    match law {
        Law::Revert => Ok(revert(case, usual)),
        Law::Twice => twice(scene, usual),
        Law::Failure => {
            let faults = numbers(usual).flat_map(|n| [Fault::Refused(n), Fault::Trap(n)]);
            with_faults(law, scene, case, faults)
        }
        Law::CutOff => with_faults(law, scene, case, numbers(usual).map(Fault::CutOff)),
        Law::Interrupted => {
            let faults = std::iter::once(0).chain(numbers(usual)).map(Fault::Death);
            with_faults(law, scene, case, faults.chain([Fault::DeathAtEnd]))
        }
        Law::SameRequests => same_requests(scene, case, usual),
        // The other laws are not for tasks.
        _ => Ok(None),
    }
}

/// Tries [`Law::SameAnswer`]. `usual` is the answer in the usual surroundings.
pub(crate) fn same_answer<Q: Question>(
    question: &Q,
    usual: &Q::Response,
) -> Result<Option<Broken>, LawsError> {
    for otherwise in question.must_not_matter() {
        let answer = question.ask(otherwise)?;
        if answer == *usual {
            continue;
        }
        let how = match otherwise {
            Otherwise::Nothing => "again",
            Otherwise::Time => "at another time",
            Otherwise::Randomness => "with other randomness",
            Otherwise::Requester => "by another requester",
        };
        let (now, before) = (Q::show(&answer), Q::show(usual));
        return Ok(Some(Broken {
            law: Law::SameAnswer,
            message: format!("asked {how}, the answer is `{now}`, and was `{before}`"),
            sequence: Vec::new(),
            differences: Vec::new(),
        }));
    }
    Ok(None)
}

/// Returns the numbers of the usual call's host calls, from 1; log messages are not counted.
fn numbers(usual: &Run) -> std::ops::RangeInclusive<usize> {
    1..=counted(&usual.call).count()
}

fn counted(call: &[Asked]) -> impl Iterator<Item = &Asked> {
    call.iter().filter(|asked| asked.function != "log.write")
}

/// Fails if a revert failed or left differences that the case does not name.
fn left_over(case: &TaskCase, run: &Run) -> Result<(), Wrong> {
    if let Some(error) = &run.revert_error {
        return Err((format!("its revert failed: {error}"), Vec::new()));
    }
    let (Some(before), Some(after)) = (&run.seen.before, &run.seen.after) else {
        return Err(("it was not reverted".to_owned(), Vec::new()));
    };
    let mut left = differences(before, after);
    left.retain(|difference| !case.keep.iter().any(|keep| keep.covers(difference)));
    if left.is_empty() {
        return Ok(());
    }
    Err(("not everything is as it was".to_owned(), left))
}

fn revert(case: &TaskCase, usual: &Run) -> Option<Broken> {
    let (message, differences) = match left_over(case, usual) {
        Err(wrong) => wrong,
        // An unused entry in `keep` would hide a later fault.
        Ok(()) => {
            let (before, after) = (usual.seen.before.as_ref()?, usual.seen.after.as_ref()?);
            let left = differences(before, after);
            let idle = case
                .keep
                .iter()
                .find(|keep| !left.iter().any(|difference| keep.covers(difference)))?;
            (
                format!("`keep` names {idle}, and nothing of it is left"),
                Vec::new(),
            )
        }
    };
    Some(Broken {
        law: Law::Revert,
        message,
        sequence: [&usual.call[..], &usual.revert[..]].concat(),
        differences,
    })
}

fn twice(scene: &Scene<'_>, usual: &Run) -> Result<Option<Broken>, LawsError> {
    // A single revert that fails breaks another law.
    if usual.revert_error.is_some() {
        return Ok(None);
    }
    let run = scene.run(&Experiment {
        twice: true,
        ..Experiment::default()
    })?;
    let (Some(once), Some(twice)) = (&usual.seen.after, &run.seen.after) else {
        return Ok(None);
    };
    let differences = differences(&renamed(once, &usual.names), &renamed(twice, &run.names));
    if differences.is_empty() {
        return Ok(None);
    }
    let message = match &run.revert_error {
        Some(error) => format!("the second revert failed: {error}"),
        None => "the second revert changed something".to_owned(),
    };
    Ok(Some(Broken {
        law: Law::Twice,
        message,
        sequence: run.revert,
        differences,
    }))
}

/// Tries faults in order; returns the first one that leaves differences after the rollback.
fn with_faults(
    law: Law,
    scene: &Scene<'_>,
    case: &TaskCase,
    faults: impl Iterator<Item = Fault>,
) -> Result<Option<Broken>, LawsError> {
    for fault in faults {
        let run = scene.run(&Experiment {
            fault: Some(fault),
            ..Experiment::default()
        })?;
        let Err((wrong, differences)) = left_over(case, &run) else {
            continue;
        };
        let (what, calls) = match fault {
            Fault::Refused(n) => (format!("when host call {n} is refused"), Some(n)),
            Fault::Trap(n) => (format!("when the call fails after host call {n}"), Some(n)),
            Fault::CutOff(n) => (
                format!("when the call is cut off after host call {n}"),
                Some(n),
            ),
            Fault::Death(0) => (
                "when the host dies before the first host call".to_owned(),
                Some(0),
            ),
            Fault::Death(n) => (format!("when the host dies after host call {n}"), Some(n)),
            Fault::DeathAtEnd => (
                "when the host dies before it wrote the result down".to_owned(),
                None,
            ),
        };
        let all = counted(&run.call);
        let sequence = match calls {
            Some(calls) => all.take(calls).cloned().collect(),
            None => all.cloned().collect(),
        };
        return Ok(Some(Broken {
            law,
            message: format!("{what}, {wrong}"),
            sequence,
            differences,
        }));
    }
    Ok(None)
}

fn same_requests(
    scene: &Scene<'_>,
    case: &TaskCase,
    usual: &Run,
) -> Result<Option<Broken>, LawsError> {
    let varies = |with| case.varies_with.contains(&with);
    let mut others = vec![("again", false, false)];
    if !varies(Varies::Clock) {
        others.push(("at another time", true, false));
    }
    if !varies(Varies::Randomness) {
        others.push(("with other randomness", false, true));
    }
    let first = requests(usual);
    for (how, elsewhen, other_randomness) in others {
        let run = scene.run(&Experiment {
            elsewhen,
            other_randomness,
            ..Experiment::default()
        })?;
        let second = requests(&run);
        let same = first
            .iter()
            .zip(&second)
            .take_while(|(one, other)| one == other)
            .count();
        if same == first.len() && same == second.len() {
            continue;
        }
        let said = |requests: &[String]| {
            requests
                .get(same)
                .cloned()
                .unwrap_or_else(|| "nothing".to_owned())
        };
        let asked = usual.call.iter().chain(&usual.revert);
        return Ok(Some(Broken {
            law: Law::SameRequests,
            message: format!(
                "called {how}, request {} is {}, and was {}",
                same + 1,
                said(&second),
                said(&first)
            ),
            sequence: asked.take(same + 1).cloned().collect(),
            differences: Vec::new(),
        }));
    }
    Ok(None)
}

/// Returns the host calls of a run, with ids replaced by stable names.
fn requests(run: &Run) -> Vec<String> {
    let asked = run.call.iter().chain(&run.revert);
    asked
        .map(|asked| rename(&asked.request(), &run.names))
        .collect()
}
