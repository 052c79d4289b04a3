//! The laws of externals: the six promises of `external.wit`.

use std::collections::BTreeSet;

use cairn::capability::RequestFault;
use cairn::external::{ActError, ExternalObject, Presence};
use cairn::{TaskError, Value};

use crate::backend::{Backend, How, Trial, said, told_act};
use crate::law::{Broken, Law};
use crate::unexpected::Unexpected;

/// The first fault, in one sentence.
type Kept = Result<(), String>;

/// Makes the object of the case once, and compares the outcome with the expected one.
pub(crate) fn unexpected(backend: &Backend<'_>) -> Option<Unexpected> {
    let mut trial = Trial::new(backend);
    let mut object = trial.fresh();
    let made = trial.make(&mut object, How::USUAL);
    let made = made.map_err(|error| told_act(&error));
    Unexpected::result(&backend.case.expect, Some(&made))
}

/// Tries a law of externals. Those about objects that were made hold of a case that is refused.
pub(crate) fn check(law: Law, backend: &Backend<'_>) -> Option<Broken> {
    let mut trial = Trial::new(backend);
    let is_refused = backend.case.expect.error.is_some();
    let kept = match law {
        Law::Refused => refused(&mut trial),
        _ if is_refused => Ok(()),
        Law::ObjectName => object_name(&mut trial),
        Law::Looks => looks(&mut trial),
        Law::Once => once(&mut trial),
        Law::CutActs => cut_acts(&mut trial),
        Law::Listed => listed(&mut trial),
        // The others are not for externals.
        _ => Ok(()),
    };
    let message = kept.err()?;
    Some(Broken {
        law,
        message,
        sequence: std::mem::take(&mut trial.asked),
        differences: Vec::new(),
    })
}

impl Trial<'_> {
    fn makes(&mut self, object: &mut ExternalObject) -> Result<Value, String> {
        self.make(object, How::USUAL)
            .map_err(|error| format!("`make` failed: {}", told_act(&error)))
    }

    fn removes(&mut self, object: &mut ExternalObject, how: How) -> Kept {
        self.remove(object, how)
            .map_err(|error| format!("`remove` failed: {}", told_act(&error)))
    }

    /// Fails unless `look` finds this of an object; `what` says which.
    fn sees(&mut self, object: &ExternalObject, how: How, expected: &Presence, what: &str) -> Kept {
        match self.look(object, how) {
            Ok(found) if found == *expected => Ok(()),
            Ok(found) => {
                let (found, expected) = (said(&found), said(expected));
                Err(format!(
                    "`look` says `{found}` of {what}; it is `{expected}`"
                ))
            }
            Err(error) => Err(format!(
                "`look` does not know what there is of {what}: {error}"
            )),
        }
    }

    /// Fails unless `list` names these objects.
    fn lists(&mut self, expected: &BTreeSet<String>, when: &str) -> Kept {
        let found = self.list()?;
        if let Some(id) = expected.difference(&found).next() {
            return Err(format!("{when}, `list` does not name {id}"));
        }
        match found.difference(expected).next() {
            Some(id) => Err(format!("{when}, `list` names {id}, too")),
            None => Ok(()),
        }
    }

    /// Returns how many requests a `make` and a `remove` send.
    fn requests_of_acts(&mut self) -> Result<(usize, usize), String> {
        let mut object = self.fresh();
        self.makes(&mut object)?;
        let make = self.requests;
        self.removes(&mut object, How::USUAL)?;
        Ok((make, self.requests))
    }

    /// Removes an object, and fails unless nothing of it is left.
    fn leaves_nothing(&mut self, object: &mut ExternalObject, when: &str) -> Kept {
        let told = |error| format!("{when}, {error}");
        self.removes(object, How::USUAL).map_err(told)?;
        let what = "an object that was removed";
        self.sees(object, How::USUAL, &Presence::Absent, what)
            .map_err(told)?;
        let is_listed = self.list().map_err(told)?.contains(&object.id);
        match is_listed {
            true => Err(format!("{when} and removed, `list` still names the object")),
            false => Ok(()),
        }
    }
}

