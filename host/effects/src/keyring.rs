//! Seals the keys that the host generates for volumes: the database holds them only encrypted under one master key,
//! which is never in it.
//!
//! A sealed key is `1 | nonce (24 bytes) | XChaCha20-Poly1305 ciphertext and tag (48 bytes)`, with the key's id as
//! associated data, so that a box that was moved to another row does not open. Nonces are random: at 192 bits
//! collisions are negligible for any number of keys.

mod fingerprint;
mod source;
#[cfg(test)]
mod tests;

pub use fingerprint::Fingerprint;
pub use source::{KeySource, Keyring};

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use cairn_model::command::CommandError;
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
    /// The command that writes the master key failed.
    #[error("the master key cannot be read: {0}: check `command` in [keys]")]
    Command(CommandError),
    /// The output of the command is not a master key.
    #[error("the output of the command in [keys] is no master key: {0}")]
    Output(String),
    /// No master key is configured, and none is created here.
    #[error(
        "no master key is configured: name one with `file` or `command` in [keys] of cairn.toml"
    )]
    NotConfigured,
    /// The database's keys are sealed with another master key.
    #[error(
        "the master key has the fingerprint {own}, and the keys in the database are sealed with the one of fingerprint {recorded}: put that one \
         back; a backup has it as BACKUP.key, unless it was made without"
    )]
    AnotherKey {
        /// The fingerprint of the loaded master key.
        own: Fingerprint,
        /// The fingerprint that the database holds.
        recorded: Fingerprint,
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

impl KeyringError {
    /// Returns whether the master key's file does not exist.
    fn is_absent(&self) -> bool {
        matches!(self, Self::Io { error, path, .. } if error.kind() == io::ErrorKind::NotFound && file::is_absent(path))
    }
}

impl MasterKey {
    /// Returns the master key of these bytes; `None` if they are not 32.
    fn of(bytes: &[u8]) -> Option<Self> {
        let mut key = Self(Box::new([0; KEY_BYTES]));
        if bytes.len() != KEY_BYTES {
            return None;
        }
        key.0.copy_from_slice(bytes);
        Some(key)
    }

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
            Err(error) if error.is_absent() => {}
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
