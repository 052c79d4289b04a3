//! The program, run as a process of its own in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A working folder, and the program in it. The database is `cairn.db` there.
pub struct Program {
    path: &'static str,
    folder: TempDir,
}

/// How one run ended.
#[derive(Debug)]
pub struct Run {
    /// Its exit code; -1 when a signal ended it.
    pub exit: i32,
    /// What it wrote.
    pub stdout: String,
    /// What it wrote.
    pub stderr: String,
}

impl Program {
    /// A program in an empty folder. `path` is `env!("CARGO_BIN_EXE_cairn-under-test")`.
    pub fn new(path: &'static str) -> Self {
        Self {
            path,
            folder: TempDir::new().expect("a temporary folder can be made"),
        }
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path beside the program, for what stays from one run of the tests to the next.
    pub fn beside(&self, name: &str) -> PathBuf {
        Path::new(self.path).with_file_name(name)
    }

    /// Writes a file in its folder.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(name), text).expect("the folder is ours");
        self
    }

    /// Whether there is a database.
    pub fn has_database(&self) -> bool {
        self.path("cairn.db").exists()
    }

    /// The program with these arguments, as a command that can be changed. It sees none of this process's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CAIRN_") {
                command.env_remove(name);
            }
        }
        // Plugins are compiled once for all tests.
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

    /// Runs it, which must be done without an error, and reads the document that it prints.
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.run(arguments).exits(0).json()
    }
}

/// Waits for the end of a run.
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
    /// The same run, if it ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.exit, code,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }

    /// The same run, if stderr holds each of these.
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

    /// The one document on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in:\n{}", self.stdout))
    }
}

/// A file of the repository.
pub fn repository(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate is in the workspace");
    root.join(path).display().to_string()
}

/// The flow of the first example.
pub fn volume_create() -> String {
    repository("examples/volume-create/flow.toml")
}
