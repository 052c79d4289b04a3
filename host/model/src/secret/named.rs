//! Secrets by the names that an operator gave them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Secret, SecretSource};

/// How long the output of a command is used before the command runs again.
const FRESH: Duration = Duration::from_secs(60);

/// How long a failure of a command is told before the command runs again.
const FAILED: Duration = Duration::from_secs(5);

/// Returns the values of secrets that the operator set up.
pub trait Secrets: Send + Sync {
    /// Returns the value of a secret. May block: it may read a file or run a command.
    ///
    /// # Errors
    /// Why there is no value: the rest of a sentence about the secret. It repeats nothing of the value.
    fn value(&self, name: &str) -> Result<Secret, String>;
}

/// The secrets of a host for which none were set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn value(&self, _: &str) -> Result<Secret, String> {
        Err("is not set up".to_owned())
    }
}

/// Secrets with their values, for tests.
impl Secrets for BTreeMap<String, Secret> {
    fn value(&self, name: &str) -> Result<Secret, String> {
        match self.get(name) {
            Some(secret) => Ok(secret.clone()),
            None => NoSecrets.value(name),
        }
    }
}

/// Secrets with their sources. Files and variables are read each time, so that a new value is used without a restart; a command
/// runs once a minute, however many ask.
pub struct NamedSecrets(BTreeMap<String, Named>);

struct Named {
    source: SecretSource,
    /// The last result of a command, and when it lapses. Also held while the command runs.
    last: Mutex<Option<(Result<Secret, String>, Instant)>>,
}

impl NamedSecrets {
    /// Makes secrets of sources by name. Nothing is read yet.
    pub fn new(sources: impl IntoIterator<Item = (String, SecretSource)>) -> Self {
        let named = |source| Named {
            source,
            last: Mutex::new(None),
        };
        let sources = sources.into_iter();
        Self(
            sources
                .map(|(name, source)| (name, named(source)))
                .collect(),
        )
    }
}

impl Secrets for NamedSecrets {
    fn value(&self, name: &str) -> Result<Secret, String> {
        let Some(named) = self.0.get(name) else {
            return NoSecrets.value(name);
        };
        let read = || {
            let read = named.source.read();
            read.map_err(|error| format!("cannot be read: {error}"))
        };
        if !matches!(named.source, SecretSource::Command(_)) {
            return read();
        }
        let mut last = named.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((result, lapses)) = &*last
            && Instant::now() < *lapses
        {
            return result.clone();
        }
        let begun = Instant::now();
        let result = read();
        // A command that hangs does not occupy those who ask most of the time.
        let kept = match result.is_ok() {
            true => FRESH,
            false => FAILED.max(begun.elapsed()),
        };
        *last = Some((result.clone(), Instant::now() + kept));
        result
    }
}

impl fmt::Debug for NamedSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Returns whether a text can be the name of a secret: 1 to 128 letters, digits, `-`, `_` and `.`.
pub fn is_name(text: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=128).contains(&text.len()) && text.bytes().all(is_fit)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_read_each_time_and_a_command_runs_once_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let (file, runs) = (folder.path().join("file"), folder.path().join("runs"));
        let script = format!("echo x >> '{}'; echo hunter3", runs.display());
        let secrets = NamedSecrets::new([
            ("a".to_owned(), SecretSource::File(file.clone())),
            (
                "b".to_owned(),
                SecretSource::Command(vec!["sh".to_owned(), "-c".to_owned(), script]),
            ),
        ]);
        for value in ["hunter1", "hunter2"] {
            fs::write(&file, value).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(secrets.value("a").unwrap().expose(), value);
            assert_eq!(secrets.value("b").unwrap().expose(), "hunter3");
        }
        assert_eq!(fs::read_to_string(&runs).unwrap(), "x\n");
        let shown = format!("{secrets:?}");
        assert_eq!(shown, r#"{"a", "b"}"#);
        assert_eq!(secrets.value("c").unwrap_err(), "is not set up");
    }

    #[test]
    fn a_command_that_failed_is_not_run_by_each_who_waits() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        let script = format!("echo x >> '{}'; exit 1", runs.display());
        let command = SecretSource::Command(vec!["sh".to_owned(), "-c".to_owned(), script]);
        let secrets = NamedSecrets::new([("a".to_owned(), command)]);
        for _ in 0..3 {
            let error = secrets.value("a").unwrap_err();
            assert!(error.starts_with("cannot be read: the command"), "{error}");
        }
        assert_eq!(fs::read_to_string(&runs).unwrap(), "x\n");
    }

    #[test]
    fn a_name_is_no_secret_in_disguise() {
        for (name, expected) in [
            ("pdns", true),
            ("p-d_n.s1", true),
            ("", false),
            ("a b", false),
            ("ä", false),
            (&"a".repeat(129), false),
        ] {
            assert_eq!(is_name(name), expected, "{name}");
        }
    }
}
