//! What is wrong in something that the program is given to read is told with its place and the fix, and changes nothing.

use acceptance::guest::Call;
use acceptance::program::{Program, Run, volume_create};
use serde_json::{Value, json};

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_cairn-under-test"))
}

/// A manifest with one task, done by `component`.
fn one_task(component: &str, rest: &str) -> String {
    format!(
        "[flow]\nname = \"small\"\n\n[plugins.guest]\npath = \"{component}\"\n{rest}\n[[task]]\nplugin = \"guest\"\n"
    )
}

/// Runs the manifest in `flow.toml`, which must be refused with these words on stderr before anything is made.
#[track_caller]
fn refused(program: &Program, words: &[&str]) {
    let run = program.run(&["run", "flow.toml"]).exits(2).says(words);
    assert_eq!(run.stdout, "");
    assert!(!program.has_database(), "a database was made");
}

// ---- Manifest and plugins ------------------------------------------------------------------------------------------

#[test]
fn an_unknown_key_of_a_manifest() {
    let program = program();
    program.write(
        "flow.toml",
        "[flow]\nname = \"x\"\nactoin = \"volume:create\"\n",
    );
    refused(
        &program,
        &[
            "unknown key `actoin`",
            "flow.toml:3",
            "did you mean `action`?",
        ],
    );
}

#[test]
fn a_plugin_whose_file_is_missing() {
    let program = program();
    program.write("flow.toml", one_task("gone.wasm", ""));
    refused(
        &program,
        &[
            "plugin `guest`: cannot read gone.wasm",
            "flow.toml:4",
            "help: paths are relative to the manifest",
        ],
    );
}

#[test]
fn a_file_that_is_no_component() {
    for (bytes, problem, fix) in [
        (
            &b"#!/bin/sh\n"[..],
            "this is no WebAssembly component",
            "cargo build --release --target wasm32-wasip2",
        ),
        (
            b"\0asm\x01\0\0\0",
            "this is a core WebAssembly module",
            "wasm32-wasip2",
        ),
        (b"", "the file is empty", "name the .wasm file"),
    ] {
        let program = program();
        program
            .write("guest.wasm", bytes)
            .write("flow.toml", one_task("guest.wasm", ""));
        refused(
            &program,
            &["plugin `guest` (guest.wasm)", problem, "flow.toml:4", fix],
        );
    }
}

#[test]
fn a_component_without_the_task_export() {
    let program = program();
    let only_plugin =
        "(component (instance $i) (export \"cairn:plugin/plugin@0.1.0\" (instance $i)))";
    program
        .write("guest.wat", only_plugin)
        .write("flow.toml", one_task("guest.wat", ""));
    refused(
        &program,
        &[
            "does not export `cairn:plugin/task@0.1.0`",
            "flow.toml:4",
            "`cairn:plugin/task-plugin`",
        ],
    );
}

#[test]
fn an_import_that_is_not_granted() {
    let program = program();
    let component = include_str!("../guests/cast-fails.wat");
    program
        .write("guest.wat", component)
        .write("flow.toml", one_task("guest.wat", ""));
    refused(
        &program,
        &[
            "plugin `guest` imports `cairn:plugin/rpc`, which flow.toml does not grant it",
            "flow.toml:4",
            "add `rpc = true` to [plugins.guest.grants]",
        ],
    );
}

