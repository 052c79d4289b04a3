//! Quota is booked to the right project and returned once, by flows and by operators.

use cairn_effects::effect::Change;
use cairn_volumes::quota::QuotaConfig;

use super::upkeep::{boss, commit, damage, drift, end, gold, number, snapshot, volume};
use super::*;
use crate::operator::NewVolumeType;

fn in_use(store: &Sqlite, project: &str, resource: &str) -> i64 {
    let query = format!(
        "SELECT coalesce(sum(in_use), 0) FROM quota_usages
         WHERE project_id = '{project}' AND resource = '{resource}'"
    );
    number(store, &query)
}

fn reserve_all(volumes: i64, gigabytes: i64) -> Effect {
    Effect::QuotaReserve(QuotaReserve {
        project: None,
        deltas: BTreeMap::from([
            ("volumes".to_owned(), volumes),
            ("gigabytes".to_owned(), gigabytes),
        ]),
        expiry: Expiry::Default,
    })
}

/// Creates a volume of one GiB in a flow, and commits its quota.
fn made_and_booked(store: &Sqlite, call: CallId) -> (String, Applied) {
    let (answer, _) = apply(store, call, &ann(), reserve_all(1, 1)).unwrap();
    let (id, _) = made(apply(store, call, &ann(), create()));
    let (_, committed) = apply(store, call, &ann(), commit(answer)).unwrap();
    (id, committed)
}

/// Begins the revert of a flow's only task.
fn revert(store: &Sqlite, call: CallId, from: FlowState) -> CallId {
    let events = [
        Event::State {
            from,
            to: FlowState::Reverting,
        },
        Event::Reverting {
            task: call.task,
            attempt: 1,
        },
    ];
    store.append(call.flow, &events).unwrap();
    CallId {
        phase: Phase::Revert,
        ..call
    }
}

fn delete(store: &Sqlite, volume: &str) -> Result<(), StoreError> {
    store.admin(&ann(), |admin| admin.delete_volume(volume))
}

#[test]
fn a_volume_that_is_deleted_is_not_deleted_again() {
    let store = memory();
    let call = begin(&store, &ann());
    let (id, _) = made_and_booked(&store, call);
    end(&store, call, FlowState::Success, false);
    delete(&store, &id).unwrap();
    let sees_deleted = Identity {
        read_deleted: true,
        ..ann()
    };
    let again = store.admin(&sees_deleted, |admin| admin.delete_volume(&id));
    assert!(
        again
            .unwrap_err()
            .to_string()
            .contains("there is no volume")
    );
    // The column records that the volume's quota was returned.
    assert_eq!(number(&store, "SELECT returned FROM volumes"), 1);
}

#[test]
fn what_an_operator_gave_back_a_revert_does_not_give_back_again() {
    let store = memory();
    let call = begin(&store, &ann());
    let (id, _) = made_and_booked(&store, call);
    end(&store, call, FlowState::Success, false);
    delete(&store, &id).unwrap();
    assert_eq!(in_use(&store, "acme", "volumes"), 0);

    let call = revert(&store, call, FlowState::Success);
    let (answer, _) = apply(&store, call, &ann(), reserve_all(-1, -1)).unwrap();
    let (_, committed) = apply(&store, call, &ann(), commit(answer)).unwrap();
    assert_eq!(in_use(&store, "acme", "volumes"), 0);
    assert_eq!(in_use(&store, "acme", "gigabytes"), 0);
    assert_eq!(drift(&store), [] as [&str; 0]);
    let noted = |change: &&Change| matches!(change, Change::Elsewhere(_));
    assert_eq!(committed.changes.iter().filter(noted).count(), 3);
    // Undoing it does not change the usage either.
    store.undo(&committed).unwrap();
    assert_eq!(in_use(&store, "acme", "volumes"), 0);
    assert_eq!(drift(&store), [] as [&str; 0]);
}

#[test]
fn of_two_volumes_the_one_that_is_left_is_given_back() {
    let store = memory();
    let call = begin(&store, &ann());
    let (first, _) = made_and_booked(&store, call);
    made_and_booked(&store, call);
    end(&store, call, FlowState::Success, false);
    delete(&store, &first).unwrap();
    assert_eq!(in_use(&store, "acme", "volumes"), 1);
    let call = revert(&store, call, FlowState::Success);
    for left in [0, 0] {
        let (answer, _) = apply(&store, call, &ann(), reserve_all(-1, -1)).unwrap();
        apply(&store, call, &ann(), commit(answer)).unwrap();
        assert_eq!(in_use(&store, "acme", "volumes"), left);
        assert_eq!(drift(&store), [] as [&str; 0]);
    }
    let again = apply(&store, call, &ann(), reserve_all(-1, -1));
    assert_eq!(refusal(again), "QuotaGiveBackExceeded");
}

