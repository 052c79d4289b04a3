//! Passwords and keys: read from where settings say, and shown nowhere.

use std::fmt;
use std::time::Duration;

use cairn_manifest::config::SecretSource;
use cairn_model::{command, file};
use zeroize::Zeroizing;

/// The most bytes of a secret.
const MOST: u64 = 4096;

/// How long a program may take to print one.
const PATIENCE: Duration = Duration::from_secs(10);

/// A password or a key. It is not part of any message: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// Why there is no secret. It repeats nothing that was read.
#[derive(Debug, thiserror::Error)]
#[error("{source_name} {problem}")]
pub struct SecretError {
    source_name: String,
    problem: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// Makes a secret of a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Reads a secret from its source, without the line end after it.
    ///
    /// # Errors
    /// The source is not there, or holds nothing, or more than 4 KiB.
    pub fn read(source: &SecretSource) -> Result<Self, SecretError> {
        let failed = |problem: String| SecretError {
            source_name: name(source),
            problem,
        };
        let text = match source {
            SecretSource::File(path) => {
                let text = file::text(path, MOST);
                text.map_err(|error| failed(format!("cannot be read: {error}")))?
            }
            SecretSource::Variable(variable) => std::env::var(variable)
                .map_err(|_| failed("is not set, or is no text in UTF-8".to_owned()))?,
            SecretSource::Command(words) => {
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
            _ => Ok(Self::new(secret)),
        }
    }
}

fn name(source: &SecretSource) -> String {
    match source {
        SecretSource::File(path) => format!("the file {}", path.display()),
        SecretSource::Variable(variable) => format!("the variable {variable}"),
        // Its arguments may be meant for its eyes alone.
        SecretSource::Command(words) => {
            format!("the command {}", words.first().map_or("", |word| word))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(script: &str) -> SecretSource {
        SecretSource::Command(["sh", "-c", script].map(str::to_owned).to_vec())
    }

    #[test]
    fn a_secret_is_read_from_a_file_a_variable_or_a_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pw");
        std::fs::write(&path, "hunter2\n").unwrap();
        let expected = Secret::new("hunter2");
        assert_eq!(Secret::read(&SecretSource::File(path)).unwrap(), expected);
        assert_eq!(Secret::read(&command("echo hunter2")).unwrap(), expected);
        let home = Secret::read(&SecretSource::Variable("PATH".to_owned())).unwrap();
        assert_eq!(home.expose(), std::env::var("PATH").unwrap());
        assert_eq!(format!("{expected:?}"), "Secret(..)");
    }

    #[test]
    fn a_source_without_a_secret_is_named_and_nothing_of_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("long");
        std::fs::write(&long, "hunter2".repeat(1000)).unwrap();
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "\n").unwrap();
        for (source, expected) in [
            (
                SecretSource::File(folder.path().join("gone")),
                "cannot be read",
            ),
            (SecretSource::File(long), "cannot be read"),
            (SecretSource::File(empty), "holds nothing"),
            (
                SecretSource::Variable("CAIRN_NO_SUCH_VARIABLE".to_owned()),
                "is not set",
            ),
            (command("echo hunter2; exit 3"), "failed: exit status: 3"),
            (command("yes hunter2"), "wrote more than"),
            (
                SecretSource::Command(vec!["/no/such/program".to_owned()]),
                "cannot be run",
            ),
        ] {
            let error = Secret::read(&source).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
