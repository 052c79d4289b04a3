//! Idempotency keys: their requests, when they lapse, and the reports they keep of pruned flows.

use cairn_effects::report::{Report, Verdict};
use cairn_model::idempotency::{IdempotencyConfig, asked};

use super::upkeep::Pruned;
use super::upkeep::{DAY, boss, damage, end, number, prune};
use super::*;
use crate::HostStore as _;

const KEEP: Duration = Duration::from_secs(10 * 86_400);

fn config() -> SqliteConfig {
    SqliteConfig {
        idempotency: IdempotencyConfig { keep: KEEP },
        ..crate::any::config(Default::default())
    }
}

fn clocked() -> (Sqlite, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
    let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
    (Sqlite::in_memory(config(), shared).unwrap(), clock)
}

/// Returns the first event of a flow that is requested with `request` under a key.
fn created(key: &str, request: &Value) -> Event {
    Event::Created {
        name: "test".to_owned(),
        requester: ann(),
        request: json!({"given": request}),
        plan: None,
        key: Some(key.to_owned()),
        asked: Some(asked("test", request)),
    }
}

/// Creates a flow under a key, and begins its call.
fn ask(store: &Sqlite, key: &str, request: &Value) -> Result<CallId, StoreError> {
    let call = CallId {
        flow: FlowId::new(),
        task: TaskId::new(),
        phase: Phase::Call,
        attempt: 1,
    };
    let started = Event::Started {
        task: call.task,
        name: "one".to_owned(),
        attempt: 1,
    };
    store.append(call.flow, &[created(key, request), started])?;
    Ok(call)
}

/// Returns the flow that has the key, and whether it has the same request.
#[track_caller]
fn taken(result: Result<CallId, StoreError>) -> (FlowId, bool) {
    match result {
        Err(StoreError::KeyTaken { flow, same }) => (flow, same),
        other => panic!("a key that is taken was expected, not {other:?}"),
    }
}

/// Creates a flow under the key `k` that has succeeded.
fn ended(store: &Sqlite) -> CallId {
    let call = ask(store, "k", &json!(1)).unwrap();
    end(store, call, FlowState::Success, true);
    store.barrier(call.flow).unwrap();
    call
}

const LEAST: Duration = Duration::from_micros(1);

#[test]
fn a_key_stands_for_one_request_until_its_time_is_over() {
    let (store, clock) = clocked();
    let first = ended(&store);
    clock.advance(KEEP - LEAST);
    assert_eq!(taken(ask(&store, "k", &json!(1))), (first.flow, true));
    assert_eq!(taken(ask(&store, "k", &json!(2))), (first.flow, false));
    ask(&store, "other", &json!(1)).unwrap();
    clock.advance(LEAST);
    let second = ask(&store, "k", &json!(2)).unwrap();
    assert_eq!(taken(ask(&store, "k", &json!(2))), (second.flow, true));
    assert_eq!(taken(ask(&store, "k", &json!(1))), (second.flow, false));
}

#[test]
fn the_key_of_a_flow_that_has_not_ended_does_not_lapse() {
    let (store, clock) = clocked();
    let running = ask(&store, "running", &json!(1)).unwrap();
    let incomplete = ask(&store, "incomplete", &json!(1)).unwrap();
    end(&store, incomplete, FlowState::Failure, false);
    let stuck = ask(&store, "stuck", &json!(1)).unwrap();
    end(&store, stuck, FlowState::Success, true);
    let reset = ended(&store);
    store.set_aside(stuck.flow, "no component").unwrap();
    clock.advance(100 * KEEP);
    // In the open batch.
    let again = Event::State {
        from: FlowState::Success,
        to: FlowState::Pending,
    };
    store.append(reset.flow, &[Event::Reset, again]).unwrap();
    for (key, call) in [
        ("running", running),
        ("incomplete", incomplete),
        ("stuck", stuck),
        ("k", reset),
    ] {
        let result = ask(&store, key, &json!(1));
        assert!(result.is_err(), "`{key}` lapsed");
        assert_eq!(taken(result), (call.flow, true), "{key}");
    }
    let pruned = prune(&store, Duration::ZERO);
    assert_eq!((pruned.keys, pruned.flows), (0, 0));

    let accepted = Event::Accepted {
        user_id: "root".to_owned(),
        reason: "seen".to_owned(),
    };
    store.append(incomplete.flow, &[accepted]).unwrap();
    store.barrier(incomplete.flow).unwrap();
    clock.advance(KEEP);
    ask(&store, "incomplete", &json!(2)).unwrap();
}

