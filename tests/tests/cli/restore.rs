//! Restoring a backup.

use std::fs;

use acceptance::program::Program;
use acceptance::stream::Stream;
use serde_json::{Value, json};

use super::{create, program};

const SEALED: &str = r#"{"size": 1, "volume_type": "sealed"}"#;

/// Creates a database with one volume and a backup of it, then two more volumes, one of which is only in the log because its process was
/// killed.
fn crashed() -> (Program, Value) {
    let program = program();
    program
        .run(&["types", "create", "sealed", "--encrypt", "luks"])
        .exits(0);
    create(&program, SEALED, &[], 0);
    let volumes = volumes(&program, "cairn.db");
    program.run(&["db", "backup", "b.db"]).exits(0);
    create(&program, SEALED, &[], 0);
    let mut runner = Stream::start(&program, &[]);
    runner.succeeds();
    runner.kill();
    assert!(length(&program, "cairn.db-wal") > 0);
    (program, volumes)
}

fn volumes(program: &Program, database: &str) -> Value {
    program.json(&["volumes", "list", "--json", "--db", database])
}

fn length(program: &Program, name: &str) -> u64 {
    fs::metadata(program.path(name)).map_or(0, |file| file.len())
}

/// Asserts that the database is the backup's, complete, and works.
#[track_caller]
fn is_restored(program: &Program, expected: &Value) {
    assert_eq!(volumes(program, "cairn.db"), *expected);
    let check = program.json(&["db", "check", "--json"]);
    assert_eq!(check["problems"], json!([]));
    program.run(&["quota", "check", "--admin"]).exits(0);
    program.run(&["recover"]).exits(0);
    create(program, SEALED, &[], 0);
    assert_eq!(volumes(program, "cairn.db").as_array().unwrap().len(), 2);
}

#[test]
fn a_restore_after_a_crash_puts_back_the_whole_and_keeps_what_was_there() {
    let (program, expected) = crashed();
    let key = fs::read(program.path("cairn.db.key")).unwrap();
    fs::write(program.path("cairn.db.key"), [7; 32]).unwrap();
    super::sql(&program, "DELETE FROM components");
    let done = program.json(&["db", "restore", "b.db", "--json"]);
    let replaced = program.path("cairn.db.replaced").display().to_string();
    assert_eq!(done["database"], "cairn.db");
    assert_eq!(done["components"], Value::Null);
    assert_eq!(done["replaced"], replaced.as_str());
    assert_eq!(fs::read(program.path("cairn.db.key")).unwrap(), key);
    assert_eq!(
        fs::read(program.path("cairn.db.replaced.key")).unwrap(),
        [7; 32]
    );
    for log in ["cairn.db-wal", "cairn.db-shm", "cairn.db-journal"] {
        assert!(!program.path(log).exists(), "{log}");
    }
    is_restored(&program, &expected);
    // The replaced database is still valid, including the contents of its log.
    let before = volumes(&program, "cairn.db.replaced");
    assert_eq!(before.as_array().unwrap().len(), 3);
    // The backup is unchanged, and can be restored again.
    let text = program.run(&["db", "restore", "b.db"]).exits(0).stdout;
    assert!(text.contains("cairn.db.replaced-2"), "{text}");
    is_restored(&program, &expected);
}

#[test]
fn a_database_that_is_damaged_or_gone_is_restored() {
    for harm in [
        |program: &Program| fs::write(program.path("cairn.db"), [0xa5; 9000]),
        |program: &Program| fs::write(program.path("cairn.db"), ""),
        |program: &Program| fs::remove_file(program.path("cairn.db")),
    ] {
        let (program, expected) = crashed();
        harm(&program).unwrap();
        program.run(&["db", "restore", "b.db"]).exits(0);
        is_restored(&program, &expected);
    }
}

