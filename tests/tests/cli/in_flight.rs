//! A flow is continued and reverted with the components with which it was planned, even if the manifest has changed.

use std::fs;

use acceptance::guest::Call;
use acceptance::program::{Program, end};
use acceptance::slow::{send, start_slow};
use acceptance::stranger::Stranger;
use cairn::value::Digest;
use serde_json::json;

use super::program;

const FIRST: Stranger = Stranger {
    name: "stranger",
    minor: 0,
    imports: &[],
    requires: &[],
    provides: &["x"],
    schema: "{}",
    says: "reverted by the first version",
};

const SECOND: Stranger = Stranger {
    minor: 1,
    says: "reverted by the second version",
    ..FIRST
};

/// Starts a flow of a stranger, a task that takes a second, and one more; returns while its second task runs.
fn started(program: &Program) -> std::process::Child {
    let tasks: String = ["stranger", "slow", "last"]
        .iter()
        .map(|task| format!("[[task]]\nplugin = \"{task}\"\n"))
        .collect();
    let plugins = "[plugins.stranger]\npath = \"stranger.wat\"\n[plugins.slow]\npath = \"slow.wat\"\n\
                   [plugins.last]\npath = \"slow.wat\"\n";
    program
        .write("stranger.wat", FIRST.component())
        .write("slow.wat", Call::TakesASecond.component())
        .write(
            "flow.toml",
            format!("[flow]\nname = \"f\"\n{plugins}{tasks}"),
        );
    start_slow(program, &["run", "flow.toml", "--json"])
}

fn upgrade(program: &Program) {
    program.write("stranger.wat", SECOND.component());
    let plan = program.json(&["plan", "flow.toml", "--format", "json"]);
    assert_eq!(plan["tasks"][0]["version"], json!([1, 1]));
}

fn only_flow(program: &Program) -> String {
    let list = program.json(&["flows", "list", "--json"]);
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    list[0]["id"].as_str().expect("an id").to_owned()
}

#[track_caller]
fn was_reverted_by_the_first(program: &Program, flow: &str) {
    let logs = program.run(&["flows", "logs", flow]).exits(0).stdout;
    assert!(logs.contains(FIRST.says), "{logs}");
    assert!(!logs.contains(SECOND.says), "{logs}");
}

#[test]
fn an_interrupted_flow_is_rolled_back_by_the_version_it_called() {
    let program = program();
    let child = started(&program);
    send(&child, "-INT");
    end(child).exits(5);
    upgrade(&program);
    let flow = only_flow(&program);
    let report = program
        .run(&["flows", "rollback", &flow, "--json"])
        .exits(0)
        .json();
    assert_eq!(report["rollback"]["verdict"], "clean");
    was_reverted_by_the_first(&program, &flow);
}

#[test]
fn a_flow_whose_process_died_is_recovered_by_the_version_it_called() {
    let program = program();
    let mut child = started(&program);
    child.kill().expect("it still runs");
    child.wait().expect("it can be waited for");
    upgrade(&program);
    let recovered = program.json(&["recover", "--json"]);
    assert_eq!(recovered[0]["verdict"], "clean", "{recovered}");
    was_reverted_by_the_first(&program, &only_flow(&program));
}

#[test]
fn a_flow_whose_component_is_gone_or_damaged_is_set_aside_with_the_reason() {
    for damage in [false, true] {
        let program = program();
        let mut child = started(&program);
        child.kill().expect("it still runs");
        child.wait().expect("it can be waited for");
        upgrade(&program);
        let bytes = FIRST.component().into_bytes();
        let digest = Digest::of(&bytes).to_string();
        let change = if damage {
            "UPDATE components SET body = x'64616d616765'"
        } else {
            "DELETE FROM components"
        };
        super::sql(&program, &format!("{change} WHERE digest = '{digest}'"));

        let recovered = program.run(&["recover", "--json"]).exits(6).json();
        let reason = recovered[0]["stuck"].as_str().expect("a reason");
        let problem = if damage { "is damaged" } else { "is gone" };
        for words in [&digest, problem, "`stranger`"] {
            assert!(reason.contains(words), "{words}: {reason}");
        }
        let stuck = program.json(&["flows", "list", "--stuck", "--json"]);
        assert_eq!(stuck[0]["stuck"], reason, "{stuck}");

        let flow = only_flow(&program);
        program.run(&["flows", "rollback", &flow]).exits(6).says(&[
            &format!("flow {flow} cannot be taken up: the component of task `stranger`"),
            problem,
            "help: the flow was not changed",
            "`cairn recover`",
        ]);

        // `db check` finds the damaged one.
        let check = program.run(&["db", "check", "--json"]);
        if damage {
            let problems = &check.exits(6).json()["problems"];
            assert!(
                problems[0]
                    .as_str()
                    .is_some_and(|problem| problem.contains(&digest)),
                "{problems}"
            );
            assert_eq!(problems.as_array().map(Vec::len), Some(1));
        } else {
            check.exits(0);
        }
        // The flow is recovered once a folder like that of an older version has the component.
        fs::create_dir(program.path("cairn.db.components")).expect("there is none");
        program.write(&format!("cairn.db.components/{digest}.wasm"), bytes);
        program.run(&["recover", "--json"]).exits(0);
        was_reverted_by_the_first(&program, &only_flow(&program));
    }
}
