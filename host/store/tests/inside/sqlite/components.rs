//! Components in the database, and those that an older version kept in a folder.

use std::fs;
use std::path::PathBuf;

use cairn_model::value::Digest;

use super::upkeep::{boss, damage, number};
use super::*;
use crate::host::{Component, HostStore as _};
use crate::operators::components;
use crate::view::Reader;

/// A database with a folder of components beside it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.folder()).unwrap();
        place
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("a.db.components")
    }

    fn open(&self) -> Sqlite {
        let path = self.0.path().join("a.db");
        let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
        Sqlite::open(&path, any::config(Settings::default()), clock).unwrap()
    }

    /// Returns the problems that a check finds.
    fn problems(&self) -> Vec<String> {
        let path = self.0.path().join("a.db");
        let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
        let reader = Reader::open(&path, any::config(Settings::default()), clock).unwrap();
        reader.check().unwrap().problems
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder().join(name), bytes).unwrap();
    }

    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

fn wasm(bytes: &[u8]) -> String {
    format!("{}.wasm", Digest::of(bytes))
}

fn component(bytes: &[u8]) -> Component<'_> {
    Component {
        digest: Digest::of(bytes),
        bytes,
    }
}

#[test]
fn the_folder_of_an_older_version_is_moved_into_the_database() {
    let place = Place::new();
    place.put(&wasm(b"one"), b"one");
    place.put(&wasm(b"two"), b"two");
    place.put(".new-unfinished", b"half");
    let store = place.open();
    for bytes in [b"one", b"two"] {
        let found = store.component(Digest::of(bytes)).unwrap();
        assert_eq!(found.as_deref(), Some(&bytes[..]));
    }
    assert!(!place.folder().exists());
    drop(store);
    // As after a crash before the files were removed.
    fs::create_dir(place.folder()).unwrap();
    place.put(&wasm(b"one"), b"one");
    drop(place.open());
    assert!(!place.folder().exists());
    // Without the folder nothing happens.
    assert_eq!(number(&place.open(), "SELECT count(*) FROM components"), 2);
}

#[test]
fn a_damaged_file_stays_and_the_others_are_moved() {
    let place = Place::new();
    place.put(&wasm(b"one"), b"one");
    place.put(&wasm(b"two"), b"not two");
    place.put("three.wasm", b"three");
    place.put("notes", b"of an operator");
    let store = place.open();
    assert_eq!(number(&store, "SELECT count(*) FROM components"), 1);
    assert_eq!(store.component(Digest::of(b"two")).unwrap(), None);
    let mut left = [wasm(b"two"), "three.wasm".to_owned(), "notes".to_owned()];
    left.sort();
    assert_eq!(place.left(), left);
    drop(store);
    // A file that was replaced by a sound one is moved the next time.
    place.put(&wasm(b"two"), b"two");
    assert!(
        place
            .open()
            .component(Digest::of(b"two"))
            .unwrap()
            .is_some()
    );
    assert_eq!(place.left(), ["notes", "three.wasm"]);
}

#[test]
fn a_file_is_removed_only_once_its_component_is_stored_soundly() {
    let place = Place::new();
    let store = place.open();
    store
        .keep_plan(Digest::of(b"{}"), "{}", &[component(b"one")])
        .unwrap();
    damage(&store, "UPDATE components SET body = x'00'");
    drop(store);
    // The damaged row is replaced.
    fs::create_dir(place.folder()).unwrap();
    place.put(&wasm(b"one"), b"one");
    let found = place.open().component(Digest::of(b"one")).unwrap();
    assert_eq!(found.as_deref(), Some(&b"one"[..]));
    assert!(!place.folder().exists());
}

#[test]
fn a_folder_that_a_setting_names_is_copied() {
    let place = Place::new();
    let store = place.open();
    let other = place.0.path().join("kept");
    fs::create_dir(&other).unwrap();
    fs::write(other.join(wasm(b"one")), b"one").unwrap();
    store.take_in_components(&other).unwrap();
    assert!(store.component(Digest::of(b"one")).unwrap().is_some());
    assert!(other.join(wasm(b"one")).exists());
    store
        .take_in_components(&place.0.path().join("none"))
        .unwrap();
}

#[test]
fn a_damaged_component_is_an_error_that_names_it_until_it_is_stored_again() {
    let place = Place::new();
    let store = place.open();
    let (plan, one) = (Digest::of(b"{}"), component(b"one"));
    store.keep_plan(plan, "{}", &[one]).unwrap();
    assert!(place.problems().is_empty());
    for change in ["body = x'00'", "body = x''"] {
        damage(&store, &format!("UPDATE components SET {change}"));
        let error = store.component(one.digest).unwrap_err();
        assert!(
            matches!(&error, StoreError::DamagedComponent { digest, .. } if *digest == one.digest),
            "{error}"
        );
        assert_eq!(place.problems(), [error.to_string()]);
        store.keep_plan(plan, "{}", &[one]).unwrap();
        let found = store.component(one.digest).unwrap();
        assert_eq!(found.as_deref(), Some(one.bytes));
    }
    damage(&store, "UPDATE components SET digest = 'one'");
    let problems = place.problems();
    assert!(
        problems[0].contains("`one` is no SHA-256 digest"),
        "{problems:?}"
    );
}

#[test]
fn a_component_that_is_too_long_is_not_read() {
    let store = memory();
    let one = component(b"three");
    store.keep_plan(Digest::of(b"{}"), "{}", &[one]).unwrap();
    let read = |most| {
        store.read(&boss(), |view| {
            components::read_within(view.sql(), one.digest, most)
        })
    };
    assert!(read(5).unwrap().is_some());
    let error = read(4).unwrap_err().to_string();
    assert!(error.contains("has 5 bytes"), "{error}");
}

#[test]
fn what_is_stored_already_is_not_written_again() {
    let store = memory();
    let (plan, one) = (Digest::of(b"{}"), component(b"one"));
    store.keep_plan(plan, "{}", &[one]).unwrap();
    let commits = store.commits();
    store.keep_plan(plan, "{}", &[one]).unwrap();
    assert_eq!(store.commits(), commits);
    store
        .keep_plan(plan, "{}", &[one, component(b"two")])
        .unwrap();
    assert_eq!(store.commits(), commits + 1);
}
