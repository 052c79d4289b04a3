//! Flows that wait: for a time, for a signal, or for the next attempt of a task. No process owns them meanwhile.

use std::process::Child;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use acceptance::guest::Call;
use acceptance::program::{Program, end, repository};
use acceptance::slow::eventually;
use serde_json::{Value, json};

use super::clocks::at;
use super::operate::{only_flow, operate};
use super::program;

const DAY: i64 = 24 * 3600;

/// Writes the example with an approval.
fn approval() -> Program {
    let program = program();
    for file in ["flow.toml", "cairn.toml"] {
        let text = std::fs::read(repository(&format!("examples/approval/{file}")));
        program.write(file, text.expect("the example"));
    }
    program
}

/// Writes the example with another wait, and further values of the request.
fn waiting(wait: &str, inputs: &str) -> Program {
    let program = approval();
    let text = std::fs::read_to_string(program.path("flow.toml")).expect("the example");
    let changed = text
        .replace(
            r#"{ signal = "approved", timeout = "7d", provides = ["by"] }"#,
            wait,
        )
        .replace(r#"provides = ["name"]"#, &format!("provides = [{inputs}]"));
    assert_ne!(text, changed);
    program.write("flow.toml", changed);
    program
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("the clock is right").as_secs()).expect("a time")
}

const ADA: &str = r#"{"name": "Ada"}"#;

/// Runs the flow and leaves it waiting; returns its id.
#[track_caller]
fn left_waiting(program: &Program) -> String {
    let report = program
        .run(&["run", "flow.toml", "--input", ADA, "--no-wait", "--json"])
        .exits(5)
        .json();
    assert_eq!(report["flow"]["state"], "RUNNING", "{report:#}");
    report["flow"]["id"].as_str().expect("an id").to_owned()
}

#[track_caller]
fn state(program: &Program, flow: &str) -> Value {
    program.json(&["flow", "show", flow, "--json"])["flow"]["state"].clone()
}

fn greetings(program: &Program) -> usize {
    let list = program.json(&["record", "list", "greetings", "--json"]);
    list.as_array().expect("a list").len()
}

/// Waits until the flow of a process sleeps.
#[track_caller]
fn asleep(program: &Program) -> String {
    let flow = only_flow(program);
    eventually("the flow sleeps", || {
        program.json(&["flow", "list", "--waiting", "--json"]) != json!([])
    });
    flow
}

fn signal(process: &Child, name: &str) {
    let sent = std::process::Command::new("kill")
        .args([&format!("-{name}"), &process.id().to_string()])
        .status();
    assert!(sent.expect("kill is there").success());
}

