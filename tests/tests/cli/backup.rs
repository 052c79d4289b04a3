use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use acceptance::program::Program;
use cairn::value::Digest;
use serde_json::json;

use super::{create, program};

const ENCRYPTED: &str = r#"{"size": 1, "volume_type": "sealed"}"#;

/// Creates a database with a key, and so with a master key file.
fn kept() -> Program {
    let program = program();
    program
        .run(&["types", "create", "sealed", "--encrypt", "luks"])
        .exits(0);
    create(&program, ENCRYPTED, &[], 0);
    program
}

/// Returns the files of a folder with their bytes, except those that SQLite creates for readers.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = if path.is_dir() {
            format!("{:?}", content(&path)).into_bytes()
        } else {
            fs::read(&path).unwrap()
        };
        (name, bytes)
    });
    let mut content: Vec<_> = entries
        .filter(|(name, _)| !name.starts_with("cairn.db-"))
        .collect();
    content.sort();
    content
}

#[test]
fn a_backup_is_a_database_that_flows_go_on_with() {
    let program = kept();
    let volumes = program.json(&["volumes", "list", "--json"]);
    let flows = program.json(&["flows", "list", "--json"]);
    let made = program.json(&["db", "backup", "b.db", "--json"]);
    assert_eq!(
        made,
        json!({
            "database": "b.db",
            "components": null,
            "master_key": "b.db.key",
        })
    );
    create(&program, ENCRYPTED, &[], 0);

    for part in ["cairn.db", "cairn.db.key"] {
        fs::remove_file(program.path(part)).unwrap();
    }
    let check = program.run(&["db", "check", "--db", "b.db"]).exits(0);
    assert!(
        check.stdout.contains("no problem was found"),
        "{}",
        check.stdout
    );
    let on_copy = |arguments: &[&str]| {
        let arguments = [arguments, &["--json", "--db", "b.db"]].concat();
        program.json(&arguments)
    };
    assert_eq!(on_copy(&["volumes", "list"]), volumes);
    assert_eq!(on_copy(&["flows", "list"]), flows);
    assert_eq!(
        on_copy(&["quota", "check", "--admin"]),
        json!({"drift": []})
    );
    let mode = fs::metadata(program.path("b.db.key"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    for folder in ["b.db.components", "cairn.db.components"] {
        assert!(!program.path(folder).exists(), "{folder}");
    }
    // Sealing a key needs the master key of the existing ones.
    create(&program, ENCRYPTED, &["--db", "b.db"], 0);
}

#[test]
fn what_is_not_there_is_not_backed_up() {
    let program = program();
    program.run(&["zones", "create", "nova"]).exits(0);
    let run = program.run(&["db", "backup", "b.db"]).exits(0);
    assert_eq!(run.stdout, "database  b.db\n");
    assert_eq!(
        program
            .json(&["zones", "list", "--json", "--db", "b.db"])
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let names: Vec<String> = content(&program.path(""))
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert!(
        !names.iter().any(|name| name.contains("partial")),
        "{names:?}"
    );
}

#[test]
fn components_of_an_older_version_are_copied_until_a_command_has_stored_them() {
    let program = kept();
    let name = |bytes: &[u8]| format!("{}.wasm", Digest::of(bytes));
    let put = |bytes: &[u8]| {
        fs::create_dir_all(program.path("cairn.db.components")).unwrap();
        program.write(&format!("cairn.db.components/{}", name(bytes)), bytes);
    };
    put(b"old");
    let made = program.json(&["db", "backup", "b.db", "--json"]);
    let copied = json!({"folder": "b.db.components", "files": 1});
    assert_eq!(made["components"], copied);

    // Those of the database that is replaced stay with it.
    fs::remove_dir_all(program.path("cairn.db.components")).unwrap();
    put(b"newer");
    let done = program.json(&["db", "restore", "b.db", "--json"]);
    assert_eq!(done["components"], 1);
    let files = |folder: &str| {
        let files = content(&program.path(folder)).into_iter();
        files.map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(files("cairn.db.replaced.components"), [name(b"newer")]);
    assert_eq!(files("cairn.db.components"), [name(b"old")]);
    program.run(&["recover"]).exits(0);
    assert!(!program.path("cairn.db.components").exists());
    let made = program.json(&["db", "backup", "c.db", "--json"]);
    assert_eq!(made["components"], json!(null));
}

#[test]
fn a_backup_never_overwrites() {
    let program = kept();
    for taken in ["b.db", "b.db.key", "b.db.components", "b.db-wal"] {
        program.write(taken, "mine");
        let before = content(&program.path(""));
        program
            .run(&["db", "backup", "b.db"])
            .exits(2)
            .says(&[&format!(
                "{taken} exists already, and a backup never overwrites"
            )]);
        assert!(content(&program.path("")) == before, "{taken}");
        fs::remove_file(program.path(taken)).unwrap();
    }
    program
        .run(&["db", "backup", "cairn.db"])
        .exits(2)
        .says(&["cairn.db exists already"]);
    program.run(&["db", "check"]).exits(0);
}

#[test]
fn a_backup_that_fails_leaves_nothing() {
    let program = kept();
    program
        .run(&["db", "backup", "nowhere/b.db"])
        .exits(1)
        .says(&[
            "nowhere/b.db cannot be written",
            "check that the folder exists",
        ]);
    // The key file cannot be read.
    fs::remove_file(program.path("cairn.db.key")).unwrap();
    fs::create_dir(program.path("cairn.db.key")).unwrap();
    let before = content(&program.path(""));
    program
        .run(&["db", "backup", "b.db"])
        .exits(1)
        .says(&["cairn.db.key cannot be read"]);
    assert!(content(&program.path("")) == before, "something was left");
}

#[test]
fn a_database_is_brought_to_the_newest_version() {
    let program = program();
    for command in [&["db", "backup", "b.db"][..], &["db", "migrate"]] {
        program
            .run(command)
            .exits(2)
            .says(&["there is no database at cairn.db"]);
    }
    assert!(!program.has_database());
    // The write-ahead log marks the file as a database before it has any table.
    super::sql(&program, "PRAGMA journal_mode = WAL");
    let newest = program.json(&["db", "check", "--json"])["newest_version"].clone();
    assert_eq!(
        program.json(&["db", "migrate", "--json"]),
        json!({"from": 0, "to": newest})
    );
    let text = program.run(&["db", "migrate"]).exits(0).stdout;
    assert_eq!(
        text,
        format!("schema version {newest}: it is the newest already\n")
    );
    program.run(&["flows", "list"]).exits(0);

    super::sql(&program, "PRAGMA user_version = 99");
    program
        .run(&["db", "migrate"])
        .exits(1)
        .says(&["was made by a newer version of Cairn"]);
    super::sql(&program, "PRAGMA user_version = 0");
    program
        .run(&["db", "migrate"])
        .exits(1)
        .says(&["is a database of another program"]);
}
