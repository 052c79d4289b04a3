//! Where the master key comes from, and when it is loaded.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::{Fingerprint, KEY_BYTES, KeyringError, MasterKey};
use cairn_model::command;

/// Base64 in its standard alphabet, with its padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How long a command that writes the master key may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest output of such a command, in bytes.
const MAX_OUTPUT: u64 = 4096;

/// Where the master key comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeySource {
    /// It is generated with the first key that is sealed, and lost with the process: for tests.
    #[default]
    Memory,
    /// A file, which is created with the first key that is sealed if it does not exist.
    NewFile(PathBuf),
    /// A file, which must exist.
    File(PathBuf),
    /// The output of a command, a word each: the key's 32 bytes, or their base64.
    Command(Vec<String>),
    /// There is none: see [`KeyringError::NotConfigured`].
    None,
}

/// The master key of a host, which is loaded at most once.
///
/// A domain that seals keys registers one as a service, so that a host can compare its master key with the database's when it starts.
#[derive(Debug, Default)]
pub struct Keyring {
    source: KeySource,
    /// See [`Keyring::sealed_keys`].
    sealed_keys: Option<&'static str>,
    key: OnceLock<MasterKey>,
    /// The fingerprint that the database holds.
    recorded: OnceLock<Fingerprint>,
}

impl Keyring {
    /// Creates a keyring; nothing is loaded yet.
    pub fn new(source: KeySource) -> Self {
        Self {
            source,
            ..Self::default()
        }
    }

    /// Sets a statement of portable SQL that reads the id and the box of at most one sealed key. By it a master key is tried on a
    /// database that holds no fingerprint.
    #[must_use]
    pub fn sealed_keys(mut self, statement: &'static str) -> Self {
        self.sealed_keys = Some(statement);
        self
    }

    /// Returns the statement that reads a sealed key.
    pub fn sealed_key(&self) -> Option<&'static str> {
        self.sealed_keys
    }

    /// Notes the fingerprint of the master key that the database holds: from now on no other one is used, and none is created.
    pub fn record(&self, fingerprint: Fingerprint) {
        // A later one is the same: the database's never changes.
        let _ = self.recorded.set(fingerprint);
    }

    /// Returns the fingerprint of the loaded master key, unless the database is known to hold it. In memory there is none.
    pub fn unrecorded(&self) -> Option<Fingerprint> {
        if self.recorded.get().is_some() || self.source == KeySource::Memory {
            return None;
        }
        self.key.get().map(MasterKey::fingerprint)
    }

    /// Returns whether the master key is loaded.
    pub fn is_loaded(&self) -> bool {
        self.key.get().is_some()
    }

    /// Loads the master key for the start of a host; `None` if there is none yet, or none is configured.
    ///
    /// # Errors
    /// [`KeyringError`] when the key cannot be loaded, or has another fingerprint than the recorded one.
    pub fn load(&self) -> Result<Option<&MasterKey>, KeyringError> {
        let loaded = match (self.key.get(), &self.source) {
            (Some(key), _) => self.checked(key),
            (None, KeySource::Memory | KeySource::None) => return Ok(None),
            (None, _) => self.get(true),
        };
        match loaded {
            Err(error) if error.is_absent() && matches!(self.source, KeySource::NewFile(_)) => {
                Ok(None)
            }
            loaded => loaded.map(Some),
        }
    }

    /// Returns the master key, for sealing or opening a key. Generates it if its source allows that, the database has no fingerprint,
    /// and no sealed key `exists`.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn get(&self, exists: bool) -> Result<&MasterKey, KeyringError> {
        if let Some(key) = self.key.get() {
            return self.checked(key);
        }
        let exists = exists || self.recorded.get().is_some();
        let found = match &self.source {
            KeySource::Memory => MasterKey::generate()?,
            KeySource::NewFile(path) if !exists => MasterKey::load_or_create(path)?,
            KeySource::NewFile(path) | KeySource::File(path) => MasterKey::load(path)?,
            KeySource::Command(command) => by_command(command)?,
            KeySource::None => return Err(KeyringError::NotConfigured),
        };
        self.checked(&found)?;
        Ok(self.key.get_or_init(|| found))
    }

    /// Refuses a key of another fingerprint than the recorded one.
    fn checked<'k>(&self, key: &'k MasterKey) -> Result<&'k MasterKey, KeyringError> {
        match self.recorded.get() {
            Some(recorded) if *recorded != key.fingerprint() => Err(KeyringError::AnotherKey {
                own: key.fingerprint(),
                recorded: *recorded,
            }),
            _ => Ok(key),
        }
    }
}

