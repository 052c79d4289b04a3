//! Moving a database to a server, backups of databases on servers, and restores to them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use acceptance::program::{Program, end, volume_create};
use acceptance::slow::{eventually, run_slow, send, slow_after};
use acceptance::stream::Stream;
use cairn_test_postgres::{Database, Server};
use rusqlite::types::Value as Cell;
use serde_json::{Value, json};

use super::{create, killed_after, program, sql};

const SEALED: &str = r#"{"size": 1, "volume_type": "sealed"}"#;

/// Settings for a database on the tests' server, which does not sync.
const UNSAFE: &str = "\n[postgres]\nunsafe_server = true\n";

/// Rows of more than one page, by a key of one column and of two; and requests to another process, of which one is answered.
const MANY: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4999) INSERT INTO zones SELECT 'zone-' || i FROM n;
    WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4998)
    INSERT INTO quotas SELECT 'p' || (i / 1000), 'r' || (i % 1000), i FROM n;
    INSERT INTO requests (id, flow, operation, created_at) VALUES (7, x'00112233445566778899aabbccddeeff', '{}', 1);
    INSERT INTO requests (id, flow, operation, created_at, answer) VALUES (8, x'00112233445566778899aabbccddeeff', '{}', 1, '{}')";

/// The options of a command that works on the database on the server.
const ON_SERVER: [&str; 2] = ["--config", "server.toml"];

/// A program whose database is in a file, and an empty database on a server, which `server.toml` names.
fn places(server: &'static Server) -> (Program, Database<'static>) {
    let program = program();
    let database = server.database();
    let db = format!("db = \"{}\"\n", database.url());
    program.write("cairn.toml", UNSAFE);
    program.write(
        "server.toml",
        format!("{db}[keys]\nfile = \"cairn.db.key\"\n{UNSAFE}"),
    );
    (program, database)
}

/// Configures the server's database without a master key.
fn without_key(program: &Program, database: &Database<'_>) {
    program.write(
        "server.toml",
        format!("db = \"{}\"\n{UNSAFE}", database.url()),
    );
}

fn moves(program: &Program, database: &Database<'_>) -> Value {
    program.json(&["db", "move", "--to", &database.url(), "--json"])
}

fn on_server(program: &Program, arguments: &[&str]) -> Value {
    program.json(&[arguments, &ON_SERVER, &["--json"]].concat())
}

/// Returns the rows of every table that has some, sorted; not what is of one place only.
fn rows(database: &Path) -> Vec<(String, Vec<String>)> {
    let connection = rusqlite::Connection::open(database).unwrap();
    let mut tables = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'hosts' ORDER BY name")
        .unwrap();
    let tables: Vec<String> = tables
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let rows = tables.into_iter().map(|table| {
        let only = if table == "facts" {
            " WHERE name NOT IN ('path', 'locks', 'held')"
        } else if table == "requests" {
            " WHERE answer IS NULL"
        } else {
            ""
        };
        let mut statement = connection
            .prepare(&format!("SELECT * FROM {table}{only}"))
            .unwrap();
        // A request gets another number.
        let first = usize::from(table == "requests");
        let columns = first..statement.column_count();
        let rows = statement.query_map([], |row| {
            let cells = columns
                .clone()
                .map(|at| row.get(at))
                .collect::<Result<Vec<Cell>, _>>()?;
            Ok(format!("{cells:?}"))
        });
        let mut rows: Vec<String> = rows.unwrap().collect::<Result<_, _>>().unwrap();
        rows.sort();
        (table, rows)
    });
    rows.filter(|(_, rows)| !rows.is_empty()).collect()
}

