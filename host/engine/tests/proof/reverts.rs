//! Reverts that fail: number of attempts, retried errors, waits, and what remains to be done.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cairn::error::Cause;
use cairn::event::{Disposition, Event, TaskState};
use cairn::flow::TaskOptions;
use cairn::retry::Retry;
use cairn::volumes::operator::{OperateVolumes as _, kind};
use cairn::{Flow, Identity, Sqlite, TaskError, Verdict};

use crate::step::{
    Step, ann, breaks, create, fail, flow, list, memory, once, reserve, rollback_of, usage,
};

fn tried(attempts: u32, on: Option<&str>) -> Retry {
    Retry {
        attempts,
        on: on.map(|kind| vec![kind.to_owned()]),
        ..Retry::default()
    }
}

fn reverted(step: Step, revert: Retry) -> (Step, TaskOptions) {
    let options = TaskOptions {
        revert,
        ..TaskOptions::default()
    };
    (step, options)
}

/// Returns a task that reserves 1. Its revert reserves 5 more and fails with each of `errors` in turn, then succeeds without a
/// further effect. The second value holds the times of the attempts.
fn stubborn(name: &str, errors: Vec<TaskError>) -> (Step, Arc<Mutex<Vec<Instant>>>) {
    let tries = Arc::new(Mutex::new(Vec::new()));
    let made = Arc::clone(&tries);
    let step = Step::new(name, |context| reserve(context, 1).map(drop)).revert(move |context| {
        let number = {
            let mut made = made.lock().unwrap();
            made.push(Instant::now());
            made.len() - 1
        };
        match errors.get(number) {
            Some(error) => {
                reserve(context, 5)?;
                Err(error.clone())
            }
            None => Ok(Disposition::Undo),
        }
    });
    (step, tries)
}

fn errors(kind: &str, count: usize) -> Vec<TaskError> {
    vec![TaskError::new(kind, "not now"); count]
}

/// Summarizes the journal's entries about reverts.
fn told(store: &Sqlite, flow: &Flow) -> Vec<String> {
    let entries = store.read(&Identity::default(), |view| view.journal(flow.id()));
    let told = entries
        .unwrap()
        .into_iter()
        .filter_map(|entry| match entry.event {
            Event::Reverting { attempt, .. } => Some(format!("reverting {attempt}")),
            Event::Retried { error, .. } => Some(format!("retried {}", error.kind)),
            Event::Reverted { .. } => Some("reverted".to_owned()),
            Event::RevertFailed { error, .. } => Some(format!("failed {}", error.kind)),
            _ => None,
        });
    told.collect()
}

#[test]
fn a_revert_is_tried_as_often_as_its_table_says_and_only_after_the_named_kinds() {
    let check = |revert: Retry, errors: Vec<TaskError>, expected: &[&str], held: i64| {
        let store = memory(crate::any::config(Default::default()));
        let (step, tries) = stubborn("stubborn", errors);
        let flow = flow(&store, [reverted(step, revert)]);
        flow.run().unwrap();
        flow.rollback(&Cause::requested("enough")).unwrap();
        assert_eq!(told(&store, &flow), expected);
        let calls = expected.iter().filter(|told| told.starts_with("reverting"));
        assert_eq!(tries.lock().unwrap().len(), calls.count());
        assert_eq!(usage(&store).1, held);
        let verdict = if held == 0 {
            Verdict::Clean
        } else {
            Verdict::Incomplete
        };
        assert_eq!(rollback_of(&flow).verdict, verdict);
    };
    check(
        tried(3, Some("Busy")),
        errors("Busy", 9),
        &[
            "reverting 1",
            "retried Busy",
            "reverting 2",
            "retried Busy",
            "reverting 3",
            "failed Busy",
        ],
        1,
    );
    check(
        tried(3, Some("Busy")),
        errors("Busy", 2),
        &[
            "reverting 1",
            "retried Busy",
            "reverting 2",
            "retried Busy",
            "reverting 3",
            "reverted",
        ],
        0,
    );
    check(
        tried(3, Some("Busy")),
        errors("Stuck", 9),
        &["reverting 1", "failed Stuck"],
        1,
    );
    let mut mixed = errors("Busy", 1);
    mixed.extend(errors("Stuck", 1));
    check(
        tried(9, Some("Busy")),
        mixed.clone(),
        &["reverting 1", "retried Busy", "reverting 2", "failed Stuck"],
        1,
    );
    check(
        tried(9, None),
        mixed,
        &[
            "reverting 1",
            "retried Busy",
            "reverting 2",
            "retried Stuck",
            "reverting 3",
            "reverted",
        ],
        0,
    );
    check(
        Retry::default(),
        errors("Busy", 9),
        &["reverting 1", "failed Busy"],
        1,
    );
}

