//! Opens a database created by the build before domains, and continues its flows: see `tests/stage-1/README.md`.

use std::path::{Path, PathBuf};

use acceptance::program::Program;
use serde_json::{Value, json};

fn stage_1(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("stage-1")
        .join(name)
}

/// Copies the database with its components.
fn program() -> Program {
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    let database = std::fs::read(stage_1("database")).unwrap();
    program.write("cairn.db", database);
    std::fs::create_dir(program.path("cairn.db.components")).unwrap();
    for entry in std::fs::read_dir(stage_1("components")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_owned();
        std::fs::copy(&path, program.path("cairn.db.components").join(name)).unwrap();
    }
    program
}

/// Returns id and state of the flow of this name.
#[track_caller]
fn flow(program: &Program, name: &str) -> (String, String) {
    let flows = program.json(&["flows", "list", "--json"]);
    let flows = flows.as_array().expect("a list").iter();
    let flow = flows.clone().find(|flow| flow["name"] == name).expect(name);
    let text = |key: &str| flow[key].as_str().expect(key).to_owned();
    (text("id"), text("state"))
}

#[track_caller]
fn in_use(program: &Program) -> Value {
    let quotas = program.json(&["quota", "show", "--json"]);
    quotas["quotas"]["volumes"]["in_use"].clone()
}

#[test]
fn a_database_of_the_first_stage_goes_on() {
    let program = program();
    program
        .run(&["flows", "list"])
        .exits(2)
        .says(&["schema 4, this one reads 12", "`cairn db migrate`"]);
    program.run(&["db", "migrate"]).exits(0);
    let check = program.json(&["db", "check", "--json"]);
    assert_eq!(
        check,
        json!({"schema_version": 12, "newest_version": 12, "problems": []})
    );

    // Their reports are unchanged.
    let (done, state) = flow(&program, "done");
    assert_eq!(state, "SUCCESS");
    let (clean, _) = flow(&program, "clean");
    let report = program.json(&["flows", "show", &clean, "--json"]);
    assert_eq!(report["rollback"]["verdict"], "clean");
    let (incomplete, _) = flow(&program, "incomplete");
    let report = program.json(&["flows", "show", &incomplete, "--json"]);
    assert_eq!(report["rollback"]["verdict"], "incomplete");
    // Two of `done` twice, and two of `killed`.
    assert_eq!(in_use(&program), 6);

    // The flow whose process was killed is rolled back.
    let (killed, state) = flow(&program, "killed");
    assert_eq!(state, "RUNNING");
    program.run(&["recover"]).exits(0);
    let report = program.json(&["flows", "show", &killed, "--json"]);
    assert_eq!(report["flow"]["state"], "FAILURE");
    assert_eq!(report["rollback"]["verdict"], "clean");
    assert_eq!(in_use(&program), 4);
    // Its components are in the database now.
    assert!(!program.path("cairn.db.components").exists());

    // The successful flow is rolled back, using the changes that the first stage recorded.
    let run = program.run(&[
        "flows",
        "rollback",
        &done,
        "--reason",
        "a mistake",
        "--json",
    ]);
    assert_eq!(run.exits(0).json()["rollback"]["verdict"], "clean");
    assert_eq!(in_use(&program), 0);
    let volumes = program.json(&["volumes", "list", "--json"]);
    assert_eq!(volumes, json!([]));

    // The flow that cannot be reverted is retried, and then accepted.
    let again = [
        "flows",
        "rollback",
        &incomplete,
        "--reason",
        "again",
        "--json",
    ];
    let report = program.run(&again).exits(4).json();
    assert_eq!(report["rollback"]["verdict"], "incomplete");
    program
        .run(&[
            "flows",
            "rollback",
            &incomplete,
            "--accept",
            "it left nothing",
        ])
        .exits(0);
    program.run(&["quota", "check"]).exits(0);
}
