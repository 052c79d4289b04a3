//! Records when a flow ends, and when it is rolled back afterwards.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn nothing_can_conflict_when_a_flow_succeeds() {
    let world = World::new(PLAIN);
    world.succeeds([puts("k", "before")]);
    let other = world.clone();
    let flow = world.succeeds([
        puts("k", "after"),
        step("others", move |_| {
            // The key belongs to this flow, whatever others try meanwhile.
            assert_eq!(other.fails([puts("k", "theirs")]).kind, "Busy");
            refused(other.puts("k", "an operator's"));
            Ok(())
        }),
    ]);
    assert_eq!(flow.state(), FlowState::Success);
    assert_eq!(world.get("k"), Some(json!("after")));
}

#[test]
fn publishing_is_part_of_the_commit_that_records_success() {
    let folder = tempfile::tempdir().unwrap();
    let settings = || Settings::parse(PLAIN, Path::new("cairn.toml")).unwrap();
    let open = |name: &str| {
        let config = SqliteConfig {
            domains: Domains::new([cairn::records::domain(settings())]).unwrap(),
            ..SqliteConfig::default()
        };
        World(Arc::new(
            Sqlite::open(&folder.path().join(name), config, Arc::new(SystemClock)).unwrap(),
        ))
    };
    let live = open("live.db");
    let copy = |name: &str| {
        for suffix in ["", "-wal"] {
            let from = folder.path().join(format!("live.db{suffix}"));
            std::fs::copy(from, folder.path().join(format!("{name}{suffix}"))).unwrap();
        }
    };
    // The state on disk before the flow has succeeded, and after.
    let waiting = live.waits(puts("k", 1));
    copy("before.db");
    waiting.resume_to_end().wait().unwrap();
    copy("after.db");
    for (name, published) in [("before.db", None), ("after.db", Some(json!(1)))] {
        let found = open(name);
        assert_eq!(found.get("k"), published, "{name}");
        let is_held = !found.shows("k").unwrap()["held"].is_null();
        assert_eq!(is_held, published.is_none(), "{name}");
    }
}

#[test]
fn a_failure_leaves_every_record_as_it_was() {
    let world = World::new(PLAIN);
    world.succeeds([puts("old", 1), puts("gone", 1)]);
    let before = world.lists();
    let flow = world.flow([
        puts("old", 2),
        puts("new", 2),
        step("remove", |context| remove(context, "gone")),
        puts("gone", 3),
        puts("old", 4),
        fails(),
    ]);
    failed(&flow);
    let rollback = rollback(&flow);
    assert_eq!(
        (rollback.verdict, left(&rollback)),
        (Verdict::Clean, vec![])
    );
    assert_eq!(world.lists(), before, "with their versions");
}

#[test]
fn a_rollback_after_success_restores_what_was_published_before() {
    let world = World::new(PLAIN);
    world.succeeds([puts("old", "before"), puts("gone", "before")]);
    let value = |record: &Object| {
        (
            record["key"].clone(),
            record["value"].clone(),
            record["version"].clone(),
        )
    };
    let before: Vec<_> = world.lists().iter().map(value).collect();
    let flow = world.succeeds([
        puts("old", "between"),
        puts("old", "after"),
        puts("new", "after"),
        step("remove", |context| remove(context, "gone")),
    ]);
    assert_eq!(world.get("old"), Some(json!("after")));
    assert_eq!(roll_back(&flow).verdict, Verdict::Clean);
    let after: Vec<_> = world.lists().iter().map(value).collect();
    assert_eq!(after, before);
}

#[test]
fn a_rollback_is_refused_for_a_record_that_another_flow_changed_and_names_both_values() {
    let world = World::new(PLAIN);
    let flow = world.succeeds([puts("mine", 1), puts("shared", "ours")]);
    let other = world.succeeds([puts("shared", "theirs")]);
    let report = roll_back(&flow);
    assert_eq!(report.verdict, Verdict::Incomplete);
    let [failed] = report.failed.as_slice() else {
        panic!("{:?}", report.failed)
    };
    let error = failed.error.as_ref().unwrap();
    assert_eq!(
        (failed.task.as_str(), error.kind.as_str()),
        ("put 1", "UndoRefused")
    );
    assert!(
        error.message.contains("\"theirs\"") && error.message.contains("\"ours\""),
        "{error}"
    );
    assert!(error.message.contains("acme/c/shared"), "{error}");
    // The other record was undone, and this one has the value of the other flow.
    assert_eq!(world.get("mine"), None);
    assert_eq!(world.get("shared"), Some(json!("theirs")));
    // After the other flow is rolled back, this one can be.
    assert_eq!(roll_back(&other).verdict, Verdict::Clean);
    assert_eq!(roll_back(&flow).verdict, Verdict::Clean);
    assert_eq!(world.get("shared"), None);
}

