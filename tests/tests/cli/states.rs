//! The table of `host/docs/operating.md`: what each operation does with a flow in each state. Every cell is tried.

use std::collections::BTreeSet;
use std::process::Child;

use acceptance::guest::Call;
use acceptance::program::{Program, end, repository};
use acceptance::slow::{eventually, send, start_slow};
use serde_json::{Value, json};

use super::operate::{only_flow, operate, run_plain};
use super::{create, program};

/// A flow in one of the states of the table.
struct Case {
    program: Program,
    flow: String,
    /// The process that owns the flow.
    owner: Option<Child>,
}

/// A flow of the first example's tasks with `tasks` between the two greetings. The second greeting refuses the name `fail`.
fn greeting(tasks: &str, retry: &str) -> Program {
    let program = program();
    program.run(&["init", "."]).exits(0);
    let flow = std::fs::read_to_string(program.path("flow.toml")).expect("the example");
    let last = "[[task]]\nplugin = \"goodbye\"\n";
    let (before, after) = flow.split_once(last).expect("the last task");
    let plugin = "[plugins.slow]\npath = \"slow.wat\"\nlimits = { deadline = \"30s\" }\n\n";
    let after = match retry {
        "" => after.to_owned(),
        retry => format!("{retry}\n"),
    };
    program
        .write("slow.wat", Call::TakesASecond.component())
        .write("flow.toml", format!("{before}{plugin}{tasks}{last}{after}"));
    program
}

fn greeted(name: &str, exit: i32) -> Case {
    let program = greeting("", "");
    let input = json!({"name": name}).to_string();
    program
        .run(&["run", "flow.toml", "--input", &input])
        .exits(exit);
    at_rest(program)
}

fn at_rest(program: Program) -> Case {
    let flow = only_flow(&program);
    Case {
        program,
        flow,
        owner: None,
    }
}

/// A flow that runs: the first greeting is put, and tasks that take a second each have begun.
fn running(seconds: usize) -> Case {
    let slow = |second| format!("[[task]]\nplugin = \"slow\"\nname = \"slow-{second}\"\n\n");
    let program = greeting(&(0..seconds).map(slow).collect::<String>(), "");
    // A busy machine may keep a process from running for seconds.
    let settings = std::fs::read_to_string(program.path("cairn.toml")).expect("the example");
    let settings = format!("patience = \"1m\"\nlease = \"1m\"\n\n{settings}");
    program.write("cairn.toml", settings);
    let input = r#"{"name": "Ada"}"#;
    let child = start_slow(&program, &["run", "flow.toml", "--input", input, "--json"]);
    let flow = only_flow(&program);
    Case {
        program,
        flow,
        owner: Some(child),
    }
}

/// A flow whose second greeting waits for half a minute before it is tried again.
fn waiting() -> Case {
    let retry = r#"retry = { attempts = 2, backoff = "30s", on = ["NameRefused"] }"#;
    let program = greeting("", retry);
    let input = r#"{"name": "fail"}"#;
    let child = program.start(&["run", "flow.toml", "--input", input, "--json"]);
    let flow = only_flow(&program);
    eventually("it waits", || {
        let events = program.run(&["flow", "events", &flow]).exits(0).stdout;
        events.contains("  retried  ")
    });
    Case {
        program,
        flow,
        owner: Some(child),
    }
}

/// A flow that waits for an approval, and that no process owns.
fn waiting_for_a_signal() -> Case {
    let program = greeting("[[task]]\nwait = { signal = \"approved\" }\n\n", "");
    let input = r#"{"name": "Ada"}"#;
    let run = program.run(&["run", "flow.toml", "--input", input, "--no-wait"]);
    run.exits(5);
    at_rest(program)
}

fn died() -> Case {
    let mut case = running(2);
    let mut child = case.owner.take().expect("it runs");
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    case
}

/// A flow with a rollback that an operator's change of its record makes incomplete.
fn incomplete() -> Case {
    let case = greeted("Ada", 0);
    let put = ["record", "put", "greetings", "Hello Ada", "1"];
    case.program.run(&put).exits(0);
    let report = operate(&case.program, &["rollback", &case.flow], 4);
    assert_eq!(report["rollback"]["verdict"], "incomplete");
    case
}

fn after(case: Case, operation: &[&str]) -> Case {
    let arguments = [&[operation[0], &case.flow], &operation[1..]].concat();
    operate(&case.program, &arguments, 0);
    case
}

