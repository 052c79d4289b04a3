//! What a database holds outside the journal, to be compared with what it held at another time, or with another database.

use std::collections::BTreeMap;

use rusqlite::types::ValueRef;

use cairn_model::value::Value;

use super::View;
use crate::StoreError;
use crate::sqlite::tx::describe;

/// Column -> value.
pub type DumpedRow = BTreeMap<String, Value>;

/// Table and key -> row. Keys are ids, project and resource of a usage, and what a message says.
pub type Dump = BTreeMap<(String, String), DumpedRow>;

/// What tells of flows, and of the database itself, and is not what flows change.
const JOURNAL: [&str; 7] = [
    "facts",
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

impl View<'_> {
    /// Every row that a flow may change, of every project and of every table, so that one which comes later is there too.
    /// Left out are times, what counts down to a refresh, sealed keys, soft-deleted rows, and usages that say that nothing is
    /// used. `names` gives the text that stands for another, such as for an id that is another one each time.
    ///
    /// # Errors
    /// [`StoreError::Database`], also when two rows of a table have one key.
    pub fn dump(&self, names: &BTreeMap<String, String>) -> Result<Dump, StoreError> {
        let failed = |error: rusqlite::Error| StoreError::Database(describe(&error));
        let tables =
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
        let mut tables = self.connection().prepare(tables).map_err(failed)?;
        let tables = tables.query_map([], |row| row.get(0)).map_err(failed)?;
        let tables: Vec<String> = tables.collect::<Result<_, _>>().map_err(failed)?;
        let mut dump = Dump::new();
        for table in tables {
            if JOURNAL.contains(&table.as_str()) {
                continue;
            }
            for mut row in self.dump_table(&table, names).map_err(failed)? {
                if is_absent(&table, &row) {
                    continue;
                }
                let key = if table == "outbox" {
                    // No answer tells a message's id; who sent what, and how often, is the same.
                    row.remove("id");
                    let mut what = row.clone();
                    what.remove("state");
                    let what = Value::from_iter(what).to_string();
                    let twins = dump.range((table.clone(), what.clone())..);
                    let twins = twins
                        .take_while(|((of, key), _)| *of == table && key.starts_with(&what))
                        .count();
                    format!("{what} {twins:09}")
                } else {
                    key(&table, &row)
                };
                if dump.insert((table.clone(), key.clone()), row).is_some() {
                    let message = format!("two rows of `{table}` have the key `{key}`");
                    return Err(StoreError::Database(message));
                }
            }
        }
        Ok(dump)
    }

    fn dump_table(
        &self,
        table: &str,
        names: &BTreeMap<String, String>,
    ) -> rusqlite::Result<Vec<DumpedRow>> {
        let mut statement = self
            .connection()
            .prepare(&format!("SELECT * FROM {table}"))?;
        let columns = statement.column_names().into_iter();
        let columns: Vec<String> = columns.map(str::to_owned).collect();
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let mut dumped = DumpedRow::new();
            for (index, column) in columns.iter().enumerate() {
                if LEFT_OUT.contains(&column.as_str())
                    || (table == "quota_usages" && column == "id")
                {
                    continue;
                }
                let value = match row.get_ref(index)? {
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
                dumped.insert(column.clone(), value);
            }
            found.push(dumped);
        }
        Ok(found)
    }
}

/// Soft-deleted, or a usage that says nothing is used.
fn is_absent(table: &str, row: &DumpedRow) -> bool {
    let is = |column: &str, value: i64| row.get(column) == Some(&Value::from(value));
    is("deleted", 1) || (table == "quota_usages" && is("in_use", 0) && is("reserved", 0))
}

fn key(table: &str, row: &DumpedRow) -> String {
    let text = |column: &str| row.get(column).and_then(Value::as_str).unwrap_or_default();
    match row.get("id").and_then(Value::as_str) {
        Some(id) => id.to_owned(),
        None if table == "quota_usages" => format!("{}/{}", text("project_id"), text("resource")),
        None => Value::from_iter(row.clone()).to_string(),
    }
}
