//! Backups of databases on servers, and restores to servers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use acceptance::program::volume_create;
use acceptance::slow::eventually;
use serde_json::{Value, json};

use super::{ON_SERVER, SEALED, another, fill, is_empty, moves, on_server, places, without_key};
use crate::{create, killed_after};

#[test]
fn flows_of_a_process_that_was_killed_are_recovered_after_a_move_and_after_a_restore() {
    let Some((program, database)) = places() else {
        return;
    };
    without_key(&program, &database);
    killed_after(&program, "quota-reserve");
    moves(&program, &database);
    program
        .run(&[&["db", "backup", "b.db"], &ON_SERVER[..]].concat())
        .exits(0);
    let other = another().unwrap();
    program.write("other.toml", other.settings(""));
    let on_other = ["--config", "other.toml"];
    program
        .run(&[&["db", "restore", "b.db"], &on_other[..]].concat())
        .exits(0);
    program
        .run(&[&["db", "release"], &on_other[..]].concat())
        .exits(0);
    assert_eq!(
        other.sql("SELECT count(*) FROM cairn.partitions WHERE host IS NOT NULL"),
        "0"
    );
    for place in [ON_SERVER, on_other] {
        program.run(&[&["recover"], &place[..]].concat()).exits(0);
        let flows = program.json(&[&["flows", "list", "--json"], &place[..]].concat());
        assert_eq!(flows[0]["state"], "FAILURE", "{flows}");
        program
            .run(&[&["quota", "check", "--admin"], &place[..]].concat())
            .exits(0);
    }
}

#[test]
fn what_is_no_backup_is_not_restored_to_a_server() {
    let Some((program, database)) = places() else {
        return;
    };
    let restore = |backup: &str, more: &[&str]| {
        program.run(&[&["db", "restore", backup], &ON_SERVER[..], more].concat())
    };
    restore("b.db", &[])
        .exits(2)
        .says(&["there is no backup at"]);
    program.write(
        "text",
        "no database, but long enough to be the header of one, or so it may seem to somebody",
    );
    restore("text", &[]).exits(1).says(&["no SQLite database"]);
    rusqlite::Connection::open(program.path("foreign.db"))
        .and_then(|connection| connection.execute_batch("CREATE TABLE other (id)"))
        .unwrap();
    restore("foreign.db", &[])
        .exits(1)
        .says(&["a database of another program"]);
    is_empty(&database);

    // The key of another database is kept.
    fill(&program);
    program.run(&["db", "backup", "b.db"]).exits(0);
    program.write("cairn.db.key", [7; 32]);
    restore("b.db", &[])
        .exits(2)
        .says(&["is another master key than", "--without-key"]);
    is_empty(&database);
    fs::remove_file(program.path("cairn.db.key")).unwrap();
    let run = restore("b.db", &[]).exits(0);
    assert!(run.stdout.contains("cairn.db.key"), "{}", run.stdout);
    assert_eq!(
        fs::read(program.path("cairn.db.key")).unwrap(),
        fs::read(program.path("b.db.key")).unwrap()
    );
}

#[test]
fn a_restore_to_a_server_that_fails_at_the_commit_has_put_the_key_and_is_repeated() {
    let Some((program, database)) = places() else {
        return;
    };
    fill(&program);
    program.run(&["db", "backup", "b.db"]).exits(0);
    fs::remove_file(program.path("cairn.db.key")).unwrap();
    program
        .run(&[&["db", "migrate"], &ON_SERVER[..]].concat())
        .exits(0);
    database.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no commit today'; END $$;
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON cairn.zones DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    let restore = || program.run(&[&["db", "restore", "b.db"], &ON_SERVER[..]].concat());
    restore().exits(1).says(&["no commit today"]);
    is_empty(&database);
    let key = |name: &str| fs::read(program.path(name)).unwrap();
    assert_eq!(key("cairn.db.key"), key("b.db.key"));

    database.sql("DROP TRIGGER late ON cairn.zones");
    restore().exits(0);
    assert_eq!(key("cairn.db.key"), key("b.db.key"));
    program
        .run(&[&["db", "release"], &ON_SERVER[..]].concat())
        .exits(0);
    create(&program, SEALED, &ON_SERVER, 0);
}