#[test]
fn a_pruned_flows_key_keeps_its_report_until_its_time_is_over() {
    let (store, clock) = clocked();
    let good = ended(&store);
    let failed = ask(&store, "failed", &json!(1)).unwrap();
    end(&store, failed, FlowState::Failure, true);
    store.barrier(failed.flow).unwrap();
    clock.advance(DAY);
    let kept = |flow| store.read(&ann(), |view| view.kept_report(flow)).unwrap();
    assert_eq!(kept(good.flow), None, "its journal is there");
    let expected = Pruned {
        flows: 2,
        ..Pruned::default()
    };
    assert_eq!(prune(&store, Duration::ZERO), expected);
    assert_eq!(number(&store, "SELECT count(*) FROM journal"), 0);

    let state = |report: Option<Report>| {
        let report = report.expect("the key keeps it");
        assert!(report.pruned && report.transitions.is_empty());
        report.flow.state
    };
    assert_eq!(state(kept(good.flow)), FlowState::Success);
    assert_eq!(state(kept(failed.flow)), FlowState::Failure);
    assert_eq!(taken(ask(&store, "k", &json!(1))), (good.flow, true));
    assert_eq!(taken(ask(&store, "k", &json!(2))), (good.flow, false));

    // Counted from the flow's end, not from the time of pruning.
    clock.advance(KEEP - DAY - LEAST);
    assert_eq!(taken(ask(&store, "k", &json!(1))), (good.flow, true));
    assert_eq!(prune(&store, Duration::ZERO), Pruned::default());
    clock.advance(LEAST);
    ask(&store, "k", &json!(1)).unwrap();
    let expected = Pruned {
        keys: 1,
        ..Pruned::default()
    };
    assert_eq!(prune(&store, 1000 * DAY), expected);
    let keys = "SELECT count(*) FROM idempotency_keys";
    assert_eq!(number(&store, keys), 1, "of the flow that has it now");
}

#[test]
fn a_key_lapses_with_its_flow_there_and_many_are_removed() {
    let (store, clock) = clocked();
    let first = ended(&store);
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
        INSERT INTO idempotency_keys (project_id, key, flow, asked, ended_at, report)
            SELECT printf('p%d', i % 3), printf('%05d', i), randomblob(16), '', 1000000 + i % 2, '{}' FROM n";
    damage(&store, sql);
    clock.advance(KEEP);
    let expected = Pruned {
        keys: 1501,
        ..Pruned::default()
    };
    assert_eq!(prune(&store, 1000 * DAY), expected);
    assert_eq!(events(&store, first.flow).len(), 4, "its flow stays");
    assert_eq!(
        number(&store, "SELECT count(*) FROM idempotency_keys"),
        1500
    );
}

#[test]
fn a_flow_with_a_key_whose_journal_cannot_be_read_is_kept() {
    let (store, clock) = clocked();
    ended(&store);
    damage(&store, "UPDATE journal SET first = 7");
    damage(
        &store,
        "INSERT INTO journal (flow, first, entries) SELECT flow, 0, x'00' FROM journal",
    );
    clock.advance(DAY);
    let expected = Pruned {
        kept: 1,
        ..Pruned::default()
    };
    assert_eq!(prune(&store, Duration::ZERO), expected);
    assert_eq!(number(&store, "SELECT count(*) FROM idempotency_keys"), 1);
}

