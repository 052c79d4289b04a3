//! What an operator is told when the broker does not take messages; flows succeed all the same.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use acceptance::program::{end, volume_create};
use acceptance::rabbit::{PASSWORD, Space};
use serde_json::{Value, json};

use super::{EXCHANGE, TOPIC, create, listed, program};

#[test]
fn a_message_that_the_broker_confirmed_leaves_the_outbox() {
    let Some(space) = Space::shared("a_message_that_the_broker_confirmed_leaves_the_outbox") else {
        return;
    };
    space.declare(EXCHANGE, TOPIC, true);
    let program = program(&space, "");
    let report = create(&program).exits(0).json();
    assert_eq!(listed(&program), Vec::<Value>::new());
    let received = space.drain(TOPIC);
    let [received] = received.as_slice() else {
        panic!("{received:?}");
    };
    assert_eq!(received.delivery_mode, Some(2));
    let message = &received.message;
    assert_eq!(
        message["args"]["volume_id"],
        report["tasks"][3]["result"]["volume_id"]
    );
    assert_eq!(
        (&message["method"], &message["version"]),
        (&json!("create_volume"), &json!("1.2"))
    );
    assert_eq!(message["_unique_id"], received.id.replace('-', ""));
    assert_eq!(message["_context_project_id"], "demo");
    assert!(
        message["_context_request_id"]
            .as_str()
            .is_some_and(|id| id.starts_with("req-"))
    );
    assert_eq!(
        message.get("_context_user_id"),
        None,
        "nothing that is not asked for"
    );
}

#[test]
fn a_message_passes_the_trace_of_its_flow_on() {
    let Some(space) = Space::shared("a_message_passes_the_trace_of_its_flow_on") else {
        return;
    };
    space.declare(EXCHANGE, TOPIC, true);
    let program = program(&space, "");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736";
    let mut command = program.command(&[
        "run",
        &volume_create(),
        "--input",
        r#"{"size": 1}"#,
        "--json",
    ]);
    command.env("TRACEPARENT", format!("{trace}-00f067aa0ba902b7-01"));
    end(command.spawn().expect("it starts")).exits(0);
    let received = space.drain(TOPIC);
    let [received] = received.as_slice() else {
        panic!("{received:?}");
    };
    let traceparent = received.traceparent.as_deref().unwrap_or_default();
    assert!(traceparent.starts_with(trace), "{received:?}");
    assert!(
        !traceparent.contains("00f067aa0ba902b7"),
        "the parent is a span of the flow"
    );
}

#[test]
fn what_is_wrong_with_the_broker_is_said_and_the_flow_succeeds() {
    let Some(space) = Space::shared("what_is_wrong_with_the_broker_is_said_and_the_flow_succeeds")
    else {
        return;
    };
    space.declare(EXCHANGE, TOPIC, true);
    let wrong = |from: &str, to: &str, expected: &[&str]| {
        let program = program(&space, "exchange = \"openstack\"\ntimeout = \"5s\"\n");
        let config = std::fs::read_to_string(program.path("cairn.toml")).unwrap();
        assert!(config.contains(from), "{config}");
        program.write("cairn.toml", config.replace(from, to));
        let run = create(&program)
            .exits(0)
            .says(&["still to be delivered: 1 message"])
            .says(expected);
        assert!(!run.stderr.contains(PASSWORD), "{}", run.stderr);
        let message = listed(&program).remove(0);
        assert_eq!(
            (&message["state"], &message["attempts"]),
            (&json!("sending"), &json!(0))
        );
        for part in expected {
            let error = message["last_error"].as_str().unwrap();
            assert!(error.contains(part), "{error}");
        }
    };
    let (port, vhost) = (space.port(), space.vhost());
    let place = format!("broker 127.0.0.1:{port}");
    wrong(
        vhost,
        "nowhere",
        &[&place, "virtual host `nowhere`", "NOT_ALLOWED"],
    );
    wrong(
        "\"openstack\"",
        "\"elsewhere\"",
        &["exchange `elsewhere` cannot be used", "NOT_FOUND"],
    );
    wrong(
        "cairn@",
        "nobody@",
        &[&place, "user `nobody`", "ACCESS_REFUSED"],
    );
    wrong(
        &format!(":{port}/"),
        ":1/",
        &["broker 127.0.0.1:1 cannot be reached"],
    );
}

