use acceptance::program::Program;

use super::{one_task, program};

/// Runs the manifest in `flow.toml`, which must be refused with these words on stderr before anything is created.
#[track_caller]
fn refused(program: &Program, words: &[&str]) {
    let run = program.run(&["run", "flow.toml"]).exits(2).says(words);
    assert_eq!(run.stdout, "");
    assert!(!program.has_database(), "a database was made");
}

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
    let component = include_str!("../../../examples/volume-create/cast-fails.wat");
    program
        .write("guest.wat", component)
        .write("flow.toml", one_task("guest.wat", ""));
    refused(
        &program,
        &[
            "plugin `guest` imports `cairn:plugin/rpc`, which flow.toml does not grant it",
            "flow.toml:4",
            "add this line below line 4, [plugins.guest]:\n    grants = { rpc = true }",
        ],
    );
}

#[test]
fn an_unknown_import() {
    for (import, problem, fix) in [
        (
            "cairn:plugin/teleport@0.1.0",
            "which this host does not have",
            "use a newer host",
        ),
        (
            "cairn:plugin/quota@0.2.0",
            "this host has `cairn:plugin/quota@0.1.0`",
            "build it against the version",
        ),
        (
            "wasi:keyvalue/store@0.2.0",
            "which this host does not have",
            "of WASI this host has `io`, `cli`, `clocks`",
        ),
        (
            "wasi:clocks/wall-clock@0.3.0",
            "which this host does not have",
            "a toolchain that targets WASI 0.2",
        ),
        (
            "acme:lights/switch@1.0.0",
            "which this host does not have",
            "interfaces of `cairn:plugin` and of `wasi:` 0.2, and no others",
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
            &[&format!("`{import}`"), problem, "flow.toml:4", fix],
        );
    }
}

#[test]
fn a_required_input_without_a_provider() {
    let program = program();
    let component = include_str!("../../../examples/volume-create/cast-fails.wat");
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
            "flow.toml:6",
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
