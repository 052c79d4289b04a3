//! Messages that leave, by HTTP: what an operator sees and does.

use acceptance::program::{Program, end, volume_create};
use acceptance::receiver::Receiver;
use serde_json::{Value, json};

use super::{create, program};

/// The program, that delivers to a receiver.
fn delivering(receiver: &Receiver, more: &str) -> Program {
    let program = program();
    configure(&program, receiver, more);
    program
}

fn configure(program: &Program, receiver: &Receiver, more: &str) {
    program.write_secret("key", "secret\n");
    program.write(
        "cairn.toml",
        format!(
            "[deliver]\ntransport = \"http\"\nkey_file = \"key\"\n{more}\n[deliver.topics]\n\"*\" = \"http://{}/in\"\n",
            receiver.address
        ),
    );
}

fn listed(program: &Program, arguments: &[&str]) -> Vec<Value> {
    let list = program.json(&[&["outbox", "list", "--json"], arguments].concat());
    list.as_array().unwrap().clone()
}

#[test]
fn a_message_that_was_delivered_is_gone_and_a_rollback_says_that_it_left() {
    let receiver = Receiver::answering(204);
    let program = delivering(&receiver, "");
    let report = create(&program, r#"{"size": 1}"#, &[], 0);
    assert_eq!(receiver.requests().len(), 1);
    assert_eq!(listed(&program, &["--all"]), Vec::<Value>::new());
    let flow = report["flow"]["id"].as_str().unwrap();
    let run = program.run(&["flow", "rollback", flow, "--json"]).exits(4);
    let report = run.json();
    let residue = report["rollback"]["residue"].as_array().unwrap();
    let casts: Vec<&Value> = residue
        .iter()
        .filter(|left| left["kind"] == "cast")
        .collect();
    assert_eq!(casts.len(), 1, "{residue:?}");
    assert_eq!(casts[0]["after"], json!({"state": "acked"}));
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn a_message_that_is_being_sent_may_have_left_and_is_not_withdrawn() {
    let receiver = Receiver::answering(503);
    let program = delivering(&receiver, "wait = \"100ms\"");
    let report = create(&program, r#"{"size": 1}"#, &[], 0);
    let flow = report["flow"]["id"].as_str().unwrap();
    program.run(&["flow", "rollback", flow]).exits(4);
    let message = listed(&program, &[]).remove(0);
    assert_eq!(message["state"], "sending");
}

#[test]
fn what_could_not_be_delivered_is_shown_retried_and_discarded() {
    let receiver = Receiver::saying(503, "ok");
    let program = delivering(&receiver, "attempts = 1");
    for _ in 0..2 {
        create(&program, r#"{"size": 1}"#, &[], 0);
    }
    let failed = listed(&program, &["--state", "failed"]);
    assert_eq!(failed.len(), 2);
    assert_eq!(
        listed(&program, &["--state", "sending", "--state", "held"]),
        Vec::<Value>::new()
    );
    let error = "the receiver answered 503 Service Unavailable: ok";
    for message in &failed {
        assert_eq!(
            (&message["attempts"], &message["last_error"]),
            (&json!(1), &json!(error))
        );
    }
    let (first, second) = (
        failed[0]["id"].as_str().unwrap(),
        failed[1]["id"].as_str().unwrap(),
    );
    let shown = program.run(&["outbox", "show", first]).exits(0).stdout;
    for part in ["failed", error, "cinder-scheduler", "attempts"] {
        assert!(shown.contains(part), "`{part}` is not in:\n{shown}");
    }
    assert_eq!(
        program.json(&["outbox", "show", first, "-o", "json"]),
        failed[0]
    );
    for change in ["retry", "discard"] {
        program
            .run(&["outbox", change, first])
            .exits(6)
            .says(&["only an admin may"]);
        program.run(&["outbox", change]).exits(2);
        program
            .run(&["outbox", change, first, "nobody", "--admin"])
            .exits(2)
            .says(&["there is no undelivered message `nobody`"]);
    }
    assert_eq!(
        listed(&program, &["--state", "failed"]),
        failed,
        "all are changed, or none"
    );
    program
        .run(&["outbox", "discard", second, "--admin"])
        .exits(0);
    receiver.answers(200);
    program
        .run(&["outbox", "retry", "--failed", "--admin"])
        .exits(0);
    assert_eq!(listed(&program, &["--state", "sending"]).len(), 1);
    program.run(&["recover"]).exits(0);
    assert_eq!(listed(&program, &["--all"]), Vec::<Value>::new());
    assert_eq!(receiver.requests().len(), 3);
    program
        .run(&["outbox", "show", first])
        .exits(2)
        .says(&["there is no message"]);
}

#[test]
fn a_run_says_what_is_still_to_be_delivered() {
    let receiver = Receiver::answering(503);
    let program = delivering(&receiver, "wait = \"100ms\"");
    let run = program
        .run(&["run", &volume_create(), "--input", r#"{"size": 1}"#])
        .exits(0);
    run.says(&[
        "still to be delivered: 1 message",
        "answered 503",
        "cairn outbox list",
    ]);
}

#[test]
fn a_project_with_too_many_undelivered_messages_is_refused_before_its_flow_begins() {
    let receiver = Receiver::answering(503);
    let program = delivering(&receiver, "attempts = 1\nmost = 2");
    let key = |key: &str, exit: i32| {
        let run = program.run(&[
            "run",
            &volume_create(),
            "--input",
            r#"{"size": 1}"#,
            "--key",
            key,
            "--json",
        ]);
        run.exits(exit)
    };
    let first = key("one", 0).json();
    key("two", 0);
    key("three", 6).says(&[
        "Backlog: project `demo` has 2 undelivered messages, and may have 2",
        "cairn outbox list",
    ]);
    assert_eq!(
        program
            .json(&["flow", "list", "--json"])
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        key("one", 0).json()["flow"]["id"],
        first["flow"]["id"],
        "a repeat begins no flow"
    );
    create(&program, r#"{"size": 1}"#, &["--project", "other"], 0);

    program.write("requests", "{\"size\": 1}\n{\"size\": 1}\n");
    let mut stream = program.command(&["run", &volume_create(), "--jsonl", "--json"]);
    stream.stdin(std::fs::File::open(program.path("requests")).unwrap());
    let stream = end(stream.spawn().unwrap()).exits(6);
    for line in stream.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(
            line["failure"]
                .as_str()
                .is_some_and(|failure| failure.starts_with("Backlog: ")),
            "{line}"
        );
    }
    assert_eq!(stream.stdout.lines().count(), 2);

    program
        .run(&["outbox", "discard", "--failed", "--admin"])
        .exits(0);
    create(&program, r#"{"size": 1}"#, &[], 0);
}

#[test]
fn messages_of_a_time_without_a_transport_stay_until_an_operator_sends_them() {
    let program = program();
    create(&program, r#"{"size": 1}"#, &[], 0);
    let message = listed(&program, &[]).remove(0);
    assert_eq!(message["state"], "ready");
    let id = message["id"].as_str().unwrap();
    program
        .run(&["outbox", "retry", id, "--admin"])
        .exits(2)
        .says(&["no transport is configured"]);
    let receiver = Receiver::answering(200);
    configure(&program, &receiver, "");
    program.run(&["recover"]).exits(0);
    assert_eq!(receiver.requests().len(), 0);
    program.run(&["outbox", "retry", id, "--admin"]).exits(0);
    program.run(&["recover"]).exits(0);
    assert_eq!(
        (
            receiver.requests().len(),
            listed(&program, &["--all"]).len()
        ),
        (1, 0)
    );
}

#[test]
fn a_key_that_is_not_there_is_told_before_anything_runs() {
    let receiver = Receiver::answering(200);
    let program = delivering(&receiver, "");
    std::fs::remove_file(program.path("key")).unwrap();
    let run = program
        .run(&["run", &volume_create(), "--input", r#"{"size": 1}"#])
        .exits(2);
    run.says(&["the key that signs messages is not there", "key_file"]);
    assert!(!program.has_database());
}