#[test]
fn a_commit_is_not_undone_after_an_operator_gave_it_back() {
    let store = memory();
    let call = begin(&store, &ann());
    let (id, committed) = made_and_booked(&store, call);
    end(&store, call, FlowState::Success, false);
    delete(&store, &id).unwrap();
    assert_eq!(refusal(store.undo(&committed)), "UndoRefused");
    assert_eq!(in_use(&store, "acme", "volumes"), 0);
    assert_eq!(drift(&store), [] as [&str; 0]);
}

#[test]
fn a_volume_is_not_deleted_from_under_the_flow_that_made_it() {
    let store = memory();
    let call = begin(&store, &ann());
    let (answer, _) = apply(&store, call, &ann(), reserve_all(1, 1)).unwrap();
    let (id, _) = made(apply(&store, call, &ann(), create()));
    let state = |from, to| {
        store
            .append(call.flow, &[Event::State { from, to }])
            .unwrap()
    };
    state(FlowState::Pending, FlowState::Interrupted);
    for who in [ann(), boss()] {
        let deleted = store.admin(&who, |admin| admin.delete_volume(&id));
        let Err(StoreError::Refused(error)) = deleted else {
            panic!("{deleted:?}")
        };
        assert_eq!(error.kind, "FlowUnfinished");
        assert_eq!(error.details["flow"], call.flow.to_string());
        assert!(error.message.contains("INTERRUPTED"), "{error}");
    }
    apply(&store, call, &ann(), commit(answer)).unwrap();
    state(FlowState::Interrupted, FlowState::Success);
    delete(&store, &id).unwrap();
    assert_eq!(in_use(&store, "acme", "volumes"), 0);
    assert_eq!(drift(&store), [] as [&str; 0]);
}

#[test]
fn a_reservation_that_lapsed_is_taken_note_of_by_its_flow() {
    let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
    let store = Sqlite::in_memory(
        crate::any::config(Default::default()),
        Arc::clone(&clock) as _,
    )
    .unwrap();
    let call = begin(&store, &ann());
    let (answer, _) = apply(&store, call, &ann(), reserve(1)).unwrap();
    let Answer::Reservations(reservations) = answer else {
        panic!("{answer:?}")
    };
    end(&store, call, FlowState::Failure, false);
    clock.advance(Duration::from_secs(200_000));
    let expired = store.admin(&boss(), |admin| admin.expire_reservations());
    assert_eq!(expired.unwrap().rolled_back, 1);
    let call = revert(&store, call, FlowState::Failure);
    let rollback = Effect::QuotaRollback(cairn_volumes::QuotaRollback {
        reservations,
        project: None,
    });
    let (_, applied) = apply(&store, call, &ann(), rollback.clone()).unwrap();
    assert_eq!(applied.changes.len(), 2);
    assert_eq!(drift(&store), [] as [&str; 0]);
    let (_, again) = apply(&store, call, &ann(), rollback).unwrap();
    assert_eq!(again.changes, [], "it is noted once");
}

#[test]
fn an_admins_snapshot_is_booked_where_its_volume_belongs() {
    let store = memory();
    let gold = gold(&store);
    let id = volume(&store, Some(&gold));
    let made = store
        .admin(&boss(), |admin| {
            admin.create_snapshot(&id, None, "available")
        })
        .unwrap();
    assert_eq!(made["project_id"], "acme");
    let used = |project, resource| in_use(&store, project, resource);
    for resource in ["snapshots", "snapshots_gold"] {
        assert_eq!((used("acme", resource), used("ops", resource)), (1, 0));
    }
    assert_eq!(
        (used("acme", "gigabytes_gold"), used("ops", "gigabytes")),
        (6, 0)
    );
    assert_eq!(drift(&store), [] as [&str; 0]);

    // The limits are also those of the project.
    store
        .admin(&boss(), |admin| {
            admin.set_project_limit("acme", "snapshots", Some(1))
        })
        .unwrap();
    let more = store.admin(&boss(), |admin| {
        admin.create_snapshot(&id, None, "available")
    });
    assert_eq!(refusal(more), "OverQuota");

    let snapshot = made["id"].as_str().unwrap();
    store
        .admin(&boss(), |admin| admin.delete_snapshot(snapshot))
        .unwrap();
    assert_eq!(
        (used("acme", "gigabytes"), used("ops", "gigabytes")),
        (3, 0)
    );
    assert_eq!(drift(&store), [] as [&str; 0]);
}

