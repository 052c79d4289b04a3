use serde_json::json;

use super::{create, killed_after, program};

#[test]
fn flows_that_ended_are_removed_with_what_is_closed() {
    let program = program();
    let good = create(&program, r#"{"size": 1}"#, &[], 0);
    create(&program, r#"{"size": 1}"#, &[], 0);
    create(&program, r#"{"size": 0}"#, &[], 3);
    killed_after(&program, "quota-reserve");
    let ready = program.json(&["outbox", "list", "--json"]);
    let taken = ready[0]["id"].as_str().unwrap();
    program.run(&["outbox", "ack", taken]).exits(0);
    let volumes = program.json(&["volumes", "list", "--json"]);
    let usages = program.json(&["quota", "show", "--json"]);

    let nothing = json!({"flows": 0, "reservations": 0, "messages": 0, "keys": 0, "audit": 0, "kept": 0, "busy": 0});
    let prune = |older_than: &str, more: &[&str]| {
        let mut arguments = vec!["flows", "prune", "--older-than", older_than, "--json"];
        arguments.extend(more);
        program.json(&arguments)
    };
    assert_eq!(prune("30d", &[]), nothing, "nothing is that old");
    let removed = json!({"flows": 3, "reservations": 4, "messages": 1, "keys": 0, "audit": 0, "kept": 0, "busy": 0});
    assert_eq!(prune("0s", &["--dry-run"]), removed);
    assert_eq!(
        program
            .json(&["flows", "list", "--json"])
            .as_array()
            .unwrap()
            .len(),
        4
    );
    let text = program
        .run(&["flows", "prune", "--older-than", "0s", "--dry-run"])
        .exits(0)
        .stdout;
    assert_eq!(
        text,
        "3 flows would be removed, with 4 closed reservations and 1 taken message\n"
    );
    assert_eq!(prune("0s", &[]), removed);
    assert_eq!(prune("0s", &[]), nothing);

    let left = program.json(&["flows", "list", "--json"]);
    assert_eq!(
        (left.as_array().unwrap().len(), &left[0]["state"]),
        (1, &json!("RUNNING"))
    );
    let gone = good["flow"]["id"].as_str().unwrap();
    program.run(&["flows", "show", gone]).exits(2);
    assert_eq!(program.json(&["volumes", "list", "--json"]), volumes);
    assert_eq!(program.json(&["quota", "show", "--json"]), usages);
    assert_eq!(
        program.json(&["outbox", "list", "--all", "--json"]),
        json!([ready[1]])
    );
    program.run(&["quota", "check", "--admin"]).exits(0);
    create(&program, r#"{"size": 1}"#, &[], 0);
}

#[test]
fn how_old_must_be_said_with_a_unit() {
    let program = program();
    program
        .run(&["flows", "prune"])
        .exits(2)
        .says(&["--older-than <DURATION>"]);
    program
        .run(&["flows", "prune", "--older-than", "30"])
        .exits(2)
        .says(&["write a number and a unit, such as 30d or 12h"]);
    for more in [&[][..], &["--dry-run"]] {
        let arguments = [&["flows", "prune", "--older-than", "30d"], more].concat();
        program
            .run(&arguments)
            .exits(2)
            .says(&["there is no database at cairn.db"]);
    }
    assert!(!program.has_database());
}
