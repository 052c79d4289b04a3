//! `cairn serve`: flows over HTTP, as clients use it.

mod bad;
mod cors;
mod externals;
mod flows;
mod full;
mod held;
mod keys;
mod openapi;
mod outbox;
mod page;
mod pages;
mod quotas;
mod records;
mod roles;
mod stop;
mod who;

use acceptance::flows::GREET;
use acceptance::program::Program;
use acceptance::serving::{Answer, Serving};
use serde_json::{Value, json};

/// A flow that waits for a signal between two greetings; it names no action.
const WAITS: &str = r#"
    flow = { name = "waits" }
    plugins.inject = { builtin = "inject", settings = { provides = ["name"] } }
    plugins.hello = { builtin = "greet", settings = { word = "Waits" }, grants = { records = { collections = ["greetings"] } } }
    task = [{ plugin = "inject" }, { plugin = "hello" }, { wait = { signal = "approved", timeout = "7d", provides = ["by"] } }]
"#;

/// Settings with these keys in `[serve]`.
fn settings(serve: &str) -> String {
    format!("[records.greetings]\n[serve]\nmetrics = false\n{serve}\n")
}

/// Runs statements on the database of a program.
fn sql(program: &Program, statement: &str) {
    rusqlite::Connection::open(program.path("cairn.db"))
        .and_then(|database| database.execute_batch(statement))
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// Returns the newest row of the audit: what was changed, why, and where it was asked for.
fn last_change(program: &Program) -> Value {
    let row = &program.json(&["audit", "list", "--json"])[0];
    let source = row["source"].as_str().unwrap_or_default();
    assert_eq!(source, "http, 127.0.0.1", "{row}");
    json!([
        row["action"],
        row["subject"],
        row["project_id"],
        row["before"],
        row["after"],
        row["reason"]
    ])
}

/// Returns the token of a page's forms.
fn csrf(page: &str) -> &str {
    let value = page.split("name=\"csrf\" value=\"").nth(1);
    value.and_then(|rest| rest.split('"').next()).unwrap()
}

/// Sends a form with its token and these fields.
fn form(serving: &Serving, path: &str, cookie: &str, csrf: &str, fields: &str) -> Answer {
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("cookie", cookie),
    ];
    let body = format!("csrf={csrf}&{fields}");
    serving.send("POST", path, &headers, Some(&body))
}

/// A folder in which `greet`, with an action, and `waits` are deployed.
fn deployed(serve: &str) -> Program {
    let greet = GREET.replacen(
        r#"name = "greet""#,
        r#"name = "greet", action = "greet""#,
        1,
    );
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    program
        .write("cairn.toml", settings(serve))
        .write("greet.toml", greet)
        .write("waits.toml", WAITS);
    program.run(&["flow", "deploy", "greet.toml"]).exits(0);
    program.run(&["flow", "deploy", "waits.toml"]).exits(0);
    program
}
