//! Flows that cannot be recovered.

use acceptance::program::{Program, end};
use acceptance::slow::start_slow;
use serde_json::json;

use super::operate::{is_whole, nothing_is_left, only_flow, operate, volumes};
use super::{create, killed_after, program, sql};

fn lose_plans(program: &Program) {
    sql(
        program,
        "CREATE TABLE gone AS SELECT * FROM plans; DELETE FROM plans",
    );
}

fn restore_plans(program: &Program) {
    sql(
        program,
        "INSERT INTO plans SELECT * FROM gone; DROP TABLE gone",
    );
}

#[test]
fn a_flow_whose_plan_is_gone_is_set_aside_until_it_is_back() {
    let program = program();
    killed_after(&program, "entry-create");
    let flow = only_flow(&program);
    lose_plans(&program);
    let rows = program.run(&["recover", "--json"]).exits(6).json();
    assert_eq!(rows[0]["id"], json!(flow));
    let reason = rows[0]["stuck"].as_str().expect("a reason");
    assert!(reason.contains("plan") && reason.contains("is not stored"));
    let run = program.run(&["recover"]).exits(6);
    assert!(run.stdout.contains("is not stored"), "{}", run.stdout);
    let stuck = operate(&program, &["list", "--stuck"], 0);
    assert_eq!(
        (&stuck[0]["id"], &stuck[0]["stuck"]),
        (&json!(flow), &json!(reason))
    );
    // Other flows run, and commands on this one report the reason.
    create(&program, r#"{"size": 1}"#, &[], 0);
    let before = operate(&program, &["events", &flow], 0);
    for arguments in CHANGES {
        let run = program.run(&[&["flows", arguments[0], &flow], &arguments[1..]].concat());
        run.exits(6).says(&[
            &format!("flow {flow} cannot be taken up: its plan"),
            "is not stored",
            "help: the flow was not changed: fix the cause and try again",
        ]);
    }
    // Its history can be read.
    assert_eq!(operate(&program, &["events", &flow], 0), before);
    let shown = program.run(&["flows", "show", &flow, "--json"]).exits(0);
    assert_eq!(shown.json()["flow"]["state"], "RUNNING");
    shown.says(&["the flow is stuck", "is not stored"]);
    sql(
        &program,
        "INSERT OR IGNORE INTO plans SELECT * FROM gone; DROP TABLE gone",
    );
    let rows = program.json(&["recover", "--json"]);
    assert_eq!(
        (&rows[0]["state"], &rows[0]["verdict"], &rows[0]["stuck"]),
        (&json!("FAILURE"), &json!("clean"), &json!(null))
    );
    assert_eq!(operate(&program, &["list", "--stuck"], 0), json!([]));
    assert_eq!(volumes(&program).len(), 1);
    is_whole(&program);
}

/// Every operator request that changes a flow.
const CHANGES: [&[&str]; 5] = [
    &["interrupt"],
    &["resume"],
    &["reset"],
    &["rollback"],
    &["rollback", "--accept", "why not"],
];

#[test]
fn a_flow_whose_journal_is_damaged_can_be_neither_changed_nor_read_and_is_named() {
    let program = program();
    killed_after(&program, "entry-create");
    let flow = only_flow(&program);
    sql(
        &program,
        "CREATE TABLE whole AS SELECT * FROM journal; UPDATE journal SET entries = substr(entries, 1, length(entries) - 5)",
    );
    let rows = program.run(&["recover", "--json"]).exits(6).json();
    let reason = rows[0]["stuck"].as_str().expect("a reason");
    assert!(reason.contains("its journal is damaged"), "{reason}");
    let says = [
        &format!("error: the journal of flow {flow} is damaged: "),
        "help: other flows are not affected; to get this one back, restore a backup",
    ];
    for arguments in CHANGES {
        let run = program.run(&[&["flows", arguments[0], &flow], &arguments[1..]].concat());
        run.exits(6).says(&says);
    }
    // If the database cannot answer a question, that is a failure of the database.
    for question in ["show", "events", "logs"] {
        program
            .run(&["flows", question, &flow])
            .exits(1)
            .says(&says);
    }
    sql(
        &program,
        "DELETE FROM journal; INSERT INTO journal SELECT * FROM whole; DROP TABLE whole",
    );
    let report = operate(&program, &["rollback", &flow], 0);
    assert_eq!(report["rollback"]["verdict"], "clean");
    nothing_is_left(&program);
}

#[test]
fn a_process_that_owns_a_stuck_flow_answers_requests_with_the_reason() {
    let program = program();
    killed_after(&program, "entry-create");
    let flow = only_flow(&program);
    lose_plans(&program);
    // The process recovers flows left behind, and keeps the ownership of those that it cannot recover.
    let tasks = "\n[[task]]\nplugin = \"slow\"\n".to_owned()
        + "\n[[task]]\nplugin = \"slow\"\nname = \"slow-two\"\n";
    program.write(
        "other.toml",
        format!("[flow]\nname = \"other\"\n\n[plugins.slow]\npath = \"slow.wat\"\n{tasks}"),
    );
    let child = start_slow(&program, &["run", "other.toml", "--json"]);
    let run = program.run(&["flows", "rollback", &flow, "--wait"]);
    run.exits(6).says(&[
        &format!(
            "process {}, which owns the flow, answered: flow {flow} cannot be taken up: its plan",
            child.id()
        ),
        "help: the flow was not changed: fix the cause and try again",
    ]);
    end(child).exits(0);
}

#[test]
fn a_stuck_flow_is_recovered_by_the_command_that_names_it() {
    let program = program();
    killed_after(&program, "entry-create");
    let flow = only_flow(&program);
    lose_plans(&program);
    program.run(&["recover"]).exits(6);
    restore_plans(&program);
    let report = operate(&program, &["resume", &flow], 0);
    assert_eq!(report["flow"]["state"], "SUCCESS");
    assert_eq!(operate(&program, &["list", "--stuck"], 0), json!([]));
    is_whole(&program);
}
