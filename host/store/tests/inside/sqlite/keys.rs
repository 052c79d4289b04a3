//! The fingerprint of the master key in the database.

use std::path::Path;

use cairn_effects::keyring::{Fingerprint, KeySource, Keyring, MasterKey};
use cairn_volumes::KeyCreate;

use super::*;

fn open(folder: &Path, keys: KeySource) -> Sqlite {
    let settings = Settings {
        keys,
        ..Settings::default()
    };
    let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
    Sqlite::open(&folder.join("a.db"), any::config(settings), clock).unwrap()
}

fn recorded(store: &Sqlite) -> Option<Fingerprint> {
    store.read(&ann(), |view| view.key_fingerprint()).unwrap()
}

/// Seals a key in a flow's call.
fn seal(store: &Sqlite) -> Result<FlowId, StoreError> {
    let call = begin(store, &ann());
    apply(store, call, &ann(), Effect::KeyCreate(KeyCreate)).map(|_| call.flow)
}

fn of_file(path: &Path) -> Fingerprint {
    MasterKey::load(path).unwrap().fingerprint()
}

#[test]
fn a_generated_master_key_is_recorded_with_the_first_key_that_it_seals() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let store = open(folder.path(), KeySource::NewFile(path.clone()));
    assert_eq!(recorded(&store), None);
    let flow = seal(&store).unwrap();
    store.barrier(flow).unwrap();
    assert_eq!(recorded(&store), Some(of_file(&path)));
    let keyring = store.domains().services().get::<Keyring>().unwrap();
    assert_eq!(keyring.unrecorded(), None);
    // The key itself is not in the database.
    drop(store);
    let key = std::fs::read(&path).unwrap();
    let database = std::fs::read(folder.path().join("a.db")).unwrap();
    assert!(!database.windows(key.len()).any(|window| window == key));
}

#[test]
fn a_master_key_that_was_replaced_while_a_process_runs_seals_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let first = open(folder.path(), KeySource::NewFile(path.clone()));
    // Another process, which has loaded no key and looks for none in the database.
    let second = open(folder.path(), KeySource::NewFile(path.clone()));
    let flow = seal(&first).unwrap();
    first.barrier(flow).unwrap();
    let own = recorded(&first);
    std::fs::write(&path, [7; 32]).unwrap();
    let flow = seal(&second).unwrap();
    let error = second.barrier(flow).unwrap_err().to_string();
    assert!(error.contains("the master key was replaced"), "{error}");
    assert_eq!(recorded(&first), own);
}

#[test]
fn a_master_key_in_memory_is_not_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), KeySource::Memory);
    let flow = seal(&store).unwrap();
    store.barrier(flow).unwrap();
    assert_eq!(recorded(&store), None);
}

#[test]
fn a_fingerprint_is_recorded_once() {
    let store = memory();
    let [first, second] = [(); 2].map(|()| MasterKey::generate().unwrap().fingerprint());
    for own in [first, second] {
        let found = store.admin(&ann(), |admin| admin.record_key_fingerprint(own));
        assert_eq!(found.unwrap(), first);
    }
    super::upkeep::damage(
        &store,
        "UPDATE facts SET value = 'x' WHERE name = 'master-key'",
    );
    let error = store
        .read(&ann(), |view| view.key_fingerprint())
        .unwrap_err();
    assert!(
        error.to_string().contains("`x` is no fingerprint"),
        "{error}"
    );
}

#[test]
fn without_a_master_key_what_needs_one_fails_with_a_kind_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), KeySource::None);
    let StoreError::Refused(error) = seal(&store).unwrap_err() else {
        panic!("another error");
    };
    assert_eq!(error.kind, "KeysNotConfigured");
    assert!(error.message.contains("[keys] of cairn.toml"), "{error}");
    // What needs none goes on.
    let call = begin(&store, &ann());
    apply(&store, call, &ann(), reserve(1)).unwrap();
    store.barrier(call.flow).unwrap();
}