#[test]
fn an_import_that_nobody_knows() {
    for (import, problem, fix) in [
        (
            "cairn:plugin/teleport@0.1.0",
            "which this host does not have",
            "use a newer host",
        ),
        (
            "cairn:plugin/quota@0.2.0",
            "which this host does not have",
            "use a newer host",
        ),
        (
            "wasi:http/outgoing-handler@0.2.0",
            "plugins have no network",
            "build it without HTTP",
        ),
    ] {
        let program = program();
        let component = format!(
            "(component (import \"{import}\" (instance)) (instance $i)
               (export \"cairn:plugin/plugin@0.1.0\" (instance $i)) (export \"cairn:plugin/task@0.1.0\" (instance $i)))"
        );
        program
            .write("guest.wat", component)
            .write("flow.toml", one_task("guest.wat", ""));
        refused(
            &program,
            &[&format!("imports `{import}`"), problem, "flow.toml:4", fix],
        );
    }
}

#[test]
fn a_required_input_that_nobody_provides() {
    let program = program();
    let component = include_str!("../guests/cast-fails.wat");
    let manifest = one_task("guest.wat", "grants = { rpc = true }\n");
    program
        .write("guest.wat", component)
        .write("flow.toml", manifest);
    refused(
        &program,
        &[
            "MissingDependencies: task `guest` requires",
            "`volume_id`",
            "`scheduler_hints`",
            "flow.toml:8",
            "add a task before this one that provides it",
        ],
    );
}

#[test]
fn settings_that_do_not_fit_their_schema() {
    let program = program();
    let manifest = "[flow]\nname = \"x\"\n\n[plugins.inject]\nbuiltin = \"inject\"\nsettings = { provides = 1 }\n\n\
                    [[task]]\nplugin = \"inject\"\n";
    program.write("flow.toml", manifest);
    refused(
        &program,
        &[
            "settings of plugin `inject`",
            "/provides",
            "flow.toml:4",
            "help: in the settings of [plugins.inject]",
        ],
    );
}

#[test]
fn a_built_in_plugin_that_is_not_there() {
    let program = program();
    program.write(
        "flow.toml",
        "[flow]\nname = \"x\"\n[plugins.a]\nbuiltin = \"quota\"\n[[task]]\nplugin = \"a\"\n",
    );
    refused(
        &program,
        &[
            "there is no built-in plugin `quota`",
            "flow.toml:3",
            "quota-reserve",
        ],
    );
}

// ---- Requests ------------------------------------------------------------------------------------------------------

/// Runs the first example with this request, which must be refused, first without a database and then with one.
#[track_caller]
fn request_refused(request: &str, words: &[&str]) {
    let program = program();
    program
        .write("request.json", request)
        .write("good.json", "{\"size\": 1}");
    let flow = volume_create();
    let run = || {
        program
            .run(&["run", &flow, "--input", "request.json", "--json"])
            .exits(2)
            .says(words)
    };
    assert_eq!(run().stdout, "");
    assert!(!program.has_database(), "a database was made");
    program
        .run(&["run", &flow, "--input", "good.json"])
        .exits(0);
    let before = everything(&program);
    run();
    assert_eq!(everything(&program), before);
}

/// What the database holds, as far as it is shown.
fn everything(program: &Program) -> Vec<Value> {
    [
        &["flows", "list", "--json"][..],
        &["volumes", "list", "--json"],
        &["quota", "show", "--json"],
    ]
    .map(|arguments| program.json(arguments))
    .to_vec()
}

#[test]
fn a_request_with_a_wrong_type() {
    request_refused(
        r#"{"size": "2"}"#,
        &[
            "the request's `size` must be a whole number of GiB, not `\"2\"`",
            "--> request.json",
            "help: write, for example, \"size\": 1",
        ],
    );
}

#[test]
fn a_request_with_an_unknown_key() {
    request_refused(
        r#"{"sise": 2}"#,
        &[
            "the request has an unknown key `sise`",
            "--> request.json",
            "did you mean `size`?",
        ],
    );
}

#[test]
fn a_request_that_is_no_json() {
    request_refused(
        "{\"size\": 2,\n \"size\": 3}",
        &[
            "\"size\" stands twice",
            "--> request.json:2",
            "one JSON object",
        ],
    );
    request_refused(
        "[]",
        &[
            "a request must be one JSON object",
            "--> request.json",
            "{\"size\": 1}",
        ],
    );
}

#[test]
fn a_request_that_names_what_is_not_there() {
    request_refused(
        r#"{"size": 2, "volume_type": "gold"}"#,
        &[
            "the request's `volume_type`: NotFound: there is no volume type `gold`",
            "--> request.json",
            "`cairn types list` shows the volume types",
        ],
    );
}

// ---- The database --------------------------------------------------------------------------------------------------

#[test]
fn a_database_of_a_newer_version() {
    let program = program();
    program.run(&["zones", "create", "nova"]).exits(0);
    let mut bytes = std::fs::read(program.path("cairn.db")).unwrap();
    // The header's user version: the schema's.
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    program.write("cairn.db", &bytes);
    for command in [
        &["run", &volume_create()][..],
        &["flows", "list"],
        &["zones", "create", "other"],
    ] {
        program.run(command).exits(1).says(&[
            "cairn.db was made by a newer version of Cairn (schema 99, this one knows 1)",
            "use that version, or another database with --db",
        ]);
    }
    assert!(
        std::fs::read(program.path("cairn.db")).unwrap() == bytes,
        "the file was changed"
    );
}

#[test]
fn a_file_that_is_no_database_of_cairns() {
    let program = program();
    program.write(
        "cairn.db",
        "not a database, but long enough that SQLite looks at it twice\n".repeat(20),
    );
    program
        .run(&["flows", "list"])
        .exits(1)
        .says(&["this file is no SQLite database", "--db"]);
}

/// Nobody may write below `/proc`, root included; elsewhere a file stands where the folder should.
#[test]
fn a_database_folder_that_cannot_be_written() {
    let program = program();
    program.write("file", "");
    for db in ["/proc/cairn.db", "file/cairn.db"] {
        program
            .run(&["run", &volume_create(), "--db", db])
            .exits(1)
            .says(&[
                db,
                "check that the folder exists and that you may write to it",
            ]);
    }
    assert!(!program.has_database());
}

// ---- Settings ------------------------------------------------------------------------------------------------------

#[test]
fn an_unknown_key_of_the_settings() {
    let program = program();
    program.write("cairn.toml", "user = \"u\"\n[quota]\nvolume = 1\n");
    program.run(&["zones", "create", "nova"]).exits(2).says(&[
        "unknown key `volume` in [quota]",
        "cairn.toml:3",
        "did you mean `volumes`?",
    ]);
    assert!(!program.has_database());
}

#[test]
fn a_policy_that_cannot_be_read() {
    let program = program();
    program.write("policy.json", "{\n \"volume:create\": \"role member\"\n}");
    let run = program.run(&["run", &volume_create(), "--policy", "policy.json"]);
    run.exits(2)
        .says(&["rule `volume:create`", "policy.json:2", "help:"]);
    assert!(!program.has_database());
}

// ---- Plugins that break the contract while they run ----------------------------------------------------------------

/// Runs a flow whose second task is the guest. It must fail by the host's word, and leave nothing.
#[track_caller]
fn breaks(call: Call, kind: &str, words: &[&str]) -> Run {
    let program = program();
    let manifest = "[flow]\nname = \"small\"\n\n[plugins.inject]\nbuiltin = \"inject\"\nsettings = { provides = [] }\n\n\
                    [plugins.guest]\npath = \"guest.wat\"\n\n[[task]]\nplugin = \"inject\"\n\n[[task]]\nplugin = \"guest\"\n";
    program
        .write("guest.wat", call.component())
        .write("flow.toml", manifest);
    let run = program
        .run(&["run", "flow.toml", "--json"])
        .exits(3)
        .says(words)
        .says(&["task `guest` failed", "flow.toml:8"]);
    let report = run.json();
    assert_eq!(report["error"]["task"], "guest");
    assert_eq!(report["error"]["origin"], "host");
    assert_eq!(report["error"]["kind"], kind);
    let rollback =
        json!({"verdict": "clean", "reverted": ["guest", "inject"], "failed": [], "residue": []});
    assert_eq!(report["rollback"], rollback);
    run
}

#[test]
fn a_plugin_that_traps() {
    breaks(
        Call::Traps,
        "Trap",
        &[
            "unreachable",
            "help: this is a defect of the plugin guest.wat",
        ],
    );
}

#[test]
fn a_plugin_that_returns_no_json() {
    breaks(
        Call::ReturnsNoJson,
        "ResultInvalid",
        &[
            "the result is no JSON",
            "help: this is a defect of the plugin guest.wat",
        ],
    );
}

#[test]
fn a_plugin_that_lacks_a_name_it_provides() {
    breaks(
        Call::LacksAName,
        "ResultIncomplete",
        &[
            "`guest` provides text, but its result lacks text",
            "help: this is a defect of the plugin guest.wat",
        ],
    );
}

#[test]
fn a_plugin_that_takes_too_long() {
    let program = program();
    let manifest = one_task("guest.wat", "limits = { deadline = \"50ms\" }\n");
    program
        .write("guest.wat", Call::TakesASecond.component())
        .write("flow.toml", manifest);
    program.run(&["run", "flow.toml"]).exits(3).says(&[
        "DeadlineExceeded: the call did not end within 50ms",
        "flow.toml:4",
        "raise `deadline` in [plugins.guest.limits]",
    ]);
}