#[test]
fn a_rollback_is_refused_for_a_record_that_another_flow_holds_and_names_that_flow() {
    let world = World::new(PLAIN);
    let flow = world.succeeds([puts("k", 1)]);
    let waiting = world.waits(puts("k", 2));
    let report = roll_back(&flow);
    assert_eq!(report.verdict, Verdict::Incomplete);
    let error = report.failed[0].error.clone().unwrap();
    assert!(error.message.contains(&waiting.id().to_string()), "{error}");
    assert_eq!(
        roll_back(&waiting).verdict,
        Verdict::Clean,
        "what it saw before could not change"
    );
    assert_eq!(roll_back(&flow).verdict, Verdict::Clean);
}

#[test]
fn at_failure_what_a_reverted_task_keeps_or_its_revert_puts_is_published_and_reported() {
    let world = World::new(PLAIN);
    let flow = world.flow([
        puts("kept", 1).reverts(|_| Ok(Disposition::Keep)),
        puts("undone", 2),
        puts("marked", "made").reverts(|context| {
            put(context, "marked", "taken back")?;
            Ok(Disposition::Keep)
        }),
        fails(),
    ]);
    failed(&flow);
    let rollback = rollback(&flow);
    assert_eq!(rollback.verdict, Verdict::Kept);
    assert_eq!(
        left(&rollback),
        [("record", "acme/c/kept"), ("record", "acme/c/marked")]
    );
    assert_eq!(rollback.residue[0].after, json!({"value": "1"}));
    assert_eq!(world.get("kept"), Some(json!(1)));
    assert_eq!(world.get("undone"), None);
    assert_eq!(world.get("marked"), Some(json!("taken back")));
    world.succeeds([puts("kept", 2), puts("marked", 2)]);
}

/// Returns a task that puts a record, and whose revert fails while `sick` is set.
fn reverts_badly(key: &'static str, sick: &Arc<AtomicBool>) -> Step {
    let sick = Arc::clone(sick);
    puts(key, "stuck").reverts(move |_| match sick.load(Ordering::Relaxed) {
        true => Err(broken()),
        false => Ok(Disposition::Undo),
    })
}

#[test]
fn tasks_that_could_not_be_reverted_keep_their_keys_until_the_rollback_is_repeated() {
    let world = World::new(PLAIN);
    let sick = Arc::new(AtomicBool::new(true));
    let flow = world.flow([
        puts("kept", 1).reverts(|_| Ok(Disposition::Keep)),
        reverts_badly("stuck", &sick),
        fails(),
    ]);
    failed(&flow);
    assert_eq!(rollback(&flow).verdict, Verdict::Incomplete);
    assert_eq!(world.get("kept"), Some(json!(1)), "its task was reverted");
    assert_eq!(world.get("stuck"), None, "it is not published");
    assert_eq!(world.fails([puts("stuck", 2)]).kind, "Busy");
    sick.store(false, Ordering::Relaxed);
    assert_eq!(roll_back(&flow).verdict, Verdict::Kept);
    assert_eq!(world.get("stuck"), None);
    world.succeeds([puts("stuck", 2)]);
}

#[test]
fn tasks_that_could_not_be_reverted_keep_their_keys_until_the_rollback_is_accepted() {
    let world = World::new(PLAIN);
    let sick = Arc::new(AtomicBool::new(true));
    let flow = world.flow([reverts_badly("stuck", &sick), fails()]);
    failed(&flow);
    assert_eq!(world.fails([puts("stuck", 2)]).kind, "Busy");
    flow.accept("root", "it is all right").unwrap();
    assert_eq!(world.get("stuck"), Some(json!("stuck")));
    assert_eq!(left(&rollback(&flow)), [("record", "acme/c/stuck")]);
    world.succeeds([puts("stuck", 2)]);
}
