//! The master key: where it comes from, and that a database is used with one only.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use acceptance::program::Program;
use serde_json::{Value, json};

use super::{create, program, request, sql};

const SEALED: &str = r#"{"size": 1, "volume_type": "sealed"}"#;

/// Creates a database without a key whose volume type needs one.
fn with_type() -> Program {
    let program = program();
    program
        .run(&["types", "create", "sealed", "--encrypt", "luks"])
        .exits(0);
    program
}

/// Creates a database with a sealed key.
fn sealed() -> Program {
    let program = with_type();
    create(&program, SEALED, &[], 0);
    program
}

fn write_key(program: &Program, name: &str, key: [u8; 32]) {
    program.write(name, key);
    fs::set_permissions(program.path(name), fs::Permissions::from_mode(0o600)).unwrap();
}

fn recorded(program: &Program) -> Option<String> {
    let database = rusqlite::Connection::open(program.path("cairn.db")).unwrap();
    let statement = "SELECT value FROM facts WHERE name = 'master-key'";
    database.query_row(statement, [], |row| row.get(0)).ok()
}

fn volumes(program: &Program) -> usize {
    let volumes = program.json(&["volumes", "list", "--json"]);
    volumes.as_array().unwrap().len()
}

/// Asserts that every command that starts a host is refused and says this, and that reads are not.
#[track_caller]
fn no_host_starts(program: &Program, says: &[&str]) {
    let run = request(program, SEALED);
    let run = run.each_ref().map(String::as_str);
    let before = volumes(program);
    for command in [&run[..], &["recover"]] {
        program.run(command).exits(2).says(says);
    }
    assert_eq!(volumes(program), before);
    program.run(&["db", "check"]).exits(0);
}

#[test]
fn a_host_with_another_master_key_does_not_start() {
    let program = sealed();
    let own = recorded(&program).expect("a fingerprint");
    let key = fs::read(program.path("cairn.db.key")).unwrap();
    write_key(&program, "cairn.db.key", [7; 32]);
    no_host_starts(
        &program,
        &[
            "the master key has the fingerprint",
            &format!("sealed with the one of fingerprint {own}: put that one back"),
        ],
    );
    program.write("cairn.db.key", key);
    create(&program, SEALED, &[], 0);
    assert_eq!(recorded(&program), Some(own));
}

#[test]
fn a_host_without_its_master_key_starts_and_makes_no_other() {
    let program = sealed();
    let own = recorded(&program);
    fs::remove_file(program.path("cairn.db.key")).unwrap();
    create(&program, r#"{"size": 1}"#, &[], 0);
    let report = create(&program, SEALED, &[], 3);
    assert_eq!(report["error"]["kind"], "KeyStoreUnavailable");
    // Even after the last key is gone.
    sql(&program, "DELETE FROM keys");
    let report = create(&program, SEALED, &[], 3);
    assert_eq!(report["error"]["kind"], "KeyStoreUnavailable");
    assert!(!program.path("cairn.db.key").exists());
    assert_eq!(recorded(&program), own);
}

#[test]
fn a_master_key_is_tried_on_a_key_of_an_older_version_before_it_is_recorded() {
    let program = sealed();
    let own = recorded(&program);
    sql(&program, "DELETE FROM facts WHERE name = 'master-key'");
    let key = fs::read(program.path("cairn.db.key")).unwrap();
    write_key(&program, "cairn.db.key", [7; 32]);
    no_host_starts(&program, &["does not open", "put the master key back"]);
    assert_eq!(recorded(&program), None);
    program.write("cairn.db.key", key);
    program.run(&["recover"]).exits(0);
    assert_eq!(recorded(&program), own);
}

#[test]
fn a_command_provides_the_master_key() {
    let program = with_type();
    write_key(&program, "secret", [7; 32]);
    program.write("cairn.toml", "[keys]\ncommand = [\"base64\", \"secret\"]\n");
    create(&program, SEALED, &[], 0);
    assert!(recorded(&program).is_some());
    assert!(!program.path("cairn.db.key").exists());
    let rows = program.json(&["config", "show", "--json"]);
    let row = |name: &str| {
        let rows = rows.as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == name);
        row.expect(name)["value"].clone()
    };
    assert_eq!(row("keys.command"), json!(["base64", "secret"]));
    assert_eq!(row("keys.file"), Value::Null);
    // The same key by a file.
    program.write("cairn.toml", "[keys]\nfile = \"secret\"\n");
    create(&program, SEALED, &[], 0);
    // Without a shell, `;` is a word.
    program.write(
        "cairn.toml",
        "[keys]\ncommand = [\"cat\", \"secret;\", \"x\"]\n",
    );
    no_host_starts(
        &program,
        &["the master key cannot be read: `cat` failed: exit status: 1"],
    );
    program.write("cairn.toml", "[keys]\ncommand = [\"echo\", \"hunter2\"]\n");
    no_host_starts(
        &program,
        &["the output of the command in [keys] is no master key"],
    );
    let run = program.run(&["recover"]);
    assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
}

