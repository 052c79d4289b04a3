//! Runs the program as a separate process in a temporary folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A working folder, and the path of the program. The database is `cairn.db` in the folder.
pub struct Program {
    path: &'static str,
    folder: TempDir,
    /// The network namespace in which it runs.
    network: Option<String>,
}

/// The end of one run.
#[derive(Debug)]
pub struct Run {
    /// Its exit code; -1 when a signal ended it.
    pub exit: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Program {
    /// Creates an empty folder. `path` is `env!("CARGO_BIN_EXE_cairn-under-test")`.
    pub fn new(path: &'static str) -> Self {
        Self {
            path,
            folder: TempDir::new().expect("a temporary folder can be made"),
            network: None,
        }
    }

    /// Runs the program in a network namespace from now on, which needs root.
    pub fn in_network(mut self, name: &str) -> Self {
        self.network = Some(name.to_owned());
        self
    }

    /// Returns a path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns a path beside the program, for files that persist between runs of the tests.
    pub fn beside(&self, name: &str) -> PathBuf {
        Path::new(self.path).with_file_name(name)
    }

    /// Writes a file in its folder.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(name), text).expect("the folder is ours");
        self
    }

    /// Writes a file that its owner alone may read.
    pub fn write_secret(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        self.write(name, text);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600))
            .expect("the folder is ours");
        self
    }

    /// Returns whether there is a database.
    pub fn has_database(&self) -> bool {
        self.path("cairn.db").exists()
    }

    /// Returns a command with these arguments, which can be modified. It does not inherit this process's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.network {
            None => Command::new(self.path),
            Some(name) => {
                // Becomes the program.
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, self.path]);
                command
            }
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CAIRN_") {
                command.env_remove(name);
            }
        }
        // All tests share the compiled plugins.
        let cache = self.beside("acceptance-cache");
        command
            .current_dir(self.folder.path())
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .env_remove("COLUMNS")
            .env("CAIRN_CACHE", cache)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it.
    pub fn run(&self, arguments: &[&str]) -> Run {
        end(self.start(arguments))
    }

    /// Starts it.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().expect("the program starts")
    }

    /// Runs it, asserts that it succeeds, and parses the document that it prints.
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.run(arguments).exits(0).json()
    }
}

/// Waits for the end of a process.
pub fn end(child: Child) -> Run {
    let output = child
        .wait_with_output()
        .expect("the program can be waited for");
    Run {
        exit: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("data is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("messages are UTF-8"),
    }
}

impl Run {
    /// Asserts the exit code, and returns the same run.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.exit, code,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }

    /// Asserts that stderr contains each of these, and returns the same run.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "`{part}` is not in:\n{}",
                self.stderr
            );
        }
        self
    }

    /// Parses the document on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in:\n{}", self.stdout))
    }

    /// Parses the lines on stdout, each of which is a document.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let lines = self.stdout.lines().map(serde_json::from_str);
        let lines: Result<_, _> = lines.collect();
        lines.unwrap_or_else(|error| panic!("{error} in:\n{}", self.stdout))
    }
}

/// Returns the path of a file in the repository.
pub fn repository(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate is in the workspace");
    root.join(path).display().to_string()
}

/// Returns the path of the first example's flow.
pub fn volume_create() -> String {
    repository("examples/volume-create/flow.toml")
}
