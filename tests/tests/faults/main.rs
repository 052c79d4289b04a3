//! What a server of PostgreSQL may do to the hosts on it: sessions that are ended, a server that stops at once, a fail-over. No flow is
//! lost, done twice, or fails for it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use acceptance::crash::check_on_a_server;
use acceptance::program::{Program, end, volume_create};
use cairn::Value;
use cairn::event::FlowState;
use cairn_test_postgres::{Database, Server, Setup, Stop};

/// How many hosts work, each on a project of its own.
const HOSTS: usize = 2;

/// Requests that a host has not reported yet, at most.
const IN_FLIGHT: usize = 200;

/// A process that runs flows until it is told to end.
struct Load {
    program: Program,
    child: Child,
    writer: JoinHandle<usize>,
    reader: JoinHandle<Vec<Value>>,
    is_over: Arc<AtomicBool>,
    reported: Arc<AtomicUsize>,
}

impl Load {
    fn start(url: &str, host: usize) -> Self {
        let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
        // No limit on what a project may have: a refused flow would hide a lost one.
        let unlimited = "[quota]\nvolumes = -1\ngigabytes = -1\n";
        program.write("cairn.toml", cairn_test_postgres::settings(url, unlimited));
        let project = format!("project-{host}");
        let mut child = program
            .command(&[
                "run",
                &volume_create(),
                "--jsonl",
                "--project",
                &project,
                "--workers",
                "16",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
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
                let mut reports = Vec::new();
                for line in stdout.lines() {
                    let line = line.expect("reports are UTF-8");
                    reports.push(serde_json::from_str(&line).expect("a report is JSON"));
                    reported.fetch_add(1, Ordering::SeqCst);
                }
                reports
            }
        });
        Self {
            program,
            child,
            writer,
            reader,
            is_over,
            reported,
        }
    }

    /// Waits until so many more flows have ended than at a moment before.
    fn goes_on(&self, from: usize, more: usize) {
        let since = Instant::now();
        while self.reported.load(Ordering::SeqCst) < from + more {
            assert!(since.elapsed() < Duration::from_secs(60), "no flow ends");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends the load, and returns how many flows it ran. Every request must have been reported as a success.
    fn finish(self) -> usize {
        self.is_over.store(true, Ordering::SeqCst);
        let asked = self.writer.join().expect("it writes");
        let reports = self.reader.join().expect("it reads");
        for report in &reports {
            assert_eq!(report["flow"]["state"], "SUCCESS", "{report:#}");
        }
        let run = end(self.child).exits(0);
        assert_eq!(reports.len(), asked, "{}", run.stderr);
        self.program.run(&["quota", "check", "--admin"]).exits(0);
        self.program.run(&["db", "check"]).exits(0);
        asked
    }
}

/// Has hosts run flows while faults happen, and checks that nothing is lost or done twice. `checked`: the URL of the database afterwards.
fn under_load(url: &str, checked: &str, faults: usize, mut fault: impl FnMut(usize)) {
    let loads: Vec<Load> = (0..HOSTS).map(|host| Load::start(url, host)).collect();
    loads.iter().for_each(|load| load.goes_on(0, 50));
    for number in 0..faults {
        fault(number);
        thread::sleep(Duration::from_millis(120));
    }
    let before = |load: &Load| load.reported.load(Ordering::SeqCst);
    let reported: Vec<usize> = loads.iter().map(before).collect();
    for (load, reported) in loads.iter().zip(reported) {
        load.goes_on(reported, 50);
    }
    let flows: usize = loads.into_iter().map(Load::finish).sum();
    let found = check_on_a_server(checked, false).expect("the invariants hold");
    println!("{faults} faults, {flows} flows");
    assert_eq!(found.flows.len(), flows, "each request is one flow");
    let succeeded = found.flows.values();
    let succeeded = succeeded.filter(|(state, _)| *state == FlowState::Success);
    assert_eq!(succeeded.count(), flows);
}

/// A server that keeps what it commits.
fn server() -> Option<Server> {
    cairn_test_postgres::own(&Setup {
        fsync: true,
        ..Setup::default()
    })
}

/// Ends every second session of the database in turn.
fn end_sessions(database: &Database<'_>, number: usize) {
    database.sql(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid % 2 = {}",
        number % 2
    ));
}

fn sessions_end(times: usize) {
    let Some(server) = server() else { return };
    let database = server.database();
    let url = database.url();
    under_load(&url, &url, times, |number| end_sessions(&database, number));
}

fn the_server_stops(times: usize) {
    let Some(server) = server() else { return };
    let database = server.database();
    let url = database.url();
    under_load(&url, &url, times, |_| {
        server.stop(Stop::Immediate);
        server.start_again().expect("it starts again");
    });
}

#[test]
fn sessions_that_are_ended_lose_no_flow() {
    sessions_end(5);
}

#[test]
#[ignore = "takes a minute"]
fn sixty_sessions_that_are_ended_lose_no_flow() {
    sessions_end(60);
}

#[test]
fn a_server_that_stops_at_once_and_starts_again_loses_no_flow() {
    the_server_stops(1);
}

#[test]
#[ignore = "takes a minute"]
fn six_stops_of_the_server_lose_no_flow() {
    the_server_stops(6);
}

#[test]
fn a_fail_over_to_a_synchronous_standby_loses_no_flow() {
    let Some(primary) = server() else { return };
    let database = primary.database();
    let standby = primary.standby().expect("a standby");
    let name = database.name();
    let on = |ports: &str| format!("postgres://cairn@{ports}/{name}");
    let (first, second) = (primary.port(), standby.port());
    let both = on(&format!("127.0.0.1:{first},127.0.0.1:{second}"));
    let after = on(&format!("127.0.0.1:{second}"));
    under_load(&both, &after, 1, |_| {
        primary.stop(Stop::Immediate);
        standby.promote();
    });
}
