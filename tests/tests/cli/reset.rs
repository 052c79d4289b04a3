//! `flows reset` is refused while changes of the flow remain, so that no later verdict claims more than is true.

use acceptance::program::Program;
use acceptance::slow::slow_after;
use serde_json::{Value, json};

use super::operate::{is_whole, only_flow, operate, volumes};
use super::{create, killed_after, program};

fn id_of(report: &Value) -> &str {
    report["flow"]["id"].as_str().expect("an id")
}

/// Asserts that a reset is refused with this reason and this fix, and changes nothing.
#[track_caller]
fn is_refused(program: &Program, flow: &str, says: &[&str]) {
    let before = operate(program, &["events", flow], 0);
    let run = program.run(&["flows", "reset", flow]).exits(2).says(says);
    assert_eq!(run.stdout, "");
    assert_eq!(operate(program, &["events", flow], 0), before);
    is_whole(program);
}

#[test]
fn what_succeeded_is_rolled_back_first_and_the_verdict_names_what_is_left() {
    let program = program();
    let report = create(&program, r#"{"size": 5}"#, &[], 0);
    let flow = id_of(&report);
    let rollback = format!("help: `cairn flow rollback {flow}` undoes them");
    let says = [
        "the flow has effects that are not undone: roll it back first",
        &rollback,
    ];
    is_refused(&program, flow, &says);
    let report = operate(&program, &["rollback", flow], 0);
    assert_eq!(report["rollback"]["verdict"], "kept");
    // A reset would also lose the record of what the rollback left.
    let volume = volumes(&program)[0]["id"].clone();
    let volume = volume.as_str().expect("an id");
    let left = format!("left volume `{volume}`, which a reset would forget");
    let show =
        format!("with `cairn run` instead; `cairn flow show {flow}` lists everything that is left");
    is_refused(&program, flow, &[&left, &show]);
    assert_eq!(operate(&program, &["show", flow], 0), report);
    assert_eq!(operate(&program, &["rollback", flow], 0), report);
    assert_eq!(volumes(&program).len(), 1);
}

#[test]
fn what_was_stopped_half_way_is_rolled_back_first_and_then_run_again() {
    let program = program();
    killed_after(&program, "entry-create");
    let flow = only_flow(&program);
    operate(&program, &["interrupt", &flow], 0);
    let rollback = format!("help: `cairn flow rollback {flow}` undoes them");
    is_refused(&program, &flow, &["roll it back first", &rollback]);
    let report = operate(&program, &["rollback", &flow], 0);
    assert_eq!(report["rollback"]["verdict"], "clean");
    let report = operate(&program, &["reset", &flow], 0);
    assert_eq!(report["flow"]["state"], "PENDING");
    let report = operate(&program, &["resume", &flow], 0);
    assert_eq!(report["flow"]["state"], "SUCCESS");
    assert_eq!(volumes(&program).len(), 1);
    is_whole(&program);
}

#[test]
fn a_flow_that_changes_nothing_is_reset_after_its_success() {
    let program = program();
    slow_after(&program, "quota-reserve");
    program.write(
        "idle.toml",
        "[flow]\nname = \"idle\"\n\n[plugins.slow]\npath = \"slow.wat\"\n\n[[task]]\nplugin = \"slow\"\n",
    );
    let report = program.json(&["run", "idle.toml", "--json"]);
    let report = operate(&program, &["reset", id_of(&report)], 0);
    assert_eq!(report["flow"]["state"], "PENDING");
    let report = operate(&program, &["rollback", id_of(&report)], 0);
    assert_eq!(report["rollback"]["verdict"], json!("clean"));
}
