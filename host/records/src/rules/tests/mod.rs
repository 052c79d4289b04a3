//! The rules of records, without a database.

mod numbers;
mod random;

use cairn_effects::event::FlowState;
use cairn_effects::rows::Cell;
use cairn_effects::rules::Effect as _;
use cairn_model::id::Identity;
use serde_json::{Value, json};

use super::testing::{Flow, World, put};
use super::{CounterAdd, CounterValue, Expect, RecordList, SequenceNext};

const PLAIN: &str = "[records.c]\nsequences = ['s']\n[records.c.counters.n]\nmin = 0\nmax = 10";

fn add(delta: i64) -> CounterAdd {
    CounterAdd {
        collection: "c".to_owned(),
        counter: "n".to_owned(),
        delta,
    }
}

fn count(world: &mut World, flow: &Flow) -> i64 {
    let value = CounterValue {
        collection: "c".to_owned(),
        counter: "n".to_owned(),
    };
    world.look_up(flow, &value).unwrap()
}

fn keys(world: &mut World, flow: &Flow, prefix: &str) -> Vec<String> {
    let list = RecordList {
        collection: "c".to_owned(),
        prefix: prefix.to_owned(),
        cursor: None,
        limit: 1000,
    };
    let page = world.look_up(flow, &list).unwrap();
    page.entries.into_iter().map(|entry| entry.key).collect()
}

#[test]
fn a_flow_sees_what_it_put_and_others_do_when_it_has_succeeded() {
    let mut world = World::new(PLAIN);
    let (mut one, other) = (Flow::of("acme"), Flow::of("acme"));
    world.put(&mut one, "k", 1).unwrap();
    assert_eq!(world.get(&one, "k"), Some(json!(1)));
    assert_eq!(world.get(&other, "k"), None);
    assert_eq!(keys(&mut world, &one, ""), ["k"]);
    assert_eq!(keys(&mut world, &other, ""), [""; 0]);
    world.succeed(&one);
    assert_eq!(world.get(&other, "k"), Some(json!(1)));
    assert_eq!(world.get(&Flow::of("other"), "k"), None, "another project");
}

#[test]
fn a_key_is_held_from_the_first_write_to_the_end() {
    let mut world = World::new(PLAIN);
    let (mut one, mut other) = (Flow::of("acme"), Flow::of("acme"));
    world.put(&mut one, "k", 1).unwrap();
    let busy = world.put(&mut other, "k", 2).unwrap_err();
    assert_eq!(busy.kind, "Busy");
    assert_eq!(busy.details, json!({"collection": "c", "key": "k"}));
    assert_eq!(world.remove(&mut other, "k").unwrap_err().kind, "Busy");
    // Another project has keys of its own.
    world.put(&mut Flow::of("other"), "k", 3).unwrap();
    // Undoing the write releases the key.
    world.undo_last(&mut one).unwrap();
    world.put(&mut other, "k", 2).unwrap();
}

#[test]
fn each_undo_shows_what_the_flow_saw_before() {
    let mut world = World::new(PLAIN);
    let (mut first, mut one) = (Flow::of("acme"), Flow::of("acme"));
    world.put(&mut first, "k", "published").unwrap();
    world.succeed(&first);
    world.put(&mut one, "k", "a").unwrap();
    world.remove(&mut one, "k").unwrap();
    assert_eq!(world.get(&one, "k"), None);
    world.put(&mut one, "k", "b").unwrap();
    for expected in [None, Some("a"), Some("published")] {
        world.undo_last(&mut one).unwrap();
        assert_eq!(world.get(&one, "k"), expected.map(Value::from));
    }
    world.put(&mut Flow::of("acme"), "k", "free again").unwrap();
}

#[test]
fn what_was_published_is_taken_back_step_by_step() {
    let mut world = World::new(PLAIN);
    let (mut first, mut one, reader) = (Flow::of("acme"), Flow::of("acme"), Flow::of("acme"));
    world.put(&mut first, "k", "before").unwrap();
    world.succeed(&first);
    let before = world.entry(&reader, "k");
    world.remove(&mut one, "k").unwrap();
    world.put(&mut one, "k", "after").unwrap();
    world.succeed(&one);
    assert_eq!(world.get(&reader, "k"), Some(json!("after")));
    world.undo_last(&mut one).unwrap();
    world.undo_last(&mut one).unwrap();
    assert_eq!(world.entry(&reader, "k"), before, "with its version");
}

#[test]
fn what_was_changed_since_is_not_taken_back_and_both_values_are_named() {
    let mut world = World::new(PLAIN);
    let (mut one, mut other) = (Flow::of("acme"), Flow::of("acme"));
    world.put(&mut one, "k", "mine").unwrap();
    world.succeed(&one);
    world.put(&mut other, "k", "theirs").unwrap();
    let held = world.undo_last(&mut one).unwrap_err();
    assert!(held.message.contains(&other.id.to_string()), "{held}");
    world.succeed(&other);
    let changed = world.undo_last(&mut one).unwrap_err();
    assert_eq!(changed.kind, "UndoRefused");
    assert!(
        changed.message.contains("\"theirs\"") && changed.message.contains("\"mine\""),
        "{changed}"
    );
    // Once the other change is undone, this one can be undone too.
    world.undo_last(&mut other).unwrap();
    world.undo_last(&mut one).unwrap();
    assert_eq!(world.get(&one, "k"), None);
}

