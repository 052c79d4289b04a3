//! Tasks that fail, and reverts.

use super::*;

#[test]
fn a_task_that_fails_half_way_is_undone_and_reverted_too() {
    let store = store();
    let reverted = Arc::new(Mutex::new(Vec::new()));
    let half = |name: &'static str, fail: bool| {
        let reverted = Arc::clone(&reverted);
        Step::new(TaskSpec::new(name), move |context, _| {
            reserve(context, 2)?;
            if fail {
                Err(TaskError::new("Broken", "half way"))
            } else {
                Ok(json!({"done": true}))
            }
        })
        .revert(move |_, outcome| {
            reverted
                .lock()
                .unwrap()
                .push((name, matches!(outcome, Outcome::Completed(_))));
            Ok(Disposition::Undo)
        })
    };
    let flow = flow(&store, [half("first", false), half("second", true)]);
    let cause = failed(&flow);
    assert_eq!(
        (cause.task.as_str(), cause.error.kind.as_str()),
        ("second", "Broken")
    );
    assert_eq!(
        *reverted.lock().unwrap(),
        [("second", false), ("first", true)]
    );
    assert_eq!(reserved(&store), 0);
    let rollback = report(&flow).rollback.unwrap();
    assert_eq!(
        (rollback.verdict, rollback.residue),
        (Verdict::Clean, vec![])
    );
    assert_eq!(rollback.reverted, ["second", "first"]);
}

#[test]
fn what_a_revert_keeps_is_kept_and_named() {
    let store = store();
    let keeps = holds("keeps", 3).revert(|_, _| Ok(Disposition::Keep));
    let flow = flow(&store, [keeps, fails("breaks")]);
    failed(&flow);
    let rollback = report(&flow).rollback.unwrap();
    assert_eq!(rollback.verdict, Verdict::Kept);
    let kinds: Vec<_> = rollback
        .residue
        .iter()
        .map(|left| left.kind.as_str())
        .collect();
    assert_eq!(kinds, ["reservation", "usage"]);
    assert_eq!(reserved(&store), 3);
}

#[test]
fn a_revert_that_fails_is_undone_itself_and_the_walk_goes_on() {
    let store = store();
    let bad = holds("bad", 1).revert(|context, _| {
        reserve(context, 5)?;
        Err(TaskError::new("Stuck", "cannot"))
    });
    let flow = flow(&store, [holds("good", 2), bad, fails("breaks")]);
    failed(&flow);
    let rollback = report(&flow).rollback.unwrap();
    assert_eq!(rollback.verdict, Verdict::Incomplete);
    assert_eq!(rollback.reverted, ["breaks", "good"]);
    assert_eq!(
        (rollback.failed[0].task.as_str(), rollback.failed.len()),
        ("bad", 1)
    );
    assert_eq!(reserved(&store), 1, "only what `bad` held is left");
    assert_eq!(
        report(&flow).error.unwrap().kind,
        "Broken",
        "the first error stays"
    );
}

#[test]
fn what_a_checkpoint_ends_stays_when_the_revert_errs_later() {
    let store = store();
    let steps = holds("steps", 1).revert(|context, _| {
        reserve(context, 2)?;
        context.checkpoint()?;
        reserve(context, 3)?;
        Err(TaskError::new("Stuck", "after the second step"))
    });
    let flow = flow(&store, [steps, fails("breaks")]);
    failed(&flow);
    assert_eq!(reserved(&store), 1 + 2);
}

#[test]
fn a_failed_revert_can_be_asked_for_again_and_what_was_reverted_is_not() {
    let store = store();
    let count = Arc::new(Mutex::new((0, 0)));
    let (good, bad) = (Arc::clone(&count), Arc::clone(&count));
    let flow = flow(
        &store,
        [
            holds("good", 1).revert(move |_, _| {
                good.lock().unwrap().0 += 1;
                Ok(Disposition::Undo)
            }),
            holds("bad", 1).revert(move |_, _| {
                let mut count = bad.lock().unwrap();
                count.1 += 1;
                if count.1 == 1 {
                    Err(TaskError::new("Busy", "later"))
                } else {
                    Ok(Disposition::Undo)
                }
            }),
            fails("breaks"),
        ],
    );
    failed(&flow);
    assert_eq!(reserved(&store), 1);
    flow.rollback(&Cause::requested("again")).unwrap();
    assert_eq!(*count.lock().unwrap(), (1, 2));
    assert_eq!(reserved(&store), 0);
    assert_eq!(report(&flow).rollback.unwrap().verdict, Verdict::Clean);
}

#[test]
fn attempts_start_from_nothing_and_only_named_kinds_are_tried_again() {
    let run = |kind: &'static str| {
        let store = store();
        let made = Arc::new(Mutex::new(0));
        let count = Arc::clone(&made);
        let step = Step::new(TaskSpec::new("busy"), move |context, _| {
            reserve(context, 1)?;
            *count.lock().unwrap() += 1;
            if *count.lock().unwrap() < 3 {
                Err(TaskError::new(kind, "try again"))
            } else {
                Ok(Value::Null)
            }
        });
        let flow = flow(&store, []);
        let call = Retry {
            attempts: 3,
            on: Some(vec!["Busy".to_owned()]),
            ..Retry::default()
        };
        flow.add_with(
            Arc::new(step),
            TaskOptions {
                call,
                ..TaskOptions::default()
            },
        )
        .unwrap();
        let state = flow
            .run()
            .map(|()| flow.state())
            .unwrap_or(FlowState::Failure);
        let made = *made.lock().unwrap();
        (state, made, reserved(&store))
    };
    assert_eq!(run("Busy"), (FlowState::Success, 3, 1));
    assert_eq!(run("Other"), (FlowState::Failure, 1, 0));
}

#[test]
fn a_revert_that_is_tried_again_starts_from_nothing() {
    let store = store();
    let made = Arc::new(Mutex::new(0));
    let count = Arc::clone(&made);
    let step = holds("busy", 1).revert(move |context, _| {
        let mut made = count.lock().unwrap();
        *made += 1;
        if *made == 1 {
            reserve(context, 5)?;
            return Err(TaskError::new("Busy", "later"));
        }
        Ok(Disposition::Undo)
    });
    let flow = flow(&store, []);
    let options = TaskOptions {
        revert: Retry {
            attempts: 2,
            ..Retry::default()
        },
        ..TaskOptions::default()
    };
    flow.add_with(Arc::new(step), options).unwrap();
    flow.add(Arc::new(fails("breaks"))).unwrap();
    failed(&flow);
    assert_eq!((*made.lock().unwrap(), reserved(&store)), (2, 0));
    assert_eq!(report(&flow).rollback.unwrap().verdict, Verdict::Clean);
}
