use serde_json::json;

use super::{create, program};

#[test]
fn a_message_is_ready_when_its_flow_has_succeeded_and_is_taken_once() {
    let program = program();
    create(&program, r#"{"size": 1}"#, &[], 0);
    create(&program, r#"{"size": 1}"#, &[], 0);
    let ready = program.json(&["outbox", "list", "--json"]);
    let ids: Vec<&str> = ready
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ready[0]["topic"], "cinder-scheduler");
    assert_eq!(ready[0]["method"], "create_volume");
    assert_eq!(
        ready[0]["arguments"]["request_spec"]["volume_properties"]["size"],
        1
    );

    program
        .run(&["outbox", "ack", ids[0], "nobody"])
        .exits(2)
        .says(&["there is no ready message `nobody`"]);
    assert_eq!(
        program.json(&["outbox", "list", "--json"]),
        ready,
        "all are taken, or none"
    );
    program.run(&["outbox", "ack", ids[0], ids[1]]).exits(0);
    assert_eq!(program.json(&["outbox", "list", "--json"]), json!([]));
    program.run(&["outbox", "ack", ids[0]]).exits(2);
    let all = program.json(&["outbox", "list", "--all", "--json"]);
    assert_eq!(
        (all.as_array().unwrap().len(), &all[0]["state"]),
        (2, &json!("acked"))
    );
}

#[test]
fn a_flow_that_fails_sends_nothing() {
    let program = program();
    create(&program, r#"{"size": 0}"#, &[], 3);
    assert_eq!(
        program.json(&["outbox", "list", "--all", "--json"]),
        json!([])
    );
}
