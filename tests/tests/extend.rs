//! Policies and validators: plugins that are asked before the first task, and those that policy rules ask.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use acceptance::admission_guest::Asked;
use acceptance::guest::Call;
use acceptance::program::{Program, Run, repository, volume_create};
use acceptance::rust_plugin;
use serde_json::{Value, json};

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_cairn-under-test"))
}

/// Writes the first example's flow with a plugin `guest` and more tables before its tasks.
fn flow_with(program: &Program, guest: Asked, tables: &str) {
    let flow = fs::read_to_string(volume_create()).expect("the example's manifest");
    let guest_table = "[plugins.guest]\npath = \"guest.wat\"\nlimits = { deadline = \"300ms\" }\n";
    program
        .write("guest.wat", guest.component())
        .write("flow.toml", format!("{flow}\n{guest_table}\n{tables}"))
        .write("request.json", r#"{"size": 1, "name": "data"}"#);
}

const RUN: [&str; 5] = ["run", "flow.toml", "--input", "request.json", "--json"];

fn run_with(program: &Program, guest: Asked, tables: &str) -> Run {
    flow_with(program, guest, tables);
    program.run(&RUN)
}

/// Asserts that a flow failed before its first task, with nothing to roll back and no changes left.
#[track_caller]
fn fails_before_any_task(program: &Program, run: Run, origin: &str, kind: &str) -> Value {
    let report = run.exits(3).json();
    let states: Vec<_> = report["transitions"]
        .as_array()
        .expect("transitions")
        .iter()
        .map(|one| one["state"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(states, ["STARTED", "FAILURE"]);
    assert_eq!(report["rollback"], json!(null));
    assert_eq!(report["tasks"], json!([]));
    let error = &report["error"];
    assert_eq!(
        (&error["origin"], &error["kind"], &error["task"]),
        (&json!(origin), &json!(kind), &json!(null)),
        "{error}"
    );
    program.run(&["quota", "check"]).exits(0);
    let volumes = program.json(&["volumes", "list", "--json"]);
    assert_eq!(volumes, json!([]));
    error.clone()
}

const POLICY: &str = "[[policy]]\nplugin = \"guest\"\n";

#[test]
fn a_policy_that_denies_ends_the_flow_before_its_first_task_with_its_reason() {
    let program = program();
    let run = run_with(&program, Asked::Refuses, POLICY);
    let error = fails_before_any_task(&program, run, "policy", "PolicyNotAuthorized");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("closed at night"), "{message}");
    assert_eq!(
        error["details"],
        json!({"action": "volume:create", "policy": "guest", "reason": "closed at night"})
    );
}

#[test]
fn a_policy_that_allows_lets_the_flow_run_and_its_log_is_the_flows() {
    let program = program();
    let report = run_with(&program, Asked::Agrees, POLICY).exits(0).json();
    assert_eq!(report["flow"]["state"], "SUCCESS");
    let id = report["flow"]["id"].as_str().expect("an id");
    let logs = program.json(&["flows", "logs", id, "--json"]);
    let said = json!({"task": "guest", "level": "info", "message": "was asked"});
    let found = logs.as_array().expect("a list").iter().any(|entry| {
        ["task", "level", "message"]
            .iter()
            .all(|key| entry[key] == said[key])
    });
    assert!(found, "{logs}");
}

#[test]
fn a_policy_that_errs_traps_or_never_answers_denies() {
    for (guest, kind) in [
        (Asked::Errs, "Broken"),
        (Asked::Traps, "Trap"),
        (Asked::Loops, "DeadlineExceeded"),
    ] {
        let program = program();
        let since = Instant::now();
        let run = run_with(&program, guest, POLICY);
        assert!(since.elapsed().as_secs() < 20, "{guest:?} is cut off");
        let error = fails_before_any_task(&program, run, "policy", "PolicyNotAuthorized");
        assert_eq!(error["details"]["failure"]["kind"], kind);
    }
}

#[test]
fn in_monitor_mode_what_would_have_been_denied_is_recorded_and_passes() {
    for guest in [Asked::Refuses, Asked::Traps] {
        let program = program();
        let tables = format!("{POLICY}mode = \"monitor\"\n");
        let report = run_with(&program, guest, &tables).exits(0).json();
        assert_eq!(report["flow"]["state"], "SUCCESS");
        let id = report["flow"]["id"].as_str().expect("an id");
        let events = program.json(&["flows", "events", id, "--json"]);
        let events = events.as_array().expect("a list");
        let denials: Vec<_> = events
            .iter()
            .filter_map(|event| event["event"].get("would_deny"))
            .collect();
        assert_eq!(denials.len(), 1, "{guest:?}: {events:?}");
        assert_eq!(denials[0]["policy"], "guest");
        assert_eq!(denials[0]["error"]["kind"], "PolicyNotAuthorized");
        let logs = program.run(&["flows", "logs", id]).exits(0).stdout;
        assert!(logs.contains("would have denied"), "{logs}");
    }
}

#[test]
fn every_violation_is_in_the_report_and_in_what_a_person_reads() {
    let program = program();
    let tables = "[[validator]]\nplugin = \"guest\"\n";
    let run = run_with(&program, Asked::Refuses, tables);
    // The three violations have two kinds, so the flow's error has its own.
    let error = fails_before_any_task(&program, run, "plugin", "InvalidInput");
    let violation = |pointer: &str, kind: &str| json!({"validator": "guest", "pointer": pointer, "kind": kind, "message": "is wrong"});
    assert_eq!(
        error["details"]["violations"],
        json!([
            violation("/size", "SizeOdd"),
            violation("/size", "Broken"),
            violation("/name", "Broken")
        ])
    );
    let text = program.run(&RUN[..4]).exits(3).stdout;
    let lines = text.lines().filter(|line| line.starts_with("violation "));
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            "violation /size  SizeOdd: is wrong",
            "violation /size  Broken: is wrong",
            "violation /name  Broken: is wrong"
        ]
    );
}

