//! Databases that are held after a restore.

use std::fs::File;

use acceptance::program::{Program, volume_create};
use serde_json::{Value, json};

use super::{create, killed_after, program};

/// Settings with a transport whose receiver does not exist.
const DELIVER: &str = "\n[deliver]\ntransport = \"http\"\nkey_file = \"key\"\nwait = \"100ms\"\n\
                       [deliver.topics]\n\"*\" = \"http://127.0.0.1:1/in\"\n";

/// Creates a database with two undelivered messages, and restores its backup with the settings `restored.toml`.
fn restored(program: &Program) -> Value {
    program
        .write_secret("key", "secret\n")
        .write("cairn.toml", DELIVER);
    for _ in 0..2 {
        create(program, r#"{"size": 1}"#, &[], 0);
    }
    program.run(&["db", "backup", "b.db"]).exits(0);
    program.json(&[
        "db",
        "restore",
        "b.db",
        "--json",
        "--config",
        "restored.toml",
    ])
}

/// Asserts what can and what cannot be done with a database that is held, and that it can be done once it is released.
fn is_held(program: &Program) {
    let run =
        |arguments: &[&str]| program.run(&[arguments, &["--config", "restored.toml"]].concat());
    let json = |arguments: &[&str]| run(&[arguments, &["--json"]].concat()).exits(0).json();
    let flows = json(&["flow", "list"]);
    let flow = flows[0]["id"].as_str().unwrap();
    let messages = json(&["outbox", "list"]);
    let message = |at: usize| messages[at]["id"].as_str().unwrap();
    assert_eq!(messages.as_array().unwrap().len(), 2);

    for reads in [
        &["db", "check"][..],
        &["db", "migrate"],
        &["db", "backup", "again.db"],
        &["flow", "show", flow],
        &["flow", "versions"],
        &["token", "list"],
        &["flow", "events", flow],
        &["flow", "prune", "--older-than", "0s", "--dry-run"],
        &["volume", "list"],
        &["outbox", "show", message(0)],
        &["quota", "check", "--admin"],
    ] {
        run(reads).exits(0);
    }
    run(&["db", "check"])
        .exits(0)
        .says(&["is held until `cairn db release`"]);
    let flow_file = volume_create();
    let create = ["run", &flow_file, "--input", r#"{"size": 1}"#];
    for changes in [
        &create[..],
        &["recover"],
        &["flow", "deploy", &flow_file],
        &["flow", "undeploy", "volume_create_api"],
        &["token", "create", "--user", "ann", "--project", "blue"],
        &["token", "revoke", "a"],
        &["flow", "rollback", flow],
        &["flow", "resume", flow],
        &["flow", "prune", "--older-than", "0s"],
        &["outbox", "retry", message(0), "--admin"],
        &["outbox", "ack", message(0)],
        &["quota", "set", "volumes=7", "--admin"],
        &["quota", "sync"],
        &["quota", "expire"],
        &["zone", "create", "nova"],
        &["type", "create", "fast"],
    ] {
        run(changes).exits(6).says(&["is held", "cairn db release"]);
    }
    assert_eq!(json(&["flow", "list"]), flows);
    assert_eq!(json(&["outbox", "list"]), messages);

    run(&["outbox", "discard", message(0), "--admin"]).exits(0);
    let dry = json(&["db", "release", "--dry-run"]);
    assert_eq!(
        (&dry["releases"], &dry["more"], &dry["unfinished"]),
        (&json!(false), &json!(false), &json!([]))
    );
    assert!(dry["held_since"].is_string(), "{dry}");
    assert_eq!(dry["messages"][0]["id"], message(1));
    assert_eq!(dry["messages"].as_array().unwrap().len(), 1);
    run(&["recover"]).exits(6);
    let released = run(&["db", "release"]).exits(0).stdout;
    for part in ["1 that may have left already", message(1), "released"] {
        assert!(released.contains(part), "`{part}` is not in:\n{released}");
    }
    run(&create).exits(0);
    run(&["recover"]).exits(0);
    let again = json(&["db", "release"]);
    assert_eq!(
        (&again["releases"], &again["held_since"]),
        (&json!(false), &Value::Null)
    );
}

#[test]
fn a_restored_database_on_a_server_is_held_until_it_is_released() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let program = program();
    let database = server.database();
    program.write("restored.toml", database.settings(DELIVER));
    assert_eq!(restored(&program)["held"], true);
    is_held(&program);
}

#[test]
fn a_restored_database_in_a_file_whose_messages_leave_is_held_until_it_is_released() {
    let program = program();
    program.write("restored.toml", format!("db = \"restored.db\"\n{DELIVER}"));
    assert_eq!(restored(&program)["held"], true);
    is_held(&program);
}

#[test]
fn a_restored_database_in_a_file_whose_messages_do_not_leave_is_released_at_once() {
    let program = program();
    program.write("restored.toml", "db = \"restored.db\"\n");
    assert_eq!(restored(&program)["held"], false);
    let run =
        |arguments: &[&str]| program.run(&[arguments, &["--config", "restored.toml"]].concat());
    run(&["recover"]).exits(0);
    run(&["zone", "create", "nova"]).exits(0);

    // Also a backup of a database that is held.
    program.write("held.toml", format!("db = \"held.db\"\n{DELIVER}"));
    let on_held = ["--config", "held.toml"];
    program
        .run(&[&["db", "restore", "b.db"], &on_held[..]].concat())
        .exits(0);
    program
        .run(&[&["db", "backup", "h.db"], &on_held[..]].concat())
        .exits(0);
    program.run(&["recover", "--db", "h.db"]).exits(6);
    run(&["db", "restore", "h.db"])
        .exits(0)
        .says(&["is released", "[deliver]"]);
    run(&["recover"]).exits(0);
}

#[test]
fn messages_without_a_transport_and_of_unfinished_flows_are_listed_before_a_release() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = (program(), server.database());
    for _ in 0..2 {
        create(&program, r#"{"size": 1}"#, &[], 0);
    }
    killed_after(&program, "volume-cast");
    program.run(&["db", "backup", "b.db"]).exits(0);
    program.write("restored.toml", database.settings(""));
    let on_server = ["--config", "restored.toml"];
    let run = |arguments: &[&str]| program.run(&[arguments, &on_server].concat());
    run(&["db", "restore", "b.db", "--without-key"]).exits(0);

    let dry = run(&["db", "release", "--dry-run", "--json"])
        .exits(0)
        .json();
    let messages = dry["messages"].as_array().unwrap();
    let states: Vec<&Value> = messages.iter().map(|message| &message["state"]).collect();
    assert_eq!(states, ["ready", "ready"]);
    let unfinished = dry["unfinished"].as_array().unwrap();
    assert_eq!(unfinished.len(), 1, "{dry}");
    assert_eq!(unfinished[0]["state"], "held");

    // What has left is dropped; a message of a flow that has not ended is the flow's.
    let id = |message: &Value| message["id"].as_str().unwrap().to_owned();
    let (first, second, held) = (id(&messages[0]), id(&messages[1]), id(&unfinished[0]));
    run(&["outbox", "discard", &first, "--admin"]).exits(0);
    run(&["outbox", "discard", &held, "--admin"])
        .exits(2)
        .says(&["undelivered message", &held]);

    // A list that nobody gets releases nothing.
    for format in [&["--json"][..], &[]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let arguments = [&["db", "release"], format, &on_server].concat();
        let output = program.command(&arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("nothing was released"), "{said}");
        run(&["recover"]).exits(6);
    }
    let listed = run(&["db", "release", "--json"]).exits(0).json();
    assert_eq!(listed["releases"], true);
    assert_eq!(listed["messages"][0]["id"], *second);
    assert_eq!(listed["unfinished"][0]["id"], *held);
    // The flow that had not ended is undone, and its message with it.
    run(&["recover"]).exits(0);
    let left = run(&["outbox", "list", "--all", "--admin", "--json"])
        .exits(0)
        .json();
    assert_eq!(left.as_array().unwrap().len(), 1, "{left}");
    assert_eq!(left[0]["id"], *second);
}
