//! The interface does what its description says: requests that schemathesis makes from it.
//!
//! By hand: `schemathesis run http://127.0.0.1:7411/v1/openapi.json --max-time 300` with the options below.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance::program::Program;
use acceptance::serving::Serving;
use serde_json::json;

use super::deployed;

/// The version that is installed.
const VERSION: &str = "schemathesis==4.32.5";

/// What is checked of each answer. A request that is refused for more than its schema says is right, too.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// Returns the program, which is installed once, beside the tests; `None` when that is not possible here and need not be.
fn schemathesis(program: &Program) -> Option<PathBuf> {
    let folder = program.beside("schemathesis-4.32.5");
    let found = folder.join("bin/schemathesis");
    let run = |path: &Path, arguments: &[&str]| {
        let output = Command::new(path).args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    if run(&found, &["--version"]) {
        return Some(found);
    }
    let place = folder.to_str().expect("UTF-8");
    let pip = folder.join("bin/pip");
    let is_there = run(Path::new("python3"), &["-m", "venv", "--clear", place])
        && run(&pip, &["install", "--quiet", VERSION]);
    match is_there {
        true => Some(found),
        false if std::env::var_os("CAIRN_TEST_ALL").is_some() => {
            panic!("{VERSION} cannot be installed by pip")
        }
        false => {
            eprintln!("not run: {VERSION} cannot be installed by pip");
            None
        }
    }
}

fn fuzz(seconds: u32) {
    let program = deployed("");
    let Some(schemathesis) = schemathesis(&program) else {
        return;
    };
    let serving = Serving::start(&program, &[]);
    let asked = json!({"flow": "greet", "request": {"name": "Ada"}});
    serving
        .post_with("/v1/flows", &[("prefer", "wait=30")], &asked)
        .is(200);
    let run = Command::new(schemathesis)
        .arg("run")
        .arg(format!("http://{}/v1/openapi.json", serving.address))
        .args(["--checks", CHECKS, "--max-time", &seconds.to_string()])
        // Streams of events do not end.
        .args(["--exclude-path-regex", "stream$"])
        .args([
            "--request-timeout",
            "30",
            "--continue-on-failure",
            "--no-color",
        ])
        .args(["--suppress-health-check", "all"])
        .current_dir(program.path(""))
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{printed}");
    assert!(printed.contains("Tested: 37"), "{printed}");
    serving.get("/healthz").is(200);
    let ended = serving.end(15);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    program.run(&["quota", "check", "--admin"]).exits(0);
}

#[test]
fn every_route_has_a_name_of_its_own() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let document = serving.get("/v1/openapi.json").is(200).json();
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap().to_owned();
            assert!(names.insert(name), "{method} {path}: {operation}");
        }
    }
}

#[test]
fn answers_are_those_that_the_description_names() {
    fuzz(60);
}

#[test]
#[ignore = "takes five minutes"]
fn answers_are_those_that_the_description_names_for_long() {
    fuzz(300);
}