#[test]
fn a_validator_that_traps_refuses_the_request() {
    let program = program();
    let tables = "[[validator]]\nplugin = \"guest\"\n";
    let run = run_with(&program, Asked::Traps, tables);
    let error = fails_before_any_task(&program, run, "host", "Trap");
    assert_eq!(error["details"]["validator"], "guest");
}

#[test]
fn a_stream_of_requests_is_asked_about_each() {
    let program = program();
    flow_with(&program, Asked::Refuses, POLICY);
    program.write("second.json", r#"{"size": 2}"#);
    let run = program.run(&[
        "run",
        "flow.toml",
        "--input",
        "request.json",
        "--input",
        "second.json",
        "--json",
    ]);
    let run = run.exits(3);
    assert_eq!(run.stdout.matches("PolicyNotAuthorized").count(), 2);
}

#[test]
fn a_plan_shows_who_is_asked() {
    let program = program();
    let tables = format!("{POLICY}mode = \"monitor\"\n\n[[validator]]\nplugin = \"guest\"\n");
    flow_with(&program, Asked::Agrees, &tables);
    let table = program.run(&["plan", "flow.toml"]).exits(0);
    assert!(!table.stderr.contains("no task uses"), "{}", table.stderr);
    for (role, asked) in [
        ("policy", "before the first task (monitor)"),
        ("validator", "before the first task"),
    ] {
        let mut lines = table.stdout.lines();
        let found = lines
            .any(|line| line.starts_with(role) && line.contains("guest") && line.contains(asked));
        assert!(found, "{role} is not in:\n{}", table.stdout);
    }
    let plan = program.json(&["plan", "flow.toml", "--format", "json"]);
    assert_eq!(plan["policies"][0]["mode"], "monitor");
    assert_eq!(plan["validators"][0]["plugin"], "guest");
    let diagram = program
        .run(&["plan", "flow.toml", "--format", "mermaid"])
        .exits(0)
        .stdout;
    for line in [
        "c1{{\"policy guest (monitor)\"}}",
        "c2{{\"validator guest\"}}",
        "c1 ==> c2",
        "c2 ==> t1",
    ] {
        assert!(diagram.contains(line), "{line} is not in:\n{diagram}");
    }
}

#[test]
fn a_plugin_in_the_wrong_place_is_refused_with_what_it_is() {
    let program = program();
    program.write("task.wat", Call::Behaves.component());
    let task = "[plugins.step]\npath = \"task.wat\"\n";
    for (tables, says) in [
        (
            format!("{task}[[policy]]\nplugin = \"step\"\n"),
            [
                "plugin `step` is used as a policy, which exports `cairn:plugin/policy-check`",
                "this component is a task: it exports `cairn:plugin/task`",
            ],
        ),
        (
            format!("{task}[[validator]]\nplugin = \"step\"\n"),
            ["is used as a validator", "this component is a task"],
        ),
        (
            "[[task]]\nplugin = \"guest\"\n".to_owned(),
            [
                "is used as a task",
                "this component is a policy and a validator",
            ],
        ),
        (
            "[plugins.guest.grants]\nquota = true\n[[policy]]\nplugin = \"guest\"\n".to_owned(),
            ["is granted `quota`", "`context` and `log` alone"],
        ),
        (
            "[[policy]]\nplugin = \"guest\"\nmode = \"audit\"\n".to_owned(),
            ["unknown value `audit`", "\"enforce\" or \"monitor\""],
        ),
        (
            format!("{POLICY}{POLICY}"),
            ["a second [[policy]] names `guest`", "the first is on line"],
        ),
    ] {
        let run = run_with(&program, Asked::Agrees, &tables).exits(2);
        run.says(&says);
        assert!(!program.has_database());
    }
}

// ---- Rules that ask plugins --------------------------------------------------------------------------------------

const RULES: &str = r#"{"volume:create": "rule:admin_or_owner and wasm:guest"}"#;

fn with_policy<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["--policy", "policy.json"], arguments].concat()
}