/// Creates a database of schema 3 with a flow under the key `k`, whose journal has no digest of the request.
fn of_schema_3(path: &Path, flow: FlowId) {
    let connection = rusqlite::Connection::open(path).unwrap();
    for step in [
        include_str!("../../../migrations/stage-1/01-initial.sql"),
        include_str!("../../../migrations/stage-1/02-hosts.sql"),
        include_str!("../../../migrations/stage-1/03-packed-journal.sql"),
        "PRAGMA user_version = 3",
    ] {
        connection.execute_batch(step).unwrap();
    }
    let entry = |event: Value| json!({"at": 1_000_000, "event": event});
    let journal = json!([
        entry(json!({"created": {
            "name": "test", "requester": ann(), "request": {"size": 1, "volume": {"status": "available"}}, "key": "k",
        }})),
        entry(json!({"state": {"from": "PENDING", "to": "SUCCESS"}})),
    ]);
    connection
        .execute(
            "INSERT INTO journal (flow, first, entries) VALUES (?, 0, ?)",
            rusqlite::params![flow.0.as_bytes(), journal.to_string()],
        )
        .unwrap();
    connection
        .execute(
            "INSERT INTO flows (id, name, project_id, user_id, state, created_at, updated_at, entries)
             VALUES (?, 'test', 'acme', 'ann', 'SUCCESS', 1000000, 1000000, 2)",
            [flow.0.as_bytes()],
        )
        .unwrap();
    connection
        .execute(
            "INSERT INTO idempotency_keys (project_id, key, flow) VALUES ('acme', 'k', ?)",
            [flow.0.as_bytes()],
        )
        .unwrap();
}

#[test]
fn a_key_of_schema_3_stands_for_what_its_flow_was_given_also_when_that_is_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let old = FlowId::new();
    of_schema_3(&path, old);
    let clock = Arc::new(ManualClock::new(Timestamp(2_000_000)));
    let store = Sqlite::open(&path, config(), Arc::clone(&clock) as _).unwrap();
    let ask = |asked_for: &Value, given: Value| -> Result<(), StoreError> {
        let event = Event::Created {
            name: "test".to_owned(),
            requester: ann(),
            request: given,
            plan: None,
            key: Some("k".to_owned()),
            asked: Some(asked("test", asked_for)),
        };
        store.append(FlowId::new(), &[event]).map(drop)
    };
    let again = || {
        for (status, expected) in [("available", true), ("error", false)] {
            let given = json!({"size": 1, "volume": {"status": status}});
            match ask(&json!({"size": 1}), given) {
                Err(StoreError::KeyTaken { flow, same }) => {
                    assert_eq!((flow, same), (old, expected))
                }
                other => panic!("{other:?}"),
            }
        }
    };
    again();
    assert_eq!(prune(&store, Duration::ZERO).flows, 1);
    again();
    let kept = store.read(&boss(), |view| view.kept_report(old)).unwrap();
    assert_eq!(kept.unwrap().flow.state, FlowState::Success);
    clock.advance(KEEP);
    ask(&json!({"size": 1}), json!({})).unwrap();
}

#[test]
fn what_a_key_keeps_is_short_and_says_how_the_flow_ended() {
    let (store, clock) = clocked();
    let call = ask(&store, "k", &json!(1)).unwrap();
    made(apply(&store, call, &ann(), create()));
    let long = "ü".repeat(4_000);
    let error =
        cairn_model::error::TaskError::new("Broken", long.clone()).with("text", long.clone());
    let failed = cairn_model::error::Cause {
        task: "one".to_owned(),
        error: error.clone(),
    };
    let state = |from, to| Event::State { from, to };
    let events = [
        Event::Succeeded {
            task: call.task,
            result: Arc::new(json!({"text": long})),
        },
        Event::Failed(failed),
        state(FlowState::Running, FlowState::Reverting),
        Event::Reverted {
            task: call.task,
            disposition: cairn_effects::event::Disposition::Keep,
        },
        state(FlowState::Reverting, FlowState::Failure),
    ];
    store.append(call.flow, &events).unwrap();
    store.barrier(call.flow).unwrap();
    clock.advance(DAY);
    assert_eq!(prune(&store, Duration::ZERO).flows, 1);
    let kept = store.read(&ann(), |view| view.kept_report(call.flow));
    let kept = kept.unwrap().expect("the key keeps it");
    assert!(serde_json::to_string(&kept).unwrap().len() < 4_000);
    let rollback = kept.rollback.expect("it was rolled back");
    assert_eq!(rollback.verdict, Verdict::Kept);
    assert_eq!(rollback.residue[0].kind, "volume");
    let error = kept.error.unwrap();
    assert_eq!(
        (error.kind.as_str(), error.details),
        ("Broken", Value::Null)
    );
    assert!(error.message.starts_with("üü") && error.message.ends_with('…'));
    assert_eq!(*kept.tasks[0].result, Value::Null);
}
