//! Drift, expiry and pruning.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cairn_model::error::TaskError;
use cairn_volumes::quota::Drift;

use super::*;
use crate::operator::{Expired, NewVolumeType};
use crate::view::{self, Reader};

pub(super) const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn boss() -> Identity {
    Identity::new("root", "ops").into_admin()
}

fn clocked() -> (Sqlite, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
    let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let store = Sqlite::in_memory(crate::any::config(Default::default()), shared).unwrap();
    (store, clock)
}

/// Writes to the database, bypassing the rules.
pub(super) fn damage(store: &Sqlite, statement: &str) {
    let mut writer = store.writer();
    writer.ledger.commit().unwrap();
    writer
        .ledger
        .backend
        .connection
        .execute_batch(statement)
        .unwrap();
    writer.ledger.overlay.forget();
}

pub(super) fn number(store: &Sqlite, query: &str) -> i64 {
    let mut writer = store.writer();
    writer.ledger.commit().unwrap();
    writer
        .ledger
        .backend
        .connection
        .query_row(query, [], |row| row.get(0))
        .unwrap()
}

/// Returns the drift as `project/resource found -> expected`, counters as `in_use+reserved`.
fn shown(drift: Vec<Drift>) -> Vec<String> {
    let shown = drift.into_iter().map(|drift| {
        let counters = |counters: cairn_volumes::quota::Counters| {
            format!("{}+{}", counters.in_use, counters.reserved)
        };
        let found = drift.found.map_or("none".to_owned(), counters);
        let expected = counters(drift.expected);
        format!("{}/{} {found} -> {expected}", drift.project, drift.resource)
    });
    shown.collect()
}

pub(super) fn drift(store: &Sqlite) -> Vec<String> {
    shown(store.read(&boss(), |view| view.quota_drift(None)).unwrap())
}

pub(super) fn gold(store: &Sqlite) -> String {
    let new = NewVolumeType {
        name: "gold".to_owned(),
        ..NewVolumeType::default()
    };
    store
        .admin(&boss(), |admin| admin.create_volume_type(&new))
        .unwrap()
}

pub(super) fn volume(store: &Sqlite, volume_type: Option<&str>) -> String {
    let properties = json!({"size": 3, "status": "available", "volume_type_id": volume_type});
    let properties = properties.as_object().cloned().unwrap();
    let volume = store
        .admin(&ann(), |admin| admin.create_volume(properties))
        .unwrap();
    volume["id"].as_str().unwrap().to_owned()
}

pub(super) fn snapshot(store: &Sqlite, volume: &str) {
    store
        .admin(&ann(), |admin| {
            admin.create_snapshot(volume, None, "available")
        })
        .unwrap();
}

pub(super) fn commit(answer: Answer) -> Effect {
    let Answer::Reservations(reservations) = answer else {
        panic!("reservations were expected, not {answer:?}")
    };
    Effect::QuotaCommit(QuotaCommit {
        reservations,
        project: None,
    })
}

/// Ends a flow that has started one task.
pub(super) fn end(store: &Sqlite, call: CallId, state: FlowState, reverted: bool) {
    let mut events = Vec::new();
    if reverted {
        events.push(Event::Reverted {
            task: call.task,
            disposition: cairn_effects::event::Disposition::Undo,
        });
    } else if state == FlowState::Failure {
        events.push(Event::RevertFailed {
            task: call.task,
            error: TaskError::new("Busy", "not now"),
        });
    }
    events.push(Event::State {
        from: FlowState::Running,
        to: state,
    });
    store.append(call.flow, &events).unwrap();
}

// ---- Drift -------------------------------------------------------------------------------------------------------

#[test]
fn what_is_booked_with_its_type_and_its_snapshots_is_no_drift() {
    let store = memory();
    let gold = gold(&store);
    let first = volume(&store, Some(&gold));
    volume(&store, None);
    snapshot(&store, &first);
    assert_eq!(drift(&store), [] as [&str; 0]);
    assert_eq!(
        number(
            &store,
            "SELECT in_use FROM quota_usages WHERE resource = 'gigabytes'"
        ),
        9
    );
    store
        .admin(&boss(), |admin| admin.delete_volume_type(&gold, true))
        .unwrap();
    assert_eq!(
        drift(&store),
        [] as [&str; 0],
        "a deleted type's usages stay"
    );
}

