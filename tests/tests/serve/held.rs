//! A database that is held after a restore: reads are served, and nothing else.

use std::time::{Duration, Instant};

use acceptance::program::Program;
use acceptance::serving::Serving;
use serde_json::json;

use super::{deployed, settings};

#[test]
fn a_held_database_is_read_until_it_is_released() {
    let first = deployed("");
    let id = {
        let serving = Serving::start(&first, &[]);
        let asked = json!({"flow": "greet", "request": {"name": "Ada"}});
        serving.post("/v1/flows", &asked).is(202).id()
    };
    first.run(&["db", "backup", "copy"]).exits(0);

    // With a transport a restored file is held.
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    let deliver = "[deliver]\ntransport = 'http'\nkey_file = 'k'\n[deliver.topics]\n'*' = 'http://127.0.0.1:9/'\n";
    program
        .write("cairn.toml", settings("") + deliver)
        .write_secret("k", "0123456789abcdef0123456789abcdef");
    let copy = first.path("copy");
    program
        .run(&["db", "restore", copy.to_str().unwrap()])
        .exits(0);
    let serving = Serving::open(&program, &[]);
    let ready = serving.get("/readyz").is(503);
    assert!(ready.body.starts_with("held"), "{}", ready.body);
    serving.get(&format!("/v1/flows/{id}")).is(200);
    let status = serving.get("/v1/status").is(200).json();
    assert!(status["held"].is_string(), "{status}");
    let asked = json!({"flow": "greet", "request": {"name": "Bob"}});
    serving.post("/v1/flows", &asked).is_problem(503, "held");
    let reason = json!({"reason": "a test"});
    serving
        .post(&format!("/v1/flows/{id}/rollback"), &reason)
        .is_problem(503, "held");

    program.run(&["db", "release"]).exits(0);
    let begun = Instant::now();
    while serving.get("/readyz").status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(50));
    }
    serving.post("/v1/flows", &asked).is(202);
}
