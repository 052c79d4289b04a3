//! Limits: their effect, their messages, and who may raise them.

use acceptance::corpus::Guest;
use acceptance::guest::Call;
use acceptance::program::{Program, end};
use acceptance::slow::{send, start_slow};
use serde_json::{Value, json};

use super::program;

/// Writes `flow.toml`, whose only plugin is this guest with these limits.
fn flow(program: &Program, guest: Guest, limits: &str) {
    program.write("guest.wasm", guest.bytes()).write(
        "flow.toml",
        format!(
            "[flow]\nname = \"f\"\n\n[plugins.guest]\npath = \"guest.wasm\"\nlimits = {{ {limits} }}\n\n\
             [[task]]\nplugin = \"guest\"\n"
        ),
    );
}

#[test]
fn a_component_that_is_made_of_too_much_is_refused_until_its_limit_is_raised() {
    for (guest, key, default, enough, kind, words) in [
        (
            Guest::ManyMemories,
            "memories",
            8,
            61,
            "MemoriesExceeded",
            "the plugin has more than the 8 linear memories it may have (the limit `memories`)",
        ),
        (
            Guest::ManyTables,
            "tables",
            16,
            60,
            "TablesExceeded",
            "the plugin has more than the 16 tables it may have (the limit `tables`)",
        ),
        (
            Guest::ManyInstances,
            "instances",
            64,
            120,
            "InstancesExceeded",
            "the plugin is made of more than the 64 instances it may have (the limit `instances`)",
        ),
    ] {
        let program = program();
        flow(&program, guest, "");
        let plan = program.run(&["plan", "flow.toml"]).exits(2);
        assert_eq!(plan.stdout, "");
        plan.says(&[
            "plugin `guest` (guest.wasm): ",
            kind,
            words,
            "--> flow.toml:4",
        ]);

        flow(&program, guest, &format!("{key} = {enough}"));
        let report = program.json(&["run", "flow.toml", "--json"]);
        assert_eq!(report["flow"]["state"], "SUCCESS", "{key}");

        // The operator's limit takes precedence.
        program.write("cairn.toml", format!("[limits]\n{key} = {}\n", enough - 1));
        let message = format!(
            "`plugins.guest.limits.{key}` is {enough}, and the operator allows at most {}",
            enough - 1
        );
        program.run(&["plan", "flow.toml"]).exits(2).says(&[
            &message,
            "--> flow.toml:6",
            &format!("raise `{key}` in [limits]"),
        ]);
        // A limit missing from the manifest is lowered too.
        program.write("cairn.toml", format!("[limits]\n{key} = {}\n", default - 1));
        flow(&program, guest, "");
        let lowered = words.replace(&default.to_string(), &(default - 1).to_string());
        program
            .run(&["plan", "flow.toml"])
            .exits(2)
            .says(&[&lowered]);
    }
}

#[test]
fn a_call_that_wants_too_much_ends_with_the_limit_that_it_wanted_more_of() {
    for (guest, limits, kind, words) in [
        (
            Guest::TableBomb,
            "table_entries = 50000",
            "TableEntriesExceeded",
            "the plugin wanted a table of more than the 50000 entries it may have (the limit `table_entries`)",
        ),
        (
            Guest::Pollables,
            "resources = 10",
            "ResourcesExceeded",
            "the plugin holds more than the 10 resources it may have (the limit `resources`)",
        ),
        (
            Guest::MemoryBomb,
            "memory = \"3MiB\"",
            "MemoryExceeded",
            "the plugin wanted more memory than the 3.0 MiB it may have (the limit `memory`)",
        ),
    ] {
        let program = program();
        flow(&program, guest, limits);
        let report = program.run(&["run", "flow.toml", "--json"]).exits(3).json();
        let error = &report["error"];
        assert_eq!(
            (
                &error["task"],
                &error["origin"],
                &error["kind"],
                &error["message"]
            ),
            (&json!("guest"), &json!("host"), &json!(kind), &json!(words))
        );
        let (key, _) = limits.split_once(" = ").expect("a key and a value");
        assert_eq!(error["details"]["limit"], key);
        assert_eq!(report["rollback"]["verdict"], "clean");
    }
}

/// Returns a flow that was interrupted in the first of its two tasks, each of which takes a second.
fn interrupted(program: &Program) -> String {
    program.write("slow.wat", Call::TakesASecond.component()).write(
        "slow.toml",
        "[flow]\nname = \"f\"\n\n[plugins.slow]\npath = \"slow.wat\"\nlimits = { deadline = \"30s\" }\n\
         [plugins.last]\npath = \"slow.wat\"\nlimits = { deadline = \"30s\" }\n\n\
         [[task]]\nplugin = \"slow\"\n[[task]]\nplugin = \"last\"\n",
    );
    let child = start_slow(program, &["run", "slow.toml", "--json"]);
    send(&child, "-INT");
    let report = end(child).exits(5).json();
    report["flow"]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_ceiling_that_was_lowered_since_binds_a_flow_that_goes_on() {
    let program = program();
    let flow = interrupted(&program);
    program.write("cairn.toml", "[limits]\ndeadline = \"200ms\"\n");
    let run = program.run(&["flows", "resume", &flow, "--json"]).exits(3);
    let error = run.json()["error"].clone();
    assert_eq!(
        (&error["task"], &error["kind"], &error["message"]),
        (
            &json!("last"),
            &json!("DeadlineExceeded"),
            &json!("the call did not end within 200ms (the limit `deadline`)")
        )
    );
    run.says(&[
        "the limit `deadline` of task `last` was 30s when its flow was planned, and is 200ms now",
        "[limits] of the operator's cairn.toml",
    ]);
}

#[test]
fn a_ceiling_under_which_a_plugin_cannot_run_leaves_its_flow_as_it_is() {
    let program = program();
    let flow = interrupted(&program);
    // Its initial memory is two pages.
    program.write("cairn.toml", "[limits]\nmemory = \"64KiB\"\n");
    program
        .run(&["flows", "resume", &flow, "--json"])
        .exits(6)
        .says(&[
            &flow,
            "the plugin wanted more memory than the 64.0 KiB it may have (the limit `memory`)",
            "the limit `memory` of task `slow` was 64.0 MiB when its flow was planned, and is 64.0 KiB now",
            "the flow was not changed",
        ]);
    // A ceiling that the flow's limits do not exceed causes no message.
    program.write("cairn.toml", "[limits]\nmemory = \"64MiB\"\n");
    let run = program.run(&["flows", "resume", &flow, "--json"]).exits(0);
    assert_eq!(run.json()["flow"]["state"], Value::from("SUCCESS"));
    assert!(!run.stderr.contains("limit"), "{}", run.stderr);
}