/// Fills the database of the program with rows of every kind: flows that succeeded, failed and were interrupted, keys, messages, records.
fn fill(program: &Program) {
    program
        .run(&["types", "create", "sealed", "--encrypt", "luks"])
        .exits(0);
    program.run(&["zones", "create", "nova"]).exits(0);
    program
        .run(&["quota", "set", "volumes=7", "--admin"])
        .exits(0);
    create(program, SEALED, &["--key", "one"], 0);
    create(program, r#"{"size": 2}"#, &["--project", "other"], 0);
    create(program, r#"{"size": 0}"#, &[], 3);
}

#[test]
fn a_database_moves_to_a_server_and_its_backup_is_the_database_again() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = places(server);
    fill(&program);
    sql(&program, MANY);
    let source = rows(&program.path("cairn.db"));
    let bytes = fs::read(program.path("cairn.db")).unwrap();
    let lists = |arguments: &[&str]| program.json(&[arguments, &["--json"]].concat());
    let reads: [&[&str]; 5] = [
        &["flows", "list"],
        &["volumes", "list", "--admin"],
        &["outbox", "list", "--all", "--admin"],
        &["quota", "show"],
        &["types", "list"],
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
    assert_eq!(rows(&program.path("b.db")), source);
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
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = places(server);
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
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = places(server);
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
fn flows_of_a_process_that_was_killed_are_recovered_after_a_move_and_after_a_restore() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = places(server);
    without_key(&program, &database);
    killed_after(&program, "quota-reserve");
    moves(&program, &database);
    program
        .run(&[&["db", "backup", "b.db"], &ON_SERVER[..]].concat())
        .exits(0);
    let other = server.database();
    let db = format!("db = \"{}\"\n{UNSAFE}", other.url());
    program.write("other.toml", db);
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

/// Asserts that nothing was copied.
#[track_caller]
fn is_empty(database: &Database<'_>) {
    let tables =
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'cairn' AND tablename = 'flows'";
    if database.sql(tables) == "0" {
        return;
    }
    for table in [
        "flows",
        "journal",
        "plans",
        "components",
        "volume_types",
        "facts",
    ] {
        let count = format!("SELECT count(*) FROM cairn.{table}");
        assert_eq!(database.sql(&count), "0", "{table}");
    }
}

#[test]
fn a_move_to_what_is_no_empty_database_is_refused() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = places(server);
    let url = database.url();
    let to = |url: &str| program.run(&["db", "move", "--to", url]);
    to(&url)
        .exits(2)
        .says(&["there is no database at cairn.db"]);
    fill(&program);
    to("other.db")
        .exits(2)
        .says(&["names no database on a server", "postgres://"]);
    to("postgres://cairn:secret@127.0.0.1/x").exits(2);
    to("postgres://cairn@127.0.0.1:1/x").exits(1);
    program
        .run(&[&["db", "move", "--to", &url], &ON_SERVER[..]].concat())
        .exits(2)
        .says(&["on a server already"]);
    is_empty(&database);

    database.sql("CREATE SCHEMA cairn; CREATE TABLE cairn.another (id int)");
    to(&url).exits(1).says(&["another program's"]);
    database.sql("DROP SCHEMA cairn CASCADE");

    let before = rows(&program.path("cairn.db"));
    moves(&program, &database);
    to(&url).exits(2).says(&["is not empty", "`flows`"]);
    program
        .run(&[&["db", "restore", "cairn.db"], &ON_SERVER[..]].concat())
        .exits(2)
        .says(&["is not empty", "`flows`"]);
    assert_eq!(rows(&program.path("cairn.db")), before);

    let catalogue = server.database();
    program.write(
        "catalogue.toml",
        format!("db = \"{}\"\n{UNSAFE}", catalogue.url()),
    );
    program
        .run(&["zones", "create", "here", "--config", "catalogue.toml"])
        .exits(0);
    to(&catalogue.url())
        .exits(2)
        .says(&["is not empty: there are rows in `zones`"]);
    assert_eq!(catalogue.sql("SELECT name FROM cairn.zones"), "here");
}

#[test]
fn a_database_that_a_process_works_on_is_not_moved() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = places(server);
    let mut stream = Stream::start(&program, &[]);
    stream.succeeds();
    let url = database.url();
    program
        .run(&["db", "move", "--to", &url])
        .exits(2)
        .says(&["a process works on", "end it first"]);
    is_empty(&database);
    stream.kill();
    moves(&program, &database);
    assert_eq!(database.sql("SELECT count(*) FROM cairn.flows"), "1");
    let target = server.database();
    program.write(
        "target.toml",
        format!("db = \"{}\"\n{UNSAFE}", target.url()),
    );
    let mut stream = Stream::start(&program, &["--config", "target.toml"]);
    stream.succeeds();
    target.sql("DELETE FROM cairn.flows");
    program
        .run(&["db", "move", "--to", &target.url()])
        .exits(2)
        .says(&["works on this database", "end it first"]);
}

#[test]
fn a_database_that_cannot_be_copied_whole_is_not_copied() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    for (harm, exit, says) in [
        (
            "CREATE TABLE tickets (id TEXT PRIMARY KEY); INSERT INTO tickets VALUES ('one'); INSERT INTO schema VALUES ('tickets', 1)",
            2,
            &[
                "no domain of this program knows",
                "`tickets`",
                "the domains `tickets`",
            ][..],
        ),
        (
            "UPDATE zones SET name = 'no' || char(0) || 'va'",
            1,
            &["rows of the table `zones`", "NUL"],
        ),
        (
            "UPDATE volumes SET bootable = 7",
            1,
            &[
                "rows of the table `volumes`",
                "out of the range of the type bool",
            ],
        ),
        (
            "ALTER TABLE zones ADD COLUMN colour TEXT",
            2,
            &["`zones`", "`colour`", "in one database only"],
        ),
        ("PRAGMA user_version = 99", 1, &["made by a newer version"]),
        (
            "UPDATE schema SET version = 99 WHERE domain = 'volumes'",
            1,
            &["the domain `volumes`", "newer version"],
        ),
        (
            "PRAGMA user_version = 6",
            2,
            &["older version", "cairn db migrate"],
        ),
    ] {
        let (program, database) = places(server);
        fill(&program);
        program.run(&["db", "backup", "b.db"]).exits(0);
        for file in ["cairn.db", "b.db"] {
            let connection = rusqlite::Connection::open(program.path(file)).unwrap();
            connection.execute_batch(harm).unwrap();
        }
        let url = database.url();
        program
            .run(&["db", "move", "--to", &url])
            .exits(exit)
            .says(says);
        is_empty(&database);
        program
            .run(&[&["db", "restore", "b.db"], &ON_SERVER[..]].concat())
            .exits(exit)
            .says(says);
        is_empty(&database);
    }
}