#[test]
fn each_sort_of_drift_is_found_and_mended() {
    for (statement, expected) in [
        (
            "UPDATE quota_usages SET in_use = in_use + 2 WHERE resource = 'volumes'",
            &["acme/volumes 3+0 -> 1+0"][..],
        ),
        (
            "UPDATE quota_usages SET in_use = 0 WHERE resource = 'gigabytes_gold'",
            &["acme/gigabytes_gold 0+0 -> 6+0"],
        ),
        (
            "UPDATE quota_usages SET reserved = 4 WHERE resource = 'snapshots'",
            &["acme/snapshots 1+4 -> 1+0"],
        ),
        (
            "DELETE FROM quota_usages WHERE resource = 'snapshots_gold'",
            &["acme/snapshots_gold none -> 1+0"],
        ),
        (
            "UPDATE quota_usages SET deleted = 1 WHERE resource = 'volumes'",
            &["acme/volumes none -> 1+0"],
        ),
        (
            "UPDATE volumes SET deleted = 1",
            &[
                "acme/gigabytes 6+0 -> 3+0",
                "acme/gigabytes_gold 6+0 -> 3+0",
                "acme/volumes 1+0 -> 0+0",
                "acme/volumes_gold 1+0 -> 0+0",
            ],
        ),
        (
            "INSERT INTO reservations (id, project_id, resource, delta, expire, created_at)
                 VALUES ('r', 'umbrella', 'volumes', 2, 0, 0), ('g', 'umbrella', 'volumes', -1, 0, 0);
             INSERT INTO quota_usages (project_id, resource, in_use, reserved) VALUES ('wayne', 'floppies', 0, 1)",
            &["umbrella/volumes none -> 0+2", "wayne/floppies 0+1 -> 0+0"],
        ),
    ] {
        let store = memory();
        let gold = gold(&store);
        let id = volume(&store, Some(&gold));
        snapshot(&store, &id);
        damage(&store, statement);
        assert_eq!(drift(&store), expected, "{statement}");
        let mended = store.admin(&boss(), |admin| admin.sync_usages()).unwrap();
        assert_eq!(shown(mended), expected);
        assert_eq!(drift(&store), [] as [&str; 0], "{statement}");
    }
}

#[test]
fn sizes_that_no_float_can_hold_are_added_up_exactly() {
    let store = memory();
    damage(
        &store,
        "INSERT INTO volumes (id, project_id, size, status, booked, created_at)
             VALUES ('a', 'acme', 9007199254740993, 'available', 1, 0), ('b', 'acme', 9223372036854775807, 'available', 1, 0),
                    ('c', 'acme', -9223372036854775807, 'available', 1, 0), ('d', 'acme', NULL, 'available', 1, 0);
         INSERT INTO quota_usages (project_id, resource, in_use, reserved)
             VALUES ('acme', 'volumes', 4, 0), ('acme', 'gigabytes', 9007199254740993, 0)",
    );
    assert_eq!(drift(&store), [] as [&str; 0]);
}

#[test]
fn snapshots_count_in_gigabytes_unless_they_are_left_out() {
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let config = any::config(Settings {
        quota: cairn_volumes::quota::QuotaConfig {
            no_snapshot_gigabytes: true,
            ..Default::default()
        },
        ..Settings::default()
    });
    let store = Sqlite::in_memory(config, clock).unwrap();
    let id = volume(&store, None);
    snapshot(&store, &id);
    assert_eq!(drift(&store), [] as [&str; 0]);
}

#[test]
fn a_project_is_checked_alone_and_all_of_them_for_admins() {
    let store = memory();
    volume(&store, None);
    damage(
        &store,
        "INSERT INTO quota_usages (project_id, resource, in_use, reserved) VALUES ('umbrella', 'volumes', 1, 0)",
    );
    let check = |who: &Identity, project: Option<&str>| {
        store.read(who, |view| view.quota_drift(project)).map(shown)
    };
    assert_eq!(check(&ann(), Some("acme")).unwrap(), [] as [&str; 0]);
    assert_eq!(
        check(&boss(), Some("umbrella")).unwrap(),
        ["umbrella/volumes 1+0 -> 0+0"]
    );
    for project in [None, Some("umbrella")] {
        assert_eq!(refusal(check(&ann(), project)), "NotAuthorized");
    }
    assert_eq!(
        refusal(store.admin(&ann(), |admin| admin.sync_usages())),
        "AdminRequired"
    );
}