#[test]
fn a_rule_asks_the_plugin_while_a_flow_runs() {
    let program = program();
    program.write("policy.json", RULES);
    flow_with(&program, Asked::Agrees, "");
    program.run(&with_policy(&RUN)).exits(0);

    for (guest, reason) in [
        (Asked::Refuses, "closed at night"),
        (Asked::Traps, "Trap"),
        (Asked::Loops, "DeadlineExceeded"),
    ] {
        flow_with(&program, guest, "");
        let report = program.run(&with_policy(&RUN)).exits(3).json();
        let error = &report["error"];
        assert_eq!(
            (&error["origin"], &error["kind"], &error["task"]),
            (
                &json!("policy"),
                &json!("PolicyNotAuthorized"),
                &json!("extract-volume-request;volume:create")
            )
        );
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(reason), "{message}");
        assert_eq!(report["rollback"]["verdict"], "clean");
    }
}

#[test]
fn a_plugin_that_traps_under_not_denies() {
    let program = program();
    for (rule, guest, exit) in [
        ("not wasm:guest", Asked::Refuses, 0),
        ("not wasm:guest", Asked::Agrees, 3),
        ("not wasm:guest", Asked::Traps, 3),
        ("not wasm:guest or @", Asked::Loops, 3),
        ("@ or wasm:guest", Asked::Traps, 0),
    ] {
        let rules = json!({"volume:create": rule}).to_string();
        program.write("policy.json", rules);
        flow_with(&program, guest, "");
        let run = program.run(&with_policy(&RUN));
        assert_eq!(run.exit, exit, "{rule} {guest:?}: {}", run.stdout);
    }
}