#[test]
fn a_wrong_password_is_refused_and_never_shown() {
    let Some(space) = Space::shared("a_wrong_password_is_refused_and_never_shown") else {
        return;
    };
    space.declare(EXCHANGE, TOPIC, true);
    let program = program(&space, "");
    program.write_secret("password", "swordfish\n");
    let run = create(&program)
        .exits(0)
        .says(&["user `cairn`", "ACCESS_REFUSED"]);
    assert!(!run.stderr.contains("swordfish"));
    let run = program
        .run(&["run", &volume_create(), "-vvv", "--input", r#"{"size": 1}"#])
        .exits(0);
    assert!(!run.stderr.contains("swordfish") && !run.stdout.contains("swordfish"));
    std::fs::remove_file(program.path("password")).unwrap();
    create(&program)
        .exits(2)
        .says(&["the password of the broker is not there", "password"]);
    let shown = program.run(&["config", "show"]).exits(0);
    assert!(
        shown.stdout.contains("deliver.password_file"),
        "{}",
        shown.stdout
    );
}

#[test]
fn a_message_that_no_queue_takes_is_not_delivered() {
    let Some(space) = Space::shared("a_message_that_no_queue_takes_is_not_delivered") else {
        return;
    };
    space.declare(EXCHANGE, "another-topic", true);
    let program = program(&space, "attempts = 1\n");
    create(&program).exits(0);
    let message = listed(&program).remove(0);
    assert_eq!(
        (&message["state"], &message["attempts"]),
        (&json!("failed"), &json!(1))
    );
    assert_eq!(
        message["last_error"],
        format!("no queue takes topic `{TOPIC}` of exchange `{EXCHANGE}`")
    );
    assert!(space.drain("another-topic").is_empty());
    // Its queue comes, and an operator retries.
    let id = message["id"].as_str().unwrap();
    space.declare(EXCHANGE, TOPIC, true);
    program.run(&["outbox", "retry", id, "--admin"]).exits(0);
    program.run(&["recover"]).exits(0);
    assert!(listed(&program).is_empty());
    let received = space.drain(TOPIC);
    assert_eq!(
        received
            .iter()
            .map(|received| received.id.as_str())
            .collect::<Vec<_>>(),
        [id]
    );
}

#[test]
fn an_exchange_that_is_not_durable_is_warned_of() {
    let Some(space) = Space::shared("an_exchange_that_is_not_durable_is_warned_of") else {
        return;
    };
    space.declare(EXCHANGE, TOPIC, false);
    let program = program(&space, "");
    create(&program)
        .exits(0)
        .says(&["the exchange is not durable", "amqp_durable_queues"]);
    assert_eq!(space.drain(TOPIC).len(), 1, "and used");
}

#[test]
fn an_alarm_of_the_broker_blocks_no_flow() {
    // An alarm is the whole broker's.
    let Some(space) = Space::own("an_alarm_of_the_broker_blocks_no_flow") else {
        return;
    };
    space.declare(EXCHANGE, TOPIC, true);
    let program = program(&space, "timeout = \"1s\"\nwait = \"1s\"\n");
    space
        .broker()
        .control(&["set_vm_memory_high_watermark", "absolute", "1"]);
    program.write("requests", "{\"size\": 1}\n".repeat(40));
    let since = Instant::now();
    let mut run = program.command(&["run", &volume_create(), "--jsonl", "--json"]);
    run.stdin(std::fs::File::open(program.path("requests")).unwrap());
    let run = end(run.spawn().unwrap())
        .exits(0)
        .says(&["still to be delivered"]);
    assert_eq!(run.stdout.lines().count(), 40);
    assert!(
        since.elapsed() < Duration::from_secs(20),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(listed(&program).len(), 40);
    space
        .broker()
        .control(&["set_vm_memory_high_watermark", "absolute", "1GB"]);
    let since = Instant::now();
    while !listed(&program).is_empty() {
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "{:?}",
            listed(&program).first()
        );
        program.run(&["recover"]).exits(0);
    }
    let received = space.drain(TOPIC);
    let ids: BTreeSet<&String> = received.iter().map(|received| &received.id).collect();
    assert_eq!(ids.len(), 40);
}