#[test]
fn the_table_of_the_call_is_not_the_reverts() {
    let store = memory(crate::any::config(Default::default()));
    let (step, tries) = stubborn("stubborn", errors("Busy", 9));
    let options = TaskOptions {
        call: tried(5, None),
        ..TaskOptions::default()
    };
    let flow = flow(&store, [(step, options), breaks()]);
    fail(&flow);
    assert_eq!(tries.lock().unwrap().len(), 1);
}

#[test]
fn a_revert_waits_between_two_attempts_and_not_after_the_last() {
    let backoff = Duration::from_millis(20);
    let store = memory(crate::any::config(Default::default()));
    let (step, tries) = stubborn("stubborn", errors("Busy", 9));
    let table = Retry {
        attempts: 3,
        backoff,
        on: None,
    };
    let flow = flow(&store, [reverted(step, table), breaks()]);
    fail(&flow);
    let ended = Instant::now();
    let tries = tries.lock().unwrap().clone();
    assert_eq!(tries.len(), 3);
    // Half of each wait is random, and each wait doubles.
    assert!(tries[1] - tries[0] >= backoff / 2);
    assert!(tries[2] - tries[1] >= backoff);
    let waited = tries[2] - tries[0];
    assert!(
        ended - tries[2] < waited,
        "{:?} after the last attempt",
        ended - tries[2]
    );
}