#[test]
fn a_key_is_left_out_where_that_is_asked_for() {
    let Some((program, database)) = places() else {
        return;
    };
    fill(&program);
    moves(&program, &database);
    let made = on_server(&program, &["db", "backup", "b.db", "--without-key"]);
    assert_eq!(made["master_key"], Value::Null);
    assert!(!program.path("b.db.key").exists());
    // Its fingerprint is part of the backup: another key is refused.
    let other = another().unwrap();
    let keys = "[keys]\nfile = \"other.key\"\n";
    program.write("other.toml", other.settings(keys));
    let on_other = ["--config", "other.toml"];
    let restored = program.json(
        &[
            &["db", "restore", "b.db", "--without-key", "--json"],
            &on_other[..],
        ]
        .concat(),
    );
    assert_eq!(
        (&restored["master_key"], &restored["held"]),
        (&Value::Null, &json!(true))
    );
    let fingerprint = "SELECT count(*) FROM cairn.facts WHERE name = 'master-key'";
    assert_eq!(other.sql(fingerprint), "1");
    program
        .run(&[&["db", "release"], &on_other[..]].concat())
        .exits(0);
    program.write("other.key", [7; 32]);
    fs::set_permissions(program.path("other.key"), fs::Permissions::from_mode(0o600)).unwrap();
    program
        .run(&[&["recover"], &on_other[..]].concat())
        .exits(2)
        .says(&["master key"]);
}

/// The flows that run while backups are made.
const FLOWS: usize = 300;

#[test]
fn a_backup_of_a_server_is_one_state_while_flows_run() {
    let Some((program, database)) = places() else {
        return;
    };
    without_key(&program, &database);
    program.write("requests", "{\"size\": 1}\n".repeat(FLOWS));
    let requests = fs::File::open(program.path("requests")).unwrap();
    let flow = volume_create();
    let arguments = [&["run", &flow, "--jsonl", "--project", "p"][..], &ON_SERVER].concat();
    let settings = [
        &[
            "quota",
            "set",
            "volumes=-1",
            "gigabytes=-1",
            "--project",
            "p",
            "--admin",
        ][..],
        &ON_SERVER,
    ];
    program.run(&settings.concat()).exits(0);
    let mut child = program
        .command(&arguments)
        .stdin(requests)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let count = || {
        database
            .sql("SELECT count(*) FROM cairn.flows")
            .parse::<usize>()
            .unwrap()
    };
    eventually("flows run", || count() > 0);
    let mut seen = Vec::new();
    while child.try_wait().unwrap().is_none() {
        let name = format!("b{}.db", seen.len());
        on_server(&program, &["db", "backup", &name]);
        seen.push(name);
    }
    assert!(child.wait().unwrap().success());
    let mut in_the_middle = 0;
    for name in &seen {
        program
            .run(&["quota", "check", "--admin", "--db", name])
            .exits(0);
        let check = program.json(&["db", "check", "--json", "--db", name]);
        assert_eq!(check["problems"], json!([]));
        let connection = rusqlite::Connection::open(program.path(name)).unwrap();
        let odd =
            "SELECT count(*) FROM flows WHERE NOT EXISTS (SELECT 1 FROM journal WHERE flow = id)";
        let count = |statement: &str| -> i64 {
            let counted = connection.query_row(statement, [], |row| row.get(0));
            counted.unwrap()
        };
        assert_eq!(count(odd), 0);
        let flows = count("SELECT count(*) FROM flows");
        in_the_middle += usize::from((1..FLOWS as i64).contains(&flows));
    }
    assert!(
        in_the_middle > 0,
        "none of {} backups was made while flows ran",
        seen.len()
    );
}
