//! Keys that a flow holds (locks).

use cairn::retry::Retry;

use super::*;

#[test]
fn a_put_takes_the_key_for_its_flow_at_once() {
    let world = World::new(PLAIN);
    let other = world.clone();
    world.succeeds([step("put", move |context| {
        put(context, "k", 1)?;
        assert_eq!(other.fails([puts("k", 2)]).kind, "Busy");
        Ok(())
    })]);
    assert_eq!(world.get("k"), Some(json!(1)));
}

#[test]
fn a_remove_takes_the_key_for_its_flow_at_once() {
    let world = World::new(PLAIN);
    world.succeeds([puts("k", 1)]);
    let other = world.clone();
    world.succeeds([step("remove", move |context| {
        remove(context, "k")?;
        assert_eq!(other.fails([puts("k", 2)]).kind, "Busy");
        assert_eq!(
            other
                .fails([step("remove", |context| remove(context, "k"))])
                .kind,
            "Busy"
        );
        Ok(())
    })]);
    assert_eq!(world.get("k"), None);
}

#[test]
fn busy_names_the_collection_and_the_key_and_nothing_of_the_other_flow() {
    let world = World::new(PLAIN);
    let waiting = world.waits(puts("k", "a secret"));
    let busy = world.fails([puts("k", 2)]);
    assert_eq!(busy.details, json!({"collection": "c", "key": "k"}));
    assert!(busy.message.contains("cairn record show c k"), "{busy}");
    let id = waiting.id().to_string();
    assert!(
        !busy.message.contains(&id) && !busy.message.contains("secret"),
        "{busy}"
    );
}

#[test]
fn busy_is_a_kind_that_a_task_may_be_tried_again_after() {
    let world = World::new(PLAIN);
    let waiting = world.waits(puts("k", 1));
    let tried = std::sync::Mutex::new(0);
    let goes_on = waiting.clone();
    let flow = world.flow([]);
    let options = TaskOptions {
        call: Retry {
            attempts: 3,
            on: Some(vec!["Busy".to_owned()]),
            ..Retry::default()
        },
        ..TaskOptions::default()
    };
    let retried = step("put", move |context| {
        let mut tried = tried.lock().unwrap();
        *tried += 1;
        if *tried == 2 {
            goes_on.resume_to_end().wait().unwrap();
        }
        put(context, "k", 2).map(drop)
    });
    flow.add_with(Arc::new(retried), options).unwrap();
    flow.run().unwrap();
    assert_eq!(waiting.state(), FlowState::Success);
    assert_eq!(world.get("k"), Some(json!(2)));
}

#[test]
fn another_flow_that_reads_a_held_key_sees_the_value_of_before() {
    let world = World::new(PLAIN);
    world.succeeds([puts("old", "before"), puts("gone", "before")]);
    let other = world.clone();
    world.succeeds([step("changes", move |context| {
        put(context, "old", "after")?;
        put(context, "new", "after")?;
        remove(context, "gone")?;
        assert_eq!(other.get("old"), Some(json!("before")));
        assert_eq!(other.get("new"), None);
        assert_eq!(other.get("gone"), Some(json!("before")));
        let listed = other.sees(|context| list(context, ""));
        let keys: Vec<_> = listed
            .entries
            .iter()
            .map(|entry| (&*entry.key, entry.value.clone()))
            .collect();
        assert_eq!(keys, [("gone", json!("before")), ("old", json!("before"))]);
        Ok(())
    })]);
    assert_eq!(world.get("old"), Some(json!("after")));
    assert_eq!(world.get("new"), Some(json!("after")));
    assert_eq!(world.get("gone"), None);
}

#[test]
fn a_flow_that_waits_keeps_its_keys_and_publishes_them_when_it_goes_on() {
    let world = World::new(PLAIN);
    let waiting = world.waits(puts("k", 1));
    assert_eq!(world.fails([puts("k", 2)]).kind, "Busy");
    assert_eq!(world.get("k"), None);
    waiting.resume_to_end().wait().unwrap();
    assert_eq!(world.get("k"), Some(json!(1)));
    world.succeeds([puts("k", 2)]);
}

#[test]
fn a_flow_that_waits_and_is_rolled_back_lets_its_keys_go() {
    let world = World::new(PLAIN);
    let waiting = world.waits(puts("k", 1));
    assert_eq!(roll_back(&waiting).verdict, Verdict::Clean);
    assert_eq!(world.get("k"), None);
    world.succeeds([puts("k", 2)]);
}

#[test]
fn a_call_that_fails_lets_go_what_it_took_and_keeps_nothing_of_it() {
    let world = World::new(PLAIN);
    world.succeeds([puts("k", "before")]);
    let other = world.clone();
    let flow = world.flow([step("fails", |context| {
        put(context, "k", "after")?;
        put(context, "new", 1)?;
        Err(broken())
    })
    .reverts(move |_| {
        // The call's effects are undone before its revert is called.
        other.succeeds([puts("new", 2)]);
        Ok(Disposition::Undo)
    })]);
    failed(&flow);
    assert_eq!(rollback(&flow).verdict, Verdict::Clean);
    assert_eq!(world.get("k"), Some(json!("before")));
    assert_eq!(world.get("new"), Some(json!(2)));
}

#[test]
fn two_projects_have_keys_counters_and_sequences_of_their_own() {
    let world = World::new(PLAIN);
    let other = world.clone();
    world.succeeds([step("changes", move |context| {
        put(context, "k", 1)?;
        add(context, 10)?;
        assert_eq!(next(context), 1);
        let theirs = other.sees_as("other", |context| {
            let before = get(context, "k");
            put(context, "k", 2).unwrap();
            add(context, 10).unwrap();
            (before, next(context))
        });
        assert_eq!(theirs, (None, 1));
        Ok(())
    })]);
    assert_eq!(world.get("k"), Some(json!(1)));
    assert_eq!(
        world.sees_as("other", |context| (get(context, "k"), count(context))),
        (Some(json!(2)), 10)
    );
}
