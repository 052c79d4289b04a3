//! `cairn db vacuum`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use acceptance::program::{Program, end, volume_create};
use serde_json::Value;

use super::{create, program};

/// Returns the bytes of the database and its log.
fn size(program: &Program) -> u64 {
    let bytes = |name: &str| fs::metadata(program.path(name)).map_or(0, |file| file.len());
    bytes("cairn.db") + bytes("cairn.db-wal")
}

/// Returns the output of all lists.
fn all(program: &Program) -> Vec<Value> {
    [
        "volumes",
        "types",
        "snapshots",
        "images",
        "zones",
        "outbox",
        "flows",
    ]
    .iter()
    .map(|list| program.json(&[list, "list", "--json"]))
    .chain([program.json(&["quota", "show", "--json"])])
    .collect()
}

#[test]
fn what_was_pruned_gives_its_space_back() {
    let program = program();
    program.write("requests", "{\"size\": 0}\n".repeat(3000));
    let requests = fs::File::open(program.path("requests")).expect("the requests");
    let mut command = program.command(&["run", &volume_create(), "--jsonl"]);
    end(command.stdin(requests).spawn().expect("the program starts")).exits(3);
    program
        .run(&["flows", "prune", "--older-than", "0s"])
        .exits(0);
    create(&program, r#"{"size": 3}"#, &[], 0);
    let (pruned, before) = (size(&program), all(&program));

    let vacuumed = program.json(&["db", "vacuum", "--json"]);
    let after = size(&program);
    assert!(after < pruned / 2, "{after} of {pruned}");
    assert_eq!(
        (
            &vacuumed["before"],
            &vacuumed["after"],
            &vacuumed["complete"]
        ),
        (&pruned.into(), &after.into(), &true.into())
    );
    assert_eq!(all(&program), before, "nothing else changed");
    program.run(&["db", "check"]).exits(0);
    create(&program, r#"{"size": 1}"#, &[], 0);
    let text = program.run(&["db", "vacuum"]).exits(0).stdout;
    assert!(text.contains(" -> "), "{text}");
}

#[test]
fn it_is_refused_while_another_process_works_on_flows() {
    let program = program();
    let mut command = program.command(&["run", &volume_create(), "--jsonl"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    stdin.write_all(b"{\"size\": 1}\n").expect("it reads");
    let mut reports = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    let mut report = String::new();
    reports.read_line(&mut report).expect("a report");
    assert!(report.contains("SUCCESS"), "{report}");

    let run = program.run(&["db", "vacuum"]).exits(6);
    run.says(&[
        &format!("process {} works on flows", child.id()),
        "try again",
    ]);
    // The other process continues undisturbed.
    stdin.write_all(b"{\"size\": 2}\n").expect("it reads");
    drop(stdin);
    report.clear();
    reports.read_line(&mut report).expect("a report");
    assert!(report.contains("SUCCESS"), "{report}");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    program.run(&["db", "vacuum"]).exits(0);
    program.run(&["quota", "check"]).exits(0);
}

#[test]
fn without_a_database_there_is_nothing_to_vacuum() {
    let program = program();
    program.run(&["db", "vacuum"]).exits(2);
    assert!(!program.has_database());
}