#[test]
fn what_belongs_to_no_project_is_booked_nowhere() {
    let store = memory();
    damage(
        &store,
        "INSERT INTO volumes (id, size, status, booked, created_at) VALUES ('v', 3, 'available', 1, 0)",
    );
    let made = store.admin(&boss(), |admin| {
        admin.create_snapshot("v", None, "available")
    });
    let snapshot = made.unwrap()["id"].as_str().unwrap().to_owned();
    store
        .admin(&boss(), |admin| {
            admin.delete_snapshot(&snapshot)?;
            admin.delete_volume("v")
        })
        .unwrap();
    assert_eq!(number(&store, "SELECT COUNT(*) FROM quota_usages"), 0);
    assert_eq!(drift(&store), [] as [&str; 0]);
}

/// Opens the database at `path` in a process with this setting and `until_refresh`.
fn with_setting(path: &Path, no_snapshot_gigabytes: bool, until_refresh: i64) -> Sqlite {
    let config = any::config(Settings {
        quota: QuotaConfig {
            no_snapshot_gigabytes,
            until_refresh,
            ..QuotaConfig::default()
        },
        ..Settings::default()
    });
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    Sqlite::open(path, config, clock).unwrap()
}

#[test]
fn a_snapshot_counts_as_the_setting_was_when_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let store = with_setting(&path, false, 1);
    let id = volume(&store, None);
    snapshot(&store, &id);
    drop(store);
    let store = with_setting(&path, true, 1);
    assert_eq!(drift(&store), [] as [&str; 0]);
    snapshot(&store, &id);
    assert_eq!(in_use(&store, "acme", "gigabytes"), 6);
    assert_eq!(drift(&store), [] as [&str; 0]);
    drop(store);
    let store = with_setting(&path, false, 1);
    assert_eq!(drift(&store), [] as [&str; 0]);
    for (row, left) in rows(&store, &kind::SNAPSHOT).iter().zip([3, 3]) {
        let snapshot = row["id"].as_str().unwrap();
        store
            .admin(&ann(), |admin| admin.delete_snapshot(snapshot))
            .unwrap();
        assert_eq!(in_use(&store, "acme", "gigabytes"), left);
        assert_eq!(drift(&store), [] as [&str; 0]);
    }
}

#[test]
fn a_type_that_is_made_again_counts_what_the_first_one_has() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_setting(&folder.path().join("a.db"), false, 1);
    let first = gold(&store);
    volume(&store, Some(&first));
    store
        .admin(&boss(), |admin| {
            admin.set_project_limit("acme", "volumes_gold", Some(2))?;
            admin.delete_volume_type(&first, true)
        })
        .unwrap();
    let second = gold(&store);
    volume(&store, Some(&second));
    assert_eq!(in_use(&store, "acme", "volumes_gold"), 2);
    assert_eq!(drift(&store), [] as [&str; 0]);
    let properties = json!({"size": 3, "volume_type_id": second});
    let third = store.admin(&ann(), |admin| {
        admin.create_volume(properties.as_object().cloned().unwrap_or_default())
    });
    assert_eq!(refusal(third), "OverQuota");
}

#[test]
fn a_type_that_volumes_have_is_deleted_by_force_only() {
    let store = memory();
    let gold = gold(&store);
    let volumes = [volume(&store, Some(&gold)), volume(&store, Some(&gold))];
    volume(&store, None);
    let deleted = store.admin(&boss(), |admin| admin.delete_volume_type(&gold, false));
    let Err(StoreError::Refused(error)) = deleted else {
        panic!("{deleted:?}")
    };
    assert_eq!(error.kind, "VolumeTypeInUse");
    assert_eq!(error.details["volumes"], 2);
    assert!(
        error.message.starts_with("2 volumes have type `gold`"),
        "{error}"
    );
    volumes
        .iter()
        .for_each(|volume| delete(&store, volume).unwrap());
    store
        .admin(&boss(), |admin| admin.delete_volume_type(&gold, false))
        .unwrap();

    let silver = NewVolumeType {
        name: "silver".to_owned(),
        ..NewVolumeType::default()
    };
    store
        .admin(&boss(), |admin| {
            let silver = admin.create_volume_type(&silver)?;
            let properties = json!({"size": 3, "volume_type_id": silver});
            admin.create_volume(properties.as_object().cloned().unwrap_or_default())?;
            admin.delete_volume_type(&silver, true)
        })
        .unwrap();
    assert_eq!(drift(&store), [] as [&str; 0]);
}

