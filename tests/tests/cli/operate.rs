use std::path::Path;
use std::process::Command;

use acceptance::crash::{Death, Life, Task, check};
use acceptance::guest::Call;
use acceptance::program::{Program, end, volume_create};
use acceptance::slow::{eventually, run_slow, slow_after, slower_after, start_slow};
use serde_json::{Value, json};

use super::{create, program};

/// Waits until the only flow is on disk, and returns its id.
#[track_caller]
pub(super) fn only_flow(program: &Program) -> String {
    // At first there is no database yet.
    eventually("a flow is there", || {
        let run = program.run(&["flows", "list", "--json"]);
        run.exit == 0 && run.json() != json!([])
    });
    let list = program.json(&["flows", "list", "--json"]);
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    list[0]["id"].as_str().expect("an id").to_owned()
}

/// Runs a flow command; it must end with this code. Returns the document.
#[track_caller]
pub(super) fn operate(program: &Program, arguments: &[&str], exit: i32) -> Value {
    let arguments = [&["flows"], arguments, &["--json"]].concat();
    program.run(&arguments).exits(exit).json()
}

/// Returns a flow that was interrupted in the task after `before`, and that no process owns.
fn interrupted_after(program: &Program, before: &str) -> String {
    slower_after(program, before, 10);
    let child = run_slow(program);
    let flow = only_flow(program);
    let report = operate(program, &["interrupt", &flow, "--wait"], 0);
    assert_eq!(report["flow"]["state"], "INTERRUPTED");
    end(child).exits(5);
    flow
}

/// Returns the names of the project's volumes.
pub(super) fn volumes(program: &Program) -> Vec<Value> {
    let list = program.json(&["volumes", "list", "--json"]);
    list.as_array().expect("a list").clone()
}

/// Asserts that the flow left no volume, usage or message.
#[track_caller]
pub(super) fn nothing_is_left(program: &Program) {
    assert_eq!(volumes(program), Vec::<Value>::new());
    assert_eq!(program.json(&["outbox", "list", "--json"]), json!([]));
    let quota = program.json(&["quota", "show", "--json"]);
    for resource in ["volumes", "gigabytes"] {
        let quota = &quota["quotas"][resource];
        assert_eq!(
            (&quota["in_use"], &quota["reserved"]),
            (&json!(0), &json!(0)),
            "{resource}"
        );
    }
    is_whole(program);
}

#[track_caller]
pub(super) fn is_whole(program: &Program) {
    if let Err(error) = check(&program.path("cairn.db")) {
        panic!("{error:#}");
    }
    program.run(&["quota", "check", "--admin"]).exits(0);
}

/// Returns the number of calls of each task.
fn calls(program: &Program, flow: &str) -> Vec<(String, usize)> {
    let names = operate(program, &["show", flow], 0);
    let names: Vec<String> = names["tasks"]
        .as_array()
        .expect("tasks")
        .iter()
        .map(|task| task["name"].as_str().expect("a name").to_owned())
        .collect();
    let table = program.run(&["flows", "events", flow]).exits(0).stdout;
    let started = |name: &String| {
        let task = format!("task={name}");
        let lines = table.lines().filter(|line| line.contains("  started  "));
        lines
            .filter(|line| line.split_whitespace().any(|word| word == task))
            .count()
    };
    names
        .into_iter()
        .map(|name| (name.clone(), started(&name)))
        .collect()
}

#[test]
fn a_flow_that_another_process_runs_is_interrupted_and_resumed() {
    let program = program();
    slow_after(&program, "quota-reserve");
    let child = run_slow(&program);
    let flow = only_flow(&program);
    let asked = operate(&program, &["interrupt", &flow], 0);
    assert_eq!(asked, json!({"flow": flow, "asked": child.id()}));
    let report = end(child).exits(5).json();
    assert_eq!(report["flow"]["state"], "INTERRUPTED");
    // No process runs it: interrupting it again changes nothing.
    assert_eq!(operate(&program, &["interrupt", &flow], 0), report);
    let done = operate(&program, &["resume", &flow], 0);
    assert_eq!(done["flow"]["state"], "SUCCESS");
    assert!(calls(&program, &flow).iter().all(|(_, times)| *times == 1));
    assert_eq!(volumes(&program).len(), 1);
    is_whole(&program);
}