#[test]
fn a_signal_ends_a_wait_and_is_its_result() {
    let program = approval();
    let flow = left_waiting(&program);
    let shown = program.json(&["flow", "show", &flow, "--json"]);
    assert_eq!(shown["flow"]["sleep"]["signal"], "approved");
    assert_eq!(shown["tasks"][2]["state"], "WAITING");
    let held = program.json(&["record", "list", "greetings", "--json"]);
    assert_eq!(held[0]["value"], Value::Null, "{held}");
    let listed = program.json(&["flow", "list", "--json"]);
    assert_eq!(listed[0]["waiting"], true);

    let signal = |name: &str, payload: &str| {
        program.run(&["flow", "signal", &flow, name, "--input", payload])
    };
    signal("aproved", "{}")
        .exits(2)
        .says(&["it knows `approved`"]);
    signal("approved", "{}").exits(2).says(&["lacks `by`"]);
    program
        .run(&["flow", "signal", &flow, "approved", "--input", "7"])
        .exits(2);
    let by_bob = r#"{"by": "bob"}"#;
    let told = signal("approved", by_bob).exits(0);
    assert!(told.stdout.contains("approved has come"), "{}", told.stdout);
    signal("approved", by_bob).exits(0);
    signal("approved", r#"{"by": "eve"}"#)
        .exits(6)
        .says(&["with another payload"]);
    assert_eq!(state(&program, &flow), "RUNNING", "it is not woken by this");

    let woken = program.json(&["recover", "--json"]);
    assert_eq!(woken[0]["state"], "SUCCESS", "{woken}");
    let shown = program.json(&["flow", "show", &flow, "--json"]);
    assert_eq!(shown["tasks"][2]["result"], json!({"by": "bob"}));
    assert_eq!(shown["flow"].get("sleep"), None);
    assert_eq!(greetings(&program), 2);
    signal("approved", by_bob).exits(0);
    signal("approved", r#"{"by": "eve"}"#).exits(6);
}

#[test]
fn a_run_stays_until_its_flow_ends() {
    let program = approval();
    let run = program.start(&["run", "flow.toml", "--input", ADA, "--json"]);
    let flow = asleep(&program);
    let input = r#"{"by": "bob"}"#;
    operate(
        &program,
        &["signal", &flow, "approved", "--input", input],
        0,
    );
    let report = end(run).exits(0).json();
    assert_eq!(report["flow"]["state"], "SUCCESS", "{report:#}");
}

#[test]
fn a_process_that_ends_leaves_its_flow_waiting() {
    for (name, exit) in [("INT", 5), ("KILL", -1)] {
        let program = approval();
        let run = program.start(&["run", "flow.toml", "--input", ADA]);
        let flow = asleep(&program);
        signal(&run, name);
        let run = end(run).exits(exit);
        assert_eq!(run.stdout.contains("waits"), exit == 5, "{}", run.stdout);
        let none = program.json(&["recover", "--json"]);
        assert_eq!(none, json!([]), "nothing of it was under way");
        let input = r#"{"by": "bob"}"#;
        operate(
            &program,
            &["signal", &flow, "approved", "--input", input],
            0,
        );
        let woken = program.json(&["recover", "--json"]);
        assert_eq!(woken[0]["state"], "SUCCESS", "{woken}");
    }
}

#[test]
fn a_wait_that_is_not_signalled_in_time_rolls_the_flow_back() {
    let program = approval();
    let flow = left_waiting(&program);
    let run = at(&program, now() + 6 * DAY, &["recover", "--json"]).exits(0);
    assert_eq!(run.json(), json!([]));
    let run = at(&program, now() + 8 * DAY, &["recover", "--json"]).exits(0);
    let woken = run.json();
    assert_eq!(woken[0]["state"], "FAILURE", "{woken}");
    assert_eq!(woken[0]["verdict"], "clean");
    let report = program.json(&["flow", "show", &flow, "--json"]);
    assert_eq!(report["error"]["kind"], "Timeout", "{report:#}");
    assert_eq!(greetings(&program), 0);
}

#[test]
fn a_wait_for_a_time_succeeds_when_it_has_come() {
    let program = waiting(r#"{ until = "1d" }"#, r#""name""#);
    let flow = left_waiting(&program);
    assert_eq!(program.json(&["recover", "--json"]), json!([]));
    let woken = at(&program, now() + DAY + 1, &["recover", "--json"])
        .exits(0)
        .json();
    assert_eq!(woken[0]["state"], "SUCCESS", "{woken}");
    let report = program.json(&["flow", "show", &flow, "--json"]);
    assert_eq!(report["tasks"][2]["result"], json!({}));
}

#[test]
fn an_earlier_task_may_say_until_when() {
    let program = waiting(r#"{ until = "when" }"#, r#""name", "when""#);
    let run = |name: &str, when: &str| {
        let request = json!({"name": name, "when": when}).to_string();
        program.run(&[
            "run",
            "flow.toml",
            "--input",
            &request,
            "--no-wait",
            "--json",
        ])
    };
    let past = run("Ada", "2020-02-02T20:20:20Z").exits(0).json();
    assert_eq!(past["flow"]["state"], "SUCCESS", "{past:#}");
    run("Bob", "3h").exits(5);
    for wrong in ["tomorrow", "", "2020-13-01T00:00:00Z", "9000y"] {
        let report = run("Cid", wrong).exits(3).json();
        assert_eq!(report["error"]["kind"], "WaitInvalid", "{report:#}");
        assert_eq!(report["rollback"]["verdict"], "clean");
    }
}

#[test]
fn a_signal_may_come_before_its_wait() {
    let program = approval();
    let text = std::fs::read_to_string(program.path("flow.toml")).expect("the example");
    let pause = "[[task]]\nwait = { until = \"1h\" }\n\n[[task]]\nwait = { signal";
    program.write(
        "flow.toml",
        text.replace("[[task]]\nwait = { signal", pause),
    );
    let flow = left_waiting(&program);
    let input = r#"{"by": "bob"}"#;
    operate(
        &program,
        &["signal", &flow, "approved", "--input", input],
        0,
    );
    assert_eq!(program.json(&["recover", "--json"]), json!([]));
    let woken = at(&program, now() + 3601, &["recover", "--json"]).exits(0);
    assert_eq!(woken.json()[0]["state"], "SUCCESS");
}

#[test]
fn a_flow_that_waits_can_be_interrupted_and_rolled_back() {
    let program = approval();
    let flow = left_waiting(&program);
    let until = |report: &Value| report["flow"]["sleep"]["until"].clone();
    let before = until(&program.json(&["flow", "show", &flow, "--json"]));
    let report = operate(&program, &["interrupt", &flow], 0);
    assert_eq!(report["flow"]["state"], "INTERRUPTED");
    assert_eq!(report["flow"].get("sleep"), None);
    let report = operate(&program, &["resume", &flow], 5);
    assert_eq!(until(&report), before, "its time is not longer for that");
    let report = operate(&program, &["rollback", &flow], 0);
    assert_eq!(report["rollback"]["verdict"], "clean", "{report:#}");
    let input = r#"{"by": "bob"}"#;
    program
        .run(&["flow", "signal", &flow, "approved", "--input", input])
        .exits(6)
        .says(&["it is FAILURE"]);
}

#[test]
fn the_end_of_a_stream_leaves_its_flows_waiting() {
    let program = approval();
    let requests = "{\"name\": \"Ada\"}\n{\"name\": \"Bob\"}\n";
    program.write("requests.jsonl", requests);
    let file = std::fs::File::open(program.path("requests.jsonl")).expect("it is there");
    let mut command = program.command(&["run", "flow.toml", "--jsonl"]);
    let run = end(command.stdin(file).spawn().expect("it starts")).exits(5);
    let reports: Vec<Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(reports.len(), 2);
    for report in &reports {
        assert_eq!(report["flow"]["sleep"]["signal"], "approved", "{report}");
    }

    // A process that watches wakes each when it is due.
    let watch = program.start(&["recover", "--watch"]);
    let input = r#"{"by": "bob"}"#;
    for report in &reports {
        let flow = report["flow"]["id"].as_str().expect("an id");
        operate(&program, &["signal", flow, "approved", "--input", input], 0);
        eventually("the flow goes on", || state(&program, flow) == "SUCCESS");
    }
    signal(&watch, "INT");
    end(watch).exits(0);
}

#[test]
fn a_pause_between_attempts_survives_the_process() {
    let program = approval();
    let text = std::fs::read_to_string(program.path("flow.toml")).expect("the example");
    let retried = "plugin = \"goodbye\"\nretry = { attempts = 3, backoff = \"4s\" }";
    let text = text
        .replace(
            "[[task]]\nwait = { signal = \"approved\", timeout = \"7d\", provides = [\"by\"] }\n",
            "",
        )
        .replace(
            "{ word = \"Goodbye\" }",
            "{ word = \"Goodbye\", refuse = [\"Ada\"] }",
        )
        .replace("plugin = \"goodbye\"", retried);
    program.write("flow.toml", text);
    let run = program.start(&["run", "flow.toml", "--input", ADA]);
    let flow = asleep(&program);
    signal(&run, "KILL");
    end(run).exits(-1);
    let shown = program.run(&["flow", "show", &flow]).exits(0);
    assert!(shown.stdout.contains("retries"), "{}", shown.stdout);

    // Two attempts are left: each falls asleep, or fails the flow.
    let later = |seconds: i64| {
        at(&program, now() + seconds, &["recover", "--json"])
            .exits(0)
            .json()
    };
    assert_eq!(later(10)[0]["state"], "RUNNING");
    let woken = later(30);
    assert_eq!(woken[0]["state"], "FAILURE", "{woken}");
    assert_eq!(woken[0]["verdict"], "clean");
    let events = program.json(&["flow", "events", &flow, "--json"]);
    let attempts = events
        .as_array()
        .expect("a list")
        .iter()
        .filter(|entry| entry["event"]["started"]["name"] == "goodbye");
    assert_eq!(attempts.count(), 3);
}

#[test]
fn a_short_pause_is_waited_for() {
    let program = approval();
    let text = std::fs::read_to_string(program.path("flow.toml")).expect("the example");
    let retried = "plugin = \"hello\"\nretry = { attempts = 3, backoff = \"200ms\" }";
    let text = text
        .replace(
            "{ word = \"Hello\" }",
            "{ word = \"Hello\", refuse = [\"Ada\"] }",
        )
        .replace("plugin = \"hello\"", retried);
    program.write("flow.toml", text);
    let begun = std::time::Instant::now();
    // Also with `--no-wait`, which is for waits of the plan.
    let report = program
        .run(&["run", "flow.toml", "--input", ADA, "--no-wait", "--json"])
        .exits(3)
        .json();
    assert_eq!(report["error"]["kind"], "NameRefused", "{report:#}");
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_flow_that_could_not_be_woken_is_tried_again() {
    let program = approval();
    program.write("slow.wat", Call::TakesASecond.component());
    let text = std::fs::read_to_string(program.path("flow.toml")).expect("the example");
    let text = text.replace("plugin = \"goodbye\"", "plugin = \"slow\"");
    program.write(
        "flow.toml",
        text + "\n[plugins.slow]\npath = \"slow.wat\"\n",
    );
    let flow = left_waiting(&program);
    let input = r#"{"by": "bob"}"#;
    operate(
        &program,
        &["signal", &flow, "approved", "--input", input],
        0,
    );
    super::sql(&program, "DELETE FROM components");
    let recovered = program.run(&["recover", "--json"]).exits(6).json();
    assert_ne!(recovered[0]["stuck"], Value::Null, "{recovered}");

    // Another flow of the same plan brings the component back.
    let other = r#"{"name": "Bob"}"#;
    program
        .run(&["run", "flow.toml", "--input", other, "--no-wait"])
        .exits(5);
    let recovered = program.json(&["recover", "--json"]);
    assert_eq!(recovered[0]["state"], "SUCCESS", "{recovered}");
}

#[test]
fn a_flow_that_waits_after_a_pause_is_left_waiting() {
    let program = approval();
    let text = std::fs::read_to_string(program.path("flow.toml")).expect("the example");
    let retried =
        "plugin = \"hello\"\nretry = { attempts = 100, backoff = \"100ms\", on = [\"Busy\"] }";
    program.write("flow.toml", text.replace("plugin = \"hello\"", retried));
    let first = left_waiting(&program);
    // It pauses until the first one lets the greeting go.
    let second = program.start(&["run", "flow.toml", "--input", ADA, "--no-wait", "--json"]);
    eventually("the second one pauses", || {
        let waiting = program.json(&["flow", "list", "--waiting", "--json"]);
        waiting.as_array().is_some_and(|flows| flows.len() == 2)
    });
    operate(&program, &["rollback", &first], 0);
    let report = end(second).exits(5).json();
    assert_eq!(report["flow"]["sleep"]["signal"], "approved", "{report:#}");
}

/// Returns the resident memory of a process, in MiB.
fn resident(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()));
    let status = status.expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: Option<u64> = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    kib.expect("the kernel tells") / 1024
}

#[test]
#[ignore = "takes two minutes: 100,000 flows that wait"]
fn flows_that_wait_cost_rows_and_wake_together() {
    let program = waiting(r#"{ until = "when" }"#, r#""name", "when""#);
    let settings = std::fs::read_to_string(program.path("cairn.toml")).expect("the example");
    program.write("cairn.toml", settings.replace("10000", "1000000"));
    let flows = 100_000;
    let due = now() + 90;
    let lines: String = (0..flows)
        .map(|number| {
            // A tenth of them are due earlier.
            let when = due - if number % 10 == 0 { 30 } else { 0 };
            let at = cairn::clock::Timestamp(when * 1_000_000);
            format!("{{\"name\": \"n{number}\", \"when\": \"{at}\"}}\n")
        })
        .collect();
    program.write("requests.jsonl", lines);
    let file = std::fs::File::open(program.path("requests.jsonl")).expect("it is there");
    let mut command = program.command(&["run", "flow.toml", "--jsonl", "--no-wait"]);
    command.stdin(file).stdout(std::process::Stdio::null());
    end(command.spawn().expect("it starts")).exits(5);
    assert!(now() < due - 32, "this machine is too slow for the figures");

    let watch = program.start(&["recover", "--watch"]);
    let database = rusqlite::Connection::open(program.path("cairn.db")).expect("it is there");
    let left = || -> u64 {
        let count = "SELECT count(*) FROM flows WHERE wake_at IS NOT NULL";
        let count = database.query_row(count, [], |row| row.get::<_, i64>(0));
        count
            .ok()
            .and_then(|count| count.try_into().ok())
            .expect("a number")
    };
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(left(), flows);
    let idle = resident(&watch);
    let until = |number: u64, from: i64| {
        while left() > number {
            std::thread::sleep(Duration::from_millis(50));
        }
        now() - from
    };
    let first = until(flows / 10 * 9, due - 30);
    let rest = until(0, due);
    let busy = resident(&watch);
    println!("idle {idle} MiB, busy {busy} MiB; 10,000 woken in {first} s, 90,000 in {rest} s");
    signal(&watch, "INT");
    end(watch).exits(0);
}
