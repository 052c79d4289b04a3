//! Runs the examples and compares their reports. `CAIRN_BLESS=1` updates the expected reports.

use std::fs;
use std::path::Path;

use acceptance::admission_guest::Asked;
use acceptance::commands::copy;
use acceptance::normal::normal;
use acceptance::program::{Program, end, repository};
use acceptance::stranger::Stranger;
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

/// Stands in for a component that an example's README builds; other tests build them.
fn stand_in(component: &str) -> Option<String> {
    let task = |imports| Stranger {
        imports,
        ..Stranger::default()
    };
    match component {
        "target/wasm32-wasip2/release/hello_task.wasm" => Some(task(&[]).component()),
        "quota-guard-python.wasm" => Some(task(&["quota"]).component()),
        "rust/take-name.wasm" | "python/take-name-python.wasm" => {
            Some(task(&["records"]).component())
        }
        "office-hours-js.wasm" => Some(Asked::Agrees.component()),
        _ => None,
    }
}

/// The names of what is in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Writes the stand-ins for the components that a manifest in `folder` names.
fn write_stand_ins(folder: &Path, manifest: &str) {
    let pairs = manifest.lines().filter_map(|line| line.split_once('='));
    let paths = pairs.filter(|(key, _)| key.trim() == "path");
    for component in paths.map(|(_, value)| value.trim().trim_matches('"')) {
        if let Some(text) = stand_in(component) {
            let path = folder.join(component);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }
}

#[test]
fn a_folder_that_is_copied_alone_has_all_that_its_flows_name() {
    let program = program();
    let examples = repository("examples");
    let mut planned = Vec::new();
    for name in names(Path::new(&examples)) {
        // The flow of one names a native task, that of the other an external: `embed.rs` and `dns_record.rs` plan them in a copy.
        let is_planned_there = ["dns-record", "embed"].contains(&name.as_str());
        if is_planned_there || !Path::new(&examples).join(&name).is_dir() {
            continue;
        }
        let folder = program.path(&name);
        copy(&Path::new(&examples).join(&name), &folder);
        let flows = names(&folder).into_iter();
        for flow in flows.filter(|file| file.starts_with("flow") && file.ends_with(".toml")) {
            let manifest = fs::read_to_string(folder.join(&flow)).unwrap();
            write_stand_ins(&folder, &manifest);
            let mut plan = program.command(&["plan", &flow]);
            end(plan.current_dir(&folder).spawn().unwrap()).exits(0);
            planned.push(format!("{name}/{flow}"));
        }
    }
    assert_eq!(
        planned,
        [
            "approval/flow.toml",
            "hello-task/flow.toml",
            "name-pool/flow.toml",
            "office-hours-js/flow.toml",
            "quota-guard-python/flow.toml",
            "volume-create/flow-cast-fails.toml",
            "volume-create/flow.toml",
        ]
    );
}
