//! Kills processes with 64 open flows at random, hundreds of times, and checks the invariants.
//!
//! `cargo test --release --workspace --test chaos -- --ignored` runs the long form.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use acceptance::crash::{Found, check, check_on_a_server};
use acceptance::program::{Program, repository, volume_create};
use cairn::Verdict;
use cairn::event::FlowState;
use cairn_test_postgres::Database;

/// Requests that each process receives; more than it can run before it is killed.
const REQUESTS: usize = 20_000;

/// A random number generator with a printed seed.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seed = std::env::var("CAIRN_TEST_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| now.map_or(1, |now| now.as_nanos() as u64 | 1));
        println!("CAIRN_TEST_SEED={seed}");
        Self(seed)
    }

    /// Returns a number from 0 to `sides - 1` (xorshift64).
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// A process that runs flows until it is killed.
struct Busy {
    child: Child,
    /// Receives a value when the process's first flow has ended.
    first: Receiver<()>,
}

impl Busy {
    fn start(program: &Program, flow: &str, requests: &str) -> Self {
        let mut child = program
            .command(&["run", flow, "--jsonl", "--workers", "64"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let requests = requests.to_owned();
        // Both threads end when the process is killed.
        thread::spawn(move || stdin.write_all(requests.as_bytes()));
        let (ended, first) = channel();
        thread::spawn(move || {
            for _ in stdout.lines() {
                // The receiver is gone after the first one.
                let _ = ended.send(());
            }
        });
        Self { child, first }
    }

    /// Waits until a flow has ended.
    fn wait_for_the_first(&self) {
        let ended = self.first.recv_timeout(Duration::from_secs(60));
        ended.expect("a flow ends");
    }

    fn kill(mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it was killed");
    }
}

fn chaos(kills: usize, server: Option<&Database<'_>>) {
    let mut dice = Dice::new();
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    if let Some(database) = server {
        program.write("cairn.toml", database.settings(""));
    }
    program
        .run(&["quota", "set", "volumes=-1", "gigabytes=2000000"])
        .exits(0);
    let flow = std::fs::read_to_string(volume_create()).expect("the example");
    program.write(
        "goes-on.toml",
        flow.replace("[flow]\n", "[flow]\non_lost = \"resume\"\n"),
    );
    let (rolls_back, goes_on) = (
        volume_create(),
        program.path("goes-on.toml").display().to_string(),
    );
    let casts_fail = repository("examples/volume-create/flow-cast-fails.toml");
    let flows = [rolls_back.as_str(), &goes_on, &casts_fail];
    let requests: String = (0..REQUESTS)
        .map(|number| match number % 9 {
            // One request that the flow refuses, one that sometimes exceeds the quota, and the rest.
            3 => "{\"size\": 0}\n".to_owned(),
            5 => "{\"size\": 300000}\n".to_owned(),
            _ => format!("{{\"size\": 1, \"name\": \"v{number}\"}}\n"),
        })
        .collect();
    // A check takes time proportional to the number of flows, so the long form checks less often.
    let between = (kills as u64 / 25).max(4);
    for kill in 0..kills {
        let flow = flows[dice.roll(3) as usize];
        let busy = Busy::start(&program, flow, &requests);
        // Some processes die while they start, however fast the machine is.
        if dice.roll(4) > 0 {
            busy.wait_for_the_first();
        }
        thread::sleep(Duration::from_millis(40 + dice.roll(160)));
        busy.kill();
        // Checks between the kills from time to time.
        if dice.roll(between) == 0 {
            recovered(&program, server, &format!("after kill {kill}"));
        }
    }
    let found = recovered(&program, server, "in the end");
    let count = |state, verdict| {
        let flows = found.flows.values();
        flows.filter(|flow| **flow == (state, verdict)).count()
    };
    println!(
        "{kills} kills, {} flows: {} succeeded, {} rolled back clean, {} with residue",
        found.flows.len(),
        count(FlowState::Success, None),
        count(FlowState::Failure, Some(Verdict::Clean)),
        count(FlowState::Failure, Some(Verdict::Residue)),
    );
    assert!(
        found.flows.len() > kills,
        "the processes did something before they were killed"
    );
    program.run(&["quota", "check", "--admin"]).exits(0);
    program.run(&["db", "check"]).exits(0);
}

/// Recovers the flows that were left behind, and checks the invariants.
fn recovered(program: &Program, server: Option<&Database<'_>>, when: &str) -> Found {
    let since = Instant::now();
    program.run(&["recover"]).exits(0);
    let checked = match server {
        None => check(&program.path("cairn.db")),
        Some(database) => check_on_a_server(&database.url(), false),
    };
    match checked {
        Ok(found) => {
            let incomplete = |(_, verdict): &_| *verdict == Some(Verdict::Incomplete);
            assert!(!found.flows.values().any(incomplete), "{when}");
            found
        }
        Err(error) => panic!("{when}, recovered in {:?}: {error:#}", since.elapsed()),
    }
}

#[test]
fn a_few_kills_lose_nothing() {
    chaos(12, None);
}

#[test]
#[ignore = "takes some minutes"]
fn hundreds_of_kills_lose_nothing() {
    chaos(400, None);
}

#[test]
fn a_few_kills_lose_nothing_on_a_server() {
    if let Some(server) = cairn_test_postgres::shared() {
        chaos(5, Some(&server.database()));
    }
}

#[test]
#[ignore = "takes some minutes"]
fn hundreds_of_kills_lose_nothing_on_a_server() {
    if let Some(server) = cairn_test_postgres::shared() {
        chaos(200, Some(&server.database()));
    }
}

#[test]
fn a_stream_of_requests_that_is_killed_in_the_middle_is_recovered() {
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    program
        .run(&["quota", "set", "volumes=-1", "gigabytes=-1"])
        .exits(0);
    let requests: String = (0..5_000)
        .map(|number| format!("{{\"size\": 1, \"name\": \"v{number}\"}}\n"))
        .collect();
    let busy = Busy::start(&program, &volume_create(), &requests);
    let ended = || {
        program
            .run(&["flows", "list", "--state", "SUCCESS", "--limit", "1000"])
            .stdout
            .lines()
            .count()
    };
    let since = Instant::now();
    while !program.has_database() || ended() < 500 {
        assert!(since.elapsed() < Duration::from_secs(60), "it runs");
        thread::sleep(Duration::from_millis(5));
    }
    // All its child processes were killed with it.
    assert!(
        Command::new("kill")
            .args(["-9", &busy.child.id().to_string()])
            .status()
            .expect("kill")
            .success()
    );
    busy.kill();
    recovered(&program, None, "after the kill");
    program.run(&["quota", "check"]).exits(0);
    program.run(&["recover"]).exits(0);
}
