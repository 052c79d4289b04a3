//! Operators read and change records.

use cairn::records::operator::ReadRecords as _;

use super::*;

#[test]
fn show_names_the_flow_that_holds_a_key_and_what_it_has_put() {
    let world = World::new(PLAIN);
    world.puts("k", "published").unwrap();
    let waiting = world.waits(puts("k", "pending"));
    let shown = world.shows("k").unwrap();
    assert_eq!(shown["value"], json!("published"));
    assert_eq!(shown["held"]["flow"], json!(waiting.id().to_string()));
    assert_eq!(shown["held"]["value"], json!("pending"));
    assert_eq!(shown["held"]["removes"], json!(false));
    assert_eq!(world.lists(), [shown]);
    waiting.resume_to_end().wait().unwrap();
    let shown = world.shows("k").unwrap();
    assert_eq!(
        (&shown["value"], &shown["held"]),
        (&json!("pending"), &Value::Null)
    );
    let error = refused(world.shows("x"));
    assert_eq!(error.kind, "RecordNotFound");
}

#[test]
fn an_operator_changes_no_held_key_and_is_told_the_flow() {
    let world = World::new(PLAIN);
    world.puts("k", 1).unwrap();
    let waiting = world.waits(puts("k", 2));
    for error in [refused(world.puts("k", 3)), refused(world.removes("k"))] {
        assert_eq!(error.kind, "Busy");
        assert!(error.message.contains(&waiting.id().to_string()), "{error}");
    }
    waiting.resume_to_end().wait().unwrap();
    world.puts("k", 3).unwrap();
    assert_eq!(world.get("k"), Some(json!(3)));
    world.removes("k").unwrap();
    assert_eq!(world.get("k"), None);
    assert_eq!(refused(world.removes("k")).kind, "RecordNotFound");
}

#[test]
fn a_key_of_a_flow_that_can_go_on_is_not_released() {
    let world = World::new(PLAIN);
    let waiting = world.waits(puts("k", 1));
    let error = refused(world.releases("k", &waiting));
    assert_eq!(error.kind, "FlowUnfinished");
    assert!(error.message.contains("cairn flow resume"), "{error}");
    assert!(
        !world.shows("k").unwrap()["held"].is_null(),
        "nothing was changed"
    );
    let other = world.flow([]);
    assert_eq!(refused(world.releases("k", &other)).kind, "NotHeld");
}

#[test]
fn a_key_of_a_stuck_flow_is_released_and_its_rollback_is_clean_afterwards() {
    let world = World::new(PLAIN);
    world.puts("k", "before").unwrap();
    let sick = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_sick = Arc::clone(&sick);
    let flow = world.flow([
        puts("k", "stuck").reverts(move |_| {
            match is_sick.load(std::sync::atomic::Ordering::Relaxed) {
                true => Err(broken()),
                false => Ok(Disposition::Undo),
            }
        }),
        fails(),
    ]);
    failed(&flow);
    assert_eq!(world.fails([puts("k", 1)]).kind, "Busy");
    world.releases("k", &flow).unwrap();
    assert_eq!(world.get("k"), Some(json!("before")));
    world.succeeds([puts("k", "other")]);
    sick.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(roll_back(&flow).verdict, Verdict::Clean);
    assert_eq!(world.get("k"), Some(json!("other")));
    let releases = world.0.read(&World::operator(), |view| {
        view.query("SELECT user_id, reason FROM record_releases", &[])
    });
    assert_eq!(releases.unwrap(), [["root".into(), "it is stuck".into()]]);
}

#[test]
fn a_list_is_read_from_a_key_on_and_by_a_prefix() {
    let world = World::new(PLAIN);
    for key in ["a", "b/1", "b/2", "b/3", "c"] {
        world.puts(key, 1).unwrap();
    }
    let keys = |prefix, after, limit| {
        let listing = RecordListing {
            collection: "c",
            prefix,
            after,
            limit,
        };
        let found = world
            .0
            .read(&World::operator(), |view| view.records(listing))
            .unwrap();
        let keys = found
            .iter()
            .map(|record| record["key"].as_str().unwrap().to_owned());
        keys.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(keys("", Bound::Unbounded, 9), "a b/1 b/2 b/3 c");
    assert_eq!(keys("b/", Bound::Unbounded, 2), "b/1 b/2");
    assert_eq!(keys("b/", Bound::Excluded("b/2"), 9), "b/3");
    assert_eq!(keys("b/", Bound::Excluded("a"), 9), "b/1 b/2 b/3");
    assert_eq!(keys("", Bound::Excluded("b/3"), 9), "c");
}
