//! Locks beside the database, or in a folder that the operator names.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Opens the database as a new process does. Time stands still, so no lease expires.
    fn open(&self, locks: Option<&str>) -> Sqlite {
        let config = SqliteConfig {
            locks: locks.map(|name| self.path(name)),
            ..any::config(Settings::default())
        };
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        Sqlite::open(&self.path("a.db"), config, clock).unwrap()
    }
}

/// Begins a flow, whose process then owns it.
fn own(store: &Sqlite) -> FlowId {
    let flow = begin(store, &ann()).flow;
    store.barrier(flow).unwrap();
    flow
}

/// Counts the locks of hosts in a folder of locks and the folders in it.
fn hosts(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let counts = entries.map(|entry| match entry.path() {
        path if path.is_dir() => hosts(&path),
        path => usize::from(!path.ends_with("turnstile")),
    });
    counts.sum()
}

#[test]
fn locks_are_beside_the_database_unless_a_folder_is_named() {
    let place = Place::new();
    let beside = place.open(None);
    own(&beside);
    assert_eq!(hosts(&place.path("a.db.locks")), 1);
    drop(beside);
    assert_eq!(hosts(&place.path("a.db.locks")), 0);

    fs::remove_dir_all(place.path("a.db.locks")).unwrap();
    let elsewhere = place.open(Some("run"));
    own(&elsewhere);
    assert_eq!(hosts(&place.path("run")), 1);
    assert!(!place.path("a.db.locks").exists());
    // Another database has a folder of its own there.
    let folders = fs::read_dir(place.path("run")).unwrap().flatten();
    let names: Vec<String> = folders
        .map(|folder| folder.file_name().into_string().unwrap())
        .collect();
    assert!(
        names.len() == 1 && names[0].starts_with("a.db-"),
        "{names:?}"
    );
}

#[test]
fn a_host_that_ended_is_known_by_its_free_lock() {
    for locks in [None, Some("run")] {
        let place = Place::new();
        let first = place.open(locks);
        let flow = own(&first);
        let second = place.open(locks);
        assert!(second.take_over(false).unwrap().is_empty(), "{locks:?}");
        drop(first);
        assert_eq!(second.take_over(false).unwrap(), [flow], "{locks:?}");
        // Only its own lock is left.
        let folder = place.path(locks.unwrap_or("a.db.locks"));
        assert!(hosts(&folder) <= 1, "{locks:?}");
    }
}

#[test]
fn a_host_whose_lock_is_not_seen_is_alive_until_its_lease_expires() {
    for other in [None, Some("other")] {
        let place = Place::new();
        let first = place.open(Some("run"));
        let flow = own(&first);
        let second = place.open(other);
        assert!(second.take_over(false).unwrap().is_empty(), "{other:?}");
        let error = second.load(flow).unwrap_err();
        assert!(matches!(error, StoreError::InHand { .. }), "{error}");
        let error = second.vacuum().unwrap_err().to_string();
        assert!(error.contains("works on flows of this database"), "{error}");
        // Its own process goes on.
        let interrupt = Event::State {
            from: FlowState::Pending,
            to: FlowState::Started,
        };
        first.append(flow, &[interrupt]).unwrap();
        first.barrier(flow).unwrap();
    }
}

#[test]
fn a_restore_finds_the_processes_whose_locks_are_elsewhere() {
    let place = Place::new();
    let store = place.open(Some("run"));
    own(&store);
    let backup = place.path("b.db");
    let reader = crate::view::Reader::open(
        &place.path("a.db"),
        any::config(Settings::default()),
        Arc::new(ManualClock::new(Timestamp(0))),
    );
    reader.unwrap().backup(&backup).unwrap();
    // The database is gone, but not the process.
    fs::remove_file(place.path("a.db")).unwrap();
    let stage = |locks: &str| {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        Restore::stage(
            &backup,
            &place.path("a.db"),
            Some(&place.path(locks)),
            clock,
        )
    };
    let error = stage("run").err().expect("it is in use").to_string();
    assert!(error.contains("a process works on"), "{error}");
    drop(store);
    stage("run").unwrap();
}