#[test]
fn a_master_key_that_cannot_be_loaded_keeps_a_host_from_starting() {
    let program = sealed();
    let path = program.path("cairn.db.key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    no_host_starts(&program, &["has mode 0640", "chmod 600"]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    program.write("cairn.db.key", "short");
    no_host_starts(
        &program,
        &["is no master key: it has 5 bytes and should have 32"],
    );
}

#[test]
fn the_older_names_of_the_key_file_still_work() {
    let program = with_type();
    program.write("cairn.toml", "master_key = \"own\"\n");
    create(&program, SEALED, &[], 0);
    assert!(program.path("own").exists());
    program.write("cairn.toml", "");
    create(&program, SEALED, &["--master-key", "own"], 0);
    assert!(!program.path("cairn.db.key").exists());
    program.write("cairn.toml", "[keys]\nfile = \"own\"\n");
    create(&program, SEALED, &[], 0);
    program.write(
        "cairn.toml",
        "master_key = \"own\"\n[keys]\nfile = \"own\"\n",
    );
    program
        .run(&["recover"])
        .exits(2)
        .says(&["`master_key` is given beside [keys]", "cairn.toml:1"]);
}

#[test]
fn a_backup_and_a_restore_leave_the_key_out_on_request() {
    let program = sealed();
    let made = program.json(&["db", "backup", "b.db", "--without-key", "--json"]);
    assert_eq!(made["master_key"], Value::Null);
    assert!(!program.path("b.db.key").exists());
    program.run(&["db", "backup", "with.db"]).exits(0);
    // The fingerprint is in both.
    let own = recorded(&program);
    for backup in ["b.db", "with.db"] {
        fs::copy(program.path("cairn.db.key"), program.path("key")).unwrap();
        write_key(&program, "cairn.db.key", [7; 32]);
        let done = program.json(&["db", "restore", backup, "--without-key", "--json"]);
        assert_eq!(done["master_key"], Value::Null);
        assert_eq!(recorded(&program), own);
        assert_eq!(fs::read(program.path("cairn.db.key")).unwrap(), [7; 32]);
        no_host_starts(&program, &["sealed with the one of fingerprint"]);
        fs::rename(program.path("key"), program.path("cairn.db.key")).unwrap();
        create(&program, SEALED, &[], 0);
    }
    for name in ["cairn.db.replaced.key", "cairn.db.replaced-2.key"] {
        assert!(!program.path(name).exists(), "{name}");
    }
}

#[test]
fn a_key_that_a_command_provides_is_neither_copied_nor_restored() {
    let program = with_type();
    write_key(&program, "secret", [7; 32]);
    program.write("cairn.toml", "[keys]\ncommand = [\"cat\", \"secret\"]\n");
    create(&program, SEALED, &[], 0);
    let made = program.json(&["db", "backup", "b.db", "--json"]);
    assert_eq!(made["master_key"], Value::Null);
    write_key(&program, "b.db.key", [7; 32]);
    program
        .run(&["db", "restore", "b.db"])
        .exits(2)
        .says(&["b.db.key cannot be restored", "--without-key"]);
    assert!(!program.path("cairn.db.replaced").exists());
    program
        .run(&["db", "restore", "b.db", "--without-key"])
        .exits(0);
    create(&program, SEALED, &[], 0);
}

#[test]
fn on_a_server_no_master_key_is_made_and_hosts_that_have_one_have_the_same() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    let program = program();
    let configure = |keys: &str| {
        program.write("cairn.toml", database.settings(keys));
    };
    let files = || {
        let files = fs::read_dir(program.path("")).unwrap().flatten();
        let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
        names
            .filter(|name| name.contains("key"))
            .collect::<Vec<_>>()
    };
    configure("");
    program
        .run(&["types", "create", "sealed", "--encrypt", "luks"])
        .exits(0);
    let report = create(&program, SEALED, &[], 3);
    assert_eq!(report["error"]["kind"], "KeysNotConfigured");
    assert_eq!(files(), Vec::<String>::new());

    configure("[keys]\nfile = \"one.key\"");
    program
        .run(&["recover"])
        .exits(2)
        .says(&["cannot read the master key"]);
    assert_eq!(files(), Vec::<String>::new());
    write_key(&program, "one.key", [7; 32]);
    create(&program, SEALED, &[], 0);

    write_key(&program, "other.key", [8; 32]);
    configure("[keys]\ncommand = [\"cat\", \"other.key\"]");
    program
        .run(&["recover"])
        .exits(2)
        .says(&["sealed with the one of fingerprint"]);
    // A host without a key is not compared.
    configure("");
    create(&program, r#"{"size": 1}"#, &[], 0);
    configure("[keys]\ncommand = [\"cat\", \"one.key\"]");
    create(&program, SEALED, &[], 0);
}
