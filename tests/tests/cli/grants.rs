//! Grants: the manifest's, restricted by what the operator allows and the plugin imports.

use acceptance::guest::Call;
use acceptance::program::{Program, end};
use acceptance::slow::{send, start_slow};
use acceptance::stranger::Stranger;
use serde_json::json;

use super::program;

const STRANGER: Stranger = Stranger {
    name: "stranger",
    minor: 0,
    imports: &["quota", "rpc"],
    requires: &[],
    provides: &["x"],
    schema: "{}",
    says: "reverted",
};

/// Writes a flow of the stranger, with `grants` as its table of grants.
fn flow(program: &Program, grants: &str) {
    program
        .write("stranger.wat", STRANGER.component())
        .write(
            "flow.toml",
            format!(
                "[flow]\nname = \"f\"\n\n[plugins.stranger]\npath = \"stranger.wat\"\n{grants}\n[[task]]\nplugin = \"stranger\"\n"
            ),
        );
}

#[test]
fn adding_the_line_that_is_printed_makes_the_plan_pass() {
    for grants in ["", "[plugins.stranger.grants]\nquota = true\n"] {
        let program = program();
        flow(&program, grants);
        let refused = program.run(&["plan", "flow.toml"]).exits(2);
        assert_eq!(refused.stdout, "");
        let (_, help) = refused
            .stderr
            .split_once("add this line below line ")
            .expect("it says where");
        let (number, rest) = help.split_once(',').expect("a number");
        let number: usize = number.parse().expect("a number");
        let line = rest.lines().nth(1).expect("the line to add").trim();
        let text = std::fs::read_to_string(program.path("flow.toml")).expect("the manifest");
        let mut lines: Vec<&str> = text.lines().collect();
        lines.insert(number, line);
        program.write("flow.toml", lines.join("\n"));
        let plan = program.json(&["plan", "flow.toml", "--format", "json"]);
        assert_eq!(
            plan["tasks"][0]["grants"],
            json!({"quota": {}, "rpc": {}}),
            "{line}"
        );
    }
}

#[test]
fn a_grant_without_an_import_is_a_warning_and_is_not_given() {
    let program = program();
    flow(
        &program,
        "grants = { quota = true, rpc = true, keys = true }",
    );
    let warning = "plugin `stranger` is granted `keys` and does not import it";
    let run = program
        .run(&["plan", "flow.toml", "--format", "json"])
        .exits(0)
        .says(&["warning: ", warning]);
    let plan = run.json();
    assert!(
        plan["warnings"][0].as_str().unwrap().starts_with(warning),
        "{plan}"
    );
    assert_eq!(plan["tasks"][0]["grants"]["keys"], json!(null));
}

#[test]
fn the_operator_s_settings_narrow_grants_and_forbid_them() {
    let program = program();
    flow(&program, "grants = { quota = true, rpc = true }");
    program.write(
        "cairn.toml",
        "[allow]\n\"*\" = { quota = { resources = [\"volumes\"] } }\n",
    );
    program.run(&["plan", "flow.toml"]).exits(2).says(&[
        "plugin `stranger` is granted `rpc`, which the operator does not allow it",
        "flow.toml:4",
        "set `allow.\"*\".rpc` in cairn.toml",
    ]);
    program.write(
        "cairn.toml",
        "[allow]\n\"*\" = { quota = { resources = [\"volumes\"] }, rpc = true }\n",
    );
    let plan = program.json(&["plan", "flow.toml", "--format", "json"]);
    assert_eq!(
        plan["tasks"][0]["grants"],
        json!({"quota": {"resources": ["volumes"]}, "rpc": {}})
    );
    program.write("cairn.toml", "[allow]\nstranger = true\n");
    program
        .run(&["plan", "flow.toml"])
        .exits(2)
        .says(&["`allow.stranger` names no plugins", "cairn.toml:2"]);
}

#[test]
fn a_grant_that_the_operator_took_away_is_gone_while_a_flow_reverts() {
    let program = program();
    let slow = "[plugins.quota-reserve]\nbuiltin = \"quota-reserve\"\ngrants = { quota = true }\n\
                [plugins.inject]\nbuiltin = \"inject\"\nsettings = { provides = [\"size\", \"volume_type_id\"] }\n\
                [plugins.slow]\npath = \"slow.wat\"\n[plugins.last]\npath = \"slow.wat\"\n";
    let tasks: String = ["inject", "quota-reserve", "slow", "last"]
        .iter()
        .map(|task| format!("[[task]]\nplugin = \"{task}\"\n"))
        .collect();
    program
        .write("slow.wat", Call::TakesASecond.component())
        .write("slow.json", r#"{"size": 5}"#)
        .write("slow.toml", format!("[flow]\nname = \"f\"\n{slow}{tasks}"));
    let child = start_slow(
        &program,
        &["run", "slow.toml", "--input", "slow.json", "--json"],
    );
    send(&child, "-INT");
    let report = end(child).exits(5).json();
    let flow = report["flow"]["id"].as_str().unwrap();

    program.write(
        "cairn.toml",
        "[allow]\n\"*\" = true\n\"builtin:*\" = false\n",
    );
    let report = program
        .run(&["flows", "rollback", flow, "--json"])
        .exits(4)
        .json();
    assert_eq!(report["rollback"]["verdict"], "incomplete");
    let failed = report["rollback"]["failed"].to_string();
    assert!(
        failed.contains("quota-reserve") && failed.contains("NotGranted"),
        "{failed}"
    );

    // A retry after the operator allows it again.
    program.write("cairn.toml", "[allow]\n\"*\" = true\n");
    let report = program
        .run(&["flows", "rollback", flow, "--json"])
        .exits(0)
        .json();
    assert_eq!(report["rollback"]["verdict"], "clean");
}
