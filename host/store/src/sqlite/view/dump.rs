//! Dumps the rows of a database outside of the journal, for comparison with an earlier dump or with another database.

use std::collections::BTreeMap;

use rusqlite::types::ValueRef;

use cairn_effects::outbox;
use cairn_effects::rows::{Dumped, Table};
use cairn_model::value::{Object, Value};

use super::View;
use crate::StoreError;
use crate::sqlite::tx::describe;

/// Column -> value.
pub type DumpedRow = BTreeMap<String, Value>;

/// Table and key -> row. The key is a row's id, the project and resource of a usage, or the content of a message.
pub type Dump = BTreeMap<(String, String), DumpedRow>;

/// Tables of flows and of the database itself, which flows' effects do not change.
const JOURNAL: [&str; 8] = [
    "facts",
    "schema",
    "flows",
    "journal",
    "plans",
    "hosts",
    "requests",
    "idempotency_keys",
];

/// Columns of times.
const LEFT_OUT: [&str; 3] = ["created_at", "updated_at", "deleted_at"];

impl View<'_> {
    /// Returns every row that a flow may change, of every project and of every table in the database, including tables that are added
    /// later. Leaves out times, soft-deleted rows, and what the tables' [hooks](cairn_effects::rows::Hooks) leave out. `names` maps texts
    /// to replacements, for example generated ids to fixed names.
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
                let known = self.tx.env.domains().tables().get(&table);
                if is_absent(known, &row) {
                    continue;
                }
                let key = if table == outbox::TABLE.name {
                    // The id of a message is random and in no answer, so messages are compared by content and count.
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
                    key(known, &row)
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
        let known = self.tx.env.domains().tables().get(table);
        let shown: Vec<Option<Dumped>> =
            columns.iter().map(|column| dumped(known, column)).collect();
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let mut dumped = DumpedRow::new();
            for (index, column) in columns.iter().enumerate() {
                if shown[index] == Some(Dumped::LeftOut) {
                    continue;
                }
                let value = match row.get_ref(index)? {
                    ValueRef::Null => Value::Null,
                    _ if shown[index] == Some(Dumped::WhetherSet) => Value::from(true),
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

/// Returns how a column is reduced; `None` when it is dumped as it is. Leaves out an internal row number.
fn dumped(table: Option<&Table>, column: &str) -> Option<Dumped> {
    if LEFT_OUT.contains(&column)
        || table.is_some_and(|table| column == "id" && table.position("id").is_none())
    {
        return Some(Dumped::LeftOut);
    }
    let mut dumped = table?.hooks.dumped.iter();
    let (_, dumped) = dumped.find(|(name, _)| *name == column)?;
    Some(*dumped)
}

/// Returns whether a row is soft-deleted, or idle according to its table's hooks.
fn is_absent(table: Option<&Table>, row: &DumpedRow) -> bool {
    let row: Object = row.clone().into_iter().collect();
    row.get("deleted") == Some(&1.into()) || table.is_some_and(|table| (table.hooks.is_idle)(&row))
}

/// Returns a row's id or else its key; the whole row where the table is unknown.
fn key(table: Option<&Table>, row: &DumpedRow) -> String {
    if let Some(id) = row.get("id").and_then(Value::as_str) {
        return id.to_owned();
    }
    let columns = table.map_or(&[][..], |table| &table.columns[..table.key]);
    let texts: Option<Vec<&str>> = columns
        .iter()
        .map(|column| row.get(column.name)?.as_str())
        .collect();
    match texts {
        Some(texts) if !texts.is_empty() => texts.join("/"),
        _ => Value::from_iter(row.clone()).to_string(),
    }
}
