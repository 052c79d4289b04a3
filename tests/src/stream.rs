//! A process that reads requests from a stream until the test ends it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::Value;

use crate::program::{Program, Run, volume_create};

/// A run of the first example's flow with `--jsonl`.
pub struct Stream {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Stream {
    /// Starts the program with additional arguments.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(program: &Program, more: &[&str]) -> Self {
        let flow = volume_create();
        let arguments = [&["run", &flow, "--jsonl"], more].concat();
        let mut child = program
            .command(&arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("the program starts");
        Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().expect("stdout is a pipe")),
            child,
        }
    }

    /// Requests a volume of 1 GiB, and waits for the line with its report.
    ///
    /// # Panics
    /// If the program ends before that.
    pub fn ask(&mut self) -> Value {
        let stdin = self.stdin.as_mut().expect("it is open until the end");
        stdin
            .write_all(b"{\"size\": 1}\n")
            .expect("the program reads");
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line).expect("lines are UTF-8");
        assert_ne!(read, 0, "the program ended without a report");
        serde_json::from_str(&line).expect("a line is JSON")
    }

    /// Calls [`ask`](Self::ask), asserts SUCCESS, and returns the volume's id.
    ///
    /// # Panics
    /// If the flow does not succeed.
    #[track_caller]
    pub fn succeeds(&mut self) -> String {
        let report = self.ask();
        assert_eq!(report["flow"]["state"], "SUCCESS", "{report:#}");
        let tasks = report["tasks"].as_array().into_iter().flatten();
        let mut volumes = tasks.filter_map(|task| task["result"]["volume_id"].as_str());
        volumes.next_back().expect("a volume was made").to_owned()
    }

    /// Waits for its end without closing stdin.
    ///
    /// # Panics
    /// If waiting fails.
    pub fn ended(mut self) -> Run {
        let mut run = Run {
            exit: 0,
            stdout: String::new(),
            stderr: String::new(),
        };
        self.stdout
            .read_to_string(&mut run.stdout)
            .expect("data is UTF-8");
        let stderr = self.child.stderr.as_mut().expect("stderr is a pipe");
        stderr
            .read_to_string(&mut run.stderr)
            .expect("messages are UTF-8");
        let status = self.child.wait().expect("it can be waited for");
        run.exit = status.code().unwrap_or(-1);
        run
    }

    /// Closes its stdin, and waits for its end.
    pub fn end(mut self) -> Run {
        self.stdin = None;
        self.ended()
    }

    /// Kills the process.
    ///
    /// # Panics
    /// If it has already ended.
    pub fn kill(mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it can be waited for");
    }
}