/// Creates a database of schema step 3 with a volume of 5 GiB in each of three projects, and snapshots of 5 GiB.
fn step_3(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    for step in [
        include_str!("../../../migrations/stage-1/01-initial.sql"),
        include_str!("../../../migrations/stage-1/02-hosts.sql"),
        include_str!("../../../migrations/stage-1/03-packed-journal.sql"),
        // Snapshots counted in `full`, and not in `lean`; in `both` the setting was changed between two of them.
        "INSERT INTO volumes (id, project_id, size, status, booked, created_at)
             VALUES ('f', 'full', 5, 'available', 1, 0), ('l', 'lean', 5, 'available', 1, 0),
                    ('b', 'both', 5, 'available', 1, 0);
         INSERT INTO snapshots (id, project_id, volume_id, volume_size, status, booked, created_at)
             VALUES ('fs', 'full', 'f', 5, 'available', 1, 0), ('ls', 'lean', 'l', 5, 'available', 1, 0),
                    ('b1', 'both', 'b', 5, 'available', 1, 0), ('b2', 'both', 'b', 5, 'available', 1, 0);
         INSERT INTO quota_usages (project_id, resource, in_use, reserved)
             VALUES ('full', 'volumes', 1, 0), ('full', 'gigabytes', 10, 0), ('full', 'snapshots', 1, 0),
                    ('lean', 'volumes', 1, 0), ('lean', 'gigabytes', 5, 0), ('lean', 'snapshots', 1, 0),
                    ('both', 'volumes', 1, 0), ('both', 'gigabytes', 10, 0), ('both', 'snapshots', 2, 0);
         PRAGMA user_version = 3",
    ] {
        connection.execute_batch(step).unwrap();
    }
}

#[test]
fn what_snapshots_of_step_3_count_for_is_read_from_the_usage() {
    let folder = tempfile::tempdir().unwrap();
    for (no_snapshot_gigabytes, expected) in [
        (false, ["both/gigabytes 10+0 -> 15+0"]),
        (true, ["both/gigabytes 10+0 -> 5+0"]),
    ] {
        let path = folder.path().join(format!("{no_snapshot_gigabytes}.db"));
        step_3(&path);
        let store = with_setting(&path, no_snapshot_gigabytes, 0);
        // Where the usage is ambiguous, the setting decides as before.
        assert_eq!(drift(&store), expected);
        store.admin(&boss(), |admin| admin.sync_usages()).unwrap();
        drop(store);
        let store = with_setting(&path, !no_snapshot_gigabytes, 0);
        assert_eq!(drift(&store), [] as [&str; 0], "it is known from then on");
        for (snapshot, project) in [
            ("fs", "full"),
            ("ls", "lean"),
            ("b1", "both"),
            ("b2", "both"),
        ] {
            store
                .admin(&boss(), |admin| admin.delete_snapshot(snapshot))
                .unwrap();
            assert_eq!(drift(&store), [] as [&str; 0], "{snapshot}");
            if snapshot != "b1" {
                assert_eq!(in_use(&store, project, "gigabytes"), 5);
            }
        }
    }
}

#[test]
fn a_database_of_step_3_that_is_only_read_is_checked_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    step_3(&path);
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let reader =
        crate::view::Reader::open(&path, crate::any::config(Default::default()), clock).unwrap();
    let projects: Vec<String> = reader
        .view(&boss())
        .quota_drift(None)
        .unwrap()
        .into_iter()
        .map(|drift| drift.project)
        .collect();
    assert_eq!(projects, ["both", "lean"]);
}

#[test]
fn a_volume_of_step_3_that_was_deleted_after_its_flow_is_not_given_back_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let call = {
        let store = with_setting(&path, false, 0);
        let call = begin(&store, &ann());
        let (id, _) = made_and_booked(&store, call);
        end(&store, call, FlowState::Success, false);
        delete(&store, &id).unwrap();
        call
    };
    let connection = rusqlite::Connection::open(&path).unwrap();
    let step = include_str!("../../../migrations/stage-1/04-identity-bookings-keys.sql");
    let before = "ALTER TABLE volumes DROP COLUMN returned; ALTER TABLE snapshots DROP COLUMN booked_gigabytes;";
    connection.execute_batch(before).unwrap();
    let bookings = step
        .split_once("-- Bookings.")
        .and_then(|(_, rest)| rest.split_once("-- Idempotency keys."));
    connection.execute_batch(bookings.unwrap().0).unwrap();
    drop(connection);
    let store = with_setting(&path, false, 0);
    store.load(call.flow).unwrap();
    let call = revert(&store, call, FlowState::Success);
    let (answer, _) = apply(&store, call, &ann(), reserve_all(-1, -1)).unwrap();
    apply(&store, call, &ann(), commit(answer)).unwrap();
    assert_eq!(in_use(&store, "acme", "volumes"), 0);
    assert_eq!(drift(&store), [] as [&str; 0]);
}
