use std::fs;

use super::*;

const ID: &str = "2f6a";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn write(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_was_sealed_opens() {
    let master = MasterKey::generate().unwrap();
    let secret = Secret::generate().unwrap();
    let sealed = master.seal(ID, secret.expose()).unwrap();
    assert_eq!(sealed.0.len(), SEALED_BYTES);
    assert_eq!(master.open(ID, &sealed).unwrap().expose(), secret.expose());
}

#[test]
fn a_sealed_key_is_not_in_its_box_and_no_two_boxes_are_alike() {
    let master = MasterKey::generate().unwrap();
    let secret = [7; 32];
    let (one, two) = (
        master.seal(ID, &secret).unwrap(),
        master.seal(ID, &secret).unwrap(),
    );
    assert_ne!(one, two);
    assert!(!one.0.windows(8).any(|window| window == [7; 8]));
}

#[test]
fn a_box_opens_only_with_its_master_key_and_under_its_id() {
    let master = MasterKey::generate().unwrap();
    let sealed = master.seal(ID, &[1; 32]).unwrap();
    let other = MasterKey::generate().unwrap();
    assert!(matches!(other.open(ID, &sealed), Err(KeyringError::Open(id)) if id == ID));
    assert!(matches!(
        master.open("other", &sealed),
        Err(KeyringError::Open(_))
    ));
}

#[test]
fn a_damaged_box_is_an_error() {
    let master = MasterKey::generate().unwrap();
    let sealed = master.seal(ID, &[1; 32]).unwrap();
    for index in 0..sealed.0.len() {
        let mut damaged = sealed.clone();
        damaged.0[index] ^= 1;
        assert!(master.open(ID, &damaged).is_err(), "byte {index}");
    }
    for length in 0..sealed.0.len() {
        assert!(
            master
                .open(ID, &Sealed(sealed.0[..length].to_vec()))
                .is_err()
        );
    }
    let longer = Sealed([&sealed.0[..], &[0]].concat());
    assert!(master.open(ID, &longer).is_err());
}

#[test]
fn a_box_of_the_first_layout_still_opens() {
    // Nonce 0, 1, … 23; computed by another implementation, in Python. Existing databases hold such boxes.
    let master = MasterKey(Box::new([0x42; 32]));
    let sealed = Sealed(unhex(FIRST_LAYOUT));
    assert_eq!(master.open("key-1", &sealed).unwrap().expose(), &[0x17; 32]);
}

const FIRST_LAYOUT: &str = "01000102030405060708090a0b0c0d0e0f10111213141516179beb93f0d0b6d0d7e571b351152fe9a9c6ce1cad94b85dba\
    bf57859285cc7fe956c6be5704f54c1e7babbdff276b5546";

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text
        .chars()
        .map(|c| c.to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

#[test]
fn a_master_key_is_made_once_with_mode_0600() {
    let folder = folder();
    let path = folder.path().join("master.key");
    let made = MasterKey::load_or_create(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(fs::read(&path).unwrap(), *made.0);
    let again = MasterKey::load_or_create(&path).unwrap();
    assert_eq!(again.0, made.0);
    assert_eq!(MasterKey::load(&path).unwrap().0, made.0);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing else is left"
    );
}

#[test]
fn of_several_that_make_it_at_once_all_have_the_same() {
    let folder = folder();
    let path = folder.path().join("master.key");
    let keys: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| MasterKey::load_or_create(&path).unwrap()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let on_disk = MasterKey::load(&path).unwrap();
    assert!(keys.iter().all(|key| key.0 == on_disk.0));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_master_key_that_others_may_use_is_refused() {
    let folder = folder();
    let path = folder.path().join("master.key");
    for mode in [0o640, 0o604, 0o620, 0o601, 0o777] {
        write(&path, &[1; 32], mode);
        let error = MasterKey::load_or_create(&path).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    for mode in [0o600, 0o400] {
        write(&path, &[1; 32], mode);
        MasterKey::load(&path).unwrap();
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn what_is_no_master_key_is_refused_and_left_alone() {
    let folder = folder();
    let path = folder.path().join("master.key");
    for length in [0, 31, 33, 64] {
        write(&path, &vec![1; length], 0o600);
        let error = MasterKey::load_or_create(&path).unwrap_err();
        assert!(matches!(error, KeyringError::NotAKey { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap().len(), length);
    }
    let error = MasterKey::load_or_create(folder.path()).unwrap_err();
    assert!(error.to_string().contains("no regular file"), "{error}");
}

#[test]
fn a_master_key_that_is_not_there_is_an_error_with_its_path() {
    let folder = folder();
    let path = folder.path().join("nowhere").join("master.key");
    let missing = MasterKey::load(&path).unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with("cannot read the master key `"),
        "{missing}"
    );
    let unmade = MasterKey::load_or_create(&path).unwrap_err();
    assert!(
        unmade
            .to_string()
            .starts_with("cannot create the master key `"),
        "{unmade}"
    );
}

#[test]
fn keys_are_not_printed() {
    let master = MasterKey(Box::new([0x41; 32]));
    let secret = Secret(Box::new([0x41; 32]));
    assert_eq!(format!("{master:?} {secret:?}"), "MasterKey(…) Secret(…)");
}
