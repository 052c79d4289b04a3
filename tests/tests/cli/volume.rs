//! `cairn volume create` runs a flow; `cairn volume import` adds the row of an existing volume.

use serde_json::json;

use super::program;

#[test]
fn a_volume_is_made_by_the_flow_that_comes_with_the_program() {
    let program = program();
    let report = program.json(&[
        "volume",
        "create",
        "--size",
        "2",
        "--name",
        "data",
        "--metadata",
        "a=b",
        "--json",
    ]);
    assert_eq!(report["flow"]["state"], "SUCCESS");
    assert_eq!(report["tasks"].as_array().map(Vec::len), Some(7));
    let volume = program.json(&["volume", "show", "data", "--json"]);
    assert_eq!(
        (&volume["size"], &volume["status"], &volume["metadata"]),
        (&json!(2), &json!("creating"), &json!({"a": "b"}))
    );
    // The flow's message, and its row in the list of flows.
    let messages = program.json(&["outbox", "list", "--json"]);
    assert_eq!(messages.as_array().map(Vec::len), Some(1));
    let flows = program.json(&["flow", "list", "--json"]);
    assert_eq!(flows[0]["id"], report["flow"]["id"]);

    let text = program.run(&["volume", "create", "--size", "1"]).exits(0);
    assert!(text.stdout.contains("\nvolume    "), "{}", text.stdout);
    let over = ["volume", "create", "--size", "2000", "--json"];
    let over = program.run(&over).exits(3).json();
    assert_eq!(over["rollback"]["verdict"], "clean");
    program
        .run(&["volume", "create", "--size", "1", "--type", "none"])
        .exits(2)
        .says(&["none"]);
    // With an idempotency key it is created once.
    let keyed = ["volume", "create", "--size", "1", "--key", "k", "--json"];
    let first = program.json(&keyed);
    assert_eq!(program.json(&keyed)["flow"], first["flow"]);
}

#[test]
fn a_volume_that_exists_is_imported_with_its_quota_and_no_flow() {
    let program = program();
    let volume = program.json(&[
        "volume", "import", "--size", "2", "--name", "old", "--host", "a@lvm", "--status",
        "in-use", "--json",
    ]);
    assert_eq!(
        (&volume["status"], &volume["host"]),
        (&json!("in-use"), &json!("a@lvm"))
    );
    assert_eq!(program.json(&["flow", "list", "--json"]), json!([]));
    let quota = program.json(&["quota", "show", "--json"]);
    assert_eq!(quota["quotas"]["gigabytes"]["in_use"], 2);
}

#[test]
fn what_is_of_an_import_alone_is_refused_with_its_name() {
    let program = program();
    for (option, value) in [("--status", "in-use"), ("--host", "a@lvm")] {
        program
            .run(&["volume", "create", "--size", "1", option, value])
            .exits(2)
            .says(&[&format!("`{option}`"), "`cairn volume import`"]);
    }
    assert!(!program.has_database());
}
