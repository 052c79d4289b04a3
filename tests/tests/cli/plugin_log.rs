//! The last lines of a plugin's log, in the report of a call that the host ended.

use acceptance::admission_guest::Asked;
use serde_json::json;

use super::program;

const FLOW: &str = "[flow]\nname = \"f\"\naction = \"demo:f\"\n\n[plugins.guest]\npath = \"guest.wat\"\n\n\
                    [[policy]]\nplugin = \"guest\"\n\n[plugins.inject]\nbuiltin = \"inject\"\n\
                    settings = { provides = [\"size\"] }\n\n[[task]]\nplugin = \"inject\"\n";

#[test]
fn a_policy_that_traps_tells_in_the_report_what_it_said_last() {
    let program = program();
    program
        .write("guest.wat", Asked::Traps.component())
        .write("flow.toml", FLOW)
        .write("request.json", r#"{"size": 1}"#);
    let run = ["run", "flow.toml", "--input", "request.json"];
    let text = program.run(&run).exits(3).stdout;
    assert!(text.contains("\nlog       was asked\n"), "{text}");
    let report = program
        .run(&[&run[..], &["--json"]].concat())
        .exits(3)
        .json();
    assert_eq!(report["error"]["log"], json!(["was asked"]));
    let flow = report["flow"]["id"].as_str().expect("an id");
    let shown = program.json(&["flows", "show", flow, "--json"]);
    assert_eq!(shown, report, "it is stored");
}

#[test]
fn a_policy_that_answers_adds_nothing_to_the_report() {
    let program = program();
    program
        .write("guest.wat", Asked::Refuses.component())
        .write("flow.toml", FLOW)
        .write("request.json", r#"{"size": 1}"#);
    let run = ["run", "flow.toml", "--input", "request.json", "--json"];
    let report = program.run(&run).exits(3).json();
    assert_eq!(report["error"]["kind"], "PolicyNotAuthorized");
    assert_eq!(report["error"].get("log"), None, "{report}");
}