#[test]
fn a_version_is_never_given_twice() {
    let mut world = World::new(PLAIN);
    let mut one = Flow::of("acme");
    let undone = world.put(&mut one, "k", "a").unwrap();
    world.undo_last(&mut one).unwrap();
    let put = world.put(&mut one, "k", "b").unwrap();
    assert!(put > undone, "{put} {undone}");
    let expect = Expect::Version(undone);
    let conflict = world.put_if(&mut one, "k", "c", expect).unwrap_err();
    assert_eq!(conflict.kind, "VersionConflict");
    assert_eq!(conflict.details["found"], json!(put));
}

#[test]
fn what_is_expected_is_judged_by_what_the_flow_sees() {
    let mut world = World::new(PLAIN);
    let mut one = Flow::of("acme");
    let version = world.put_if(&mut one, "k", 1, Expect::Absent).unwrap();
    let conflict = world.put_if(&mut one, "k", 2, Expect::Absent).unwrap_err();
    assert_eq!(conflict.kind, "VersionConflict");
    world
        .put_if(&mut one, "k", 2, Expect::Version(version))
        .unwrap();
    world.remove(&mut one, "k").unwrap();
    world.put_if(&mut one, "k", 3, Expect::Absent).unwrap();
    assert_eq!(
        world.remove(&mut one, "x").unwrap_err().kind,
        "RecordNotFound"
    );
}

#[test]
fn a_failure_publishes_what_was_kept_and_holds_what_could_not_be_reverted() {
    let mut world = World::new(PLAIN);
    let (mut one, reader) = (Flow::of("acme"), Flow::of("acme"));
    world.put(&mut one, "kept", 1).unwrap();
    world.apply(&mut one, &add(2)).unwrap();
    let stuck = one.next_task();
    world.put(&mut one, "stuck", 2).unwrap();
    world.apply(&mut one, &add(3)).unwrap();
    world.end(&one, FlowState::Failure, &[stuck]);
    assert_eq!(world.get(&reader, "kept"), Some(json!(1)));
    assert_eq!(world.get(&reader, "stuck"), None);
    assert_eq!(count(&mut world, &reader), 2);
    assert_eq!(
        world
            .put(&mut Flow::of("acme"), "stuck", 3)
            .unwrap_err()
            .kind,
        "Busy"
    );
    // The rollback was accepted.
    world.end(&one, FlowState::Failure, &[]);
    assert_eq!(world.get(&reader, "stuck"), Some(json!(2)));
    assert_eq!(count(&mut world, &reader), 5);
}

#[test]
fn a_task_whose_later_write_was_undone_holds_what_it_wrote_first() {
    let mut world = World::new(PLAIN);
    let mut one = Flow::of("acme");
    let stuck = one.task();
    world.put(&mut one, "k", "first").unwrap();
    one.next_task();
    world.put(&mut one, "k", "second").unwrap();
    world.undo_last(&mut one).unwrap();
    world.end(&one, FlowState::Failure, &[stuck]);
    assert_eq!(
        world.get(&Flow::of("acme"), "k"),
        None,
        "held for the first task"
    );
}

#[test]
fn a_key_is_held_for_the_task_that_wrote_last() {
    let mut world = World::new(PLAIN);
    let mut one = Flow::of("acme");
    world.put(&mut one, "k", "first, and kept").unwrap();
    let stuck = one.next_task();
    world.put(&mut one, "k", "second").unwrap();
    world.end(&one, FlowState::Failure, &[stuck]);
    assert_eq!(world.get(&Flow::of("acme"), "k"), None);
    world.end(&one, FlowState::Failure, &[]);
    assert_eq!(world.get(&Flow::of("acme"), "k"), Some(json!("second")));
}

#[test]
fn limits_count_what_is_pending_and_free_what_was_removed_when_it_is_published() {
    let mut world = World::new("[records.c]\nmax_bytes = 10\nmax_keys = 2\nmax_total = 12");
    let (mut one, mut other) = (Flow::of("acme"), Flow::of("acme"));
    let limit = |error: cairn_model::error::TaskError| {
        assert_eq!(error.kind, "LimitExceeded");
        error.details["limit"].clone()
    };
    assert_eq!(
        limit(world.put(&mut one, "a", "123456789").unwrap_err()),
        "max_bytes"
    );
    world.put(&mut one, "a", "1234").unwrap();
    world.put(&mut one, "b", "1234").unwrap();
    assert_eq!(
        limit(world.put(&mut other, "c", 1).unwrap_err()),
        "max_keys"
    );
    assert_eq!(
        limit(world.put(&mut one, "b", "12345").unwrap_err()),
        "max_total"
    );
    world.put(&mut Flow::of("other"), "c", 1).unwrap();
    world.succeed(&one);
    world.remove(&mut other, "a").unwrap();
    // The removal may still be undone.
    assert_eq!(
        limit(world.put(&mut other, "c", 1).unwrap_err()),
        "max_keys"
    );
    world.succeed(&other);
    world.put(&mut Flow::of("acme"), "c", 1).unwrap();
    // A shorter value makes room when it is published.
    let (mut shorter, mut next) = (Flow::of("acme"), Flow::of("acme"));
    world.put(&mut shorter, "b", 1).unwrap();
    world.undo_last(&mut shorter).unwrap();
    world.put(&mut shorter, "b", 1).unwrap();
    world.succeed(&shorter);
    world.put(&mut next, "b", "12345678").unwrap();
}

