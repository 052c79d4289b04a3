//! Moving a database to a server, backups of databases on servers, and restores to them.

mod backups;
mod refused;
mod whole;

use std::path::Path;

use acceptance::program::{Program, volume_create};
use cairn_test_postgres::{Database, Server, UNSAFE};
use rusqlite::types::Value as Cell;
use serde_json::Value;

use super::{create, program};

const SEALED: &str = r#"{"size": 1, "volume_type": "sealed"}"#;

/// Rows of more than one page, by a key of one column and of two; and requests to another process, of which one is answered.
const MANY: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4999) INSERT INTO zones SELECT 'zone-' || i FROM n;
    WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4998)
    INSERT INTO quotas SELECT 'p' || (i / 1000), 'r' || (i % 1000), i FROM n;
    INSERT INTO requests (id, flow, operation, created_at) VALUES (7, x'00112233445566778899aabbccddeeff', '{}', 1);
    INSERT INTO requests (id, flow, operation, created_at, answer) VALUES (8, x'00112233445566778899aabbccddeeff', '{}', 1, '{}')";

/// The options of a command that works on the database on the server.
const ON_SERVER: [&str; 2] = ["--config", "server.toml"];

/// A program whose database is in a file, and an empty database on a server, which `server.toml` names. `None` without a server.
fn places() -> Option<(Program, Database<'static>)> {
    let (program, database) = (program(), another()?);
    program.write("cairn.toml", UNSAFE);
    let keys = "[keys]\nfile = \"cairn.db.key\"\n";
    program.write("server.toml", database.settings(keys));
    Some((program, database))
}

/// Another empty database on the server.
fn another() -> Option<Database<'static>> {
    cairn_test_postgres::shared().map(Server::database)
}

/// Configures the server's database without a master key.
fn without_key(program: &Program, database: &Database<'_>) {
    program.write("server.toml", database.settings(""));
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
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT IN ('hosts', 'host_locks') ORDER BY name")
        .unwrap();
    let tables: Vec<String> = tables
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let rows = tables.into_iter().map(|table| {
        let only = if table == "facts" {
            " WHERE name NOT IN ('path', 'locks', 'held', 'backup', 'quota-check')"
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

/// Fills the database of the program with rows of every kind: a deployed flow, a token, flows that succeeded, failed and were interrupted, keys, messages, records.
fn fill(program: &Program) {
    program
        .run(&["types", "create", "sealed", "--encrypt", "luks"])
        .exits(0);
    program.run(&["zones", "create", "nova"]).exits(0);
    program
        .run(&["quota", "set", "volumes=7", "--admin"])
        .exits(0);
    program.run(&["flow", "deploy", &volume_create()]).exits(0);
    program
        .run(&["token", "create", "--user", "ann", "--project", "demo"])
        .exits(0);
    create(program, SEALED, &["--key", "one"], 0);
    create(program, r#"{"size": 2}"#, &["--project", "other"], 0);
    create(program, r#"{"size": 0}"#, &[], 3);
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