fn object_name(trial: &mut Trial<'_>) -> Kept {
    let (mut one, mut other) = (trial.fresh(), trial.fresh());
    let first = Presence::Whole(trial.makes(&mut one)?);
    let elsewhen =
        "an object that was made, when it is asked at another time and with other randomness";
    trial.sees(&one, How::ELSEWHEN, &first, elsewhen)?;
    let not_made = "an object that was not made, while another one is there";
    trial.sees(&other, How::USUAL, &Presence::Absent, not_made)?;
    let second = Presence::Whole(trial.makes(&mut other)?);
    trial.sees(
        &one,
        How::USUAL,
        &first,
        "an object after another one was made",
    )?;
    trial.removes(&mut one, How::ELSEWHEN)?;
    trial.sees(
        &one,
        How::USUAL,
        &Presence::Absent,
        "an object that was removed",
    )?;
    let left = "an object after another one was removed";
    trial.sees(&other, How::USUAL, &second, left)?;
    trial.removes(&mut other, How::USUAL)
}

fn looks(trial: &mut Trial<'_>) -> Kept {
    let mut object = trial.fresh();
    let before = trial.list()?;
    for _ in 0..2 {
        trial.sees(
            &object,
            How::USUAL,
            &Presence::Absent,
            "an object that was not made",
        )?;
        trial.lists(&before, "after a `look`")?;
    }
    let made = Presence::Whole(trial.makes(&mut object)?);
    let all = trial.list()?;
    for _ in 0..2 {
        trial.sees(&object, How::USUAL, &made, "an object that was made")?;
        trial.lists(&all, "after a `look`")?;
    }
    trial.removes(&mut object, How::USUAL)
}

fn once(trial: &mut Trial<'_>) -> Kept {
    let mut object = trial.fresh();
    let first = trial.makes(&mut object)?;
    let all = trial.list()?;
    let second = trial.make(&mut object, How::USUAL);
    let second = second.map_err(|error| format!("a second `make` failed: {}", told_act(&error)))?;
    if second != first {
        return Err(format!(
            "a second `make` returned {second}, and the first {first}"
        ));
    }
    let made = Presence::Whole(first);
    trial.sees(&object, How::USUAL, &made, "an object that was made twice")?;
    trial.lists(&all, "after a second `make`")?;
    trial.removes(&mut object, How::USUAL)?;
    let rest = trial.list()?;
    let again = trial.remove(&mut object, How::USUAL);
    again.map_err(|error| format!("a second `remove` failed: {}", told_act(&error)))?;
    trial.sees(
        &object,
        How::USUAL,
        &Presence::Absent,
        "an object that was removed twice",
    )?;
    trial.lists(&rest, "after a second `remove`")
}

fn cut_acts(trial: &mut Trial<'_>) -> Kept {
    let (of_make, of_remove) = trial.requests_of_acts()?;
    for request in 1..=of_make {
        trial.begin();
        let mut object = trial.fresh();
        // Whatever it answers, if it does.
        let _ = trial.make(&mut object, How::fault(request, RequestFault::Stuck));
        let when = format!("after a `make` that was cut off at its request {request}");
        knows(trial, &object, &when)?;
        trial.leaves_nothing(&mut object, &when)?;
        let told = |error| format!("{when} and removed, {error}");
        let made = Presence::Whole(trial.makes(&mut object).map_err(told)?);
        trial.sees(&object, How::USUAL, &made, "an object that was made again")?;
        trial.removes(&mut object, How::USUAL)?;
    }
    for request in 1..=of_remove {
        trial.begin();
        let mut object = trial.fresh();
        trial.makes(&mut object)?;
        let _ = trial.remove(&mut object, How::fault(request, RequestFault::Stuck));
        let when = format!("after a `remove` that was cut off at its request {request}");
        knows(trial, &object, &when)?;
        trial.leaves_nothing(&mut object, &when)?;
    }
    Ok(())
}