#[test]
fn a_command_that_does_not_wait_names_the_process_that_was_asked() {
    let program = program();
    slow_after(&program, "quota-reserve");
    let child = run_slow(&program);
    let flow = only_flow(&program);
    let run = program.run(&["flows", "interrupt", &flow]).exits(0);
    let expected = format!(
        "process {}, which owns the flow, was asked to interrupt it\n",
        child.id()
    );
    assert_eq!(run.stdout, expected);
    end(child).exits(5);
}

#[test]
fn a_flow_that_runs_is_not_resumed_or_reset() {
    let program = program();
    slow_after(&program, "quota-reserve");
    let child = run_slow(&program);
    let flow = only_flow(&program);
    for operation in ["resume", "reset"] {
        program
            .run(&["flows", operation, &flow, "--wait"])
            .exits(2)
            .says(&[
                &format!("process {}, which owns the flow, answered: ", child.id()),
                &format!("`{operation}` is not allowed while the flow is RUNNING"),
            ]);
    }
    let accept = ["flows", "rollback", &flow, "--wait", "--accept", "why not"];
    program
        .run(&accept)
        .exits(2)
        .says(&["`accept` is not allowed while the flow is RUNNING"]);
    end(child).exits(0);
    assert_eq!(volumes(&program).len(), 1);
    is_whole(&program);
}

#[test]
fn a_flow_is_resumed_after_each_of_three_interrupts() {
    let program = program();
    let task = |name: &str| format!("\n[[task]]\nplugin = \"slow\"\nname = \"slow-{name}\"\n");
    let tasks = ["one", "two", "three", "four"].map(task).concat();
    program
        .write("slow.wat", Call::TakesASecond.component())
        .write(
            "slow.toml",
            format!("[flow]\nname = \"slow\"\n\n[plugins.slow]\npath = \"slow.wat\"\n{tasks}"),
        );
    let child = start_slow(&program, &["run", "slow.toml", "--json"]);
    let flow = only_flow(&program);
    let interrupt = ["interrupt", &flow, "--wait"];
    assert_eq!(
        operate(&program, &interrupt, 0)["flow"]["state"],
        "INTERRUPTED"
    );
    end(child).exits(5);
    for times in 2..=3 {
        // It runs in the process that resumes it.
        let child = program.start(&["flows", "resume", &flow, "--json"]);
        eventually("it runs again", || {
            program.json(&["flows", "list", "--json"])[0]["state"] == "RUNNING"
        });
        let report = operate(&program, &interrupt, 0);
        assert_eq!(report["tasks"].as_array().map(Vec::len), Some(times));
        assert_eq!(end(child).exits(5).json(), report);
    }
    let report = operate(&program, &["resume", &flow], 0);
    assert_eq!(report["flow"]["state"], "SUCCESS");
    let expected = ["one", "two", "three", "four"].map(|name| (format!("slow-{name}"), 1));
    assert_eq!(calls(&program, &flow), expected);
}

#[test]
fn an_interrupted_flow_is_rolled_back() {
    for before in [
        "quota-reserve",
        "entry-create",
        "quota-commit",
        "volume-cast",
    ] {
        let program = program();
        let flow = interrupted_after(&program, before);
        let clean = ["quota-reserve", "entry-create"].contains(&before);
        let arguments = ["rollback", &flow, "--reason", "nobody needs it"];
        let report = operate(&program, &arguments, 0);
        assert_eq!(
            (&report["error"]["kind"], &report["error"]["message"]),
            (&json!("RollbackRequested"), &json!("nobody needs it"))
        );
        assert_eq!(report["flow"]["state"], "FAILURE");
        if clean {
            assert_eq!(report["rollback"]["verdict"], "clean", "{before}");
            nothing_is_left(&program);
        } else {
            // The volume is kept on purpose once its quota is committed.
            assert_eq!(report["rollback"]["verdict"], "kept", "{before}");
            assert_eq!(volumes(&program).len(), 1, "{before}");
            assert_eq!(program.json(&["outbox", "list", "--json"]), json!([]));
            is_whole(&program);
        }
        // A second rollback does nothing.
        let again = operate(&program, &["rollback", &flow], 0);
        assert_eq!(again, report);
    }
}