#[test]
fn no_step_of_a_flow_drifts_and_neither_does_its_rollback() {
    let store = memory();
    let call = begin(&store, &ann());
    let mut applied = Vec::new();
    let both = Effect::QuotaReserve(QuotaReserve {
        project: None,
        deltas: BTreeMap::from([("volumes".to_owned(), 1), ("gigabytes".to_owned(), 1)]),
        expiry: Expiry::Default,
    });
    let (answer, reserved) = apply(&store, call, &ann(), both).unwrap();
    assert_eq!(drift(&store), [] as [&str; 0]);
    applied.push(reserved);
    applied.push(made(apply(&store, call, &ann(), create())).1);
    assert_eq!(drift(&store), [] as [&str; 0]);
    applied.push(apply(&store, call, &ann(), commit(answer)).unwrap().1);
    assert_eq!(number(&store, "SELECT booked FROM volumes"), 1);
    assert_eq!(drift(&store), [] as [&str; 0]);
    for applied in applied.iter().rev() {
        store.undo(applied).unwrap();
        assert_eq!(drift(&store), [] as [&str; 0]);
    }
}

#[test]
fn what_is_mended_in_the_middle_of_a_flow_is_right_when_the_flow_is_undone() {
    let store = memory();
    let call = begin(&store, &ann());
    let (_, reserved) = apply(&store, call, &ann(), reserve(2)).unwrap();
    damage(&store, "UPDATE quota_usages SET in_use = 5, reserved = 7");
    assert_eq!(drift(&store), ["acme/volumes 5+7 -> 0+2"]);
    store.admin(&boss(), |admin| admin.sync_usages()).unwrap();
    let (_, more) = apply(&store, call, &ann(), reserve(1)).unwrap();
    store.undo(&more).unwrap();
    store.undo(&reserved).unwrap();
    assert_eq!(drift(&store), [] as [&str; 0]);
    assert_eq!(number(&store, "SELECT reserved FROM quota_usages"), 0);
}

#[test]
fn what_others_write_meanwhile_is_no_drift() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(0)));
    let store = Sqlite::open(
        &path,
        crate::any::config(Default::default()),
        Arc::clone(&clock),
    )
    .unwrap();
    volume(&store, None);
    let reader = Reader::open(&path, crate::any::config(Default::default()), clock).unwrap();
    let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (mut checks, boss) = (0, boss());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let id = volume(&store, None);
                store
                    .admin(&ann(), |admin| admin.delete_volume(&id))
                    .unwrap();
                written.fetch_add(2, Ordering::Relaxed);
            }
        });
        let mut found = Vec::new();
        while found.is_empty() && written.load(Ordering::Relaxed) < 600 {
            found = reader.view(&boss).quota_drift(None).unwrap();
            checks += 1;
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(shown(found), [] as [&str; 0], "after {checks} checks");
    });
    assert!(checks > 100, "{checks}");
}

// ---- Expiry ------------------------------------------------------------------------------------------------------

#[test]
fn a_reservation_that_lapsed_is_rolled_back_unless_its_flow_has_not_ended() {
    let (store, clock) = clocked();
    let (running, failed) = (begin(&store, &ann()), begin(&store, &ann()));
    let (_, held) = apply(&store, running, &ann(), reserve(1)).unwrap();
    apply(&store, failed, &ann(), reserve(2)).unwrap();
    let caller = Caller {
        call: None,
        requester: &ann(),
    };
    reserve(3).apply_in(&store, caller).unwrap();
    end(&store, failed, FlowState::Failure, false);
    let expire = || {
        store
            .admin(&boss(), |admin| admin.expire_reservations())
            .unwrap()
    };
    assert_eq!(expire(), Expired::default(), "none has lapsed");
    clock.advance(2 * DAY);
    let expected = Expired {
        rolled_back: 2,
        kept: 1,
    };
    assert_eq!(expire(), expected);
    assert_eq!(number(&store, "SELECT reserved FROM quota_usages"), 1);
    assert_eq!(drift(&store), [] as [&str; 0]);
    store.undo(&held).unwrap();
    assert_eq!(number(&store, "SELECT reserved FROM quota_usages"), 0);
    assert_eq!(expire(), Expired::default());
}

