//! A database whose files are renamed or removed while a process works on it.

use std::fs;

use acceptance::program::Program;
use acceptance::stream::Stream;

use super::program;

/// A name, a change to the files, and the file that the error must name.
type Blow = (&'static str, fn(&Program), &'static str);

const BLOWS: &[Blow] = &[
    ("removed", |program| remove(program, "cairn.db"), "cairn.db"),
    (
        "replaced",
        |program| {
            program.run(&["db", "backup", "b.db"]).exits(0);
            rename(program, "b.db", "cairn.db");
        },
        "cairn.db",
    ),
    (
        "renamed",
        |program| rename(program, "cairn.db", "away.db"),
        "cairn.db",
    ),
    (
        "no log",
        |program| remove(program, "cairn.db-wal"),
        "cairn.db-wal",
    ),
    (
        "another log",
        |program| {
            fs::copy(program.path("cairn.db-wal"), program.path("copy")).unwrap();
            rename(program, "copy", "cairn.db-wal");
        },
        "cairn.db-wal",
    ),
    (
        "no index",
        |program| remove(program, "cairn.db-shm"),
        "cairn.db-shm",
    ),
];

fn remove(program: &Program, name: &str) {
    fs::remove_file(program.path(name)).unwrap();
}

fn rename(program: &Program, from: &str, to: &str) {
    fs::rename(program.path(from), program.path(to)).unwrap();
}

#[test]
fn a_stream_whose_database_loses_a_file_ends_and_reports_no_success() {
    for (what, blow, named) in BLOWS {
        let program = program();
        let mut runner = Stream::start(&program, &[]);
        runner.succeeds();
        blow(&program);
        let names = |program: &Program| {
            let entries = fs::read_dir(program.path("")).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let before = names(&program);
        let report = runner.ask();
        assert_eq!(
            report["flow"],
            serde_json::Value::Null,
            "{what}: {report:#}"
        );
        let failure = report["failure"].as_str().unwrap_or_default();
        let path = program.path(named).display().to_string();
        assert!(
            failure.contains(&format!("{path} was removed, or replaced by another file")),
            "{what}: {failure}"
        );
        // It ends by itself, although stdin is still open.
        runner.ended().exits(1);
        assert_eq!(names(&program), before, "{what}");
    }
}

#[test]
fn what_replaced_a_database_keeps_its_log_when_the_process_ends() {
    let program = program();
    let mut runner = Stream::start(&program, &[]);
    runner.succeeds();
    program.run(&["db", "backup", "b.db"]).exits(0);
    for part in ["", "-wal", "-shm"] {
        remove(&program, &format!("cairn.db{part}"));
    }
    rename(&program, "b.db", "cairn.db");
    let mut other = Stream::start(&program, &[]);
    let volume = other.succeeds();
    // The first process ends without another commit, then the second is killed: the results that it reported are only
    // in its log.
    runner.end().exits(0);
    other.kill();
    let found = program.json(&["volumes", "show", &volume, "--json"]);
    assert_eq!(found["id"], volume.as_str());
}
