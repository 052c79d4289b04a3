//! Volumes that a rollback keeps because their quota was committed: they end in `error`, whichever process ends their
//! flow.

use acceptance::guest::Call;
use acceptance::program::{Program, end, volume_create};
use acceptance::slow::{run_slow, slower_after};
use serde_json::{Value, json};

use super::operate::{is_whole, only_flow, operate, volumes};
use super::{killed_after, program};

/// Asserts that the only volume is in `error`, its quota is returned, and the report lists only this volume.
#[track_caller]
fn is_kept_in_error(program: &Program, flow: &str) {
    let report = operate(program, &["show", flow], 0);
    let volumes = volumes(program);
    assert_eq!((volumes.len(), &volumes[0]["status"]), (1, &json!("error")));
    assert_eq!(report["flow"]["state"], "FAILURE");
    assert_eq!(report["rollback"]["verdict"], "kept", "{report}");
    assert_eq!(
        report["rollback"]["residue"],
        json!([{
            "kind": "volume", "id": volumes[0]["id"], "before": null, "after": {"status": "error"},
            "fate": "kept", "task": "quota-commit;volume:create", "reason": "its revert made it",
        }])
    );
    for resource in ["volumes", "gigabytes"] {
        let quota = &program.json(&["quota", "show", "--json"])["quotas"][resource];
        assert_eq!(
            (&quota["in_use"], &quota["reserved"]),
            (&json!(0), &json!(0)),
            "{resource}"
        );
    }
    is_whole(program);
    // Its owner can delete it.
    let id = volumes[0]["id"].as_str().expect("an id");
    program.run(&["volumes", "delete", id]).exits(0);
    is_whole_without_it(program);
}

#[track_caller]
fn is_whole_without_it(program: &Program) {
    assert_eq!(volumes(program), Vec::<Value>::new());
    program.run(&["quota", "check", "--admin"]).exits(0);
}

#[test]
fn the_volume_of_a_flow_that_was_killed_before_its_failure_status_was_armed() {
    let program = program();
    killed_after(&program, "quota-commit");
    let flow = only_flow(&program);
    program.run(&["recover"]).exits(0);
    is_kept_in_error(&program, &flow);
}

#[test]
fn the_volume_of_a_flow_that_was_interrupted_there_and_rolled_back() {
    let program = program();
    slower_after(&program, "quota-commit", 10);
    let child = run_slow(&program);
    let flow = only_flow(&program);
    operate(&program, &["interrupt", &flow, "--wait"], 0);
    end(child).exits(5);
    operate(&program, &["rollback", &flow], 0);
    is_kept_in_error(&program, &flow);
}

#[test]
fn the_volume_of_a_flow_whose_task_fails_there() {
    let program = program();
    let commit = "[[task]]\nplugin = \"quota-commit\"\n";
    let flow = std::fs::read_to_string(volume_create()).expect("the example");
    assert!(flow.contains(commit), "{flow}");
    let flow = flow.replace(commit, &format!("{commit}\n[[task]]\nplugin = \"traps\"\n"));
    program
        .write("traps.wat", Call::Traps.component())
        .write("request.json", r#"{"size": 5}"#)
        .write(
            "flow.toml",
            format!("{flow}\n[plugins.traps]\npath = \"traps.wat\"\n"),
        );
    let run = ["run", "flow.toml", "--input", "request.json", "--json"];
    let report = program.run(&run).exits(3).json();
    assert_eq!(report["error"]["kind"], "Trap");
    is_kept_in_error(&program, report["flow"]["id"].as_str().expect("an id"));
}