// ---- Pruning -----------------------------------------------------------------------------------------------------

/// Returns what pruning removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pruned {
    pub(super) flows: usize,
    pub(super) reservations: usize,
    pub(super) messages: usize,
    pub(super) keys: usize,
    pub(super) kept: usize,
}

impl From<view::Pruned> for Pruned {
    fn from(pruned: view::Pruned) -> Self {
        let [reservations, messages] = pruned.rows.as_slice() else {
            panic!("{:?}", pruned.rows);
        };
        assert_eq!(
            (reservations.name, messages.name),
            ("reservations", "messages")
        );
        Self {
            flows: pruned.flows,
            reservations: reservations.count,
            messages: messages.count,
            keys: pruned.keys,
            kept: pruned.kept,
        }
    }
}

pub(super) fn prune(store: &Sqlite, older_than: Duration) -> Pruned {
    let would = store
        .read(&boss(), |view| view.would_prune(older_than))
        .unwrap();
    let pruned = store.prune_flows(&boss(), older_than).unwrap();
    assert_eq!(would, pruned, "what would be removed is removed");
    pruned.into()
}

fn send(store: &Sqlite, call: CallId) {
    let cast = Effect::Cast(Cast {
        topic: "t".to_owned(),
        method: "m".to_owned(),
        arguments: json!({}),
    });
    apply(store, call, &ann(), cast).unwrap();
}

#[test]
fn flows_that_ended_long_ago_are_forgotten_and_no_others() {
    let (store, clock) = clocked();
    let flows: Vec<CallId> = (0..6).map(|_| begin(&store, &ann())).collect();
    let [succeeded, failed, incomplete, running, interrupted, recent] = flows[..] else {
        panic!("six flows")
    };
    end(&store, succeeded, FlowState::Success, false);
    end(&store, failed, FlowState::Failure, true);
    end(&store, incomplete, FlowState::Failure, false);
    end(&store, interrupted, FlowState::Interrupted, false);
    clock.advance(DAY);
    end(&store, recent, FlowState::Success, false);
    clock.advance(DAY);
    assert_eq!(prune(&store, 3 * DAY), Pruned::default());
    assert_eq!(prune(&store, 2 * DAY), Pruned::default(), "not older");
    let expected = Pruned {
        flows: 2,
        kept: 1,
        ..Pruned::default()
    };
    assert_eq!(prune(&store, 2 * DAY - Duration::from_micros(1)), expected);
    for (call, stays) in [
        (succeeded, false),
        (failed, false),
        (incomplete, true),
        (running, true),
        (interrupted, true),
        (recent, true),
    ] {
        assert_eq!(!events(&store, call.flow).is_empty(), stays);
    }
    assert_eq!(number(&store, "SELECT COUNT(*) FROM flows"), 4);
}

#[test]
fn what_a_flow_wrote_after_it_had_ended_counts() {
    let (store, clock) = clocked();
    let call = begin(&store, &ann());
    end(&store, call, FlowState::Success, false);
    store.barrier(call.flow).unwrap();
    clock.advance(2 * DAY);
    let log = Event::Log {
        task: call.task,
        level: cairn_effects::event::LogLevel::Info,
        message: "one more thing".to_owned(),
    };
    store.append(call.flow, &[log]).unwrap();
    assert_eq!(prune(&store, DAY), Pruned::default());
    assert_eq!(events(&store, call.flow).len(), 4);
}

#[test]
fn a_flow_whose_journal_cannot_be_read_is_kept() {
    let statement = "UPDATE journal SET entries = '['";
    for state in [FlowState::Success, FlowState::Failure] {
        let (store, clock) = clocked();
        let call = begin(&store, &ann());
        end(&store, call, state, true);
        damage(&store, statement);
        clock.advance(DAY);
        let expected = Pruned {
            kept: 1,
            ..Pruned::default()
        };
        assert_eq!(prune(&store, Duration::ZERO), expected, "{state}");
        assert_eq!(number(&store, "SELECT COUNT(*) FROM flows"), 1);
    }
}

