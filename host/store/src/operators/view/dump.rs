//! Dumps the rows of a database outside of the journal, for comparison with an earlier dump or with another database.

use std::collections::BTreeMap;

use cairn_effects::outbox;
use cairn_effects::rows::{Cell, Dumped, Table};
use cairn_model::value::{Object, Value};

use super::View;
use crate::StoreError;

/// Column -> value.
pub type DumpedRow = BTreeMap<String, Value>;

/// Table and key -> row. The key is a row's id, the project and resource of a usage, or the content of a message.
pub type Dump = BTreeMap<(String, String), DumpedRow>;

/// Tables of flows and of the database itself, which flows' effects do not change.
const JOURNAL: [&str; 18] = [
    "facts",
    "schema",
    "flows",
    "journal",
    "plans",
    "components",
    "hosts",
    "host_details",
    "host_locks",
    "partitions",
    "catalogue",
    "inbox",
    "requests",
    "idempotency_keys",
    "deployments",
    "tokens",
    "sessions",
    "audit",
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
        let mut dump = Dump::new();
        for table in self.sql().tables()? {
            if JOURNAL.contains(&table.as_str()) {
                continue;
            }
            for mut row in self.dump_table(&table, names)? {
                let known = self.0.env.domains().tables().get(&table);
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
    ) -> Result<Vec<DumpedRow>, StoreError> {
        let columns = self.sql().columns(table)?;
        let statement = format!("SELECT {} FROM {table}", columns.join(", "));
        let known = self.0.env.domains().tables().get(table);
        let shown: Vec<Option<Dumped>> =
            columns.iter().map(|column| dumped(known, column)).collect();
        let rows = self.query(&statement, &[])?.into_iter();
        let rows = rows.map(|cells| {
            let cells = columns.iter().zip(&shown).zip(cells);
            let cells = cells.filter(|((_, shown), _)| **shown != Some(Dumped::LeftOut));
            cells
                .map(|((column, shown), cell)| (column.clone(), value(cell, *shown, names)))
                .collect()
        });
        Ok(rows.collect())
    }
}

/// Returns a cell as it is dumped.
fn value(cell: Cell, shown: Option<Dumped>, names: &BTreeMap<String, String>) -> Value {
    match cell {
        Cell::Null => Value::Null,
        _ if shown == Some(Dumped::WhetherSet) => Value::from(true),
        Cell::Int(number) => Value::from(number),
        Cell::Text(text) => match names.get(&*text) {
            Some(name) => Value::from(name.as_str()),
            None => Value::from(&*text),
        },
        Cell::Blob(bytes) => {
            Value::from(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>())
        }
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