#[test]
fn what_a_host_refuses_to_undo_may_be_tried_again_too() {
    let run = |on: &str| {
        let store = memory(crate::any::config(Default::default()));
        let snapshot = Arc::new(Mutex::new(None::<String>));
        let (taken, operator) = (Arc::clone(&snapshot), Arc::clone(&store));
        let tries = Mutex::new(0);
        let step = Step::new("makes", |context| create(context).map(drop)).revert(move |_| {
            *tries.lock().unwrap() += 1;
            if *tries.lock().unwrap() == 2 {
                let id = taken.lock().unwrap().take().unwrap();
                operator
                    .admin(&ann(), |admin| admin.delete_snapshot(&id))
                    .unwrap();
            }
            Ok(Disposition::Undo)
        });
        let flow = flow(&store, [reverted(step, tried(3, Some(on)))]);
        flow.run().unwrap();
        let volume = list(&store, &kind::VOLUME)[0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let made = store.admin(&ann(), |admin| {
            admin.create_snapshot(&volume, None, "available")
        });
        *snapshot.lock().unwrap() = made.unwrap()["id"].as_str().map(str::to_owned);
        flow.rollback(&Cause::requested("enough")).unwrap();
        (
            told(&store, &flow),
            list(&store, &kind::VOLUME).len(),
            rollback_of(&flow).verdict,
        )
    };
    let (told, left, verdict) = run("UndoRefused");
    assert_eq!(
        told,
        [
            "reverting 1",
            "retried UndoRefused",
            "reverting 2",
            "reverted"
        ]
    );
    assert_eq!((left, verdict), (0, Verdict::Clean));
    let (told, left, verdict) = run("Busy");
    assert_eq!(told, ["reverting 1", "failed UndoRefused"]);
    assert_eq!((left, verdict), (1, Verdict::Incomplete));
}

#[test]
fn a_revert_that_panics_is_undone_and_tried_again() {
    let store = memory(crate::any::config(Default::default()));
    let tries = Mutex::new(0);
    let step =
        Step::new("panics", |context| reserve(context, 1).map(drop)).revert(move |context| {
            let first = {
                let mut tries = tries.lock().unwrap();
                *tries += 1;
                *tries == 1
            };
            if first {
                reserve(context, 5)?;
                std::panic::resume_unwind(Box::new("ouch"));
            }
            Ok(Disposition::Undo)
        });
    let flow = flow(&store, [reverted(step, tried(2, Some("Trap"))), breaks()]);
    fail(&flow);
    assert_eq!(usage(&store), (0, 0));
    assert_eq!(rollback_of(&flow).verdict, Verdict::Clean);
}

#[test]
fn a_later_rollback_tries_only_what_is_left_and_with_a_table_of_its_own() {
    let store = memory(crate::any::config(Default::default()));
    let (first, first_tries) = stubborn("first", errors("Busy", 0));
    let (second, second_tries) = stubborn("second", errors("Busy", 5));
    let (third, third_tries) = stubborn("third", errors("Busy", 3));
    let (fourth, fourth_tries) = stubborn("fourth", errors("Busy", 1));
    let twice = || tried(2, None);
    let steps = [first, second, third, fourth].map(|step| reverted(step, twice()));
    let flow = flow(&store, steps.into_iter().chain([breaks()]));
    let counts = || {
        [&first_tries, &second_tries, &third_tries, &fourth_tries]
            .map(|tries| tries.lock().unwrap().len())
    };
    fail(&flow);
    assert_eq!(counts(), [1, 2, 2, 2]);
    let rollback = rollback_of(&flow);
    assert_eq!(rollback.verdict, Verdict::Incomplete);
    assert_eq!(rollback.reverted, ["breaks", "fourth", "first"]);
    let failed: Vec<_> = rollback.failed.iter().map(|f| f.task.as_str()).collect();
    assert_eq!(failed, ["third", "second"]);
    assert_eq!(usage(&store), (0, 2), "what those two hold");

    flow.rollback(&Cause::requested("again")).unwrap();
    assert_eq!(counts(), [1, 4, 4, 2]);
    let rollback = rollback_of(&flow);
    assert_eq!(rollback.reverted, ["breaks", "fourth", "first", "third"]);
    assert_eq!(rollback.failed.len(), 1);
    assert_eq!(usage(&store), (0, 1));
    assert!(matches!(
        flow.history().tasks[1].state,
        TaskState::RevertFailed
    ));

    flow.rollback(&Cause::requested("and again")).unwrap();
    assert_eq!(counts(), [1, 6, 4, 2]);
    let rollback = rollback_of(&flow);
    assert_eq!(
        (rollback.verdict, rollback.failed),
        (Verdict::Clean, vec![])
    );
    assert_eq!(usage(&store), (0, 0));
    // Nothing is left to try.
    flow.rollback(&Cause::requested("once more")).unwrap();
    assert_eq!(counts(), [1, 6, 4, 2]);
}

#[test]
fn a_rollback_that_stays_incomplete_names_what_the_task_holds() {
    let store = memory(crate::any::config(Default::default()));
    let (stuck, _) = stubborn("stuck", errors("Stuck", 9));
    let flow = flow(
        &store,
        [
            once(stuck),
            once(Step::new("good", |context| reserve(context, 2).map(drop))),
            breaks(),
        ],
    );
    fail(&flow);
    let rollback = rollback_of(&flow);
    assert_eq!(
        rollback.failed[0].error.as_ref().map(|e| e.kind.as_str()),
        Some("Stuck")
    );
    let left: Vec<_> = rollback
        .residue
        .iter()
        .map(|left| (left.kind.as_str(), left.after.clone()))
        .collect();
    assert_eq!(left[0].0, "reservation");
    assert_eq!(left[1], ("usage", 1.into()));
    assert_eq!((left.len(), usage(&store)), (2, (0, 1)));
}