#[test]
fn latest_reads_see_what_others_have_put() {
    let mut world = World::new("[records.c]\nreads = 'latest'");
    let (mut one, mut other) = (Flow::of("acme"), Flow::of("acme"));
    world.put(&mut one, "k", 1).unwrap();
    assert_eq!(world.get(&other, "k"), Some(json!(1)));
    assert_eq!(keys(&mut world, &other, "k"), ["k"]);
    assert_eq!(world.put(&mut other, "k", 2).unwrap_err().kind, "Busy");
    world.undo_last(&mut one).unwrap();
    assert_eq!(world.get(&other, "k"), None);
}

#[test]
fn a_page_asks_the_database_for_no_more_than_its_keys() {
    let mut world = World::new(PLAIN);
    world.first_keys = ["a", "b", "c"].map(Into::into).to_vec();
    let one = Flow::of("acme");
    let list = RecordList {
        collection: "c".to_owned(),
        prefix: String::new(),
        cursor: None,
        limit: 2,
    };
    let page = world.look_up(&one, &list).unwrap();
    assert_eq!(page.next.as_deref(), Some("c"));
    let range = ["acme", "c", "", "c"].map(|text| Cell::Text(text.into()));
    assert_eq!(world.scanned, [range]);
}

#[test]
fn a_collection_that_is_not_set_up_does_not_exist_and_the_error_names_the_table_to_add() {
    let mut world = World::new("[records.d]");
    let mut one = Flow::of("acme");
    let error = world.put(&mut one, "k", 1).unwrap_err();
    assert_eq!(error.kind, "CollectionNotFound");
    assert!(error.message.contains("[records.c]"), "{error}");
    let mut world = World::new("[records.c]");
    let error = world.apply(&mut one, &add(1)).unwrap_err();
    assert_eq!(error.kind, "CounterNotFound");
    assert!(error.message.contains("[records.c.counters.n]"), "{error}");
    let next = SequenceNext {
        collection: "c".to_owned(),
        sequence: "s".to_owned(),
    };
    assert_eq!(
        world.apply(&mut one, &next).unwrap_err().kind,
        "SequenceNotFound"
    );
    let error = world
        .apply(&mut Flow::of(""), &put("k", 1, Expect::Any))
        .unwrap_err();
    assert_eq!(error.kind, "NotAuthorized");
    for key in ["", " k", "a\nb", &"k".repeat(256)] {
        assert_eq!(
            world.put(&mut one, key, 1).unwrap_err().kind,
            "InvalidInput"
        );
    }
}

#[test]
fn a_value_must_fit_the_schema() {
    let mut world = World::new("[records.c]\nschema = { type = 'object', required = ['ip'] }");
    let mut one = Flow::of("acme");
    let error = world.put(&mut one, "k", json!({"host": 1})).unwrap_err();
    assert_eq!(error.kind, "InvalidValue");
    assert!(error.message.contains("\"ip\""), "{error}");
    assert_eq!(world.get(&one, "k"), None, "nothing was put");
    world.put(&mut one, "k", json!({"ip": "::1"})).unwrap();
}

#[test]
fn an_operator_publishes_at_once_and_not_over_a_held_key() {
    let mut world = World::new(PLAIN);
    let (mut one, root) = (Flow::of("acme"), Identity::new("root", "acme"));
    world
        .operate(&root, |rows| put("k", 1, Expect::Any).apply(rows))
        .unwrap();
    assert_eq!(world.get(&one, "k"), Some(json!(1)));
    world.put(&mut one, "k", 2).unwrap();
    let error = world
        .operate(&root, |rows| put("k", 3, Expect::Any).apply(rows))
        .unwrap_err();
    assert_eq!(error.kind, "Busy");
    assert!(error.message.contains(&one.id.to_string()), "{error}");
}

#[test]
fn a_released_key_is_free_and_counts_as_taken_back() {
    let mut world = World::new(PLAIN);
    let (mut one, mut other) = (Flow::of("acme"), Flow::of("acme"));
    world.put(&mut one, "k", 1).unwrap();
    assert_eq!(world.release(&other, "k").unwrap_err().kind, "NotHeld");
    world.release(&one, "k").unwrap();
    assert_eq!(world.get(&one, "k"), None);
    world.put(&mut other, "k", 2).unwrap();
    world.succeed(&other);
    world.undo_last(&mut one).unwrap();
    assert_eq!(world.get(&one, "k"), Some(json!(2)), "the other's stays");
}
