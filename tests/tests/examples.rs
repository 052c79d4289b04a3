//! Runs the examples and compares their reports. `CAIRN_BLESS=1` updates the expected reports.

use std::fs;

use acceptance::normal::normal;
use acceptance::program::{Program, repository};
use serde_json::Value;

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_cairn-under-test"))
}

/// Runs a flow of `examples/volume-create` with a request, in its own database, and compares the report.
#[track_caller]
fn check(program: &Program, flow: &str, request: &str, exit: i32, expected: &str) -> Value {
    let example = |name: &str| repository(&format!("examples/volume-create/{name}"));
    let arguments = [
        "run",
        &example(flow),
        "--input",
        &example(request),
        "--json",
    ];
    let report = program.run(&arguments).exits(exit).json();
    let found = normal(&report);
    let expected = example(expected);
    if std::env::var_os("CAIRN_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&found).unwrap();
        fs::write(&expected, text + "\n").unwrap();
    }
    let wanted: Value = serde_json::from_str(&fs::read_to_string(&expected).unwrap()).unwrap();
    assert!(
        found == wanted,
        "{expected} is not what came out:\n{}",
        serde_json::to_string_pretty(&found).unwrap()
    );
    report
}

fn usages(program: &Program) -> Value {
    program.json(&["quota", "show", "--json"])
}

#[test]
fn a_good_request_makes_a_volume() {
    let program = program();
    let report = check(
        &program,
        "flow.toml",
        "request.json",
        0,
        "request.expected.json",
    );
    assert_eq!(report["flow"]["state"], "SUCCESS");
    assert_eq!(usages(&program)["quotas"]["gigabytes"]["in_use"], 2);
}

#[test]
fn a_request_that_is_not_valid_changes_nothing() {
    let program = program();
    let report = check(
        &program,
        "flow.toml",
        "request-invalid.json",
        3,
        "request-invalid.expected.json",
    );
    assert_eq!(report["error"]["kind"], "InvalidInput");
    assert_eq!(report["rollback"]["verdict"], "clean");
}

#[test]
fn a_request_over_quota_changes_nothing() {
    let program = program();
    check(
        &program,
        "flow.toml",
        "request.json",
        0,
        "request.expected.json",
    );
    let before = usages(&program);
    let report = check(
        &program,
        "flow.toml",
        "request-over-quota.json",
        3,
        "request-over-quota.expected.json",
    );
    assert_eq!(report["error"]["kind"], "VolumeSizeExceedsAvailableQuota");
    assert_eq!(report["rollback"]["verdict"], "clean");
    assert_eq!(usages(&program), before);
}

#[test]
fn a_cast_that_fails_leaves_the_volume_in_error_and_gives_its_quota_back() {
    let program = program();
    check(
        &program,
        "flow.toml",
        "request.json",
        0,
        "request.expected.json",
    );
    let before = usages(&program);
    let report = check(
        &program,
        "flow-cast-fails.toml",
        "request.json",
        3,
        "flow-cast-fails.expected.json",
    );
    assert_eq!(report["error"]["task"], "volume-cast;volume:create");
    assert_eq!(report["rollback"]["verdict"], "kept");
    let left = &report["rollback"]["residue"][0];
    assert_eq!(
        report["rollback"]["residue"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(
        (&left["kind"], &left["after"]["status"]),
        (&"volume".into(), &"error".into())
    );
    let volume = program.json(&["volumes", "show", left["id"].as_str().unwrap(), "--json"]);
    assert_eq!(volume["status"], "error");
    assert_eq!(usages(&program), before);
    // The message sent before the failure must not be visible.
    let messages = program.json(&["outbox", "list", "--all", "--json"]);
    assert_eq!(messages.as_array().map(Vec::len), Some(1));
}
