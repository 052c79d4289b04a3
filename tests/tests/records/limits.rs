//! Limits, schemas, and collections that are not configured.

use super::*;

#[track_caller]
fn exceeds(error: &TaskError, limit: &str) {
    assert_eq!(error.kind, "LimitExceeded", "{error}");
    assert_eq!(error.details["limit"], json!(limit), "{error}");
    assert!(error.message.contains(limit), "{error}");
}

#[test]
fn a_value_has_at_most_max_bytes() {
    let world = World::new("[records.c]\nmax_bytes = 8");
    exceeds(&world.fails([puts("k", "1234567")]), "max_bytes");
    world.succeeds([puts("k", "123456")]);
    // The default is 64 KiB.
    let world = World::new("[records.c]");
    exceeds(&world.fails([puts("k", "a".repeat(64 << 10))]), "max_bytes");
    world.succeeds([puts("k", "a".repeat((64 << 10) - 2))]);
}

#[test]
fn a_collection_has_at_most_max_keys_pending_ones_included() {
    let world = World::new("[records.c]\nmax_keys = 2");
    world.succeeds([puts("a", 1)]);
    let waiting = world.waits(puts("b", 1));
    exceeds(&world.fails([puts("c", 1)]), "max_keys");
    // The limit applies to each project separately.
    world.sees_as("other", |context| put(context, "c", 1).unwrap());
    assert_eq!(roll_back(&waiting).verdict, Verdict::Clean);
    world.succeeds([puts("c", 1)]);
}

#[test]
fn a_collection_has_at_most_max_total_bytes_pending_ones_included() {
    let world = World::new("[records.c]\nmax_total = 20");
    world.succeeds([puts("a", "12345678")]);
    let waiting = world.waits(puts("a", "1"));
    // The longer value counts, because the shorter one may be undone.
    exceeds(&world.fails([puts("b", "123456789")]), "max_total");
    waiting.resume_to_end().wait().unwrap();
    world.succeeds([puts("b", "123456789")]);
}

#[test]
fn a_removal_makes_room_when_it_is_published() {
    let world = World::new("[records.c]\nmax_keys = 1");
    world.succeeds([puts("a", 1)]);
    let waiting = world.waits(step("remove", |context| remove(context, "a")));
    exceeds(&world.fails([puts("b", 1)]), "max_keys");
    waiting.resume_to_end().wait().unwrap();
    world.succeeds([puts("b", 1)]);
}

#[test]
fn a_value_that_does_not_fit_the_schema_is_refused_with_what_is_wrong() {
    let world = World::new(
        "[records.c.schema]\ntype = 'object'\nadditionalProperties = false\n[records.c.schema.properties.port]\ntype = 'integer'",
    );
    let error = world.fails([puts("k", json!({"port": "http"}))]);
    assert_eq!(error.kind, "InvalidValue");
    assert!(error.message.contains("/port"), "{error}");
    assert_eq!(error.details["violations"].as_array().unwrap().len(), 1);
    world.succeeds([puts("k", json!({"port": 80}))]);
}

#[test]
fn a_collection_that_is_not_set_up_does_not_exist_and_the_error_names_the_table_to_add() {
    let world = World::new("[records.other]");
    let error = world.fails([puts("k", 1)]);
    assert_eq!(error.kind, "CollectionNotFound");
    assert!(error.message.contains("[records.c]"), "{error}");
    let world = World::new("[records.c]");
    let error = world.fails([step("add", |context| add(context, 1))]);
    assert_eq!(error.kind, "CounterNotFound");
    assert!(error.message.contains("[records.c.counters.n]"), "{error}");
}
