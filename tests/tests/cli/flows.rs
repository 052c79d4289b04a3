use acceptance::program::{Program, repository};
use serde_json::{Value, json};

use super::{create, program};

#[test]
fn flows_are_listed_and_shown_as_they_ended() {
    let program = program();
    let good = create(&program, r#"{"size": 1}"#, &[], 0);
    let bad = create(&program, r#"{"size": 0}"#, &[], 3);
    let list = program.json(&["flows", "list", "--json"]);
    let states: Vec<&Value> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|flow| &flow["state"])
        .collect();
    assert_eq!(states, ["FAILURE", "SUCCESS"], "the newest first");
    assert_eq!(
        (&list[0]["id"], &list[0]["error"]),
        (&bad["flow"]["id"], &json!("InvalidInput"))
    );
    assert_eq!(
        program.json(&["flows", "list", "--state", "success", "--json"])[0]["id"],
        good["flow"]["id"]
    );
    assert_eq!(
        program
            .json(&["flows", "list", "--limit", "1", "--json"])
            .as_array()
            .unwrap()
            .len(),
        1
    );
    for report in [good, bad] {
        let id = report["flow"]["id"].as_str().unwrap();
        assert_eq!(
            program.json(&["flows", "show", id, "--json"]),
            report,
            "the document that `run` printed"
        );
    }
}

#[test]
fn the_events_of_a_flow_are_all_there_in_order() {
    let program = program();
    let report = create(&program, r#"{"size": 1}"#, &[], 0);
    let id = report["flow"]["id"].as_str().unwrap();
    let events = program.json(&["flows", "events", id, "--json"]);
    let events = events.as_array().unwrap();
    let kinds: Vec<&String> = events
        .iter()
        .flat_map(|entry| entry["event"].as_object().unwrap().keys())
        .collect();
    assert_eq!(kinds[0], "created");
    assert_eq!(kinds.iter().filter(|kind| **kind == "succeeded").count(), 7);
    assert_eq!(
        events.last().unwrap()["event"],
        json!({"state": {"from": "RUNNING", "to": "SUCCESS"}})
    );
    let table = program.run(&["flows", "events", id]).exits(0).stdout;
    assert_eq!(table.lines().count(), 1 + events.len());
    assert!(table.contains("task=entry-create;volume:create"), "{table}");
}

#[test]
fn what_a_plugin_says_is_in_the_log() {
    let program = program();
    let report = says_something(&program);
    let id = report["flow"]["id"].as_str().unwrap();
    let logs = program.json(&["flows", "logs", id, "--json"]);
    assert_eq!(logs[0]["task"], "extract-volume-request;volume:create");
    let message = logs[0]["message"].as_str().unwrap();
    let text = program.run(&["flows", "logs", id]).exits(0).stdout;
    assert!(text.contains(message), "{text}");
}

/// A flow of which a task logs: a volume of another type than its snapshot.
fn says_something(program: &Program) -> Value {
    program.run(&["types", "create", "gold"]).exits(0);
    program
        .run(&["volumes", "create", "--size", "1", "--name", "source"])
        .exits(0);
    program
        .run(&["snapshots", "create", "--volume", "source", "--name", "s"])
        .exits(0);
    create(
        program,
        r#"{"size": 1, "snapshot_id": "s", "volume_type": "gold"}"#,
        &[],
        0,
    )
}

#[test]
fn a_flow_that_nobody_knows_is_bad_usage() {
    let program = program();
    program.run(&["zones", "create", "nova"]).exits(0);
    let unknown = "01a20616-1920-776a-9907-780232c46d47";
    for command in ["show", "events", "logs"] {
        program
            .run(&["flows", command, unknown])
            .exits(2)
            .says(&["no flow", "`cairn flows list` shows the flows"]);
        program
            .run(&["flows", command, "x"])
            .exits(2)
            .says(&["invalid value 'x' for '<ID>'"]);
    }
    program
        .run(&["flows", "list", "--state", "happy"])
        .exits(2)
        .says(&["the states are PENDING"]);
}

#[test]
fn a_report_for_people_names_what_is_left() {
    let program = program();
    let example = |name: &str| repository(&format!("examples/volume-create/{name}"));
    let run = program
        .run(&[
            "run",
            &example("flow-cast-fails.toml"),
            "--input",
            &example("request.json"),
        ])
        .exits(4);
    let volume = program.json(&["volumes", "list", "--json"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for line in [
        "rollback  residue: some things were left on purpose".to_owned(),
        format!("left      volume {volume}: status error"),
    ] {
        assert!(
            run.stdout.contains(&line),
            "`{line}` is not in:\n{}",
            run.stdout
        );
    }
}
