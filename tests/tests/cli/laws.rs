use acceptance::admission_guest::Asked;
use serde_json::json;

use super::program;

/// Returns a case whose revert leaves the volume in `error`, and `more`.
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
    // Without the laws the case passes.
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
    let unexpected = &tested["cases"][0]["unexpected"];
    assert_eq!(unexpected["expected"], "the error Busy");
    assert_eq!(
        unexpected["found"],
        r#"the result {"volume_id":"v1","volume_spec":null}"#
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
        ("[1]", "not a JSON object"),
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

/// A file with a question to a policy, and one with a question to a validator: the guest is both.
const POLICY: &str = "world = 'policy'\n[[case]]\nname = 'at night'\naction = 'volume:create'\n";
const VALIDATOR: &str = "world = 'validator'\n[[case]]\nname = 'all of it'\n";

#[test]
fn policies_and_validators_answer_what_their_cases_say() {
    let program = program();
    std::fs::create_dir(program.path("cases")).unwrap();
    program
        .write("guest.wat", Asked::Refuses.component())
        .write(
            "cases/policy.toml",
            format!("{POLICY}expect = {{ deny = 'closed' }}"),
        )
        .write(
            "cases/validator.toml",
            format!(
                "{VALIDATOR}expect = {{ violations = [\n\
                 {{ pointer = '/size', kind = 'SizeOdd', message = 'wrong' }},\n\
                 {{ pointer = '/size', kind = 'Broken' }},\n\
                 {{ pointer = '/name', kind = 'Broken' }},\n] }}"
            ),
        );
    let run = program.run(&["plugin", "test", "guest.wat", "--laws"]);
    insta::assert_snapshot!("plugin-test-answers", run.exits(0).stdout);

    program.write("cases/policy.toml", POLICY).write(
        "cases/validator.toml",
        format!("{VALIDATOR}expect = {{ violations = [{{ pointer = '/size', kind = 'SizeOdd', message = 'least' }}] }}"),
    );
    let run = program.run(&["plugin", "test", "guest.wat"]);
    insta::assert_snapshot!("plugin-test-answers-otherwise", run.exits(3).stdout);
    assert!(!program.has_database());
}

#[test]
fn a_policy_or_validator_that_fails_is_told_with_its_error_or_expected_to() {
    for (guest, kind) in [
        (Asked::Errs, "Broken"),
        (Asked::Traps, "Trap"),
        (Asked::Loops, "DeadlineExceeded"),
    ] {
        let program = program();
        program.write("guest.wat", guest.component());
        for case in [POLICY, VALIDATOR] {
            program.write("cases.toml", case);
            let arguments = [
                "plugin",
                "test",
                "guest.wat",
                "--cases",
                "cases.toml",
                "--json",
            ];
            let tested = program.run(&arguments).exits(3).json();
            let found = tested["cases"][0]["unexpected"]["found"].as_str().unwrap();
            assert!(found.starts_with(&format!("the error {kind}")), "{found}");
            program.write(
                "cases.toml",
                format!("{case}expect = {{ error = '{kind}' }}"),
            );
            program.run(&arguments).exits(0);
        }
    }
}

#[test]
fn cases_of_a_policy_that_are_wrong_are_bad_input() {
    let program = program();
    program.write("guest.wat", Asked::Agrees.component());
    for (cases, parts) in [
        (
            "[[case]]\nname = 'one'\n",
            &[
                "do not say which they mean",
                "world = \"policy\" or \"validator\"",
            ][..],
        ),
        (
            "world = 'policy'\n[[case]]\nname = 'one'\n",
            &["names no `action`", "volume:create"],
        ),
        (
            "world = 'policy'\n[[case]]\nname = 'one'\ninputs = {}\n",
            &[
                "unknown field `inputs`",
                "cases.toml:4",
                "cases of a policy",
            ],
        ),
    ] {
        program.write("cases.toml", cases);
        let arguments = ["plugin", "test", "guest.wat", "--cases", "cases.toml"];
        let run = program.run(&arguments).exits(2).says(parts);
        assert_eq!(run.stdout, "");
    }
    program.write("text.wasm", "hello");
    let arguments = ["plugin", "test", "text.wasm", "--cases", "cases.toml"];
    program
        .run(&arguments)
        .exits(2)
        .says(&["no WebAssembly component", "--> text.wasm"]);
}

#[test]
fn what_is_never_called_is_told_how_it_is_asked() {
    let program = program();
    program.write("guest.wat", Asked::Agrees.component());
    program
        .run(&["plugin", "call", "guest.wat"])
        .exits(2)
        .says(&[
            "only tasks can be called, and this component is a policy and a validator",
            "--> guest.wat",
            "cairn plugin test --help",
        ]);
}