#[test]
fn what_is_closed_goes_with_its_flow_and_what_is_open_stays() {
    let (store, clock) = clocked();
    let (old, running) = (begin(&store, &ann()), begin(&store, &ann()));
    for call in [old, running] {
        let (answer, _) = apply(&store, call, &ann(), reserve(1)).unwrap();
        made(apply(&store, call, &ann(), create()));
        apply(&store, call, &ann(), commit(answer)).unwrap();
        apply(&store, call, &ann(), reserve(1)).unwrap();
        send(&store, call);
        send(&store, call);
    }
    end(&store, old, FlowState::Success, false);
    let ack = |count: usize| {
        let messages = rows(&store, &CAST);
        let ready = messages.iter().filter(|row| row["state"] == "ready");
        for row in ready.take(count) {
            let id = row["id"].as_str().unwrap();
            store.admin(&ann(), |admin| admin.ack_cast(id)).unwrap();
        }
    };
    ack(1);
    clock.advance(2 * DAY);
    let expected = Pruned {
        flows: 1,
        reservations: 1,
        messages: 1,
        ..Pruned::default()
    };
    assert_eq!(prune(&store, DAY), expected);
    assert_eq!(rows(&store, &kind::VOLUME).len(), 2);
    assert_eq!(rows(&store, &kind::RESERVATION).len(), 3);
    assert_eq!(rows(&store, &CAST).len(), 3);
    assert_eq!(rows(&store, &kind::USAGE)[0]["in_use"], 2);

    // Rows that are closed later are removed later; those of the running flow are not.
    ack(1);
    let expired = store
        .admin(&boss(), |admin| admin.expire_reservations())
        .unwrap();
    assert_eq!((expired.rolled_back, expired.kept), (1, 1));
    let expected = Pruned {
        reservations: 1,
        messages: 1,
        ..Pruned::default()
    };
    assert_eq!(prune(&store, DAY), expected);
    assert_eq!(rows(&store, &kind::RESERVATION).len(), 2);
    assert_eq!(rows(&store, &CAST).len(), 2);
}

#[test]
fn a_refresh_counts_the_same_after_the_flow_is_forgotten() {
    let counted = |pruned: bool| {
        let (store, clock) = clocked();
        let (ended, running) = (begin(&store, &ann()), begin(&store, &ann()));
        // Only booked volumes count; each flow has one that is not booked.
        let (answer, _) = apply(&store, ended, &ann(), reserve(1)).unwrap();
        made(apply(&store, ended, &ann(), create()));
        apply(&store, ended, &ann(), commit(answer)).unwrap();
        made(apply(&store, ended, &ann(), create()));
        made(apply(&store, running, &ann(), create()));
        end(&store, ended, FlowState::Success, false);
        store.barrier(ended.flow).unwrap();
        clock.advance(DAY);
        if pruned {
            assert_eq!(prune(&store, Duration::ZERO).flows, 1);
        }
        damage(&store, "DELETE FROM quota_usages");
        apply(&store, running, &ann(), reserve(1)).unwrap();
        number(&store, "SELECT in_use FROM quota_usages")
    };
    assert_eq!((counted(false), counted(true)), (1, 1));
}

#[test]
fn more_flows_than_one_bite_takes_are_all_forgotten() {
    let (store, clock) = clocked();
    let calls: Vec<CallId> = (0..700).map(|_| begin(&store, &ann())).collect();
    for (index, call) in calls.iter().enumerate() {
        if index % 2 == 0 {
            apply(&store, *call, &ann(), reserve(0)).unwrap();
            apply(&store, *call, &ann(), reserve(0)).unwrap();
            end(&store, *call, FlowState::Success, false);
        }
    }
    damage(&store, "UPDATE reservations SET state = 'committed'");
    damage(
        &store,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
         INSERT INTO outbox (id, flow, state, topic, method, arguments, created_at)
             SELECT printf('%05d', i), (SELECT flow FROM reservations LIMIT 1), 'acked', 't', 'm', '{}', 0 FROM n",
    );
    clock.advance(DAY);
    let expected = Pruned {
        flows: 350,
        reservations: 700,
        messages: 3000,
        ..Pruned::default()
    };
    assert_eq!(prune(&store, Duration::ZERO), expected);
    assert_eq!(number(&store, "SELECT COUNT(*) FROM flows"), 350);
    assert_eq!(
        number(&store, "SELECT COUNT(DISTINCT flow) FROM journal"),
        350
    );
    assert_eq!(
        refusal(store.prune_flows(&ann(), Duration::ZERO)),
        "AdminRequired"
    );
}
