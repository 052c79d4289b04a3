//! Flows that run long enough for a test to intervene.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::guest::Call;
use crate::program::{Program, volume_create};

/// An upper bound of every wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes `slow.toml`, the first example's flow with a task `slow` after `before` that takes a second, and `slow.json`, a request
/// for 5 GiB.
///
/// # Panics
/// When the example has no task `before`.
pub fn slow_after(program: &Program, before: &str) {
    slower_after(program, before, 1);
}

/// Like [`slow_after`], with this many tasks that take a second, for tests that stop the flow and may be late on a busy machine.
///
/// # Panics
/// When the example has no task `before`.
pub fn slower_after(program: &Program, before: &str, seconds: usize) {
    let task = format!("[[task]]\nplugin = \"{before}\"\n");
    let flow = fs::read_to_string(volume_create()).expect("the example");
    assert!(flow.contains(&task), "{flow}");
    let mut tasks = format!("{task}\n[[task]]\nplugin = \"slow\"\n");
    for second in 2..=seconds {
        tasks += &format!("\n[[task]]\nplugin = \"slow\"\nname = \"slow-{second}\"\n");
    }
    let slow = format!(
        "{}\n[plugins.slow]\npath = \"slow.wat\"\n",
        flow.replace(&task, &tasks)
    );
    program
        .write("slow.wat", Call::TakesASecond.component())
        .write("slow.toml", slow)
        .write("slow.json", r#"{"size": 5}"#);
}

/// Starts the program, and returns when a task with `slow` in its name has started. The rest of its stderr is discarded.
///
/// # Panics
/// If the program ends before that.
pub fn start_slow(program: &Program, arguments: &[&str]) -> Child {
    let mut arguments = arguments.to_vec();
    arguments.push("-vv");
    let mut child = program.start(&arguments);
    let mut stderr = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
    let mut line = String::new();
    while !(line.contains("slow") && line.contains("STARTED")) {
        line.clear();
        let read = stderr.read_line(&mut line).expect("messages are UTF-8");
        assert_ne!(read, 0, "the program ended before its slow task");
    }
    // The rest of stderr must be read, or the program would block.
    thread::spawn(move || io::copy(&mut stderr, &mut io::sink()));
    // Earlier events are on disk a few milliseconds later.
    thread::sleep(Duration::from_millis(100));
    child
}

/// Runs the flow that [`slow_after`] wrote, up to its slow task.
pub fn run_slow(program: &Program) -> Child {
    start_slow(
        program,
        &["run", "slow.toml", "--input", "slow.json", "--json"],
    )
}

/// Sends a signal, such as `-INT`.
///
/// # Panics
/// If the process is gone.
pub fn send(child: &Child, signal: &str) {
    let status = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(status.expect("there is a kill").success());
}

/// Waits until a condition holds.
///
/// # Panics
/// If it does not hold within 30 seconds.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}
