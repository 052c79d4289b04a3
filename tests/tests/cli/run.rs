use acceptance::program::{end, volume_create};
use serde_json::json;

use super::{create, program, request, result};

#[test]
fn a_volume_is_printed_with_its_id_and_what_the_project_uses() {
    let program = program();
    let arguments = request(&program, r#"{"size": 3, "name": "data"}"#);
    let run = program
        .run(&arguments.each_ref().map(String::as_str))
        .exits(0);
    let volumes = program.json(&["volumes", "list", "--json"]);
    let id = volumes[0]["id"].as_str().unwrap();
    for line in [
        &format!("volume    {id}  data  3 GiB  creating"),
        "quota     volumes: 1 of 10 in use",
        "quota     gigabytes: 3 of 1000 in use",
    ] {
        assert!(
            run.stdout.contains(line),
            "`{line}` is not in:\n{}",
            run.stdout
        );
    }
    assert_eq!(run.stderr, "", "nothing is to be said");
}

#[test]
fn the_document_has_the_shape_that_is_promised() {
    let program = program();
    let report = create(&program, r#"{"size": 1}"#, &[], 0);
    let keys = |value: &serde_json::Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        keys(&report),
        ["error", "flow", "rollback", "tasks", "transitions"]
    );
    assert_eq!(keys(&report["flow"]), ["id", "name", "state"]);
    assert_eq!(
        (&report["error"], &report["rollback"]),
        (&json!(null), &json!(null))
    );
    assert_eq!(report["tasks"].as_array().unwrap().len(), 7);
    assert_eq!(
        keys(&report["tasks"][0]),
        ["duration_us", "name", "result", "state"]
    );
    assert_eq!(
        report["transitions"],
        json!([
            {"state": "STARTED", "old": "PENDING"},
            {"state": "RUNNING", "old": "STARTED"},
            {"state": "SUCCESS", "old": "RUNNING"},
        ])
    );

    let report = create(&program, r#"{"size": 0}"#, &[], 3);
    assert_eq!(
        keys(&report["error"]),
        ["details", "kind", "message", "origin", "task"]
    );
    assert_eq!(
        report["error"]["task"],
        "extract-volume-request;volume:create"
    );
    assert_eq!(
        keys(&report["rollback"]),
        [
            "failed", "messages", "residue", "reverted", "undone", "verdict"
        ]
    );
}

#[test]
fn a_failure_is_told_with_its_task_and_what_was_reverted() {
    let program = program();
    let arguments = request(&program, r#"{"size": 2000}"#);
    let run = program
        .run(&arguments.each_ref().map(String::as_str))
        .exits(3);
    for line in [
        "FAILURE",
        "task      quota-reserve;volume:create",
        "error     VolumeSizeExceedsAvailableQuota: ",
        "rollback  clean",
        "reverted  quota-reserve;volume:create\nreverted  extract-volume-request;volume:create\nreverted  inject;volume:create",
    ] {
        assert!(
            run.stdout.contains(line),
            "`{line}` is not in:\n{}",
            run.stdout
        );
    }
}

#[test]
fn a_request_may_come_from_stdin() {
    use std::io::Write as _;
    let program = program();
    let mut command = program.command(&["run", &volume_create(), "--input", "-", "--json"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(br#"{"size": 4}"#)
        .unwrap();
    assert_eq!(
        result(&end(child).exits(0).json(), "entry-create")["volume"]["size"],
        4
    );
}

#[test]
fn a_policy_denies_a_caller_without_its_role() {
    let program = program();
    program.write("policy.json", r#"{"volume:create": "role:member"}"#);
    let denied = create(&program, r#"{"size": 1}"#, &["--policy", "policy.json"], 3);
    assert_eq!(denied["error"]["origin"], "policy");
    assert_eq!(
        denied["error"]["task"],
        "extract-volume-request;volume:create"
    );
    create(
        &program,
        r#"{"size": 1}"#,
        &["--policy", "policy.json", "--role", "member"],
        0,
    );
}

#[test]
fn a_volume_belongs_to_who_asked_for_it() {
    let program = program();
    create(
        &program,
        r#"{"size": 1}"#,
        &["--user", "ann", "--project", "blue"],
        0,
    );
    let volumes = program.json(&["volumes", "list", "--all-projects", "--json"]);
    assert_eq!(
        (&volumes[0]["user_id"], &volumes[0]["project_id"]),
        (&json!("ann"), &json!("blue"))
    );
    assert_eq!(
        program.json(&["volumes", "list", "--json"]),
        json!([]),
        "another project sees nothing"
    );
    let id = volumes[0]["id"].as_str().unwrap();
    program
        .run(&["volumes", "show", id])
        .exits(2)
        .says(&["there is no"]);
    assert_eq!(
        program.json(&["volumes", "show", id, "--admin", "--json"])["id"],
        id
    );
}

#[test]
fn a_cache_that_cannot_be_used_is_told_and_done_without() {
    let program = program();
    program.write("file", "");
    let mut command = program.command(&["run", &volume_create(), "--json"]);
    let run = end(command
        .env("CAIRN_CACHE", program.path("file"))
        .spawn()
        .unwrap())
    .exits(3);
    let run = run.says(&[
        "warning: the cache of compiled plugins at",
        "plugins are compiled in every run",
    ]);
    assert_eq!(run.json()["error"]["kind"], "InvalidInput");
}
