//! What becomes of flows that wait when the host that ran them is gone.

use acceptance::hosts::{is_sound, owns};
use acceptance::program::repository;
use acceptance::slow::eventually;
use acceptance::stream::Stream;
use serde_json::json;

use super::two;

#[test]
fn a_flow_that_waits_is_signalled_and_ended_by_another_host_when_its_own_is_killed() {
    let Some((database, [owner, other])) = two() else {
        return;
    };
    let read = |name: &str| {
        let path = repository(&format!("examples/approval/{name}"));
        std::fs::read_to_string(path).expect("the example")
    };
    for host in [&owner, &other] {
        let own = std::fs::read_to_string(host.path("cairn.toml")).expect("it was written");
        host.write("cairn.toml", format!("{own}\n{}", read("cairn.toml")));
        host.write("flow.toml", read("flow.toml"));
    }
    let mut first = Stream::of(&owner, "flow.toml", &[]);
    owns(&database, first.pid(), 256);
    first.post(&json!({"name": "Ada"}));
    eventually("the flow waits", || {
        database.sql("SELECT count(*) FROM cairn.flows WHERE wake_at IS NOT NULL") == "1"
    });
    let flow = database.sql("SELECT encode(id, 'hex') FROM cairn.flows");
    let listed = other.json(&["flow", "list", "--waiting", "--json"]);
    let flow_id = listed[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(flow_id.replace('-', ""), flow);
    first.kill();

    let second = Stream::of(&other, "flow.toml", &[]);
    owns(&database, second.pid(), 256);
    let state = || database.sql("SELECT state FROM cairn.flows");
    assert_eq!(state(), "RUNNING", "its host's death does not end it");
    let input = r#"{"by": "bob"}"#;
    other
        .run(&["flow", "signal", &flow_id, "approved", "--input", input])
        .exits(0);
    eventually("the flow ends", || state() == "SUCCESS");
    let greetings = other.json(&["record", "list", "greetings", "--json"]);
    assert_eq!(greetings.as_array().map(Vec::len), Some(2), "{greetings}");
    second.end().exits(0);
    is_sound(&database, &other);
}
