//! Passwords, keys and tokens of an operator: read from where settings say when they are needed, and shown nowhere.

mod named;

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::command;
use crate::file;

pub use named::{NamedSecrets, NoSecrets, Secrets, is_name};

/// The most bytes of a secret.
const MOST: u64 = 4096;

/// How long a program may take to print one.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a secret is read from when it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file that holds nothing else, and that its owner alone may read.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A program that prints it, with its arguments. No shell is involved.
    Command(Vec<String>),
}

/// A secret. It is part of no message: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// Why there is no secret. It repeats nothing that was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{source_name} {problem}")]
pub struct SecretError {
    source_name: String,
    problem: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// Makes a secret of a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Returns the secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl SecretSource {
    /// Reads the secret, without the line ends after it. May block, for as long as a command may take.
    ///
    /// # Errors
    /// The source is not there, holds nothing, more than 4 KiB, or no text in UTF-8; or others than its owner may read the file.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let failed = |problem: String| SecretError {
            source_name: self.name(),
            problem,
        };
        let text = match self {
            Self::File(path) => private(path).map_err(failed)?,
            Self::Variable(variable) => {
                let value = std::env::var(variable);
                value.map_err(|_| failed("is not set, or is no text in UTF-8".to_owned()))?
            }
            Self::Command(words) => {
                let output = command::output(words, MOST + 2, PATIENCE);
                let output = output.map_err(|error| SecretError {
                    source_name: "the command".to_owned(),
                    problem: error.to_string(),
                })?;
                String::from_utf8(output)
                    .map_err(|_| failed("printed no text in UTF-8".to_owned()))?
            }
        };
        let text = Zeroizing::new(text);
        let secret = text.trim_end_matches(['\n', '\r']);
        match secret.len() as u64 {
            0 => Err(failed("holds nothing".to_owned())),
            length if length > MOST => Err(failed(format!("holds more than {MOST} bytes"))),
            _ => Ok(Secret::new(secret)),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::File(path) => format!("the file {}", path.display()),
            Self::Variable(variable) => format!("the variable {variable}"),
            // Its arguments may be meant for its eyes alone.
            Self::Command(words) => {
                format!("the command {}", words.first().map_or("", |word| word))
            }
        }
    }
}

/// Reads a file that its owner alone may read.
fn private(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let file = file::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    match mode & 0o077 {
        // With a line end.
        0 => file::text_of(file, MOST + 2).map_err(unreadable),
        _ => Err(format!(
            "has mode {mode:04o}, so others may use the secret in it: run `chmod 600` on it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn command(script: &str) -> SecretSource {
        SecretSource::Command(["sh", "-c", script].map(str::to_owned).to_vec())
    }

    fn write(path: &Path, text: &str, mode: u32) -> SecretSource {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        SecretSource::File(path.to_owned())
    }

    #[test]
    fn a_secret_is_read_from_a_file_a_variable_or_a_program() {
        let folder = tempfile::tempdir().unwrap();
        let expected = Secret::new("hunter2");
        let file = write(&folder.path().join("pw"), "hunter2\n", 0o600);
        assert_eq!(file.read().unwrap(), expected);
        assert_eq!(command("echo hunter2").read().unwrap(), expected);
        let path = SecretSource::Variable("PATH".to_owned()).read().unwrap();
        assert_eq!(path.expose(), std::env::var("PATH").unwrap());
        assert_eq!(format!("{expected:?}"), "Secret(…)");
    }

    #[test]
    fn a_source_without_a_secret_is_named_and_nothing_of_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (source, expected) in [
            (SecretSource::File(path("gone")), "gone cannot be read"),
            (
                write(&path("long"), &"hunter2".repeat(1000), 0o600),
                "long cannot be read",
            ),
            (write(&path("empty"), "\n", 0o600), "empty holds nothing"),
            (
                write(&path("shared"), "hunter2", 0o640),
                "shared has mode 0640, so others may use the secret in it: run `chmod 600`",
            ),
            (
                SecretSource::Variable("CAIRN_NO_SUCH_VARIABLE".to_owned()),
                "the variable CAIRN_NO_SUCH_VARIABLE is not set",
            ),
            (command("echo hunter2; exit 3"), "failed: exit status: 3"),
            (command("yes hunter2"), "wrote more than"),
            (command("printf 'hunter2\\377'"), "printed no text in UTF-8"),
            (
                SecretSource::Command(vec!["/no/such/program".to_owned()]),
                "cannot be run",
            ),
        ] {
            let error = source.read().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