#[test]
fn a_rule_that_asks_an_unknown_plugin_is_refused_at_plan_time() {
    let program = program();
    program.write("policy.json", r#"{"volume:create": "wasm:gust"}"#);
    flow_with(&program, Asked::Agrees, "");
    for arguments in [&["plan", "flow.toml"][..], &RUN] {
        program.run(&with_policy(arguments)).exits(2).says(&[
            "the policy's rules for `volume:create` ask `wasm:gust`",
            "add a [plugins.gust] table",
            "perhaps `wasm:guest` is meant",
        ]);
    }
    assert!(!program.has_database());
    // The rules of another action do not matter to this flow.
    program.write("policy.json", r#"{"volume:extend": "wasm:gust"}"#);
    program.run(&with_policy(&["plan", "flow.toml"])).exits(0);
}

#[test]
fn a_plan_shows_the_plugin_that_rules_ask() {
    let program = program();
    program.write("policy.json", RULES);
    flow_with(&program, Asked::Agrees, "");
    let plan = program.run(&with_policy(&["plan", "flow.toml"])).exits(0);
    assert!(plan.stdout.contains("by rules"), "{}", plan.stdout);
    assert!(!plan.stderr.contains("no task uses"), "{}", plan.stderr);
}

#[test]
fn policy_check_explains_what_the_plugin_said() {
    let program = program();
    program
        .write("policy.json", RULES)
        .write("user.json", r#"{"user_id": "ann", "project_id": "blue"}"#)
        .write("target.json", r#"{"project_id": "blue"}"#);
    let check = [
        "policy",
        "check",
        "--policy",
        "policy.json",
        "--rule",
        "volume:create",
        "--as",
        "user.json",
        "--target",
        "target.json",
    ];
    program.run(&check).exits(2).says(&["--flow FLOW"]);
    let with_flow = [&check[..], &["--flow", "flow.toml"]].concat();
    for (guest, exit, clause) in [
        (
            Asked::Agrees,
            0,
            "passes: wasm:guest (the plugin `guest` allows it)",
        ),
        (
            Asked::Refuses,
            3,
            "fails: wasm:guest (the plugin `guest` denies it: closed at night)",
        ),
        (
            Asked::Traps,
            3,
            "fails: wasm:guest (the plugin `guest` failed, which denies the whole: Trap: ",
        ),
    ] {
        flow_with(&program, guest, "");
        let run = program.run(&with_flow).exits(exit);
        assert!(run.stdout.contains(clause), "{}", run.stdout);
    }
    assert!(!program.has_database());
}

// ---- The example -------------------------------------------------------------------------------------------------

/// Builds the example as its README says, in a separate target folder, and returns its component.
fn name_validator() -> PathBuf {
    let program = env!("CARGO_BIN_EXE_cairn-under-test");
    rust_plugin::build("examples/name-validator", program).join("name_validator.wasm")
}

#[test]
fn the_example_names_three_violations_as_its_readme_says() {
    let readme =
        fs::read_to_string(repository("examples/name-validator/README.md")).expect("a README");
    let block = |language: &str| {
        let (_, rest) = readme
            .split_once(&format!("```{language}\n"))
            .expect("a block");
        rest.split_once("```").expect("its end").0.to_owned()
    };
    let built = "../name-validator/target/wasm32-wasip2/release/name_validator.wasm";
    let tables = block("toml");
    assert!(tables.contains(built), "the README names what cargo builds");
    let tables = tables.replace(built, &name_validator().display().to_string());
    let flow = fs::read_to_string(volume_create()).expect("the example's manifest");
    let program = program();
    program
        .write("flow.toml", format!("{flow}\n{tables}"))
        .write(
            "request.json",
            r#"{"size": 1, "name": "a-name-that-is-much-too-long"}"#,
        );
    let text = program.run(&RUN[..4]).exits(3).stdout;
    assert!(text.contains(&block("text")), "{text}");
    let run = program.run(&RUN);
    let error = fails_before_any_task(&program, run, "plugin", "InvalidInput");
    assert_eq!(
        error["details"]["violations"].as_array().map(Vec::len),
        Some(3)
    );

    let good = r#"{"size": 1, "name": "db-1", "metadata": {"owner": "ann"}}"#;
    program.write("request.json", good);
    let report = program.run(&RUN).exits(0).json();
    assert_eq!(report["flow"]["state"], "SUCCESS");
}
