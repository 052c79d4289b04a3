//! The name under which a database is used, and commits to a file that has lost it.

use super::upkeep::volume;
use super::*;
use crate::sqlite::file::FileId;
use crate::sqlite::origin::Origin;
use crate::view::Reader;

fn open(path: &Path, config: SqliteConfig) -> Result<Sqlite, StoreError> {
    Sqlite::open(path, config, Arc::new(ManualClock::new(Timestamp(0))))
}

/// Reads the origin from the file alone, without its log.
fn check(path: &Path) -> Result<Origin, StoreError> {
    Origin::check(&DatabaseFile::named(path), FileId::of(path).unwrap())
}

#[test]
fn the_name_is_in_the_file_before_anything_else_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a.db"), folder.path().join("b.db"));
    let store = open(&first, crate::any::config(Default::default())).unwrap();
    std::fs::hard_link(&first, &second).unwrap();
    // The log has not been copied since.
    assert_eq!(store.commits(), 0);
    assert_eq!(refusal(check(&second).map(drop)), "InvalidInput");
    assert_eq!(
        refusal(open(&second, crate::any::config(Default::default())).map(drop)),
        "InvalidInput"
    );
    assert!(check(&first).is_ok());
}

#[test]
fn a_database_of_an_older_schema_gets_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a.db"), folder.path().join("b.db"));
    let connection = rusqlite::Connection::open(&first).unwrap();
    for step in [
        include_str!("../../../migrations/stage-1/01-initial.sql"),
        include_str!("../../../migrations/stage-1/02-hosts.sql"),
        include_str!("../../../migrations/stage-1/03-packed-journal.sql"),
        "PRAGMA user_version = 3",
    ] {
        connection.execute_batch(step).unwrap();
    }
    drop(connection);
    let reader = Reader::open(
        &first,
        crate::any::config(Default::default()),
        Arc::new(ManualClock::new(Timestamp(0))),
    );
    assert_eq!(refusal(reader.unwrap().require_newest()), "InvalidInput");
    drop(open(&first, crate::any::config(Default::default())).unwrap());
    std::fs::hard_link(&first, &second).unwrap();
    assert_eq!(refusal(check(&second).map(drop)), "InvalidInput");
}

#[test]
fn a_file_that_lost_its_name_takes_nothing_more_and_is_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let config = SqliteConfig {
        // The thread that copies the log is started late, and must not create a file.
        log: WalConfig {
            copy_above: 0,
            restart_above: 0,
        },
        ..crate::any::config(Default::default())
    };
    let store = open(&path, config).unwrap();
    volume(&store, None);
    std::fs::remove_file(&path).unwrap();
    let lost = |result: Result<(), StoreError>| {
        let gone = DatabaseFile::named(&path).path().to_owned();
        assert!(
            matches!(&result, Err(StoreError::Gone(file)) if *file == gone),
            "{result:?}"
        );
    };
    for _ in 0..40 {
        lost(store.admin(&ann(), |admin| admin.create_zone("north")));
    }
    let flow = FlowId::new();
    let created = Event::Created {
        name: "late".to_owned(),
        requester: ann(),
        request: Value::Null,
        plan: None,
        key: None,
        asked: None,
    };
    lost(store.append(flow, &[created]).map(drop));
    drop(store);
    assert!(!path.exists());
}
