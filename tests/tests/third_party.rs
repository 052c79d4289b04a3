//! The workflow of a third party: a separate crate, built with plain cargo, named in a manifest by its path.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use acceptance::program::{Program, Run, repository};
use acceptance::rust_plugin;
use serde_json::{Value, json};

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_cairn-under-test"))
}

/// Builds an example as its README says, in a separate target folder, and returns its component.
fn build(example: &str) -> PathBuf {
    let program = env!("CARGO_BIN_EXE_cairn-under-test");
    let built = rust_plugin::build(&format!("examples/{example}"), program);
    built.join(format!("{}.wasm", example.replace('-', "_")))
}

#[test]
fn each_example_does_what_its_cases_say_and_keeps_the_laws_of_its_kind() {
    let program = program();
    for (example, laws) in [("hello-task", 6), ("naming-rule", 6), ("name-validator", 1)] {
        let component = build(example).display().to_string();
        let cases = repository(&format!("examples/{example}/cases"));
        let test = ["plugin", "test", &component, "--cases", &cases];
        let tested = program.run(&[&test[..], &["--laws", "--json"]].concat());
        let tested = tested.exits(0).json();
        let cases = tested["cases"].as_array().expect("a list of cases");
        assert!(cases.len() > 2, "{tested}");
        for case in cases {
            let tried = case["laws"].as_array().map(Vec::len);
            assert_eq!(tried, Some(laws), "{example}: {case}");
        }
    }
}

#[test]
fn the_smallest_plugin_runs_from_its_own_manifest() {
    let component = build("hello-task");
    let program = program();
    let manifest = fs::read_to_string(repository("examples/hello-task/flow.toml"))
        .expect("the example's manifest");
    let path = "target/wasm32-wasip2/release/hello_task.wasm";
    assert!(
        manifest.contains(path),
        "the manifest names what cargo builds"
    );
    program.write(
        "flow.toml",
        manifest.replace(path, &component.display().to_string()),
    );
    program.write("request.json", r#"{"name": "Ada"}"#);
    let run = program.run(&["run", "flow.toml", "--input", "request.json", "--json"]);
    let report = run.exits(0).json();
    let tasks = report["tasks"].as_array().expect("a list of tasks");
    let hello = tasks
        .iter()
        .find(|task| task["name"] == "hello-task;hello:say");
    let text = hello.map(|task| &task["result"]["text"]);
    assert_eq!(text, Some(&Value::from("Hello, Ada!")));
}

/// Runs the volume-create flow with the naming rule between its first two tasks; only the manifest differs.
fn run_with_naming_rule(settings: &str, name: &str) -> Run {
    static COMPONENT: OnceLock<PathBuf> = OnceLock::new();
    let component = COMPONENT.get_or_init(|| build("naming-rule"));
    let program = program();
    let manifest = fs::read_to_string(repository("examples/volume-create/flow.toml"))
        .expect("the example's manifest");
    let second = "[[task]]\nplugin = \"extract-volume-request\"";
    assert_eq!(manifest.matches(second).count(), 1, "the second task");
    let rule = format!(
        "[plugins.naming-rule]\npath = '{}'\nsettings = {settings}\n\n[[task]]\nplugin = \"naming-rule\"\n\n{second}",
        component.display()
    );
    program.write("flow.toml", manifest.replace(second, &rule));
    program.write("request.json", json!({"size": 1, "name": name}).to_string());
    program.run(&["run", "flow.toml", "--input", "request.json", "--json"])
}

#[test]
fn a_rule_between_two_built_in_tasks_rejects_names_that_break_its_settings() {
    let settings = r#"{ pattern = "^[a-z][a-z0-9-]*$", max_length = 8 }"#;
    let report = run_with_naming_rule(settings, "data-1").exits(0).json();
    assert_eq!(report["flow"]["state"], "SUCCESS");

    for (name, rule) in [("Data", "pattern"), ("much-too-long", "max_length")] {
        let report = run_with_naming_rule(settings, name).exits(3).json();
        let error = &report["error"];
        assert_eq!(
            (&error["task"], &error["kind"]),
            (&json!("naming-rule;volume:create"), &json!("InvalidInput"))
        );
        assert_eq!(error["details"]["rule"], rule);
        assert_eq!(report["rollback"]["verdict"], "clean");
        let reverted = json!(["naming-rule;volume:create", "inject;volume:create"]);
        assert_eq!(report["rollback"]["reverted"], reverted);
    }
}

#[test]
fn settings_that_the_rule_does_not_take_are_refused_before_anything_runs() {
    let run = run_with_naming_rule("{ max_length = \"long\" }", "data").exits(2);
    for word in ["naming-rule", "max_length", "flow.toml:"] {
        assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
    }
}

#[test]
fn the_built_in_components_load_by_path_too() {
    let program = program();
    let example = repository("examples/volume-create/flow.toml");
    let mut manifest = fs::read_to_string(example).expect("the example's manifest");
    // The last one belongs to `cairn init`'s first flow, not to this one.
    let plugins = cairn_bundle::PLUGINS.iter();
    let plugins: Vec<_> = plugins.filter(|(name, _)| *name != "greet").collect();
    for (name, bytes) in &plugins {
        program.write(&format!("{name}.wasm"), bytes);
        let builtin = format!("builtin = \"{name}\"");
        // The keys of the manifest may be aligned.
        let line = manifest
            .lines()
            .find(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") == builtin)
            .expect("each is in the flow")
            .to_owned();
        manifest = manifest.replace(&line, &format!("path = \"{name}.wasm\""));
    }
    assert_eq!(manifest.matches("path = ").count(), plugins.len());
    program
        .write("flow.toml", manifest)
        .write("request.json", r#"{"size": 1}"#);
    let report = program
        .run(&["run", "flow.toml", "--input", "request.json", "--json"])
        .exits(0)
        .json();
    assert_eq!(report["flow"]["state"], "SUCCESS");
}