#[test]
fn a_damaged_component_is_moved_and_named() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = places(server);
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
fn what_is_no_backup_is_not_restored_to_a_server() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = places(server);
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
fn a_key_is_left_out_where_that_is_asked_for() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = places(server);
    fill(&program);
    moves(&program, &database);
    let made = on_server(&program, &["db", "backup", "b.db", "--without-key"]);
    assert_eq!(made["master_key"], Value::Null);
    assert!(!program.path("b.db.key").exists());
    // Its fingerprint is part of the backup: another key is refused.
    let other = server.database();
    let settings = format!(
        "db = \"{}\"\n[keys]\nfile = \"other.key\"\n{UNSAFE}",
        other.url()
    );
    program.write("other.toml", settings);
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

#[test]
fn components_of_an_older_version_are_moved() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = places(server);
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
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = places(server);
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

#[test]
fn a_backup_of_a_server_is_one_state_while_flows_run() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = places(server);
    without_key(&program, &database);
    program.write("requests", "{\"size\": 1}\n".repeat(300));
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
    for name in &seen {
        program
            .run(&["quota", "check", "--admin", "--db", name])
            .exits(0);
        let check = program.json(&["db", "check", "--json", "--db", name]);
        assert_eq!(check["problems"], json!([]));
        let connection = rusqlite::Connection::open(program.path(name)).unwrap();
        let odd =
            "SELECT count(*) FROM flows WHERE NOT EXISTS (SELECT 1 FROM journal WHERE flow = id)";
        let odd: i64 = connection.query_row(odd, [], |row| row.get(0)).unwrap();
        assert_eq!(odd, 0);
    }
}
