//! A broker that is killed between publishing and confirming: what is received is what succeeded.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::Duration;

use acceptance::program::volume_create;
use acceptance::rabbit::Space;
use serde_json::Value;

use super::{EXCHANGE, TOPIC, listed, program};

/// Runs flows in a stream while the broker is killed so often, and compares.
fn kill(test: &str, kills: usize, flows: usize) {
    let Some(space) = Space::own(test) else {
        return;
    };
    space.declare(EXCHANGE, TOPIC, true);
    let program = program(&space, "timeout = \"5s\"\nwait = \"120s\"\n");
    let mut run = program.command(&["run", &volume_create(), "--jsonl", "--json"]);
    let mut child = run.stdin(Stdio::piped()).spawn().unwrap();
    let mut requests = child.stdin.take().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let reports = std::thread::spawn(move || {
        let lines = stdout
            .lines()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        lines.collect::<Vec<Value>>()
    });
    let stderr = child.stderr.take().unwrap();
    let said = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap());
    for round in 0..=kills {
        let part = "{\"size\": 1}\n".repeat(flows);
        requests.write_all(part.as_bytes()).unwrap();
        if round < kills {
            // In the middle of what was just asked for.
            std::thread::sleep(Duration::from_millis(40 + 60 * (round as u64 % 7)));
            space.broker().kill();
            space.broker().begin();
        }
    }
    drop(requests);
    let status = child.wait().unwrap();
    let (reports, said) = (reports.join().unwrap(), said.join().unwrap());
    assert!(status.success(), "{status}: {said}");
    let volume = |report: &Value| {
        report["tasks"][3]["result"]["volume_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let succeeded: BTreeSet<String> = reports.iter().map(volume).collect();
    assert_eq!(succeeded.len(), (kills + 1) * flows);
    assert!(listed(&program).is_empty(), "{said}");
    let messages = space.drain(TOPIC);
    let received = messages.iter().map(|received| {
        received.message["args"]["volume_id"]
            .as_str()
            .unwrap()
            .to_owned()
    });
    assert_eq!(received.collect::<BTreeSet<String>>(), succeeded);
    let ids: BTreeSet<&String> = messages.iter().map(|received| &received.id).collect();
    assert_eq!(
        ids.len(),
        succeeded.len(),
        "a repeat has the id of the first"
    );
    println!(
        "{kills} kills: {} messages, {} of them again",
        messages.len(),
        messages.len() - ids.len()
    );
}

#[test]
fn a_broker_that_is_killed_loses_no_message() {
    kill("a_broker_that_is_killed_loses_no_message", 1, 400);
}

#[test]
#[ignore = "takes about three minutes"]
fn a_broker_that_is_killed_ten_times_loses_no_message() {
    kill(
        "a_broker_that_is_killed_ten_times_loses_no_message",
        10,
        400,
    );
}
