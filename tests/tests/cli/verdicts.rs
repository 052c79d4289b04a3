//! The verdict of a rollback, the report's list of changes, and the exit code.

use acceptance::program::{Program, repository, volume_create};
use serde_json::{Value, json};

use super::operate::operate;
use super::{create, program, sql};

/// Returns the kinds in a list of a report, sorted.
fn kinds(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list").iter();
    let mut kinds: Vec<&str> = list.filter_map(|entry| entry["kind"].as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// Runs the example whose last task fails, so that its volume stays in `error`.
fn cast_fails(program: &Program, more: &[&str]) -> acceptance::program::Run {
    let flow = repository("examples/volume-create/flow-cast-fails.toml");
    let request = repository("examples/volume-create/request.json");
    program.run(&[&["run", &flow, "--input", &request], more].concat())
}

#[test]
fn what_a_reverted_task_keeps_is_no_residue() {
    let program = program();
    let report = cast_fails(&program, &["--json"]).exits(3).json();
    let rollback = &report["rollback"];
    assert_eq!(rollback["verdict"], "kept", "{report}");
    let volume = &program.json(&["volume", "list", "--json"])[0]["id"];
    let residue = rollback["residue"].as_array().expect("a list");
    assert_eq!(residue.len(), 1, "{report}");
    let kept = &residue[0];
    assert_eq!(
        (&kept["kind"], &kept["id"], &kept["fate"]),
        (&json!("volume"), volume, &json!("kept"))
    );
    assert!(
        kept["task"].is_string() && kept["reason"].is_string(),
        "{kept}"
    );
    assert_eq!(kinds(&rollback["undone"]), ["cast", "reservation", "usage"]);
    assert_eq!(rollback["messages"], json!([]));

    let text = cast_fails(&program, &[]).exits(3).stdout;
    for line in ["rollback  kept: ", "kept      volume ", "undone    "] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn what_is_undone_is_listed_and_nothing_else_is() {
    let program = program();
    let report = create(&program, r#"{"size": 2000}"#, &[], 3);
    let rollback = &report["rollback"];
    assert_eq!(rollback["verdict"], "clean");
    assert_eq!(rollback["residue"], json!([]));
    // The quota was refused: nothing was changed.
    assert_eq!(rollback["undone"], json!([]));
}

#[test]
fn a_message_that_has_left_is_residue_and_is_listed() {
    let program = program();
    let report = create(&program, r#"{"size": 1}"#, &[], 0);
    let flow = report["flow"]["id"].as_str().expect("an id");
    let message = program.json(&["outbox", "list", "--json"])[0]["id"].clone();
    let id = message.as_str().expect("an id");
    program.run(&["outbox", "ack", id]).exits(0);
    let report = operate(&program, &["rollback", flow], 4);
    let rollback = &report["rollback"];
    assert_eq!(rollback["messages"], json!([message]), "{report}");
    let residue = rollback["residue"].as_array().expect("a list");
    let sent: Vec<&Value> = residue
        .iter()
        .filter(|left| left["fate"] == "sent")
        .collect();
    assert_eq!(sent.len(), 1, "{report}");
    assert_eq!(sent[0]["id"], message);
    // The change cannot be undone, so its task is not reverted; after the operator accepts that, it is residue.
    assert_eq!(rollback["verdict"], "incomplete");
    let report = operate(&program, &["rollback", flow, "--accept", "it went out"], 0);
    assert_eq!(report["rollback"]["verdict"], "residue");
    assert_eq!(report["rollback"]["messages"], json!([message]));
    let text = program.run(&["flow", "show", flow]).exits(0).stdout;
    for line in ["rollback  residue: ", "accepted  it went out", "sent      "] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn a_report_of_an_older_version_still_reads() {
    let program = program();
    let run = || cast_fails(&program, &["--key", "old", "--json"]);
    let first = run().exits(3).json();
    program
        .run(&["flow", "prune", "--older-than", "0s"])
        .exits(0);
    // The format of reports before they listed each change.
    sql(
        &program,
        "UPDATE idempotency_keys SET report = json_set(
             json_remove(report, '$.rollback.undone', '$.rollback.messages', '$.rollback.residue[0].fate',
                 '$.rollback.residue[0].task', '$.rollback.residue[0].reason'),
             '$.rollback.verdict', 'residue')",
    );
    let again = run().exits(4).json();
    assert_eq!(again["flow"], first["flow"]);
    assert_eq!(again["pruned"], true);
    let rollback = &again["rollback"];
    assert_eq!(rollback["verdict"], "residue");
    assert_eq!(rollback["residue"][0]["kind"], "volume");
    assert_eq!(rollback["residue"][0].get("fate"), None);
}

#[test]
fn of_many_requests_the_one_that_failed_decides_the_exit_code() {
    let program = program();
    let flow = volume_create();
    let run = |inputs: &[&str]| {
        let mut arguments = vec!["run", &flow];
        for input in inputs {
            arguments.extend(["--input", input]);
        }
        program.run(&arguments).exit
    };
    assert_eq!(run(&[r#"{"size": 1}"#, r#"{"size": 1}"#]), 0);
    assert_eq!(run(&[r#"{"size": 1}"#, r#"{"size": 0}"#]), 3);
}
