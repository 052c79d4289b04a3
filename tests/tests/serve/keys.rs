//! Idempotency keys: one flow for each, also when the server is killed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acceptance::serving::{self, Serving};
use serde_json::{Value, json};

use super::deployed;

fn greet(name: &str) -> Value {
    json!({"flow": "greet", "request": {"name": name}})
}

#[test]
fn a_key_stands_for_one_request() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let key = [("idempotency-key", "k-1"), ("prefer", "wait=30")];
    let first = serving
        .post_with("/v1/flows", &key, &greet("Ada"))
        .is(200)
        .json();
    // Without a wish to wait, too: the flow has ended.
    let again = serving
        .post_with("/v1/flows", &key[..1], &greet("Ada"))
        .is(200)
        .json();
    assert_eq!(again, first);
    // As a quoted string, as the draft of the header has it.
    let quoted = [("idempotency-key", "\"k-1\"")];
    assert_eq!(
        serving
            .post_with("/v1/flows", &quoted, &greet("Ada"))
            .is(200)
            .json(),
        first
    );
    let other = serving
        .post_with("/v1/flows", &key, &greet("Bob"))
        .is_problem(422, "KeyReused");
    assert_eq!(other.json()["details"]["flow"], first["flow"]["id"]);
    // The command line uses the same keys.
    let run = program.json(&[
        "run",
        "greet.toml",
        "--input",
        r#"{"name": "Ada"}"#,
        "--key",
        "k-1",
        "--json",
    ]);
    assert_eq!(run["flow"]["id"], first["flow"]["id"]);
    for wrong in ["", "\"\""] {
        let key = [("idempotency-key", wrong)];
        serving
            .post_with("/v1/flows", &key, &greet("Ada"))
            .is_problem(400, "InvalidInput");
    }
    let long = "k".repeat(256);
    let key = [("idempotency-key", long.as_str())];
    serving
        .post_with("/v1/flows", &key, &greet("Ada"))
        .is_problem(400, "InvalidInput");
}

#[test]
fn a_repeat_of_a_flow_that_runs_gets_its_id() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let key = [("idempotency-key", "w-1")];
    let asked = json!({"flow": "waits", "request": {"name": "Wil"}});
    let id = serving.post_with("/v1/flows", &key, &asked).is(202).id();
    assert_eq!(
        serving.post_with("/v1/flows", &key, &asked).is(202).id(),
        id
    );
}

/// 64 clients submit with keys and repeat what was not answered, while the server is killed and started again.
#[test]
fn each_key_has_one_flow_after_the_server_was_killed() {
    const CLIENTS: usize = 64;
    let program = Arc::new(deployed(""));
    let mut serving = Serving::start(&program, &[]);
    let address = Arc::new(Mutex::new(serving.address.clone()));
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (address, is_over) = (Arc::clone(&address), Arc::clone(&is_over));
            std::thread::spawn(move || work(client, &address, &is_over))
        })
        .collect();
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(700));
        serving.kill();
        serving = Serving::start(&program, &[]);
        address.lock().unwrap().clone_from(&serving.address);
    }
    std::thread::sleep(Duration::from_millis(500));
    is_over.store(true, Ordering::SeqCst);
    let mut answered: BTreeMap<String, String> = BTreeMap::new();
    for client in clients {
        answered.extend(client.join().unwrap());
    }
    assert!(answered.len() > 2 * CLIENTS, "{} keys", answered.len());
    assert_eq!(serving.end(15).exit, 0);

    program.run(&["recover"]).exits(0);
    let listed = program.json(&["flow", "list", "--limit", "1000000", "--json"]);
    let mut flows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for flow in listed.as_array().unwrap() {
        let id = flow["id"].as_str().unwrap().to_owned();
        let report = program.path("cairn.db");
        let key = key_of(&report, &id);
        flows.entry(key).or_default().push(id);
    }
    for (key, ids) in &flows {
        assert_eq!(ids.len(), 1, "{key}: {ids:?}");
    }
    for (key, id) in &answered {
        assert_eq!(flows.get(key), Some(&vec![id.clone()]), "{key}");
    }
    program.run(&["quota", "check", "--admin"]).exits(0);
    program.run(&["db", "check"]).exits(0);
}

/// Submits requests, each until it is answered; returns the flow of each key.
fn work(client: usize, address: &Mutex<String>, is_over: &AtomicBool) -> Vec<(String, String)> {
    let mut answered = Vec::new();
    let mut number = 0;
    while !is_over.load(Ordering::SeqCst) {
        let key = format!("key-{client}-{number}");
        let name = format!("n-{client}-{number}");
        let body = greet(&name).to_string();
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key.as_str()),
        ];
        let to = address.lock().unwrap().clone();
        match serving::try_send(&to, "POST", "/v1/flows", &headers, Some(&body)) {
            Ok(answer) if answer.status == 202 => answered.push((key, answer.id())),
            Ok(answer) if answer.status == 200 => {
                let id = answer.json()["flow"]["id"].as_str().unwrap().to_owned();
                answered.push((key, id));
            }
            Ok(answer) if answer.status == 503 => continue,
            Ok(answer) => panic!("{answer:?}"),
            // The server was killed.
            Err(_) => {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
        }
        number += 1;
    }
    answered
}

/// Returns the key of a flow.
fn key_of(database: &std::path::Path, id: &str) -> String {
    let database = rusqlite::Connection::open(database).unwrap();
    let id: [u8; 16] = u128::from_str_radix(&id.replace('-', ""), 16)
        .unwrap()
        .to_be_bytes();
    let statement = "SELECT key FROM idempotency_keys WHERE flow = ?";
    database
        .query_row(statement, [&id[..]], |row| row.get(0))
        .unwrap()
}
