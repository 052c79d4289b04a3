//! Tests the command line as a process: exit codes, documents on stdout, and messages.

mod audit;
mod backup;
mod bench;
mod bookings;
mod catalogue;
mod clocks;
mod config;
mod default_type;
mod deliver;
mod deployed;
mod drift;
mod envelope;
mod externals;
mod file_gone;
mod find;
mod flows;
mod formats;
mod grants;
mod groups;
mod held;
mod help;
mod host;
mod hostile;
mod idempotency;
mod ids;
mod in_flight;
mod init;
mod inputs;
mod json;
mod kept;
mod keys;
mod laws;
mod limits;
mod lockfile;
mod man;
mod many;
mod moved;
mod names;
mod operate;
mod outbox;
mod pages;
mod password;
mod plan;
mod plugin;
mod plugin_diff;
mod plugin_log;
mod policy;
mod prune;
mod quota;
mod read_only;
mod reads;
mod record;
mod recovered;
mod reset;
mod restore;
mod run;
mod settings;
mod signals;
mod states;
mod status;
mod streams;
mod stuck;
mod texts;
mod tokens;

mod vacuum;
mod verdicts;
mod volume;
mod waits;

use acceptance::program::{Program, volume_create};
use acceptance::slow::{run_slow, slow_after};
use serde_json::Value;

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_cairn-under-test"))
}

/// Writes a request, and returns the arguments that run the first example's flow with it.
fn request(program: &Program, request: &str) -> [String; 4] {
    program.write("request.json", request);
    [
        "run".to_owned(),
        volume_create(),
        "--input".to_owned(),
        "request.json".to_owned(),
    ]
}

/// Runs the first example's flow with a request and more arguments; it must end with this code. Returns the report.
#[track_caller]
fn create(program: &Program, body: &str, more: &[&str], exit: i32) -> Value {
    let arguments = request(program, body);
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.push("--json");
    arguments.extend(more);
    program.run(&arguments).exits(exit).json()
}

/// Returns the result of a task in a report.
fn result<'r>(report: &'r Value, task: &str) -> &'r Value {
    let tasks = report["tasks"].as_array().expect("a report has tasks");
    let name = format!("{task};volume:create");
    let task = tasks.iter().find(|task| task["name"] == name.as_str());
    &task.expect("the task is in the report")["result"]
}

/// Changes the program's database without the program's checks.
fn sql(program: &Program, statement: &str) {
    rusqlite::Connection::open(program.path("cairn.db"))
        .and_then(|database| database.execute_batch(statement))
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// Runs the first example's flow with a task after `before` that takes a second, and kills the program during that task.
fn killed_after(program: &Program, before: &str) {
    slow_after(program, before);
    let mut child = run_slow(program);
    child.kill().expect("it still runs");
    child.wait().expect("it can be waited for");
}
