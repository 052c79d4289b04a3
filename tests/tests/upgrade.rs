//! Opens a database that the version before made, and goes on with each of its flows.
//!
//! `tests/schema-11/database.sql` is that database as SQL text: `sqlite3 cairn.db .dump` after the flows below, without the path of the file.
//! The program of schema 11 made it: `tests/schema-11/make.sh CAIRN FOLDER --dump`.
//!
//! | flow | left as |
//! |---|---|
//! | `ended` | SUCCESS, with an idempotency key and a message that is ready |
//! | `failed` | FAILURE, rolled back clean |
//! | `waiting` | RUNNING: it waits for a signal, and holds a message and a record |
//! | `stopped` | INTERRUPTED in its second task, with a third one to come |
//! | `killed` | RUNNING: its process was killed in the second task |
//!
//! With the program itself, instead of the text: `CAIRN_OLD=/path/to/cairn cargo test --release --workspace --test upgrade -- --ignored`.

use std::fs;
use std::process::Command;

use acceptance::program::{Program, repository};
use rusqlite::Connection;
use serde_json::{Value, json};

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_cairn-under-test"))
}

fn made(name: &str) -> String {
    repository(&format!("tests/schema-11/{name}"))
}

/// Returns the id of the flow of this name.
#[track_caller]
fn flow(program: &Program, name: &str) -> String {
    let flows = program.json(&["flow", "list", "--name", name, "--json"]);
    let flows = flows.as_array().expect("a list");
    assert_eq!(flows.len(), 1, "{name}: {flows:#?}");
    flows[0]["id"].as_str().expect("an id").to_owned()
}

#[track_caller]
fn report(program: &Program, flow: &str) -> Value {
    program.json(&["flow", "show", flow, "--json"])
}

#[track_caller]
fn in_use(program: &Program) -> Value {
    let quotas = program.json(&["quota", "show", "--json"]);
    quotas["quotas"]["volumes"]["in_use"].clone()
}

/// Returns the values of a column of a list, in order.
#[track_caller]
fn column(list: &Value, name: &str) -> Vec<String> {
    let rows = list.as_array().expect("a list").iter();
    rows.map(|row| row[name].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Migrates the database in the folder of `program`, and goes on with its flows.
fn goes_on(program: &Program) {
    program
        .run(&["flow", "list"])
        .exits(2)
        .says(&["schema 11, this one reads", "`cairn db migrate`"]);
    let migrated = program.json(&["db", "migrate", "--json"]);
    assert_eq!(migrated["from"], 11);
    let check = program.json(&["db", "check", "--json"]);
    assert_eq!(check["schema_version"], check["newest_version"]);
    assert_eq!(check["problems"], json!([]));

    // The key of the flow that ended is still taken.
    let ended = flow(program, "ended");
    let repeated = ["run", "ended.toml", "--key", "ended", "--json", "--input"];
    let again = program.json(&[&repeated[..], &["{}"]].concat());
    assert_eq!(again["flow"]["id"], ended);
    assert_eq!(again["flow"]["state"], "SUCCESS");
    let other = [&repeated[..], &[r#"{"other": 1}"#]].concat();
    program.run(&other).exits(2).says(&["another request"]);

    // What was rolled back is reported as before.
    let failed = report(program, &flow(program, "failed"));
    assert_eq!(failed["flow"]["state"], "FAILURE");
    assert_eq!(failed["rollback"]["verdict"], "clean");
    assert_eq!(failed["error"]["kind"], "Trap", "{failed:#}");

    // The flow that was interrupted runs its last task, and the one before it no second time.
    let stopped = flow(program, "stopped");
    let resumed = program.json(&["flow", "resume", &stopped, "--json"]);
    assert_eq!(resumed["flow"]["state"], "SUCCESS", "{resumed:#}");
    let events = program.json(&["flow", "events", &stopped, "--json"]);
    let entries = events.as_array().expect("a list").iter();
    let started = entries.filter_map(|entry| entry["event"]["started"]["name"].as_str());
    assert_eq!(started.collect::<Vec<_>>(), ["work", "slow", "again"]);

    // The one that waits gets its signal; the one whose process was killed is rolled back.
    let (waiting, killed) = (flow(program, "waiting"), flow(program, "killed"));
    let approved = ["flow", "signal", &waiting, "approved", "--input"];
    let approved = [&approved[..], &[r#"{"by": "ann"}"#]].concat();
    program.run(&approved).exits(0);
    program.run(&["recover"]).exits(0);
    let waited = report(program, &waiting);
    assert_eq!(waited["flow"]["state"], "SUCCESS", "{waited:#}");
    assert_eq!(waited["tasks"][1]["result"], json!({"by": "ann"}));
    let killed = report(program, &killed);
    assert_eq!(killed["flow"]["state"], "FAILURE", "{killed:#}");
    assert_eq!(killed["rollback"]["verdict"], "clean");

    // There is what the flows that succeeded made, and nothing else.
    let notes = program.json(&["record", "list", "notes", "--json"]);
    assert_eq!(
        column(&notes, "key"),
        ["ended", "stopped", "stopped again", "waiting"]
    );
    let published = |note: &Value| note["value"] == json!({}) && note["held"] == Value::Null;
    assert!(
        notes.as_array().expect("a list").iter().all(published),
        "{notes:#}"
    );
    assert_eq!(in_use(program), 4);
    let messages = program.json(&["outbox", "list", "--json"]);
    assert_eq!(column(&messages, "state"), ["ready"; 4], "{messages:#}");

    // The newest message is taken. The flow that ended before the upgrade is rolled back by the changes that were recorded then.
    let newest = messages[3]["id"].as_str().expect("an id");
    program.run(&["outbox", "ack", newest]).exits(0);
    let undone = program.json(&["flow", "rollback", &ended, "--json"]);
    assert_eq!(undone["rollback"]["verdict"], "clean", "{undone:#}");
    assert_eq!(in_use(program), 3);
    program
        .run(&["run", "ended.toml", "--input", "{}"])
        .exits(0);
    assert_eq!(in_use(program), 4);
    program.run(&["quota", "check"]).exits(0);
    program.run(&["db", "check"]).exits(0);
    program.run(&["status"]).exits(0);
}

#[test]
fn the_flows_of_the_version_before_go_on() {
    let program = program();
    for file in ["cairn.toml", "ended.toml", "work.wat"] {
        program.write(file, fs::read(made(file)).expect("a file beside make.sh"));
    }
    let text = fs::read_to_string(made("database.sql")).expect("the database as text");
    let database = Connection::open(program.path("cairn.db")).expect("the folder is ours");
    database.execute_batch(&text).expect("the text is SQL");
    drop(database);
    goes_on(&program);
}

#[test]
#[ignore = "needs the program of the version before, which CAIRN_OLD names"]
fn the_flows_that_the_program_before_began_go_on() {
    let old = std::env::var_os("CAIRN_OLD").expect("CAIRN_OLD names the program of schema 11");
    let program = program();
    let folder = program.path("made");
    let made = Command::new(made("make.sh"))
        .arg(old)
        .arg(&folder)
        .env("CAIRN_CACHE", program.path("cache"))
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
    for entry in fs::read_dir(&folder).expect("the folder that was made") {
        let entry = entry.expect("an entry");
        let moved = fs::rename(
            entry.path(),
            program.path(&entry.file_name().to_string_lossy()),
        );
        moved.expect("both folders are ours");
    }
    goes_on(&program);
}
