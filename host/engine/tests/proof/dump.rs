//! What a database holds outside the journal: every table, so that one which comes later is compared too.

use std::collections::BTreeMap;
use std::path::Path;

use cairn::value::Value;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

pub type Row = BTreeMap<String, Value>;

/// Table and key -> row. Keys are ids, project and resource of a usage, and what a message says.
pub type Dump = BTreeMap<(String, String), Row>;

/// What tells of flows, and is not what they change.
const JOURNAL: [&str; 6] = [
    "flows",
    "journal",
    "plans",
    "hosts",
    "requests",
    "idempotency_keys",
];

/// Times, what a refresh counts down, and what is random.
const LEFT_OUT: [&str; 6] = [
    "created_at",
    "updated_at",
    "deleted_at",
    "expire",
    "until_refresh",
    "sealed",
];

/// Reads everything that is committed. `names` gives the id that stands for another.
pub fn dump(database: &Path, names: &BTreeMap<String, String>) -> Dump {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).unwrap();
    let mut tables = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .unwrap();
    let tables = tables.query_map([], |row| row.get(0)).unwrap();
    let tables: Vec<String> = tables.map(Result::unwrap).collect();
    assert!(tables.len() > JOURNAL.len(), "the tables were found");
    let mut dump = Dump::new();
    for table in tables {
        if JOURNAL.contains(&table.as_str()) {
            continue;
        }
        for mut row in rows(&connection, &table, names) {
            if is_absent(&table, &row) {
                continue;
            }
            if table == "outbox" {
                // No answer tells a message's id; who sent what, and how often, is the same.
                row.remove("id");
                let mut what = row.clone();
                what.remove("state");
                let what = Value::from_iter(what).to_string();
                let key = (0..)
                    .map(|number| (table.clone(), format!("{what} {number}")))
                    .find(|key| !dump.contains_key(key))
                    .unwrap();
                dump.insert(key, row);
                continue;
            }
            let text = |column: &str| row.get(column).and_then(Value::as_str).map(str::to_owned);
            let key = match (table.as_str(), text("id")) {
                ("quota_usages", _) => {
                    format!(
                        "{}/{}",
                        text("project_id").unwrap(),
                        text("resource").unwrap()
                    )
                }
                (_, Some(id)) => id,
                (_, None) => Value::from_iter(row.clone()).to_string(),
            };
            let twice = dump.insert((table.clone(), key.clone()), row);
            assert!(twice.is_none(), "two rows `{key}` in {table}");
        }
    }
    dump
}

/// Soft-deleted, or a usage that says nothing is used.
fn is_absent(table: &str, row: &Row) -> bool {
    let is = |column: &str, value: i64| row.get(column) == Some(&Value::from(value));
    is("deleted", 1) || (table == "quota_usages" && is("in_use", 0) && is("reserved", 0))
}

fn rows(connection: &Connection, table: &str, names: &BTreeMap<String, String>) -> Vec<Row> {
    let mut statement = connection
        .prepare(&format!("SELECT * FROM {table}"))
        .unwrap();
    let columns: Vec<String> = statement
        .column_names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let mut rows = statement.query([]).unwrap();
    let mut found = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let columns = columns.iter().enumerate().filter_map(|(index, column)| {
            let value = match row.get_ref(index).unwrap() {
                ValueRef::Null => Value::Null,
                // Only whether it was scheduled is the same in two runs.
                ValueRef::Integer(_) if column == "scheduled_at" => Value::from(true),
                ValueRef::Integer(number) => Value::from(number),
                ValueRef::Real(number) => Value::from(number),
                ValueRef::Text(text) => {
                    let text = String::from_utf8_lossy(text).into_owned();
                    Value::from(names.get(&text).cloned().unwrap_or(text))
                }
                ValueRef::Blob(bytes) => {
                    Value::from(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>())
                }
            };
            let left_out =
                LEFT_OUT.contains(&column.as_str()) || (table == "quota_usages" && column == "id");
            (!left_out).then(|| (column.clone(), value))
        });
        found.push(columns.collect());
    }
    found
}