#[test]
fn a_backup_that_was_copied_beside_an_old_log_is_refused() {
    let (program, expected) = crashed();
    fs::copy(program.path("b.db"), program.path("cairn.db")).unwrap();
    let request = super::request(&program, r#"{"size": 1}"#);
    let request = request.each_ref().map(String::as_str);
    for command in [
        &["volumes", "list"][..],
        &["db", "check"],
        &["recover"],
        &["quota", "set", "volumes=7"],
        &request,
    ] {
        program.run(command).exits(2).says(&[
            "cairn.db is a backup",
            "cairn.db-wal beside it is the log of another database",
            "cairn db restore BACKUP",
        ]);
    }
    assert_eq!(
        fs::read(program.path("cairn.db")).unwrap(),
        fs::read(program.path("b.db")).unwrap()
    );
    // Both suggested fixes work.
    let copy = program.path("aside");
    fs::rename(program.path("cairn.db-wal"), &copy).unwrap();
    assert_eq!(volumes(&program, "cairn.db"), expected);
    fs::rename(&copy, program.path("cairn.db-journal")).unwrap();
    program
        .run(&["recover"])
        .exits(2)
        .says(&["cairn.db-journal beside it is the log of another database"]);
    program.run(&["db", "restore", "b.db"]).exits(0);
    is_restored(&program, &expected);
}

#[test]
fn a_backup_that_is_written_to_is_a_database_like_any_other() {
    let (program, _) = crashed();
    create(&program, SEALED, &["--db", "b.db"], 0);
    let mut runner = Stream::start(&program, &["--db", "b.db"]);
    runner.succeeds();
    runner.kill();
    assert!(length(&program, "b.db-wal") > 0);
    assert_eq!(volumes(&program, "b.db").as_array().unwrap().len(), 3);
}

#[test]
fn a_restore_leaves_a_database_alone_on_which_a_process_works() {
    let (program, _) = crashed();
    let mut runner = Stream::start(&program, &[]);
    let volume = runner.succeeds();
    let refused = |backup: &str, why: &str| {
        program
            .run(&["db", "restore", backup])
            .exits(2)
            .says(&[why]);
        assert!(!program.path("cairn.db.replaced").exists());
    };
    refused("b.db", "a process works on");
    runner.succeeds();
    // The process is detected also if the file has been renamed.
    fs::rename(program.path("cairn.db"), program.path("away")).unwrap();
    refused("b.db", "a process works on");
    fs::rename(program.path("away"), program.path("cairn.db")).unwrap();
    runner.end().exits(0);
    let found = program.json(&["volumes", "show", &volume, "--json"]);
    assert_eq!(found["status"], "creating");
}

#[test]
fn what_is_no_sound_backup_changes_nothing() {
    let (program, _) = crashed();
    let expected = volumes(&program, "cairn.db");
    program.write("text", "text");
    let mut damaged = fs::read(program.path("b.db")).unwrap();
    let length = damaged.len();
    damaged[length / 2..].fill(0xa5);
    program.write("damaged.db", damaged);
    for (backup, exit, why) in [
        ("nope", 2, "there is no backup at"),
        ("cairn.db", 2, "is the database itself"),
        (".", 2, "this is a folder"),
        ("text", 1, "this file is no SQLite database"),
        ("damaged.db", 1, "damaged.db"),
    ] {
        let run = program.run(&["db", "restore", backup]).exits(exit);
        run.says(&[why]);
        assert_eq!(volumes(&program, "cairn.db"), expected, "{backup}");
        let entries = fs::read_dir(program.path("")).unwrap();
        for entry in entries {
            let name = entry.unwrap().file_name();
            let name = name.to_string_lossy();
            assert!(
                !name.contains("restoring") && !name.contains("replaced"),
                "{backup}: {name}"
            );
        }
    }
}

#[test]
fn a_restore_that_was_cut_short_is_done_again_before_anything_else() {
    let (program, expected) = crashed();
    // Simulates a crash before the old database is renamed.
    fs::copy(program.path("b.db"), program.path("cairn.db.restoring")).unwrap();
    for gone in [false, true] {
        if gone {
            fs::rename(program.path("cairn.db"), program.path("cairn.db.replaced")).unwrap();
        }
        for command in [&["recover"][..], &["zones", "create", "z"]] {
            let run = program.run(command).exits(2);
            if gone && command == ["recover"] {
                run.says(&["there is no database"]);
            } else {
                run.says(&["a restore was not finished", "run `cairn db restore` again"]);
            }
        }
    }
    program.run(&["db", "restore", "b.db"]).exits(0);
    assert!(!program.path("cairn.db.restoring").exists());
    is_restored(&program, &expected);
}
