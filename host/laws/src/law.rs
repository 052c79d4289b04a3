//! The laws, and how each is tried.

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

/// What a plugin promises: a task mostly about taking back, a policy or validator about its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Law {
    /// A call and then its revert leave everything as it was, except what the case names in `keep`.
    Revert,
    /// A revert that is done twice leaves what it leaves when it is done once.
    Twice,
    /// A call that fails at a host call, because that is refused or right after it was done, leaves everything as it was once
    /// it is reverted.
    Failure,
    /// A call that is cut off after a host call, because its time is over, leaves everything as it was once it is reverted.
    CutOff,
    /// A call whose end is not known, because the host died after a host call, before any, or before it wrote the result down,
    /// leaves everything as it was once the next host has reverted it as `interrupted`.
    Interrupted,
    /// Equal inputs and equal answers of the host give equal requests to the host. They depend neither on the clock nor on
    /// randomness, unless the case says so in `varies_with`.
    SameRequests,
    /// The same question gets the same answer. A policy's depends neither on the clock nor on randomness, unless the case says so in
    /// `varies_with`; a validator's on nothing but the inputs and the settings, not even on who asks.
    SameAnswer,
}

impl Law {
    /// Every law, in order.
    pub const ALL: [Self; 7] = [
        Self::Revert,
        Self::Twice,
        Self::Failure,
        Self::CutOff,
        Self::Interrupted,
        Self::SameRequests,
        Self::SameAnswer,
    ];

    /// Whether plugins of this kind are held to it.
    pub const fn is_for(self, role: Role) -> bool {
        match self {
            Self::Revert
            | Self::Twice
            | Self::Failure
            | Self::CutOff
            | Self::Interrupted
            | Self::SameRequests => matches!(role, Role::Task),
            Self::SameAnswer => matches!(role, Role::Policy | Role::Validator),
        }
    }

    /// What it is called in a report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Revert => "revert",
            Self::Twice => "twice",
            Self::Failure => "failure",
            Self::CutOff => "cut-off",
            Self::Interrupted => "interrupted",
            Self::SameRequests => "same-requests",
            Self::SameAnswer => "same-answer",
        }
    }

    /// What it says, in one sentence.
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
    /// Which.
    pub law: Law,
    /// What is wrong, one sentence.
    pub message: String,
    /// The host calls that it takes, in order: no shorter sequence breaks the law.
    pub sequence: Vec<Asked>,
    /// What is not as it should be.
    pub differences: Vec<Difference>,
}

/// What is wrong with a run, and what is not as it was.
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
        // A task is asked no question.
        Law::SameAnswer => Ok(None),
    }
}

/// Tries [`Law::SameAnswer`]. `usual` is the answer when nothing is otherwise.
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
            Otherwise::Requester => "by somebody else",
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

/// The host calls of the usual call, counted from 1; what is only logged is none.
fn numbers(usual: &Run) -> std::ops::RangeInclusive<usize> {
    1..=counted(&usual.call).count()
}

fn counted(call: &[Asked]) -> impl Iterator<Item = &Asked> {
    call.iter().filter(|asked| asked.function != "log.write")
}

/// What is not as it was, and the case does not name.
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
        // A name for what is not left would hide it on the day when it is.
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
    // Whether one revert fails is the business of another law.
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

/// The first of these faults, in order, after which something is left.
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

/// What was asked, with ids by names that are the same in each run.
fn requests(run: &Run) -> Vec<String> {
    let asked = run.call.iter().chain(&run.revert);
    asked
        .map(|asked| rename(&asked.request(), &run.names))
        .collect()
}
