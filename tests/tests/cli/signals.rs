use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command};

use acceptance::guest::Call;
use acceptance::program::{Program, end};
use serde_json::json;

use super::program;

/// A flow of three tasks, of which the second takes a second. Returns when that has begun.
fn start(program: &Program) -> Child {
    program.write("slow.wat", Call::TakesASecond.component()).write("guest.wat", Call::Behaves.component()).write(
        "flow.toml",
        "[flow]\nname = \"slow\"\n\n[plugins.slow]\npath = \"slow.wat\"\n\n[plugins.guest]\npath = \"guest.wat\"\n\n\
         [[task]]\nplugin = \"guest\"\n\n[[task]]\nplugin = \"slow\"\n\n[[task]]\nplugin = \"guest\"\nname = \"last\"\n",
    );
    let mut child = program.start(&["run", "flow.toml", "--json", "-vv"]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !(line.contains("slow") && line.contains("STARTED")) {
        line.clear();
        assert_ne!(
            stderr.read_line(&mut line).unwrap(),
            0,
            "the program ended before its second task"
        );
    }
    // Whatever else is said goes nowhere, but must not block the program.
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    child
}

fn send(child: &Child, signal: &str) {
    let status = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn the_first_signal_interrupts_after_the_task_in_hand() {
    for signal in ["-INT", "-TERM"] {
        let program = program();
        let child = start(&program);
        send(&child, signal);
        let report = end(child).exits(5).json();
        assert_eq!(report["flow"]["state"], "INTERRUPTED");
        let tasks: Vec<_> = report["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| (&task["name"], &task["state"]))
            .collect();
        assert_eq!(
            tasks,
            [
                (&json!("guest"), &json!("SUCCESS")),
                (&json!("slow"), &json!("SUCCESS"))
            ]
        );
        assert_eq!(
            (&report["error"], &report["rollback"]),
            (&json!(null), &json!(null))
        );
        assert_eq!(
            program.json(&["flows", "list", "--json"])[0]["state"],
            "INTERRUPTED"
        );
    }
}

#[test]
fn the_second_signal_ends_the_process() {
    let program = program();
    let child = start(&program);
    send(&child, "-INT");
    // The first must be taken before the second is sent, or they would be one.
    std::thread::sleep(std::time::Duration::from_millis(200));
    send(&child, "-INT");
    let run = end(child);
    assert_eq!((run.exit, run.stdout.as_str()), (-1, ""), "{}", run.stderr);
}
