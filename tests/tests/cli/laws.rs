use serde_json::json;

use super::program;

/// A case whose revert leaves the volume in `error`, and `more`.
fn changes_status(more: &str) -> String {
    format!(
        "[[case]]\nname = 'it goes to error'\ninputs = {{ volume_id = 'v1' }}\n\
         state = {{ volumes = [{{ id = 'v1', size = 1 }}] }}\n{more}\n"
    )
}

#[test]
fn a_built_in_plugin_brings_its_own_cases_and_keeps_the_laws() {
    let program = program();
    let run = program.run(&["plugin", "test", "builtin:quota-reserve", "--laws"]);
    insta::assert_snapshot!("plugin-test-laws", run.exits(0).stdout);
    assert!(!program.has_database());
}

#[test]
fn a_law_that_is_broken_is_told_with_the_host_calls_that_break_it() {
    let program = program();
    program.write("cases.toml", changes_status(""));
    let plugin = "builtin:on-failure-change-status";
    let arguments = ["plugin", "test", plugin, "--cases", "cases.toml", "--laws"];
    let run = program.run(&arguments);
    insta::assert_snapshot!("plugin-test-broken", run.exits(3).stdout);
    // Without the laws the case comes out as it should.
    program.run(&arguments[..5]).exits(0);
    program.write("cases.toml", changes_status("keep = ['volumes/v1.status']"));
    program.run(&arguments).exits(0);
}

#[test]
fn a_case_that_comes_out_otherwise_is_told() {
    let program = program();
    program.write("cases.toml", changes_status("expect = { error = 'Busy' }"));
    let plugin = "builtin:on-failure-change-status";
    let arguments = ["plugin", "test", plugin, "--cases", "cases.toml", "--json"];
    let tested = program.run(&arguments).exits(3).json();
    let unexpected = tested["cases"][0]["unexpected"].as_str().unwrap();
    assert!(
        unexpected.contains("it should fail with Busy"),
        "{unexpected}"
    );
}

#[test]
fn without_a_component_or_cases_nothing_is_tested() {
    let program = program();
    program
        .run(&["plugin", "test"])
        .exits(2)
        .says(&["no component (*.wasm)", "cairn plugin build"]);
    program.write("one.wasm", "").write("two.wasm", "");
    program
        .run(&["plugin", "test"])
        .exits(2)
        .says(&["several components", "name the file"]);
    program
        .run(&["plugin", "test", "one.wasm"])
        .exits(2)
        .says(&["cases"]);
    program.write("cases.toml", "[[case]]\nname = 'a'\ninput = {}");
    program
        .run(&["plugin", "test", "builtin:inject", "--cases", "cases.toml"])
        .exits(2)
        .says(&["unknown field `input`", "cases.toml:3"]);
}

#[test]
fn a_call_shows_what_it_asks_of_the_host_and_what_that_changes() {
    let program = program();
    let call = ["plugin", "call", "builtin:quota-reserve", "--inputs"];
    let called = program.json(&[&call[..], &[r#"{"size": 2}"#, "--json", "--revert"]].concat());
    let asked = called["asked"].as_array().unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["function"], "quota.reserve");
    assert_eq!(
        asked[0]["arguments"],
        json!({"deltas": {"volumes": 1, "gigabytes": 2}})
    );
    assert_eq!(asked[0]["answer"], called["result"]["reservations"]);
    let usages = called["effects"].as_array().unwrap().iter();
    let reserved: Vec<_> = usages
        .filter(|effect| effect["table"] == "quota_usages")
        .map(|effect| (effect["row"].as_str().unwrap(), &effect["after"]))
        .collect();
    assert_eq!(
        reserved,
        [("demo/gigabytes", &json!(2)), ("demo/volumes", &json!(1))]
    );
    assert_eq!(called["revert"]["asked"][0]["function"], "quota.rollback");
    assert_eq!(called["revert"]["answer"], "keep");
    assert_eq!(called["revert"]["left"], json!([]));
    assert!(!program.has_database());
}

#[test]
fn a_capability_that_is_faked_answers_what_it_is_told() {
    let program = program();
    let call = [
        "plugin",
        "call",
        "builtin:quota-reserve",
        "--inputs",
        r#"{"size": 2}"#,
        "--fake",
        "quota=quota.json",
    ];
    program.write("quota.json", r#"{"reserve": {"answer": ["r1"]}}"#);
    let run = program.run(&call).exits(0);
    insta::assert_snapshot!("plugin-call", run.stdout);
    program.write(
        "quota.json",
        r#"{"reserve": {"error": {"kind": "NotAuthorized", "message": "not you"}}}"#,
    );
    let called = program
        .run(&[&call[..], &["--json"]].concat())
        .exits(3)
        .json();
    assert_eq!(called["error"]["kind"], "NotAuthorized");
    assert_eq!(called["asked"][0]["error"]["message"], "not you");
    for (fake, reason) in [
        (r#"{"grab": {"answer": 1}}"#, "`quota.grab` cannot be faked"),
        (r#"{"reserve": {"returns": 1}}"#, "cannot be read"),
        (r#"{"reserve": []}"#, "has no answer"),
        ("[1]", "no JSON object"),
    ] {
        program.write("quota.json", fake);
        program.run(&call).exits(2).says(&[reason, "quota.json"]);
    }
}

#[test]
fn a_call_may_begin_with_rows_that_are_there() {
    let program = program();
    program.write(
        "state.toml",
        "volumes = [{ id = 'v1', size = 9 }]\nquotas = { gigabytes = 10 }",
    );
    let call = [
        "plugin",
        "call",
        "builtin:quota-reserve",
        "--state",
        "state.toml",
        "--inputs",
    ];
    let called = program.run(&[&call[..], &[r#"{"size": 2}"#, "--json"]].concat());
    let called = called.exits(3).json();
    assert_eq!(called["error"]["kind"], "VolumeSizeExceedsAvailableQuota");
    program
        .run(&[&call[..], &[r#"{"size": 1}"#]].concat())
        .exits(0);
}
