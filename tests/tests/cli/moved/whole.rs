//! What arrives on a server, and comes back from there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use acceptance::program::end;
use acceptance::slow::{run_slow, send, slow_after};
use serde_json::json;

use super::{MANY, ON_SERVER, SEALED, fill, moves, on_server, places, rows, without_key};
use crate::{create, sql};

#[test]
fn a_database_moves_to_a_server_and_its_backup_is_the_database_again() {
    let Some((program, database)) = places() else {
        return;
    };
    fill(&program);
    sql(&program, MANY);
    let source = rows(&program.path("cairn.db"));
    let bytes = fs::read(program.path("cairn.db")).unwrap();
    let lists = |arguments: &[&str]| program.json(&[arguments, &["--json"]].concat());
    let reads: [&[&str]; 7] = [
        &["flows", "list"],
        &["volumes", "list", "--admin"],
        &["outbox", "list", "--all", "--admin"],
        &["quota", "show"],
        &["types", "list"],
        &["flow", "versions"],
        &["token", "list"],
    ];
    let before = reads.map(lists);

    let moved = moves(&program, &database);
    let tables: Vec<(String, usize)> = source
        .iter()
        .filter(|(table, _)| table != "schema")
        .map(|(table, rows)| (table.clone(), rows.len()))
        .collect();
    assert_eq!(moved["tables"], json!(tables));
    assert_eq!(moved["damaged"], json!([]));
    assert_eq!(
        moved["keys"],
        program
            .path("cairn.db.key")
            .canonicalize()
            .unwrap()
            .display()
            .to_string()
    );
    assert_eq!(fs::read(program.path("cairn.db")).unwrap(), bytes);

    assert_eq!(reads.map(|read| on_server(&program, read)), before);
    let check = on_server(&program, &["db", "check"]);
    assert_eq!(check["problems"], json!([]));
    assert_eq!(
        on_server(&program, &["quota", "check", "--admin"]),
        json!({"drift": []})
    );

    let made = on_server(&program, &["db", "backup", "b.db"]);
    assert_eq!(
        made,
        json!({"database": "b.db", "components": null, "master_key": "b.db.key"})
    );
    let copied = rows(&program.path("b.db"));
    let names = |tables: &[(String, Vec<String>)]| -> Vec<String> {
        tables.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&copied), names(&source));
    for ((name, copied), (_, source)) in copied.iter().zip(&source) {
        // Both are long.
        let only: Vec<_> = copied.iter().filter(|row| !source.contains(row)).collect();
        assert!(copied == source, "{name}: {only:?}");
    }
    let mode = fs::metadata(program.path("b.db")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);

    // A flow with the key gets the first report, and a new one uses the master key, in each place.
    for place in [&ON_SERVER[..], &["--db", "b.db"]] {
        let first = create(&program, SEALED, &[&["--key", "one"], place].concat(), 0);
        let flows = program.json(&[&["flows", "list", "--json"], place].concat());
        assert_eq!(flows, before[0], "{first}");
        create(&program, SEALED, place, 0);
    }
    program
        .run(&["db", "restore", "b.db", "--db", "again.db"])
        .exits(0);
    program
        .run(&["quota", "check", "--admin", "--db", "again.db"])
        .exits(0);
}

#[test]
fn what_is_moved_says_what_to_set() {
    let Some((program, database)) = places() else {
        return;
    };
    fill(&program);
    let url = database.url();
    let text = program.run(&["db", "move", "--to", &url]).exits(0).stdout;
    let key = program.path("cairn.db.key").canonicalize().unwrap();
    for part in [
        "3 flows, ",
        "read back and compared",
        &format!("\n    db = \"{url}\"\n"),
        &format!("\n    [keys]\n    file = \"{}\"\n", key.display()),
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn a_flow_that_was_interrupted_before_a_move_resumes_after_it() {
    let Some((program, database)) = places() else {
        return;
    };
    without_key(&program, &database);
    slow_after(&program, "quota-reserve");
    let child = run_slow(&program);
    send(&child, "-INT");
    let report = end(child).exits(5).json();
    let id = report["flow"]["id"].as_str().unwrap();
    // It goes on with the stored plan and component.
    for file in ["slow.toml", "slow.wat"] {
        fs::remove_file(program.path(file)).unwrap();
    }
    moves(&program, &database);
    let resumed = on_server(&program, &["flow", "resume", id]);
    assert_eq!(resumed["flow"]["state"], "SUCCESS");
    program
        .run(&[&["quota", "check", "--admin"], &ON_SERVER[..]].concat())
        .exits(0);
}

#[test]
fn a_damaged_component_is_moved_and_named() {
    let Some((program, database)) = places() else {
        return;
    };
    fill(&program);
    sql(
        &program,
        "UPDATE components SET body = x'00' WHERE digest = (SELECT min(digest) FROM components)",
    );
    let url = database.url();
    program
        .run(&["db", "move", "--to", &url])
        .exits(0)
        .says(&["is damaged", "copied as it is"]);
    program
        .run(&[&["db", "check"], &ON_SERVER[..]].concat())
        .exits(6);
}

#[test]
fn components_of_an_older_version_are_moved() {
    let Some((program, database)) = places() else {
        return;
    };
    fill(&program);
    let digest = cairn::value::Digest::of(b"old");
    fs::create_dir(program.path("cairn.db.components")).unwrap();
    program.write(&format!("cairn.db.components/{digest}.wasm"), b"old");
    moves(&program, &database);
    let found = database.sql(&format!(
        "SELECT encode(body, 'escape') FROM cairn.components WHERE digest = '{digest}'"
    ));
    assert_eq!(found, "old");
}

#[test]
fn a_journal_of_the_first_version_is_moved_as_it_is_written_now() {
    let Some((program, database)) = places() else {
        return;
    };
    without_key(&program, &database);
    let report = create(&program, r#"{"size": 1}"#, &[], 0);
    let connection = rusqlite::Connection::open(program.path("cairn.db")).unwrap();
    let mut statement = connection
        .prepare("SELECT rowid, entries FROM journal")
        .unwrap();
    let packed: Vec<(i64, Vec<u8>)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for (row, entries) in packed {
        let entries = cairn::store::journal::unpack(&entries).unwrap();
        let text = serde_json::to_string(&entries).unwrap();
        connection
            .execute(
                "UPDATE journal SET entries = ? WHERE rowid = ?",
                (text, row),
            )
            .unwrap();
    }
    drop(statement);
    drop(connection);
    let flow = report["flow"]["id"].as_str().unwrap();
    let show = ["flow", "show", flow];
    let before = program.json(&[&show[..], &["--json"]].concat());
    moves(&program, &database);
    assert_eq!(on_server(&program, &show), before);
}
