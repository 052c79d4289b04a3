use std::process::Child;

use acceptance::guest::Call;
use acceptance::program::{Program, end};
use acceptance::slow::{eventually, send, start_slow};
use serde_json::json;

use super::program;

/// Starts a flow of three tasks, the second of which takes a second. Returns when that has started.
fn start(program: &Program) -> Child {
    program.write("slow.wat", Call::TakesASecond.component()).write("guest.wat", Call::Behaves.component()).write(
        "flow.toml",
        "[flow]\nname = \"slow\"\n\n[plugins.slow]\npath = \"slow.wat\"\n\n[plugins.guest]\npath = \"guest.wat\"\n\n\
         [[task]]\nplugin = \"guest\"\n\n[[task]]\nplugin = \"slow\"\n\n[[task]]\nplugin = \"guest\"\nname = \"last\"\n",
    );
    start_slow(program, &["run", "flow.toml", "--json"])
}

#[test]
fn the_first_signal_interrupts_after_the_task_in_hand() {
    for signal in ["-INT", "-TERM", "-HUP"] {
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
    // The first signal must be handled before the second is sent, or they would be merged.
    std::thread::sleep(std::time::Duration::from_millis(200));
    send(&child, "-INT");
    let run = end(child);
    assert_eq!((run.exit, run.stdout.as_str()), (-1, ""), "{}", run.stderr);
}

#[test]
fn a_signal_that_ends_the_test_of_a_plugin_leaves_no_folder_behind() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let program = program();
        let folder = program.path("temporary");
        std::fs::create_dir(&folder).expect("the folder is ours");
        let is_empty = || {
            let mut entries = std::fs::read_dir(&folder).expect("it is there");
            entries.next().is_none()
        };
        let mut command = program.command(&["plugin", "test", "builtin:entry-create", "--laws"]);
        let child = command.env("TMPDIR", &folder).spawn();
        let child = child.expect("the program starts");
        eventually("the trials have a folder", || !is_empty());
        send(&child, signal);
        assert_eq!(end(child).exit, -1);
        assert!(is_empty(), "{signal}");
    }
}