/// The first example's flow without the tasks that leave a failed volume to be looked at.
pub(super) fn run_plain(program: &Program) -> Value {
    let mut flow = std::fs::read_to_string(volume_create()).expect("the example");
    for task in ["quota-commit", "on-failure-change-status"] {
        let block = format!("[[task]]\nplugin = \"{task}\"\n\n");
        assert!(flow.contains(&block), "{flow}");
        flow = flow.replace(&block, "");
    }
    program
        .write("plain.toml", flow)
        .write("plain.json", r#"{"size": 5}"#);
    program.json(&["run", "plain.toml", "-i", "plain.json", "--json"])
}

#[test]
fn what_succeeded_is_rolled_back_with_its_volume_its_quota_and_its_message() {
    let program = program();
    let report = run_plain(&program);
    let flow = report["flow"]["id"].as_str().expect("an id");
    let outbox = program.json(&["outbox", "list", "--json"]);
    assert_eq!(outbox.as_array().map(Vec::len), Some(1));
    let report = operate(&program, &["rollback", flow], 0);
    assert_eq!(report["rollback"]["verdict"], "clean");
    assert_eq!(
        report["rollback"]["reverted"].as_array().map(Vec::len),
        Some(5)
    );
    nothing_is_left(&program);
}

#[test]
fn a_message_that_was_taken_is_named_when_its_flow_is_rolled_back() {
    let program = program();
    let report = run_plain(&program);
    let flow = report["flow"]["id"].as_str().expect("an id");
    let outbox = program.json(&["outbox", "list", "--json"]);
    let message = outbox[0]["id"].to_string();
    let message = message.trim_matches('"');
    program.run(&["outbox", "ack", message]).exits(0);
    let report = operate(&program, &["rollback", flow], 4);
    let residue = report["rollback"]["residue"].as_array().expect("a list");
    assert!(
        residue
            .iter()
            .any(|left| left["after"] == json!({"state": "acked"})),
        "{report}"
    );
}

#[test]
fn a_volume_whose_quota_was_committed_is_left_in_error_when_its_flow_is_rolled_back() {
    let program = program();
    let report = create(&program, r#"{"size": 5}"#, &[], 0);
    let flow = report["flow"]["id"].as_str().expect("an id");
    let run = program.run(&["flows", "rollback", flow]).exits(0);
    assert!(run.stdout.contains("rollback  kept"), "{}", run.stdout);
    let volumes = volumes(&program);
    assert_eq!((volumes.len(), &volumes[0]["status"]), (1, &json!("error")));
    assert_eq!(program.json(&["outbox", "list", "--json"]), json!([]));
    let quota = program.json(&["quota", "show", "--json"]);
    assert_eq!(quota["quotas"]["gigabytes"]["in_use"], 0);
    is_whole(&program);
}

#[test]
fn an_operation_that_the_state_does_not_allow_names_the_state() {
    let program = program();
    let success = create(&program, r#"{"size": 1}"#, &[], 0);
    let failure = create(&program, r#"{"size": 0}"#, &[], 3);
    for (report, state) in [(success, "SUCCESS"), (failure, "FAILURE")] {
        let flow = report["flow"]["id"].as_str().expect("an id");
        for operation in ["interrupt", "resume"] {
            for wait in [&[][..], &["--wait"]] {
                let arguments = [&["flows", operation, flow], wait].concat();
                let words = format!("`{operation}` is not allowed while the flow is {state}");
                let run = program.run(&arguments).exits(2).says(&[&words]);
                assert_eq!(run.stdout, "");
            }
        }
        program
            .run(&["flows", "rollback", flow, "--accept", "why not"])
            .exits(2)
            .says(&["there is nothing to accept"]);
        assert_eq!(operate(&program, &["show", flow], 0), report);
    }
    let program = self::program();
    let interrupted = interrupted_after(&program, "entry-create");
    program
        .run(&["flows", "reset", &interrupted])
        .exits(2)
        .says(&["effects that are not undone: roll it back first"]);
    is_whole(&program);
}

#[test]
fn an_unknown_flow_is_bad_usage() {
    let program = program();
    let unknown = "01a20616-1920-776a-9907-780232c46d47";
    for operation in ["interrupt", "resume", "reset", "rollback"] {
        program
            .run(&["flows", operation, unknown])
            .exits(2)
            .says(&["there is no database"]);
    }
    program.run(&["zones", "create", "nova"]).exits(0);
    for operation in ["interrupt", "resume", "reset", "rollback"] {
        program
            .run(&["flows", operation, unknown, "--wait"])
            .exits(2)
            .says(&[unknown, "`cairn flow list` shows the flows"]);
    }
}

#[test]
fn a_flow_that_failed_is_reset_and_run_again() {
    let program = program();
    program.run(&["quota", "set", "volumes=0"]).exits(0);
    let report = create(&program, r#"{"size": 1}"#, &[], 3);
    assert_eq!(report["error"]["kind"], "VolumeLimitExceeded");
    let flow = report["flow"]["id"].as_str().expect("an id");
    program.run(&["quota", "set", "volumes=1"]).exits(0);
    let report = operate(&program, &["reset", flow], 0);
    assert_eq!(
        (&report["flow"]["state"], &report["error"]),
        (&json!("PENDING"), &json!(null))
    );
    let report = operate(&program, &["resume", flow], 0);
    assert_eq!(report["flow"]["state"], "SUCCESS");
    assert_eq!(volumes(&program).len(), 1);
    is_whole(&program);
}

#[test]
fn a_flow_that_runs_is_cancelled_by_a_rollback() {
    for wait in [true, false] {
        let program = program();
        // A busy machine may delay a process for seconds.
        program.write("cairn.toml", "patience = \"1m\"\nlease = \"1m\"\n");
        slower_after(&program, "entry-create", 10);
        let child = run_slow(&program);
        let flow = only_flow(&program);
        let mut arguments = vec!["rollback", &flow];
        if wait {
            arguments.push("--wait");
        }
        let answer = operate(&program, &arguments, 0);
        if wait {
            assert_eq!(answer["rollback"]["verdict"], "clean");
        } else {
            assert_eq!(answer["asked"], child.id());
        }
        end(child).exits(5);
        let report = operate(&program, &["show", &flow], 0);
        let states: Vec<_> = report["transitions"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|transition| transition["state"].as_str().expect("a state"))
            .collect();
        assert!(
            states.ends_with(&["INTERRUPTED", "REVERTING", "FAILURE"]),
            "{states:?}"
        );
        nothing_is_left(&program);
    }
}

#[test]
fn a_request_to_a_process_that_dies_is_done_by_the_command_that_waits() {
    let program = program();
    slow_after(&program, "entry-create");
    let mut child = run_slow(&program);
    let flow = only_flow(&program);
    let waits = program.start(&["flows", "rollback", &flow, "--wait", "--json"]);
    eventually("it was asked", || {
        let asked = rusqlite::Connection::open(program.path("cairn.db"))
            .and_then(|db| db.query_row("SELECT count(*) FROM requests", [], |row| row.get(0)));
        asked.is_ok_and(|asked: i64| asked == 1)
    });
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    let report = end(waits).exits(0).json();
    assert_eq!(report["rollback"]["verdict"], "clean");
    nothing_is_left(&program);
    let rows = program.json(&["audit", "list", "--json"]);
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    assert_eq!(rows[0]["action"], "flow.rollback");
    program.run(&["recover"]).exits(0);
}

/// Returns a process that died in the task that creates the volume `data`, which is on disk.
fn died_with_a_volume() -> Program {
    let acme = ["volumes", "list", "--json", "--project", "acme"];
    for time in 8.. {
        let program = program();
        program
            .run(&["types", "create", "gold", "--encrypt", "luks"])
            .exits(0);
        let life = Life {
            server: None,
            folder: program.path("."),
            cache: Path::new(env!("CARGO_BIN_EXE_crash-child")).with_file_name("acceptance-cache"),
            task: Task::Run,
            fails: None,
            resumes: false,
            events: 1,
            lease: None,
            dies: Some(Death {
                point: "BatchCommitted".to_owned(),
                reverting: false,
                time,
            }),
            stops: false,
            delivers: false,
        };
        let died = Command::new(env!("CARGO_BIN_EXE_crash-child"))
            .arg(serde_json::to_string(&life).expect("a life is JSON"))
            .output();
        assert!(!died.expect("the child starts").status.success());
        // With one event per commit, the first commit that contains the volume is that of the effect itself.
        if program.json(&acme) != json!([]) {
            return program;
        }
    }
    unreachable!("the flow makes a volume")
}

/// Returns a flow with an incomplete rollback: its process died in the task that creates the volume, and a snapshot of the volume was
/// created before another process recovered the flow.
pub(super) fn incomplete() -> (Program, String) {
    let program = died_with_a_volume();
    let create = ["snapshots", "create", "--volume", "data", "--name", "s"];
    program
        .run(&[&create[..], &["--project", "acme"]].concat())
        .exits(0);
    let rows = program.run(&["recover", "--json"]).exits(4).json();
    assert_eq!(
        (&rows[0]["state"], &rows[0]["verdict"]),
        (&json!("FAILURE"), &json!("incomplete"))
    );
    let flow = only_flow(&program);
    let report = operate(&program, &["show", &flow], 0);
    let failed = report["rollback"]["failed"].as_array().expect("a list");
    assert_eq!(failed.len(), 1, "{report}");
    assert_eq!(failed[0]["task"], "entry-create;volume:create");
    let why = failed[0]["error"]["message"].as_str().expect("a message");
    assert!(why.contains("snapshot `") && why.contains("depends on volume `"));
    let listed = operate(&program, &["list", "--incomplete"], 0);
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(listed[0]["id"], json!(flow));
    (program, flow)
}

#[test]
fn an_incomplete_rollback_is_completed_when_its_hindrance_is_gone() {
    let (program, flow) = incomplete();
    // Nothing has changed: the rollback is retried, and remains incomplete.
    let report = operate(&program, &["rollback", &flow], 4);
    assert_eq!(report["rollback"]["verdict"], "incomplete");
    let acme = ["--project", "acme"];
    program
        .run(&[&["snapshots", "delete", "s"][..], &acme].concat())
        .exits(0);
    let report = operate(&program, &["rollback", &flow], 0);
    assert_eq!(report["rollback"]["verdict"], "clean");
    assert_eq!(operate(&program, &["list", "--incomplete"], 0), json!([]));
    let volumes = program.json(&[&["volumes", "list", "--json"][..], &acme].concat());
    assert_eq!(volumes, json!([]));
    is_whole(&program);
}

#[test]
fn an_incomplete_rollback_is_accepted_for_a_reason_that_is_kept() {
    let (program, flow) = incomplete();
    let why = "the snapshot is needed";
    let accept = ["rollback", &flow, "--accept", why, "--user", "ann"];
    let report = operate(&program, &accept, 0);
    assert_eq!(
        (
            &report["rollback"]["verdict"],
            &report["rollback"]["accepted"]
        ),
        (&json!("residue"), &json!(why))
    );
    assert_eq!(operate(&program, &["list", "--incomplete"], 0), json!([]));
    assert_eq!(operate(&program, &["show", &flow], 0), report);
    let shown = program.run(&["flows", "show", &flow]).exits(0).stdout;
    assert!(shown.contains(&format!("accepted  {why}")), "{shown}");
    let events = operate(&program, &["events", &flow], 0);
    let last = events.as_array().and_then(|events| events.last());
    assert_eq!(
        last.expect("events")["event"],
        json!({"accepted": {"user_id": "ann", "reason": why}})
    );
    is_whole(&program);
}
