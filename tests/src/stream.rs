//! A process that reads requests from a stream until the test ends it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use crate::program::{Program, Run, volume_create};

/// An upper bound of the wait for a report.
const PATIENCE: Duration = Duration::from_secs(60);

/// A run with `--jsonl`.
pub struct Stream {
    child: Child,
    stdin: Option<ChildStdin>,
    /// The lines of its standard output.
    lines: Receiver<String>,
    messages: JoinHandle<String>,
}

impl Stream {
    /// Starts the program with the first example's flow and additional arguments.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(program: &Program, more: &[&str]) -> Self {
        Self::of(program, &volume_create(), more)
    }

    /// Starts the program with a flow and additional arguments.
    ///
    /// # Panics
    /// If it does not start.
    pub fn of(program: &Program, flow: &str, more: &[&str]) -> Self {
        let arguments = [&["run", flow, "--jsonl"], more].concat();
        let mut child = program
            .command(&arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let mut stderr = child.stderr.take().expect("stderr is a pipe");
        let (told, lines) = channel();
        // Both threads end with the process.
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The test may have ended.
                let _ = told.send(line);
            }
        });
        let messages = thread::spawn(move || {
            let mut messages = String::new();
            let read = stderr.read_to_string(&mut messages);
            read.expect("messages are UTF-8");
            messages
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            messages,
        }
    }

    /// Returns its process.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Returns the id of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Takes its standard input, which the caller writes to and closes.
    ///
    /// # Panics
    /// If it was taken.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("it is open until the end")
    }

    /// Writes a request.
    ///
    /// # Panics
    /// If the program does not read it.
    pub fn post(&mut self, request: &Value) {
        let stdin = self.stdin.as_mut().expect("it is open until the end");
        writeln!(stdin, "{request}").expect("the program reads");
    }

    /// Waits for the next report.
    ///
    /// # Panics
    /// If there is none in time, or the program ends before.
    #[track_caller]
    pub fn report(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE);
        let line = line.expect("there is a report in time");
        serde_json::from_str(&line).expect("a line is JSON")
    }

    /// Returns the next report if it is there.
    pub fn try_report(&self) -> Option<Value> {
        let line = self.lines.try_recv().ok()?;
        Some(serde_json::from_str(&line).expect("a line is JSON"))
    }

    /// Requests a volume of 1 GiB, and waits for its report.
    ///
    /// # Panics
    /// As [`report`](Self::report).
    #[track_caller]
    pub fn ask(&mut self) -> Value {
        self.post(&json!({"size": 1}));
        self.report()
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

    /// Waits for its end without closing stdin. The end has the reports that were not read.
    ///
    /// # Panics
    /// If it does not end in time. It is killed then.
    #[track_caller]
    pub fn ended(mut self) -> Run {
        let mut stdout = String::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => stdout += &(line + "\n"),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.child.kill().expect("it is ours");
                    panic!("it has not ended");
                }
            }
        }
        let status = self.child.wait().expect("it can be waited for");
        Run {
            exit: status.code().unwrap_or(-1),
            stdout,
            stderr: self.messages.join().expect("messages are read"),
        }
    }

    /// Closes its stdin, and waits for its end like [`ended`](Self::ended).
    #[track_caller]
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
