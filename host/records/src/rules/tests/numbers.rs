//! Tests counters and sequences.

use super::*;

#[test]
fn a_counter_is_read_as_finished_flows_left_it_and_taken_back_by_the_opposite() {
    let mut world = World::new(PLAIN);
    let (mut one, mut other) = (Flow::of("acme"), Flow::of("acme"));
    world.apply(&mut one, &add(6)).unwrap();
    assert_eq!(count(&mut world, &one), 0);
    assert_eq!(world.apply(&mut other, &add(5)).unwrap_err().kind, "Busy");
    assert_eq!(
        world.apply(&mut other, &add(11)).unwrap_err().kind,
        "Bounds"
    );
    assert_eq!(world.apply(&mut other, &add(-1)).unwrap_err().kind, "Busy");
    world.succeed(&one);
    assert_eq!(count(&mut world, &other), 6);
    world.apply(&mut other, &add(-6)).unwrap();
    world.succeed(&other);
    // Undoing a published addition may exceed the bounds.
    world.undo_last(&mut one).unwrap();
    assert_eq!(count(&mut world, &one), -6);
    world.undo_last(&mut other).unwrap();
    assert_eq!(count(&mut world, &one), 0);
}

#[test]
fn a_pending_addition_that_is_undone_makes_room_again() {
    let mut world = World::new(PLAIN);
    let (mut one, mut other) = (Flow::of("acme"), Flow::of("acme"));
    world.apply(&mut one, &add(10)).unwrap();
    world.undo_last(&mut one).unwrap();
    world.apply(&mut other, &add(10)).unwrap();
    world.succeed(&other);
    assert_eq!(count(&mut world, &one), 10);
}

#[test]
fn a_sequence_never_gives_a_number_again() {
    let mut world = World::new(PLAIN);
    let mut one = Flow::of("acme");
    let next = SequenceNext {
        collection: "c".to_owned(),
        sequence: "s".to_owned(),
    };
    assert_eq!(world.apply(&mut one, &next).unwrap(), 1);
    world.undo_last(&mut one).unwrap();
    assert_eq!(world.apply(&mut one, &next).unwrap(), 2);
    assert_eq!(world.apply(&mut Flow::of("other"), &next).unwrap(), 1);
}
