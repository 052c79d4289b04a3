//! The default volume type, if it does not exist: the program reports it wherever it matters.

use acceptance::program::volume_create;
use serde_json::json;

use super::operate::operate;
use super::{create, program, result};

const WARNING: &str = "warning: there is no volume type `gold`, which default_volume_type names";

#[test]
fn a_default_type_that_does_not_exist_is_said_by_plan_by_run_and_in_the_log_of_the_flow() {
    let program = program();
    program.write("cairn.toml", "default_volume_type = \"gold\"\n");
    program
        .run(&["plan", &volume_create()])
        .exits(0)
        .says(&[WARNING, "`cairn type create gold` creates it"]);
    assert!(!program.has_database(), "a plan makes no database");

    program.write("request.json", r#"{"size": 1}"#);
    let run = ["run", &volume_create(), "-i", "request.json", "--json"];
    let run = program.run(&run).exits(0).says(&[WARNING]);
    let report = run.json();
    assert_eq!(
        result(&report, "extract-volume-request")["volume_type_id"],
        json!(null)
    );
    let flow = report["flow"]["id"].as_str().expect("an id");
    let logs = operate(&program, &["logs", flow], 0);
    let warning = &logs[0];
    assert_eq!(
        (&warning["level"], &warning["task"]),
        (
            &json!("warn"),
            &json!("extract-volume-request;volume:create")
        )
    );
    let message = warning["message"].as_str().expect("a message");
    assert!(message.starts_with("there is no volume type `gold`"));

    program
        .run(&["run", &volume_create(), "--jsonl"])
        .exits(0)
        .says(&[WARNING]);
}

#[test]
fn a_default_type_that_exists_is_taken_and_one_that_was_deleted_does_not_exist() {
    let program = program();
    program.write("cairn.toml", "default_volume_type = \"gold\"\n");
    let gold = program.json(&["types", "create", "gold", "--json"]);
    let run = program.run(&["plan", &volume_create()]).exits(0);
    assert!(
        !run.stderr.contains("default_volume_type"),
        "{}",
        run.stderr
    );
    let report = create(&program, r#"{"size": 1}"#, &[], 0);
    let found = &result(&report, "extract-volume-request")["volume_type_id"];
    assert_eq!(*found, gold["id"]);
    let flow = report["flow"]["id"].as_str().expect("an id");
    assert_eq!(operate(&program, &["logs", flow], 0), json!([]));

    super::sql(&program, "UPDATE volume_types SET deleted = 1");
    program
        .run(&["plan", &volume_create()])
        .exits(0)
        .says(&[WARNING]);
}

#[test]
fn a_flow_that_makes_no_volumes_is_not_warned_of_it() {
    let program = program();
    program
        .write("cairn.toml", "default_volume_type = \"gold\"\n")
        .write("slow.wat", acceptance::guest::Call::Behaves.component())
        .write(
            "other.toml",
            "[flow]\nname = \"other\"\n\n[plugins.slow]\npath = \"slow.wat\"\n\n[[task]]\nplugin = \"slow\"\n",
        );
    let run = program.run(&["plan", "other.toml"]).exits(0);
    assert!(!run.stderr.contains("gold"), "{}", run.stderr);
}
