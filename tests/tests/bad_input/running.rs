//! Plugins that violate the contract while they run.

use acceptance::guest::Call;
use acceptance::program::Run;
use serde_json::json;

use super::{one_task, program};

/// Runs a flow whose second task is the guest. It must fail with an error of the host, and leave no changes.
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
    let rollback = json!({
        "verdict": "clean", "reverted": ["guest", "inject"], "failed": [], "residue": [], "undone": [], "messages": [],
    });
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
fn a_plugin_that_returns_a_number_that_would_be_changed() {
    breaks(
        Call::ReturnsABigNumber,
        "ResultInvalid",
        &[
            "the result cannot be taken: the number 12345678901234567890123 has more digits than are kept",
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

#[track_caller]
fn is_cut_off(call: Call) {
    let program = program();
    let manifest = one_task("guest.wat", "limits = { deadline = \"50ms\" }\n");
    program
        .write("guest.wat", call.component())
        .write("flow.toml", manifest);
    program.run(&["run", "flow.toml"]).exits(3).says(&[
        "DeadlineExceeded: the call did not end within 50ms",
        "flow.toml:4",
        "raise `deadline` in [plugins.guest.limits]",
    ]);
}

#[test]
fn a_plugin_that_takes_too_long() {
    is_cut_off(Call::TakesASecond);
}

#[test]
fn a_plugin_that_sleeps_in_its_host() {
    is_cut_off(Call::SleepsAnHour);
}

#[track_caller]
fn goes_over(call: Call, key: &str, limit: &str, kind: &str) {
    let program = program();
    let manifest = one_task("guest.wat", &format!("limits = {{ {key} = {limit} }}\n"));
    program
        .write("guest.wat", call.component())
        .write("flow.toml", manifest);
    let run = program
        .run(&["run", "flow.toml", "--json"])
        .exits(3)
        .says(&[
            kind,
            &format!("(the limit `{key}`)"),
            &format!("raise `{key}` in [plugins.guest.limits]"),
        ]);
    let error = &run.json()["error"];
    assert_eq!(
        (&error["kind"], &error["origin"]),
        (&json!(kind), &json!("host"))
    );
    assert_eq!(error["details"]["limit"], key);
}

#[test]
fn each_limit_has_an_error_of_its_own_that_names_the_key() {
    goes_over(
        Call::ReturnsALongText,
        "border_bytes",
        "'1KiB'",
        "BorderBytesExceeded",
    );
    goes_over(
        Call::ReturnsALongText,
        "result_bytes",
        "'1KiB'",
        "ResultTooLarge",
    );
    goes_over(
        Call::ReturnsADeepText,
        "result_depth",
        "100",
        "ResultTooDeep",
    );
}

#[test]
fn a_plugin_that_calls_the_host_too_often() {
    let program = program();
    // It reads its settings, and then the request.
    let manifest = "[flow]\nname = \"f\"\n[plugins.inject]\nbuiltin = \"inject\"\nsettings = { provides = [\"size\"] }\n\
                    limits = { host_calls = 1 }\n[[task]]\nplugin = \"inject\"\n";
    program.write("flow.toml", manifest);
    program.run(&["run", "flow.toml"]).exits(3).says(&[
        "HostCallsExceeded: the plugin called the host more than 1 times (the limit `host_calls`)",
        "raise `host_calls` in [plugins.inject.limits]",
    ]);
}

#[test]
fn a_plugin_that_is_over_a_limit_when_it_starts_is_refused_at_plan_time() {
    for (limit, kind) in [
        ("memory = '64KiB'", "MemoryExceeded"),
        ("component_bytes = '1KiB'", "the limit `component_bytes`"),
    ] {
        let program = program();
        program.write("guest.wat", Call::Behaves.component()).write(
            "flow.toml",
            one_task("guest.wat", &format!("limits = {{ {limit} }}\n")),
        );
        program.run(&["plan", "flow.toml"]).exits(2).says(&[kind]);
    }
}

#[test]
fn a_trap_says_where_in_the_plugin_it_happened() {
    let run = breaks(Call::Traps, "Trap", &[]);
    let report = run.json();
    let backtrace = report["error"]["details"]["backtrace"].as_array().unwrap();
    assert!(
        backtrace[0]
            .as_str()
            .unwrap()
            .starts_with("guest!function "),
        "{backtrace:?}"
    );
}
