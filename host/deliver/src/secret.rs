//! Passwords and keys: read from where settings say, and shown nowhere.

use std::fmt;
use std::io;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use cairn_manifest::config::SecretSource;
use cairn_model::file;
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
                printed(words).map_err(|error| failed(format!("failed: {error}")))?
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

/// Runs a program, and returns what it prints.
fn printed(words: &[String]) -> io::Result<String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(io::Error::other("it names no program"));
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let stdout = child.stdout.take();
    let (read, text) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("cairn-secret".to_owned())
        .spawn(move || {
            let mut text = String::new();
            let done = stdout.map_or(Ok(0), |stdout| {
                io::Read::read_to_string(&mut io::Read::take(stdout, MOST + 2), &mut text)
            });
            // Whoever asked may have given up.
            let _ = read.send(done.map(|_| text));
        })?;
    let Ok(text) = text.recv_timeout(PATIENCE) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(io::Error::other(format!(
            "it took longer than {PATIENCE:?}"
        )));
    };
    // It may print on after what was read: it is not waited for.
    if child.try_wait()?.is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    match child.try_wait()? {
        Some(status) if !status.success() => Err(io::Error::other(status.to_string())),
        Some(_) => text,
        None => {
            child.kill()?;
            child.wait()?;
            text
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
            (command("yes hunter2"), "holds more than"),
            (
                SecretSource::Command(vec!["/no/such/program".to_owned()]),
                "failed",
            ),
        ] {
            let error = Secret::read(&source).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