/// Makes a flow that is in the state of a row.
fn in_state(row: &str) -> Case {
    match row {
        "PENDING, after `reset`" => after(greeted("fail", 3), &["reset"]),
        // No operation takes that long.
        "RUNNING" => running(20),
        "RUNNING, in the wait before a retry" => waiting(),
        "RUNNING, waiting for a signal" => waiting_for_a_signal(),
        "RUNNING, but its process died" => died(),
        "INTERRUPTED" => {
            let mut case = running(2);
            let child = case.owner.take().expect("it runs");
            send(&child, "-INT");
            end(child).exits(5);
            case
        }
        "SUCCESS" => greeted("Ada", 0),
        "FAILURE, `clean`" => greeted("fail", 3),
        "FAILURE, `kept`" => {
            let program = program();
            let report = create(&program, r#"{"size": 1}"#, &[], 0);
            let flow = report["flow"]["id"].as_str().expect("an id");
            let report = operate(&program, &["rollback", flow], 0);
            assert_eq!(report["rollback"]["verdict"], "kept");
            at_rest(program)
        }
        "FAILURE, `incomplete`: a message has left" => {
            let program = program();
            run_plain(&program);
            let outbox = program.json(&["outbox", "list", "--json"]);
            let message = outbox[0]["id"].as_str().expect("an id");
            program.run(&["outbox", "ack", message]).exits(0);
            let case = at_rest(program);
            operate(&case.program, &["rollback", &case.flow], 4);
            case
        }
        "FAILURE, `incomplete`" => incomplete(),
        "FAILURE, `residue`: accepted" => after(incomplete(), &["rollback", "--accept", "why not"]),
        "stuck" => {
            let case = died();
            super::sql(&case.program, "DELETE FROM components");
            case.program.run(&["recover"]).exits(6);
            case
        }
        other => panic!("this test has no flow in the state `{other}`"),
    }
}

impl Case {
    /// State and verdict.
    fn state(&self) -> (Value, Value) {
        let report = operate(&self.program, &["show", &self.flow], 0);
        let verdict = report["rollback"]["verdict"].clone();
        (report["flow"]["state"].clone(), verdict)
    }

    /// Does what a column says, and checks that it comes to what the cell says.
    #[track_caller]
    fn check(&mut self, row: &str, column: &str, cell: &str) {
        let place = format!("{row} / {column}");
        if column == "prune" {
            let prune = ["flow", "prune", "--older-than", "0s", "--json"];
            let pruned = self.program.json(&prune);
            let removed = usize::from(cell == "removed");
            assert_eq!(pruned["flows"], json!(removed), "{place}: {pruned}");
            return;
        }
        let before = self.state();
        let mut arguments: Vec<&str> = vec!["flow"];
        arguments.extend(column.split(' '));
        arguments.insert(2, &self.flow);
        if column.ends_with("--accept") {
            arguments.push("it is known");
        }
        arguments.extend(["--wait", "--json"]);
        let run = self.program.run(&arguments);
        // A flow is reset after it failed, and fails for the same reason again.
        let repeats = row.starts_with("PENDING") && column == "resume";
        let cell = if repeats { "FAILURE `clean`" } else { cell };
        let (refused, state) = match cell.split_once(", ") {
            _ if cell == "refused" => (true, None),
            _ if cell == "no change" => (false, None),
            Some(("refused", state)) => (true, Some(state)),
            _ => (false, Some(cell)),
        };
        let exits = match (refused, row) {
            (true, "stuck") => &[6][..],
            (true, _) => &[2],
            // A rollback that is repeated, and what it left.
            (false, _) if column.starts_with("rollback") => &[0, 4],
            (false, _) if repeats => &[3],
            (false, _) if column == "resume" && cell == "FAILURE" => &[3],
            // It waits on.
            (false, _) if column == "resume" && cell == "no change" => &[5],
            (false, _) => &[0],
        };
        assert!(exits.contains(&run.exit), "{place}: {}", run.stderr);
        let after = self.state();
        match state {
            None if self.owner.is_none() => assert_eq!(after, before, "{place}"),
            None => {}
            Some(state) => {
                let (name, verdict) = state.split_once(' ').unwrap_or((state, ""));
                assert_eq!(after.0, json!(name), "{place}");
                let verdict = verdict.trim_matches(['`', ' ']);
                assert!(
                    verdict.is_empty() || after.1 == json!(verdict),
                    "{place}: {after:?}"
                );
            }
        }
    }

    fn end(self) {
        if let Some(child) = self.owner {
            end(child);
        }
    }
}

fn cells(line: &str) -> Vec<&str> {
    let line = line.trim().trim_matches('|');
    line.split('|').map(str::trim).collect()
}

#[test]
fn every_operation_does_in_every_state_what_the_table_says() {
    let page = std::fs::read_to_string(repository("host/docs/operating.md")).expect("the page");
    let mut lines = page.lines().skip_while(|line| !line.starts_with("| state"));
    let columns: Vec<String> = cells(lines.next().expect("the table"))
        .iter()
        .map(|title| title.trim_matches('`').to_owned())
        .collect();
    let operations = [
        "interrupt",
        "resume",
        "rollback",
        "rollback --accept",
        "reset",
        "prune",
    ];
    assert_eq!(columns[1..], operations);
    let mut rows = BTreeSet::new();
    for line in lines.skip(1).take_while(|line| line.starts_with('|')) {
        let cells = cells(line);
        let row = cells[0];
        assert_eq!(cells.len(), columns.len(), "{row}");
        rows.insert(row.to_owned());
        let is_change = |cell: &str| !["refused", "no change", "kept"].contains(&cell);
        let cells: Vec<(&String, &str)> = columns.iter().zip(cells).skip(1).collect();
        // What changes nothing is tried with one flow, what changes it with a flow each.
        let mut case = in_state(row);
        for (column, cell) in cells.iter().filter(|(_, cell)| !is_change(cell)) {
            case.check(row, column, cell);
        }
        let mut unchanged = Some(case);
        for (column, cell) in cells.iter().filter(|(_, cell)| is_change(cell)) {
            let mut case = unchanged.take().unwrap_or_else(|| in_state(row));
            case.check(row, column, cell);
            case.end();
        }
        if let Some(case) = unchanged {
            case.end();
        }
    }
    assert!(rows.len() >= 12, "{rows:?}");
}
