//! Where the password of a database comes from.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use cairn_model::file;

/// A password is no longer.
const MOST_BYTES: u64 = 4096;

/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Variables that may hold a password, the first one first.
const VARIABLES: [&str; 2] = ["CAIRN_POSTGRES_PASSWORD", "PGPASSWORD"];

/// Where the password of a database comes from. It is read each time a connection is made, so that a new one is used without a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PasswordSource {
    /// The variable `CAIRN_POSTGRES_PASSWORD`, or `PGPASSWORD`. Without either there is none.
    #[default]
    Environment,
    /// The first line of a file that its owner alone may read.
    File(PathBuf),
    /// The first line that a program writes: its name, and its arguments.
    Command(Vec<String>),
}

/// A password, which no message shows.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Password(pub(super) String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl PasswordSource {
    /// Reads the password.
    ///
    /// # Errors
    /// Why it cannot be read, without anything of it.
    pub(super) fn read(&self) -> Result<Option<Password>, String> {
        let (text, of) = match self {
            Self::Environment => return from_environment(),
            Self::File(path) => (from_file(path)?, format!("the file {}", path.display())),
            Self::Command(command) => (
                run(command)?,
                format!("`{}`", command.first().map_or("", String::as_str)),
            ),
        };
        match text.lines().next() {
            Some(line) if !line.is_empty() => Ok(Some(Password(line.to_owned()))),
            _ => Err(format!(
                "the first line of {of}, which is to be the password of the database, is empty"
            )),
        }
    }
}

fn from_environment() -> Result<Option<Password>, String> {
    for name in VARIABLES {
        match std::env::var(name) {
            Ok(password) if !password.is_empty() => return Ok(Some(Password(password))),
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(format!("the variable {name} is not UTF-8"));
            }
            Ok(_) | Err(std::env::VarError::NotPresent) => {}
        }
    }
    Ok(None)
}

fn from_file(path: &std::path::Path) -> Result<String, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |error: std::io::Error| {
        format!(
            "the file {} with the password of the database cannot be read: {error}",
            path.display()
        )
    };
    let opened = file::open(path).map_err(failed)?;
    let mode = opened.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!(
            "others may read the file {} with the password of the database (mode {:o}); `chmod 600` it",
            path.display(),
            mode & 0o777
        ));
    }
    file::text_of(opened, MOST_BYTES).map_err(failed)
}

/// Runs a program for its output. What it writes to its standard error is the operator's to see.
fn run(command: &[String]) -> Result<String, String> {
    let Some((program, arguments)) = command.split_first() else {
        return Err("`password_command` is empty".to_owned());
    };
    let failed = |problem: &dyn fmt::Display| {
        format!("`{program}`, which is to write the password of the database, {problem}")
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&format!("cannot be run: {error}")))?;
    let (send, receive) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        thread::spawn(move || {
            // Not received once the time is over.
            let _ = send.send(file::text_of(output, MOST_BYTES));
        });
    }
    let until = Instant::now() + COMMAND_TIMEOUT;
    let output = receive.recv_timeout(COMMAND_TIMEOUT);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if output.is_ok() && Instant::now() < until => {
                thread::sleep(Duration::from_millis(2));
            }
            _ => break None,
        }
    };
    let Some(status) = status else {
        let _ = child.kill();
        let _ = child.wait();
        let limit = humantime::format_duration(COMMAND_TIMEOUT);
        return Err(failed(&format!("has not ended within {limit}")));
    };
    match output {
        _ if !status.success() => Err(failed(&format!("failed: {status}"))),
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(failed(&format!("wrote what cannot be read: {error}"))),
        Err(_) => Err(failed(&"wrote nothing in time")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn command(script: &str) -> PasswordSource {
        PasswordSource::Command(["sh", "-c", script].map(str::to_owned).to_vec())
    }

    fn fails(source: &PasswordSource) -> String {
        source.read().unwrap_err()
    }

    #[test]
    fn the_first_line_of_a_file_or_of_a_command_is_the_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "se cret \nmore\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let secret = Some(Password("se cret ".to_owned()));
        assert_eq!(PasswordSource::File(path).read().unwrap(), secret);
        let found = command("echo 'se cret '; echo more").read();
        assert_eq!(found.unwrap(), secret);
    }

    #[test]
    fn a_password_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "secret").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let found = fails(&PasswordSource::File(path));
        assert!(
            found.ends_with("(mode 640); `chmod 600` it") && !found.contains("secret"),
            "{found}"
        );
    }

    #[test]
    fn a_source_that_gives_none_is_named() {
        let missing = PasswordSource::File("/nonexistent/password".into());
        assert!(fails(&missing).starts_with("the file /nonexistent/password with the password"));
        for (script, expected) in [
            ("echo secret; exit 3", "failed: exit status: 3"),
            ("true", "the first line of `sh`"),
            ("exec yes secret", "failed: signal: 13"),
            ("printf '\\377'", "wrote what cannot be read"),
        ] {
            let found = fails(&command(script));
            assert!(
                found.contains(expected) && !found.contains("secret"),
                "{found}"
            );
        }
        let none = PasswordSource::Command(vec!["/nonexistent/program".to_owned()]);
        assert!(fails(&none).contains("`/nonexistent/program`"));
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(
            format!("{:?}", Password("secret".to_owned())),
            "Password(…)"
        );
    }
}
