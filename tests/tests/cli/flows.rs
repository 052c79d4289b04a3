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

/// Runs a flow in which a task logs: a volume of another type than its snapshot.
fn says_something(program: &Program) -> Value {
    program.run(&["types", "create", "gold"]).exits(0);
    program
        .run(&["volume", "import", "--size", "1", "--name", "source"])
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
fn an_unknown_flow_is_bad_usage() {
    let program = program();
    program.run(&["zones", "create", "nova"]).exits(0);
    let unknown = "01a20616-1920-776a-9907-780232c46d47";
    for command in ["show", "events", "logs"] {
        program
            .run(&["flows", command, unknown])
            .exits(2)
            .says(&["no flow", "`cairn flow list` shows the flows"]);
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
        .exits(3);
    let volume = program.json(&["volumes", "list", "--json"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for line in [
        "rollback  kept: everything is as it was, except for what reverted tasks kept".to_owned(),
        format!("kept      volume {volume}: status error ("),
    ] {
        assert!(
            run.stdout.contains(&line),
            "`{line}` is not in:\n{}",
            run.stdout
        );
    }
}

#[test]
fn a_list_of_flows_is_narrowed_by_verdict_name_time_and_key() {
    let program = program();
    let example = |name: &str| repository(&format!("examples/volume-create/{name}"));
    let good = create(&program, r#"{"size": 1}"#, &["--key", "k"], 0);
    let clean = create(&program, r#"{"size": 0}"#, &[], 3);
    let run = [
        "run",
        &example("flow-cast-fails.toml"),
        "--input",
        &example("request.json"),
        "--json",
    ];
    let kept = program.run(&run).exits(3).json();
    program.write("other.toml", "[flow]\nname = \"other\"\n[plugins.inject]\nbuiltin = \"inject\"\nsettings = { provides = [] }\n[[task]]\nplugin = \"inject\"\n");
    let other = program.json(&["run", "other.toml", "--json"]);
    // All but the last one were created an hour ago.
    super::sql(
        &program,
        "UPDATE flows SET created_at = created_at - 3600000000 WHERE name <> 'other'",
    );
    let list = |arguments: &[&str]| {
        let list = program.json(&[&["flow", "list", "--json"], arguments].concat());
        let ids = list.as_array().expect("a list").iter();
        ids.map(|flow| flow["id"].clone()).collect::<Vec<_>>()
    };
    let id = |report: &Value| report["flow"]["id"].clone();
    for (arguments, expected) in [
        (&[][..], vec![&other, &kept, &clean, &good]),
        (&["--verdict", "clean"], vec![&clean]),
        (&["--verdict", "kept"], vec![&kept]),
        (&["--verdict", "residue"], vec![]),
        (&["--verdict", "incomplete"], vec![]),
        (&["--verdict", "clean", "--state", "success"], vec![]),
        (&["--name", "other"], vec![&other]),
        (&["--name", "nobody"], vec![]),
        (&["--since", "10m"], vec![&other]),
        (&["--since", "2h"], vec![&other, &kept, &clean, &good]),
        (&["--since", "2100-01-01"], vec![]),
        (
            &["--since", "1999-12-31T12:00:00Z", "--state", "failure"],
            vec![&kept, &clean],
        ),
        (&["--key", "k"], vec![&good]),
        (&["--key", "other"], vec![]),
        (
            &["--name", "volume_create_api", "--limit", "1"],
            vec![&kept],
        ),
    ] {
        let expected: Vec<Value> = expected.into_iter().map(id).collect();
        assert_eq!(list(arguments), expected, "{arguments:?}");
    }
    // A page filtered by verdict continues after its last row.
    let cursor = id(&kept);
    let after = [
        "--verdict",
        "clean",
        "--cursor",
        cursor.as_str().expect("an id"),
    ];
    assert_eq!(list(&after), [id(&clean)]);
    for (option, words) in [
        ("--since", "write a time, such as"),
        ("--verdict", "[possible values: clean"),
    ] {
        program
            .run(&["flow", "list", option, "yesterday"])
            .exits(2)
            .says(&[words]);
    }
}

#[test]
fn a_flow_is_shown_with_its_request_its_tasks_their_results_and_what_it_made() {
    let program = program();
    let report = create(
        &program,
        r#"{"size": 1, "name": "data"}"#,
        &["--key", "k"],
        0,
    );
    let id = report["flow"]["id"].as_str().expect("an id");
    let text = program.run(&["flow", "show", id]).exits(0).stdout;
    let volume = super::result(&report, "entry-create")["volume_id"].clone();
    let volume = volume.as_str().expect("an id");
    for line in [
        "asked by  demo of demo",
        "request   {",
        "\"name\":\"data\"",
        "key       k",
        "ran       quota-reserve;volume:create  SUCCESS  ",
        "s  {\"reservations\":[",
        &format!("made      volume {volume}: "),
        "made      message ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let ran = text.lines().filter(|line| line.starts_with("ran "));
    assert_eq!(ran.count(), 7, "{text}");
    let failed = create(&program, r#"{"size": 0}"#, &[], 3);
    let id = failed["flow"]["id"].as_str().expect("an id");
    let text = program.run(&["flow", "show", id]).exits(0).stdout;
    assert!(
        text.contains("rollback  clean") && !text.contains("made  "),
        "{text}"
    );
}

#[test]
fn an_events_line_is_whole_where_it_is_piped() {
    let program = program();
    let description = "d".repeat(200);
    let body = format!(r#"{{"size": 1, "description": "{description}"}}"#);
    let report = create(&program, &body, &[], 0);
    let id = report["flow"]["id"].as_str().expect("an id");
    let text = program.run(&["flow", "events", id]).exits(0).stdout;
    assert!(text.contains(&description) && !text.contains('…'), "{text}");
}
