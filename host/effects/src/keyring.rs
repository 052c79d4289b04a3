//! Seals the keys that the host generates for volumes: the database holds them only encrypted under one master key,
//! which is in a file beside it.
//!
//! A sealed key is `1 | nonce (24 bytes) | XChaCha20-Poly1305 ciphertext and tag (48 bytes)`, with the key's id as
//! associated data, so that a box that was moved to another row does not open. Nonces are random: at 192 bits
//! collisions are negligible for any number of keys.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use cairn_model::file;
use cairn_model::whole::Whole;

/// The length of every key, including the master key.
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// The first byte of a box; another one means another layout.
const VERSION: u8 = 1;
const SEALED_BYTES: usize = 1 + NONCE_BYTES + KEY_BYTES + TAG_BYTES;

/// An error with keys. No message contains a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// Users other than the owner have permissions on the master key.
    #[error("`{path}` has mode {mode:04o}, so others may use the master key: run `chmod 600 {path}`", path = .path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a master key.
    #[error("`{}` is no master key: {reason}; put the right file back, because no other opens the keys in the database", .path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// The problem with it.
        reason: String,
    },
    /// The file cannot be read or created.
    #[error("cannot {action} the master key `{}`: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operation: `read`, `create`.
        action: &'static str,
        /// Why it failed.
        error: io::Error,
    },
    /// The operating system provided no random bytes.
    #[error("the operating system provides no random bytes: {0}")]
    Random(getrandom::Error),
    /// Encryption failed; there is no known cause.
    #[error("key `{0}` cannot be sealed")]
    Seal(String),
    /// The box does not open: another master key, another key's box, or damage. These cannot be distinguished.
    #[error(
        "key `{0}` does not open: it was sealed with another master key, or its row is damaged"
    )]
    Open(String),
}

/// The key under which all others are sealed. Zeroed when dropped, and never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey(Box<[u8; KEY_BYTES]>);

/// A key of 256 random bits. Zeroed when dropped, and never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret(Box<[u8; KEY_BYTES]>);

/// A sealed key as the database holds it; see the module for its layout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(pub Vec<u8>);

impl Secret {
    /// Generates a new key.
    ///
    /// # Errors
    /// [`KeyringError::Random`].
    pub fn generate() -> Result<Self, KeyringError> {
        random_key().map(Self)
    }

    /// Returns the key itself. Do not copy it to memory that is not zeroed.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl MasterKey {
    /// Generates a master key that is not stored. Keys that it sealed cannot be opened once it is dropped.
    ///
    /// # Errors
    /// [`KeyringError::Random`].
    pub fn generate() -> Result<Self, KeyringError> {
        random_key().map(Self)
    }

    /// Loads the master key from the file `path`, which holds its 32 bytes.
    ///
    /// # Errors
    /// [`KeyringError::Mode`] when users other than the owner have any permission on the file, [`KeyringError::NotAKey`] when
    /// it is not a regular file or has another length, [`KeyringError::Io`] when it does not exist or cannot be read.
    pub fn load(path: &Path) -> Result<Self, KeyringError> {
        let failed = |error| KeyringError::Io {
            path: path.to_owned(),
            action: "read",
            error,
        };
        let not_a_key = |reason: String| KeyringError::NotAKey {
            path: path.to_owned(),
            reason,
        };
        let mut file = file::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory => {
                not_a_key(error.to_string())
            }
            _ => failed(error),
        })?;
        let metadata = file.metadata().map_err(failed)?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyringError::Mode {
                path: path.to_owned(),
                mode,
            });
        }
        if metadata.len() != KEY_BYTES as u64 {
            return Err(not_a_key(format!(
                "it has {} bytes and should have {KEY_BYTES}",
                metadata.len()
            )));
        }
        let mut key = Self(Box::new([0; KEY_BYTES]));
        file.read_exact(&mut *key.0).map_err(failed)?;
        Ok(key)
    }

    /// Loads the master key from the file `path`, or creates one with mode 0600 if the file does not exist.
    ///
    /// The file is created atomically, even across a crash, and on disk before this returns. If several processes create
    /// it at once, one succeeds, and all return the same key. A caller whose database holds sealed keys
    /// must use [`MasterKey::load`]: a new master key opens none of them.
    ///
    /// # Errors
    /// As [`MasterKey::load`]; [`KeyringError::Io`] when the file cannot be created, [`KeyringError::Random`].
    pub fn load_or_create(path: &Path) -> Result<Self, KeyringError> {
        match Self::load(path) {
            Err(KeyringError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {}
            loaded => return loaded,
        }
        let key = Self::generate()?;
        match create(path, &key) {
            Ok(()) => Ok(key),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
            Err(error) => Err(KeyringError::Io {
                path: path.to_owned(),
                action: "create",
                error,
            }),
        }
    }

    /// Seals a key under its id. Sealing a key twice gives two different boxes.
    ///
    /// # Errors
    /// [`KeyringError::Random`], [`KeyringError::Seal`].
    pub fn seal(&self, key_id: &str, secret: &[u8; KEY_BYTES]) -> Result<Sealed, KeyringError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(KeyringError::Random)?;
        let payload = Payload {
            msg: secret,
            aad: key_id.as_bytes(),
        };
        let ciphertext = self
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| KeyringError::Seal(key_id.to_owned()))?;
        let mut sealed = Vec::with_capacity(SEALED_BYTES);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        Ok(Sealed(sealed))
    }

    /// Opens the box of the key `key_id`.
    ///
    /// # Errors
    /// [`KeyringError::Open`] when it was sealed with another master key or under another id, or is damaged.
    pub fn open(&self, key_id: &str, sealed: &Sealed) -> Result<Secret, KeyringError> {
        let refused = || KeyringError::Open(key_id.to_owned());
        let rest = match sealed.0.split_first() {
            Some((&VERSION, rest)) if sealed.0.len() == SEALED_BYTES => rest,
            _ => return Err(refused()),
        };
        let (nonce, ciphertext) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or_else(refused)?;
        let payload = Payload {
            msg: ciphertext,
            aad: key_id.as_bytes(),
        };
        let plain = self
            .cipher()
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| refused())?;
        let plain = Zeroizing::new(plain);
        let mut secret = Secret(Box::new([0; KEY_BYTES]));
        if plain.len() != KEY_BYTES {
            return Err(refused());
        }
        secret.0.copy_from_slice(&plain);
        Ok(secret)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0).into())
    }
}

// Keys are boxed, so that moving one leaves no copy on the stack.
fn random_key() -> Result<Box<[u8; KEY_BYTES]>, KeyringError> {
    let mut key = Box::new([0; KEY_BYTES]);
    getrandom::fill(&mut *key).map_err(KeyringError::Random)?;
    Ok(key)
}

/// Creates a file of mode 0600; fails if it exists.
fn create(path: &Path, key: &MasterKey) -> io::Result<()> {
    let how = Whole {
        mode: 0o600,
        replaces: false,
        is_durable: true,
    };
    how.write(path, |file| file.write_all(&*key.0))
}

#[cfg(test)]
mod tests {
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
}
