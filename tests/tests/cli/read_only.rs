//! Reading a database in a place without write access.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use acceptance::program::{Program, Run, end};
use acceptance::stream::Stream;
use serde_json::Value;

use super::{create, program};

/// A user who owns no files.
const NOBODY: u32 = 65534;

/// Commands that only read.
const READS: &[&[&str]] = &[
    &["volumes", "list", "--json"],
    &["flows", "list", "--json"],
    &["quota", "show", "--json"],
    &["quota", "check", "--admin", "--json"],
    &["types", "list", "--json"],
    &["zones", "list", "--json"],
    &["images", "list", "--json"],
    &["snapshots", "list", "--json"],
    &["outbox", "list", "--json"],
    &["db", "check", "--json"],
    &[
        "flows",
        "prune",
        "--older-than",
        "0s",
        "--dry-run",
        "--json",
    ],
];

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Runs the program as a user without write access to its folder. If the tests do not run as root, that is the same user, restricted by the
/// folder's mode.
fn without_rights(program: &Program, arguments: &[&str]) -> Run {
    let folder = program.path("");
    let is_root = fs::metadata(&folder).unwrap().uid() == 0;
    let mut command = program.command(arguments);
    if is_root {
        command.uid(NOBODY).gid(NOBODY);
    }
    set_mode(&folder, 0o555);
    let run = command.spawn().map(end);
    set_mode(&folder, 0o755);
    run.expect("the program starts")
}

/// Asserts that every reading command returns the same as with write access.
#[track_caller]
fn reads_all(program: &Program, expected: &[Value]) {
    let before = names(program);
    for (command, expected) in READS.iter().zip(expected) {
        let run = without_rights(program, command).exits(0);
        assert_eq!(run.json(), *expected, "{command:?}");
    }
    assert_eq!(names(program), before);
}

fn read_all(program: &Program) -> Vec<Value> {
    READS.iter().map(|command| program.json(command)).collect()
}

fn names(program: &Program) -> Vec<String> {
    let entries = fs::read_dir(program.path("")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_database_is_read_without_the_right_to_write() {
    let program = program();
    create(&program, r#"{"size": 1}"#, &[], 0);
    let expected = read_all(&program);
    for part in ["-wal", "-shm"] {
        let _ = fs::remove_file(program.path(&format!("cairn.db{part}")));
    }
    reads_all(&program, &expected);
    let run = without_rights(&program, &["volumes", "delete", "x"]).exits(1);
    run.says(&["check that"]);
    // A backup is written to a folder where the user may write.
    let elsewhere = tempfile::tempdir().unwrap();
    set_mode(elsewhere.path(), 0o777);
    let copy = elsewhere.path().join("b.db").display().to_string();
    without_rights(&program, &["db", "backup", &copy]).exits(0);
    let volumes = program.json(&["--db", &copy, "volumes", "list", "--json"]);
    assert_eq!(volumes, expected[0]);
}

#[test]
fn what_a_process_left_in_the_log_is_read_too() {
    for with_index in [true, false] {
        let program = program();
        let mut runner = Stream::start(&program, &[]);
        let volume = runner.succeeds();
        runner.kill();
        if !with_index {
            fs::remove_file(program.path("cairn.db-shm")).unwrap();
        }
        assert!(program.path("cairn.db-wal").metadata().unwrap().len() > 0);
        let run = without_rights(&program, &["volumes", "list", "--json"]).exits(0);
        assert_eq!(run.json()[0]["id"], volume.as_str(), "{with_index}");
        let before = names(&program);
        let seen: Vec<Value> = READS
            .iter()
            .map(|command| without_rights(&program, command).exits(0).json())
            .collect();
        assert_eq!(names(&program), before);
        assert_eq!(seen, read_all(&program), "{with_index}");
    }
}

#[test]
fn a_database_is_read_while_another_user_writes_to_it() {
    let program = program();
    let mut runner = Stream::start(&program, &[]);
    for number in 1..=3 {
        runner.succeeds();
        let run = without_rights(&program, &["volumes", "list", "--json"]).exits(0);
        assert_eq!(run.json().as_array().unwrap().len(), number);
    }
    runner.end().exits(0);
}

#[test]
fn a_file_that_may_not_be_read_is_an_error() {
    let program = program();
    create(&program, r#"{"size": 1}"#, &[], 0);
    set_mode(&program.path("cairn.db"), 0o000);
    let run = without_rights(&program, &["volumes", "list"]).exits(1);
    run.says(&["cairn.db", "check that"]);
    set_mode(&program.path("cairn.db"), 0o644);
}
