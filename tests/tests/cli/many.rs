use std::io::Write as _;
use std::process::{Child, Stdio};

use acceptance::crash::check;
use acceptance::guest::Call;
use acceptance::program::{Program, Run, end, repository, volume_create};
use acceptance::slow::{eventually, run_slow, send, slow_after, start_slow};
use serde_json::Value;

use super::{create, program, sql};

/// Starts the program with these requests on stdin, which stays open until the process is waited for.
pub(super) fn start_stream(
    program: &Program,
    arguments: &[&str],
    requests: impl AsRef<[u8]>,
) -> Child {
    let mut child = program
        .command(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let stdin = child.stdin.as_mut().expect("stdin is a pipe");
    stdin
        .write_all(requests.as_ref())
        .expect("the program reads");
    child
}

/// Runs a flow with these requests on stdin.
pub(super) fn stream(program: &Program, flow: &str, requests: impl AsRef<[u8]>) -> Run {
    end(start_stream(program, &["run", flow, "--jsonl"], requests))
}

/// Parses the reports, by the line of their requests.
#[track_caller]
pub(super) fn reports(run: &Run) -> Vec<Value> {
    let mut reports: Vec<Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    reports.sort_by_key(|report| report["line"].as_u64());
    reports
}

pub(super) fn count(program: &Program, what: &str) -> usize {
    let list = program.json(&[what, "list", "--json"]);
    list.as_array().expect("a list").len()
}

#[track_caller]
fn is_whole(program: &Program) {
    if let Err(error) = check(&program.path("cairn.db")) {
        panic!("{error:#}");
    }
}

#[test]
fn a_stream_has_a_report_for_each_line_and_bad_lines_are_told_in_place() {
    let program = program();
    let requests = [
        r#"{"size": 1, "name": "first"}"#,
        "",
        r#"{"size": 1"#,
        r#"{"request": {"size": 2}, "key": "k"}"#,
        r#"{"size": 0}"#,
        r#"{"request": {"size": 1}, "kye": "k"}"#,
        r#"{"request": {"size": 1}, "key": 5}"#,
        r#"{"request": {"size": 1}, "key": ""}"#,
        r#"{"request": {"sise": 1}, "key": "typo"}"#,
        "[]",
        r#"{"size": 3, "name": "last"}"#,
    ];
    let run = stream(&program, &volume_create(), requests.join("\n")).exits(3);
    let told: Vec<(u64, String)> = reports(&run)
        .iter()
        .map(|report| {
            let what = report["flow"]["state"].as_str();
            let what = what.or(report["failure"].as_str()).expect("one of them");
            assert_eq!(report["flow"].is_null(), report["failure"].is_string());
            (
                report["line"].as_u64().expect("a number"),
                what.lines().next().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    let expected = [
        (1, "SUCCESS"),
        (3, "the line is no JSON"),
        (4, "SUCCESS"),
        (5, "FAILURE"),
        (6, "an envelope has no field `kye`"),
        (7, "`key` must be a string that is not empty"),
        (8, "`key` must be a string that is not empty"),
        (9, "the request has an unknown key `sise`"),
        (10, "a request must be one JSON object"),
        (11, "SUCCESS"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for ((line, what), (expected_line, start)) in told.iter().zip(expected) {
        assert_eq!(*line, expected_line);
        assert!(what.contains(start), "line {line}: {what}");
    }
    let keys: Vec<_> = reports(&run)
        .iter()
        .filter_map(|report| report["key"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(
        keys,
        ["k", "typo"],
        "a line that is refused has its key too"
    );
    assert_eq!(
        (count(&program, "volumes"), count(&program, "flows")),
        (3, 4)
    );
    is_whole(&program);
}

#[test]
fn the_exit_code_of_a_stream_is_its_worst() {
    let (good, bad) = (r#"{"size": 1}"#, "no JSON");
    let refused = r#"{"size": 0}"#;
    let create = volume_create();
    let casts_fail = repository("examples/volume-create/flow-cast-fails.toml");
    let sticks = "sticks.toml".to_owned();
    let program = program();
    // Its first task cannot be reverted.
    let reverts = r#"(func (export "revert") (param i32) (result i32) (i32.const 1024))"#;
    let behaves = Call::Behaves.component();
    assert!(behaves.contains(reverts), "{behaves}");
    let traps = reverts.replace("(i32.const 1024)", "unreachable");
    program
        .write("sticks.wat", behaves.replace(reverts, &traps))
        .write("traps.wat", Call::Traps.component())
        .write(
            "sticks.toml",
            "[flow]\nname = \"sticks\"\n[plugins.sticks]\npath = \"sticks.wat\"\n[plugins.traps]\npath = \"traps.wat\"\n\
             [[task]]\nplugin = \"sticks\"\n[[task]]\nplugin = \"traps\"\n",
        );
    for (flow, requests, exit) in [
        (&create, vec![], 0),
        (&create, vec![good, good], 0),
        (&create, vec![bad, good], 2),
        (&create, vec![good, refused, bad, good], 3),
        (&casts_fail, vec![refused, good, bad, refused], 3),
        (&sticks, vec![good, bad], 4),
    ] {
        let run = stream(&program, flow, requests.join("\n")).exits(exit);
        assert_eq!(run.stdout.lines().count(), requests.len());
    }
    // A failure of the host takes precedence over an incomplete rollback: after one more flow, inserts into `flows`
    // fail.
    let flows = count(&program, "flows");
    sql(
        &program,
        &format!(
            "CREATE TRIGGER no_more BEFORE INSERT ON flows WHEN (SELECT count(*) FROM flows) > {flows}
             BEGIN SELECT RAISE(ABORT, 'no more of them'); END"
        ),
    );
    let arguments = ["run", &sticks, "--jsonl"];
    let mut child = start_stream(&program, &arguments, format!("{good}\n"));
    eventually("a flow could not be rolled back", || {
        count(&program, "flows") > flows
            && program.json(&["flows", "list", "--json"])[0]["state"] == "FAILURE"
    });
    let stdin = child.stdin.as_mut().expect("stdin is a pipe");
    writeln!(stdin, "{good}").expect("the program reads");
    let run = end(child).exits(1);
    assert!(run.stdout.contains("no more of them"), "{}", run.stdout);
    assert!(run.stdout.contains("incomplete"), "{}", run.stdout);
}

#[test]
fn requests_in_files_are_a_flow_each() {
    let program = program();
    program
        .write("a.json", r#"{"size": 1, "name": "a"}"#)
        .write("b.json", r#"{"size": 0}"#);
    let flow = volume_create();
    let arguments = ["run", &flow, "--input", "a.json", "--input", "b.json"];
    let run = program
        .run(&[&arguments[..], &["--json"]].concat())
        .exits(3);
    let mut states: Vec<_> = reports(&run)
        .iter()
        .map(|report| {
            (
                report["file"].as_str().expect("a path").to_owned(),
                report["flow"]["state"].as_str().expect("ran").to_owned(),
            )
        })
        .collect();
    states.sort();
    let expected = [("a.json", "SUCCESS"), ("b.json", "FAILURE")];
    assert_eq!(
        states,
        expected.map(|(file, state)| (file.to_owned(), state.to_owned()))
    );
    let text = program.run(&arguments).exits(3).stdout;
    assert!(
        text.contains("b.json  ") && text.contains("  FAILURE  InvalidInput: "),
        "{text}"
    );
    assert_eq!(count(&program, "volumes"), 2);
}

#[test]
fn nothing_runs_when_one_of_the_files_is_bad() {
    for (bad, words) in [
        (Some("{"), "the request is no JSON"),
        (Some(r#"{"sise": 1}"#), "sise"),
        (None, "the request cannot be read"),
    ] {
        let program = program();
        program.write("good.json", r#"{"size": 1}"#);
        if let Some(bad) = bad {
            program.write("bad.json", bad);
        }
        let flow = volume_create();
        let arguments = ["run", &flow, "-i", "good.json", "-i", "bad.json"];
        let run = program.run(&arguments).exits(2).says(&[words]);
        assert_eq!(run.stdout, "");
        assert!(!program.has_database(), "{bad:?}");
    }
}

#[test]
fn a_key_cannot_stand_for_several_requests() {
    let program = program();
    program.write("a.json", "{}").write("b.json", "{}");
    let flow = volume_create();
    program
        .run(&["run", &flow, "-i", "a.json", "-i", "b.json", "--key", "k"])
        .exits(2)
        .says(&["one key cannot be used for several requests", "--jsonl"]);
    program
        .run(&["run", &flow, "--jsonl", "--key", "k"])
        .exits(2)
        .says(&["cannot be used with"]);
}

#[test]
fn the_same_request_under_the_same_key_is_one_flow() {
    let program = program();
    let first = create(&program, r#"{"size": 1}"#, &["--key", "k"], 0);
    let again = create(&program, r#"{"size": 1}"#, &["--key", "k"], 0);
    assert_eq!(again, first);
    assert_eq!(count(&program, "volumes"), 1);
    let flow = first["flow"]["id"].as_str().expect("an id");
    program.write("other.json", r#"{"size": 2}"#);
    program
        .run(&["run", &volume_create(), "-i", "other.json", "--key", "k"])
        .exits(2)
        .says(&["key `k` was used for another request", flow]);
    // An idempotency key is local to a project.
    let elsewhere = ["--key", "k", "--project", "other"];
    let other = create(&program, r#"{"size": 2}"#, &elsewhere, 0);
    assert_ne!(other["flow"]["id"], first["flow"]["id"]);
    // A repeated key of a failed flow returns the same report and exit code.
    let failed = create(&program, r#"{"size": 0}"#, &["--key", "bad"], 3);
    let again = create(&program, r#"{"size": 0}"#, &["--key", "bad"], 3);
    assert_eq!(again, failed);
    assert_eq!(count(&program, "flows"), 3);
    is_whole(&program);
}

#[test]
fn a_key_in_a_stream_is_that_of_a_single_run() {
    let program = program();
    let before = create(&program, r#"{"size": 1}"#, &["--key", "before"], 0);
    let requests = [
        r#"{"key": "before", "request": {"size": 1}}"#,
        r#"{"key": "twice", "request": {"size": 2}}"#,
        r#"{"key": "twice", "request": {"size": 2}}"#,
        r#"{"key": "twice", "request": {"size": 3}}"#,
        r#"{"key": "before", "request": {"size": 4}}"#,
    ];
    let run = stream(&program, &volume_create(), requests.join("\n")).exits(2);
    let reports = reports(&run);
    assert_eq!(reports.len(), 5, "{}", run.stdout);
    assert_eq!(reports[0]["flow"], before["flow"]);
    assert_eq!(reports[4]["key"], "before");
    assert!(reports[4]["failure"].is_string(), "{}", reports[4]);
    // Either request with the key `twice` may come first; there is only one flow.
    let ran: Vec<&Value> = reports[1..4]
        .iter()
        .filter(|report| report["flow"]["state"] == "SUCCESS")
        .collect();
    assert!(!ran.is_empty() && ran.iter().all(|report| report["flow"] == ran[0]["flow"]));
    for report in &reports[1..4] {
        let failure = report["failure"].as_str();
        assert_eq!(report["key"], "twice");
        assert_eq!(
            failure.is_some_and(|failure| failure.contains("was used for another request")),
            report["flow"].is_null()
        );
    }
    assert_eq!(count(&program, "volumes"), 2);
    is_whole(&program);
}

#[test]
fn the_same_key_in_two_processes_at_once_is_one_flow() {
    let program = program();
    slow_after(&program, "quota-reserve");
    let arguments = [
        "run",
        "slow.toml",
        "--input",
        "slow.json",
        "--json",
        "--key",
        "k",
    ];
    let first = start_slow(&program, &arguments);
    // The first process owns the flow; this one waits until it has ended.
    let second = program.run(&arguments).exits(0).json();
    let first = end(first).exits(0).json();
    assert_eq!(second, first);
    assert_eq!(count(&program, "volumes"), 1);
    // Two processes race for the same key.
    program.write("request.json", r#"{"size": 1}"#);
    for round in 0..5 {
        let key = format!("race {round}");
        let flow = volume_create();
        let arguments = [
            "run",
            &flow,
            "--input",
            "request.json",
            "--json",
            "--key",
            &key,
        ];
        let racers = [0; 3].map(|_| program.start(&arguments));
        let reports = racers.map(|racer| end(racer).exits(0).json());
        assert!(reports.iter().all(|report| *report == reports[0]));
        assert_eq!(count(&program, "volumes"), 2 + round);
    }
    is_whole(&program);
}

#[test]
fn a_key_whose_process_is_killed_is_taken_up_with_its_flow() {
    let program = program();
    slow_after(&program, "quota-reserve");
    let flow = std::fs::read_to_string(program.path("slow.toml")).expect("it was written");
    program.write(
        "slow.toml",
        flow.replace("[flow]\n", "[flow]\non_lost = \"resume\"\n"),
    );
    let arguments = [
        "run",
        "slow.toml",
        "-i",
        "slow.json",
        "--json",
        "--key",
        "k",
    ];
    let mut child = start_slow(&program, &arguments);
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    let report = program.run(&arguments).exits(0).json();
    assert_eq!(report["flow"]["state"], "SUCCESS");
    assert_eq!(
        (count(&program, "flows"), count(&program, "volumes")),
        (1, 1)
    );
    is_whole(&program);
}

/// Interrupts a stream of this many requests, two at a time, when two flows have started their slow task. Only these
/// two must exist afterwards; returns their ids.
fn interrupted_stream(program: &Program, requests: usize) -> Vec<String> {
    slow_after(program, "entry-create");
    let requests = "{\"size\": 1}\n".repeat(requests);
    let arguments = ["run", "slow.toml", "--jsonl", "--workers", "2"];
    let mut child = start_stream(program, &arguments, &requests);
    let open = child.stdin.take();
    eventually("two flows run", || {
        program.has_database() && {
            let list = program.run(&["volumes", "list"]);
            list.exit == 0 && list.stdout.lines().count() == 3
        }
    });
    send(&child, "-INT");
    let run = end(child)
        .exits(5)
        .says(&["interrupted: running tasks finish first"]);
    drop(open);
    let reports = reports(&run);
    let state = |report: &Value| report["flow"]["state"].clone();
    assert!(
        reports.len() == 2 && reports.iter().all(|report| state(report) == "INTERRUPTED"),
        "{}",
        run.stdout
    );
    assert_eq!(count(program, "flows"), 2);
    is_whole(program);
    let id = |report: &Value| report["flow"]["id"].as_str().map(str::to_owned);
    reports.iter().filter_map(id).collect()
}

#[test]
fn an_interrupted_stream_leaves_flows_that_can_be_resumed_and_nothing_else() {
    let program = program();
    let flows = interrupted_stream(&program, 6);
    let report = program.json(&["flows", "resume", &flows[0], "--json"]);
    assert_eq!(report["flow"]["state"], "SUCCESS");
    let report = program.json(&["flows", "rollback", &flows[1], "--json"]);
    assert_eq!(report["rollback"]["verdict"], "clean");
    assert_eq!(count(&program, "volumes"), 1);
    is_whole(&program);
}

/// Sends more requests than the host's queue holds: the reader of stdin is blocked when the signal arrives.
#[test]
fn a_full_queue_does_not_keep_an_interrupt_waiting() {
    let program = program();
    interrupted_stream(&program, 1_200);
}

#[test]
fn a_process_that_runs_a_flow_does_not_hold_up_others() {
    let program = program();
    program.run(&["quota", "set", "volumes=-1"]).exits(0);
    slow_after(&program, "quota-reserve");
    let child = run_slow(&program);
    let run = stream(&program, &volume_create(), "{\"size\": 1}\n".repeat(20));
    assert_eq!(run.exits(0).stdout.lines().count(), 20);
    end(child).exits(0);
    assert_eq!(count(&program, "volumes"), 21);
    is_whole(&program);
}