fn knows(trial: &mut Trial<'_>, object: &ExternalObject, when: &str) -> Result<Presence, String> {
    trial
        .look(object, How::USUAL)
        .map_err(|error| format!("{when}, `look` does not know what there is: {error}"))
}

fn refused(trial: &mut Trial<'_>) -> Kept {
    if trial.case().expect.error.is_some() {
        let mut object = trial.fresh();
        let before = trial.list()?;
        let refused = trial.make(&mut object, How::USUAL);
        holds(trial, &object, refused, &Presence::Absent, "")?;
        return trial.lists(&before, "after `make` has refused");
    }
    let (of_make, of_remove) = trial.requests_of_acts()?;
    let faults = [
        (RequestFault::Unsent, "finds no connection"),
        (RequestFault::Lost, "is done, and its answer lost"),
    ];
    for request in 1..=of_make {
        for (fault, how) in faults {
            trial.begin();
            let mut object = trial.fresh();
            let made = trial.make(&mut object, How::fault(request, fault));
            let when = format!("when request {request} of `make` {how}, ");
            holds(trial, &object, made, &Presence::Absent, &when)?;
        }
    }
    for request in 1..=of_remove {
        for (fault, how) in faults {
            trial.begin();
            let mut object = trial.fresh();
            let before = Presence::Whole(trial.makes(&mut object)?);
            let removed = trial.remove(&mut object, How::fault(request, fault));
            let when = format!("when request {request} of `remove` {how}, ");
            match removed {
                Ok(()) => {
                    let what = "an object that was removed";
                    let seen = trial.sees(&object, How::USUAL, &Presence::Absent, what);
                    seen.map_err(|error| format!("{when}it succeeds, and then {error}"))?;
                }
                Err(error) => holds(trial, &object, Err(error), &before, &when)?,
            }
        }
    }
    Ok(())
}

/// Fails unless what there is of an object agrees with the answer of an act on it: its result, or as `before` when it was refused.
fn holds(
    trial: &mut Trial<'_>,
    object: &ExternalObject,
    answer: Result<Value, ActError>,
    before: &Presence,
    when: &str,
) -> Kept {
    let (expected, told) = match answer {
        Ok(result) => (Presence::Whole(result), "succeeds".to_owned()),
        Err(ActError::Refused(error)) => {
            let error: TaskError = error;
            (before.clone(), format!("answers `refused` ({error})"))
        }
        // It may be as it likes.
        Err(ActError::Unsure(_)) => return Ok(()),
    };
    trial
        .sees(object, How::USUAL, &expected, "the object")
        .map_err(|error| format!("{when}it {told}, and then {error}"))
}

fn listed(trial: &mut Trial<'_>) -> Kept {
    let before = trial.list()?;
    let mut objects = [trial.fresh(), trial.fresh(), trial.fresh()];
    let mut all = before.clone();
    for object in &mut objects {
        trial.makes(object)?;
        all.insert(object.id.clone());
    }
    trial.lists(&all, "when three objects were made")?;
    let [first, ..] = &mut objects;
    trial.removes(first, How::USUAL)?;
    all.remove(&first.id);
    trial.lists(&all, "when one of three objects was removed")?;
    for object in &mut objects[1..] {
        trial.removes(object, How::USUAL)?;
    }
    trial.lists(&before, "when all objects were removed")?;
    let (of_make, _) = trial.requests_of_acts()?;
    for request in 1..=of_make {
        trial.begin();
        let mut object = trial.fresh();
        let _ = trial.make(&mut object, How::fault(request, RequestFault::Stuck));
        let when = format!("after a `make` that was cut off at its request {request}");
        let found = knows(trial, &object, &when)?;
        let is_listed = trial.list()?.contains(&object.id);
        if is_listed != (found != Presence::Absent) {
            let names = if is_listed { "names" } else { "does not name" };
            let found = said(&found);
            return Err(format!(
                "{when}, `look` says `{found}`, and `list` {names} the object"
            ));
        }
        trial.removes(&mut object, How::USUAL)?;
    }
    Ok(())
}
