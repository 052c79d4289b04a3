//! Counters and sequences.

use std::collections::BTreeSet;

use super::*;

fn adds(delta: i64) -> Step {
    step("add", move |context| add(context, delta))
}

#[test]
fn a_counter_is_read_as_finished_flows_have_left_it() {
    let world = World::new(PLAIN);
    let other = world.clone();
    world.succeeds([step("add", move |context| {
        add(context, 3)?;
        assert_eq!(
            count(context),
            0,
            "its own flow reads no more than others do"
        );
        assert_eq!(other.sees(count), 0);
        assert_eq!(other.counters()["pending_up"], json!(3));
        Ok(())
    })]);
    assert_eq!(world.sees(count), 3);
}

#[test]
fn bounds_hold_for_every_outcome_of_unfinished_flows() {
    let world = World::new(PLAIN);
    world.succeeds([adds(5)]);
    let other = world.clone();
    world.succeeds([step("adds", move |context| {
        add(context, 4)?;
        // If the flow succeeds, 1 more fits; if it fails, 5 can be subtracted.
        assert_eq!(other.fails([adds(2)]).kind, "Busy");
        assert_eq!(other.fails([adds(-6)]).kind, "Busy");
        assert_eq!(
            other.fails([adds(6)]).kind,
            "Bounds",
            "whatever becomes of it"
        );
        other.fails([adds(1), fails()]);
        other.succeeds([adds(-5)]);
        other.succeeds([adds(5)]);
        assert_eq!(
            add(context, 2).unwrap_err().kind,
            "Bounds",
            "a flow's own additions depend on no other flow"
        );
        Ok(())
    })]);
    assert_eq!(world.sees(count), 9);
    let bounds = world.fails([adds(2)]);
    assert!(bounds.message.contains("from 0 to 10"), "{bounds}");
    assert_eq!(
        (&bounds.details["min"], &bounds.details["max"]),
        (&json!(0), &json!(10))
    );
}

#[test]
fn a_counter_is_taken_back_by_the_opposite_delta() {
    let world = World::new(PLAIN);
    let flow = world.flow([adds(3), adds(4), adds(-2), fails()]);
    failed(&flow);
    assert_eq!(rollback(&flow).verdict, Verdict::Clean);
    assert_eq!(world.sees(count), 0);
    assert_eq!(world.counters()["pending_up"], json!(0));
    world.succeeds([adds(10)]);
}

#[test]
fn taking_back_what_was_published_ignores_the_bounds() {
    let world = World::new(PLAIN);
    let flow = world.succeeds([adds(6)]);
    world.succeeds([adds(-6)]);
    assert_eq!(roll_back(&flow).verdict, Verdict::Clean);
    assert_eq!(world.sees(count), -6);
    // Outside of its bounds the counter may only move back towards them.
    assert_eq!(world.fails([adds(-1)]).kind, "Bounds");
    world.succeeds([adds(1)]);
}

#[test]
fn what_is_kept_of_a_counter_is_published_at_failure_and_reported() {
    let world = World::new(PLAIN);
    let flow = world.flow([adds(3).reverts(|_| Ok(Disposition::Keep)), adds(4), fails()]);
    failed(&flow);
    let rollback = rollback(&flow);
    assert_eq!(rollback.verdict, Verdict::Kept);
    assert_eq!(left(&rollback), [("counter", "c/n.number")]);
    assert_eq!(rollback.residue[0].after, json!(3));
    assert_eq!(world.sees(count), 3);
}

#[test]
fn a_sequence_never_gives_a_number_twice_across_failures() {
    let world = World::new(PLAIN);
    let mut given = BTreeSet::new();
    let mut last = 0;
    for round in 0..20 {
        let (tell, told) = std::sync::mpsc::channel();
        let tell = std::sync::Mutex::new(tell);
        let takes = step("take", move |context| {
            tell.lock().unwrap().send(next(context)).unwrap();
            if round % 3 == 0 {
                Err(broken())
            } else {
                Ok(())
            }
        });
        let flow = world.flow([
            takes,
            step("then", move |_| {
                if round % 2 == 0 {
                    Err(broken())
                } else {
                    Ok(())
                }
            }),
        ]);
        let _outcome = flow.run();
        let number = told.recv().unwrap();
        assert!(
            number > last && given.insert(number),
            "{number} after {last}"
        );
        last = number;
    }
}

#[test]
fn a_sequence_is_in_neither_the_account_of_a_rollback_nor_the_list_of_records() {
    let world = World::new(PLAIN);
    let flow = world.flow([
        step("take", |context| {
            assert_eq!(next(context), 1);
            Ok(())
        }),
        fails(),
    ]);
    failed(&flow);
    let rollback = rollback(&flow);
    assert_eq!(
        (rollback.verdict, left(&rollback)),
        (Verdict::Clean, vec![])
    );
    assert!(world.lists().is_empty());
    assert_eq!(world.sees(next), 2);
}
