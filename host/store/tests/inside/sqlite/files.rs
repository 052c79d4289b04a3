//! The database as a file: older schemas, and backups.

use super::upkeep::{drift, number, volume};
use super::*;
use crate::sqlite::Migrated;
use crate::view::Reader;

#[test]
fn a_database_without_a_schema_is_brought_to_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
        .unwrap();
    drop(connection);
    let to = Reader::open(
        &path,
        crate::any::config(Default::default()),
        Arc::new(ManualClock::new(Timestamp(0))),
    )
    .unwrap()
    .check()
    .unwrap()
    .newest_version;
    assert_eq!(
        Sqlite::migrate(&path, &any::domains(Settings::default())).unwrap(),
        Migrated { from: 0, to }
    );
    assert_eq!(
        Sqlite::migrate(&path, &any::domains(Settings::default())).unwrap(),
        Migrated { from: to, to }
    );
}

#[test]
fn a_journal_that_is_text_is_read_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let flow = FlowId::new();
    let from_to = |from, to| Event::State { from, to };
    let created = Event::Created {
        name: "old".to_owned(),
        requester: ann(),
        request: Value::Null,
        plan: None,
        key: None,
        asked: None,
    };
    let text = |events: &[Event]| {
        let at = Timestamp(0);
        let entries = events.iter().cloned().map(|event| Entry { at, event });
        serde_json::to_string(&entries.collect::<Vec<_>>()).unwrap()
    };
    let first = [created, from_to(FlowState::Pending, FlowState::Started)];
    let second = [from_to(FlowState::Started, FlowState::Interrupted)];
    let connection = rusqlite::Connection::open(&path).unwrap();
    for step in [
        include_str!("../../../migrations/stage-1/01-initial.sql"),
        include_str!("../../../migrations/stage-1/02-hosts.sql"),
        "PRAGMA user_version = 2",
    ] {
        connection.execute_batch(step).unwrap();
    }
    for (number, events) in [(0, &first[..]), (2, &second[..])] {
        let row = rusqlite::params![flow.0.as_bytes(), number, text(events)];
        connection
            .execute("INSERT INTO journal VALUES (?, ?, ?)", row)
            .unwrap();
    }
    connection
        .execute(
            "INSERT INTO flows (id, name, project_id, user_id, state, created_at, updated_at, entries)
             VALUES (?, 'old', 'blue', 'ann', 'INTERRUPTED', 0, 0, 3)",
            [flow.0.as_bytes()],
        )
        .unwrap();
    drop(connection);

    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(0)));
    let store = Sqlite::open(&path, crate::any::config(Default::default()), clock).unwrap();
    let mut expected: Vec<Event> = first.iter().chain(&second).cloned().collect();
    let events = |entries: Vec<Entry>| -> Vec<Event> {
        entries.into_iter().map(|entry| entry.event).collect()
    };
    assert_eq!(events(store.load(flow).unwrap()), expected);

    let more = [from_to(FlowState::Interrupted, FlowState::Pending)];
    store.append(flow, &more).unwrap();
    store.barrier(flow).unwrap();
    expected.extend(more);
    assert_eq!(events(store.load(flow).unwrap()), expected);
    let types = "SELECT count(DISTINCT typeof(entries)) FROM journal";
    assert_eq!(number(&store, types), 2);
}

#[test]
fn a_backup_holds_one_moment_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("a.db"), folder.path().join("b.db"));
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(0)));
    let store = Sqlite::open(
        &path,
        crate::any::config(Default::default()),
        Arc::clone(&clock),
    )
    .unwrap();
    volume(&store, None);
    let reader = Reader::open(
        &path,
        crate::any::config(Default::default()),
        Arc::clone(&clock),
    )
    .unwrap();
    reader.backup(&copy).unwrap();
    volume(&store, None);
    let open = |path| {
        Sqlite::open(
            path,
            crate::any::config(Default::default()),
            Arc::clone(&clock),
        )
        .unwrap()
    };
    let restored = open(&copy);
    assert_eq!(rows(&restored, &kind::VOLUME).len(), 1);
    assert_eq!(drift(&restored), [] as [&str; 0]);
    drop(restored);

    let empty = folder.path().join("empty.db");
    std::fs::write(&empty, "").unwrap();
    for taken in [&path, &copy, &empty] {
        let before = std::fs::read(taken).unwrap();
        assert_eq!(refusal(reader.backup(taken)), "InvalidInput");
        assert!(std::fs::read(taken).unwrap() == before);
    }
    let nowhere = folder.path().join("nowhere/c.db");
    let error = reader.backup(&nowhere).unwrap_err().to_string();
    assert!(error.contains("check that the folder exists"), "{error}");
}

#[test]
fn a_database_that_several_make_at_once_is_opened_by_all() {
    const AT_ONCE: usize = 4;
    for _ in 0..25 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let start = std::sync::Barrier::new(AT_ONCE);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    start.wait();
                    let config = any::config(Settings::default());
                    let opened =
                        Sqlite::open(&path, config, Arc::new(cairn_model::clock::SystemClock));
                    opened.map(drop).unwrap();
                });
            }
        });
    }
}