/// Runs the command that writes the master key.
fn by_command(command: &[String]) -> Result<MasterKey, KeyringError> {
    let output = command::output(command, MAX_OUTPUT, PATIENCE)
        .map(Zeroizing::new)
        .map_err(KeyringError::Command)?;
    let bytes = match output.len() {
        KEY_BYTES => output,
        length => {
            let decoded = BASE64.decode(output.trim_ascii()).map(Zeroizing::new);
            decoded.map_err(|_| {
                KeyringError::Output(format!(
                    "it has {length} bytes, which are neither {KEY_BYTES} bytes nor their base64"
                ))
            })?
        }
    };
    MasterKey::of(&bytes).ok_or_else(|| {
        KeyringError::Output(format!(
            "it is the base64 of {} bytes and should be that of {KEY_BYTES}",
            bytes.len()
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const KEY: [u8; 32] = *b"0123456789abcdef0123456789abcde\n";
    const IN_BASE64: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZQo=";

    fn command(script: &str) -> Keyring {
        let words = ["sh", "-c", script].map(str::to_owned).to_vec();
        Keyring::new(KeySource::Command(words))
    }

    fn error(found: Result<&MasterKey, KeyringError>) -> String {
        found.unwrap_err().to_string()
    }

    #[test]
    fn a_command_writes_the_bytes_or_their_base64() {
        let expected = MasterKey::of(&KEY).unwrap().fingerprint();
        let bare = IN_BASE64.trim_end_matches('=');
        for script in [
            "echo 0123456789abcdef0123456789abcde".to_owned(),
            format!("printf {IN_BASE64}"),
            format!("printf '\\n {IN_BASE64} \\n'"),
            format!("echo {bare}"),
        ] {
            let keyring = command(&script);
            let key = keyring.load().unwrap().expect("a key");
            assert_eq!(key.fingerprint(), expected, "{script}");
        }
    }

    #[test]
    fn another_output_is_no_key_and_is_not_shown() {
        for (script, expected) in [
            (
                "true",
                "it is the base64 of 0 bytes and should be that of 32",
            ),
            (
                "echo secret",
                "it has 7 bytes, which are neither 32 bytes nor their base64",
            ),
            (
                "echo sec-ret",
                "it has 8 bytes, which are neither 32 bytes nor their base64",
            ),
            (
                "echo MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZTEyMw",
                "it is the base64 of 34 bytes",
            ),
            ("echo secret; exit 7", "`sh` failed: exit status: 7"),
            ("exec yes secret", "`sh` wrote more than 4096 bytes"),
        ] {
            let error = error(command(script).get(false));
            assert!(error.contains(expected), "{script}: {error}");
            assert!(!error.contains("sec"), "{script}: {error}");
        }
    }

    #[test]
    fn a_command_runs_once() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let keyring = command(&format!("echo x >> {}; echo {IN_BASE64}", mark.display()));
        let first = keyring.get(false).unwrap().fingerprint();
        assert_eq!(keyring.load().unwrap().unwrap().fingerprint(), first);
        assert_eq!(keyring.get(true).unwrap().fingerprint(), first);
        assert_eq!(fs::read_to_string(&mark).unwrap(), "x\n");
    }

    #[test]
    fn only_a_new_file_is_created_and_only_while_nothing_needs_the_old_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let file = Keyring::new(KeySource::File(path.clone()));
        assert!(error(file.get(false)).contains("cannot read the master key"));
        assert!(file.load().is_err());

        let new = || Keyring::new(KeySource::NewFile(path.clone()));
        assert!(new().load().unwrap().is_none());
        assert!(error(new().get(true)).contains("cannot read the master key"));
        let recorded = new();
        recorded.record(MasterKey::of(&KEY).unwrap().fingerprint());
        assert!(error(recorded.get(false)).contains("cannot read the master key"));
        assert!(!path.exists());

        let made = new().get(false).unwrap().fingerprint();
        for keyring in [new(), file] {
            assert_eq!(keyring.load().unwrap().unwrap().fingerprint(), made);
        }
    }

    #[test]
    fn a_file_that_leads_nowhere_is_not_a_missing_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::os::unix::fs::symlink("gone", &path).unwrap();
        let new = Keyring::new(KeySource::NewFile(path));
        assert!(new.load().is_err());
        assert!(error(new.get(false)).contains("cannot read the master key"));
    }

    #[test]
    fn without_a_source_there_is_no_key() {
        let none = Keyring::new(KeySource::None);
        assert!(none.load().unwrap().is_none());
        assert!(matches!(none.get(false), Err(KeyringError::NotConfigured)));
        assert_eq!(none.unrecorded(), None);
    }

    #[test]
    fn another_key_than_the_recorded_one_is_refused() {
        let other = MasterKey::generate().unwrap().fingerprint();
        let own = MasterKey::of(&KEY).unwrap().fingerprint();
        // Recorded before it is loaded, and after.
        for is_loaded in [false, true] {
            let keyring = command(&format!("echo {IN_BASE64}"));
            if is_loaded {
                keyring.load().unwrap();
                assert_eq!(keyring.unrecorded(), Some(own));
            }
            keyring.record(other);
            let expected = format!(
                "has the fingerprint {own}, and the keys in the database are sealed with the one of fingerprint {other}"
            );
            assert!(error(keyring.get(false)).contains(&expected));
            assert!(keyring.load().unwrap_err().to_string().contains(&expected));
            assert_eq!(keyring.unrecorded(), None);
        }
        let keyring = command(&format!("echo {IN_BASE64}"));
        keyring.record(own);
        assert!(keyring.load().unwrap().is_some());
    }

    #[test]
    fn a_key_in_memory_is_never_recorded() {
        let keyring = Keyring::default();
        assert!(keyring.load().unwrap().is_none());
        keyring.get(false).unwrap();
        assert_eq!(keyring.unrecorded(), None);
    }

    #[test]
    fn a_fingerprint_is_a_keyed_hash() {
        // HMAC-SHA-256 by Python's hmac, cut to 16 bytes.
        let key = MasterKey::of(&KEY).unwrap();
        let text = key.fingerprint().to_string();
        assert_eq!(text, "37eb66273d41601d8c5fe278d8ea11f5");
        assert_eq!(text.parse(), Ok(key.fingerprint()));
        for wrong in ["", "12", &text[1..], "+0000000000000000000000000000000"] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }
}
