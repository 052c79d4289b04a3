//! A process that runs flows as fast as it can until the test ends it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cairn::event::FlowState;
use serde_json::Value;

use crate::crash::Found;
use crate::program::{Program, Run, volume_create};

/// Requests that a host has not reported yet, at most.
const IN_FLIGHT: usize = 200;

/// An upper bound of the wait for flows.
const PATIENCE: Duration = Duration::from_secs(60);

/// A run of a flow that makes volumes with `--jsonl`. The project must not have limits: a refused flow would hide a lost one.
pub struct Load {
    program: Program,
    child: Child,
    writer: JoinHandle<usize>,
    reader: JoinHandle<Vec<Value>>,
    messages: JoinHandle<String>,
    is_over: Arc<AtomicBool>,
    reported: Arc<AtomicUsize>,
}

/// What a load came to.
pub struct Ended {
    /// Its folder.
    pub program: Program,
    /// How many requests it was sent.
    pub asked: usize,
    /// What it reported.
    pub reports: Vec<Value>,
    /// The end of its process.
    pub run: Run,
}

impl Load {
    /// Starts the program in its folder, on the first example's flow in this project. `on_lost`: what becomes of a flow whose host is lost.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(program: Program, project: &str, on_lost: &str) -> Self {
        let flow = fs::read_to_string(volume_create()).expect("the example");
        let on_lost = format!("[flow]\non_lost = \"{on_lost}\"\n");
        program.write("flow.toml", flow.replacen("[flow]\n", &on_lost, 1));
        let mut child = program
            .command(&[
                "run",
                "flow.toml",
                "--jsonl",
                "--project",
                project,
                "--workers",
                "16",
            ])
            .stdin(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut stderr = child.stderr.take().expect("a pipe");
        let is_over = Arc::<AtomicBool>::default();
        let reported = Arc::<AtomicUsize>::default();
        let writer = thread::spawn({
            let (is_over, reported) = (Arc::clone(&is_over), Arc::clone(&reported));
            move || {
                let mut asked = 0;
                while !is_over.load(Ordering::SeqCst) {
                    if asked - reported.load(Ordering::SeqCst) >= IN_FLIGHT {
                        thread::sleep(Duration::from_millis(1));
                        continue;
                    }
                    let line = format!("{{\"size\": 1, \"name\": \"v{asked}\"}}\n");
                    if stdin.write_all(line.as_bytes()).is_err() {
                        break;
                    }
                    asked += 1;
                }
                asked
            }
        });
        let reader = thread::spawn({
            let reported = Arc::clone(&reported);
            move || {
                let (mut reports, mut line) = (Vec::new(), String::new());
                while stdout.read_line(&mut line).expect("reports are UTF-8") > 0 {
                    if !line.ends_with('\n') {
                        // The process was killed while it wrote.
                        break;
                    }
                    reports.push(serde_json::from_str(&line).expect("a report is JSON"));
                    reported.fetch_add(1, Ordering::SeqCst);
                    line.clear();
                }
                reports
            }
        });
        let messages = thread::spawn(move || {
            let mut messages = String::new();
            let read = stderr.read_to_string(&mut messages);
            read.expect("messages are UTF-8");
            messages
        });
        Self {
            program,
            child,
            writer,
            reader,
            messages,
            is_over,
            reported,
        }
    }

    /// Returns its process.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Returns how many flows it has reported.
    pub fn reported(&self) -> usize {
        self.reported.load(Ordering::SeqCst)
    }

    /// Waits until this many more flows have ended than at a moment before.
    ///
    /// # Panics
    /// If they do not in time.
    #[track_caller]
    pub fn goes_on(&self, from: usize, more: usize) {
        let since = Instant::now();
        while self.reported() < from + more {
            assert!(since.elapsed() < PATIENCE, "no flow ends");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends no more requests.
    pub fn stop(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Waits for the end of its process without ending the load.
    ///
    /// # Panics
    /// If it goes on for longer than that. It is killed then.
    #[track_caller]
    pub fn has_ended(&mut self, within: Duration) {
        let since = Instant::now();
        while self.child.try_wait().expect("it is ours").is_none() {
            if since.elapsed() > within {
                self.child.kill().expect("it is ours");
                panic!("it has not ended");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the load, and waits for the end of its process.
    ///
    /// # Panics
    /// If it does not end in time.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        self.stop();
        self.has_ended(PATIENCE);
        let asked = self.writer.join().expect("it writes");
        let reports = self.reader.join().expect("it reads");
        let stderr = self.messages.join().expect("it reads");
        let status = self.child.wait().expect("it can be waited for");
        Ended {
            program: self.program,
            asked,
            reports,
            run: Run {
                exit: status.code().unwrap_or(-1),
                stdout: String::new(),
                stderr,
            },
        }
    }

    /// Ends the load, every request of which must have been reported as a success. Returns how many there were.
    ///
    /// # Panics
    /// If one was not.
    #[track_caller]
    pub fn finish(self) -> usize {
        let ended = self.end();
        for report in &ended.reports {
            assert_eq!(report["flow"]["state"], "SUCCESS", "{report:#}");
        }
        let run = ended.run.exits(0);
        assert_eq!(ended.reports.len(), ended.asked, "{}", run.stderr);
        ended.program.run(&["quota", "check", "--admin"]).exits(0);
        ended.program.run(&["db", "check"]).exits(0);
        ended.asked
    }
}

impl Ended {
    /// Asserts that each flow was reported once, and is in the database as it was reported.
    ///
    /// # Panics
    /// If that is not so.
    #[track_caller]
    pub fn is_in(&self, found: &Found) {
        let flows: BTreeMap<String, FlowState> = found
            .flows
            .iter()
            .map(|(flow, (state, _))| (flow.to_string(), *state))
            .collect();
        let mut told = BTreeMap::new();
        for report in &self.reports {
            let Some(flow) = report["flow"]["id"].as_str() else {
                continue;
            };
            let state = flows.get(flow).map(FlowState::to_string);
            assert_eq!(
                state.as_deref(),
                report["flow"]["state"].as_str(),
                "{report:#}"
            );
            assert!(told.insert(flow, ()).is_none(), "{flow} was reported twice");
        }
    }
}
