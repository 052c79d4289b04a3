//! Copies a database row by row to an empty one, which may be of another kind: a backup of a database on a server is a file of SQLite's, and
//! the other way round.

mod page;
mod table;
mod tally;

use std::fmt;

use serde::Serialize;

use cairn_effects::rows::Cell;
use cairn_model::error::TaskError;

use crate::StoreError;
use crate::operators::components;
use crate::partitions::partition_of;
use crate::sql::{Columns, Sql, quoted};

use page::Pages;
use table::CopiedTable;
use tally::Tally;

/// The tables that describe one place of a database or its present hosts, and are never copied: the new place has its own. Flows that no
/// host has begun (`inbox`) stay with the hosts that were asked for them; who is
/// logged in (`sessions`) logs in anew.
const NOT_COPIED: [&str; 8] = [
    "schema",
    "hosts",
    "host_details",
    "host_locks",
    "partitions",
    "catalogue",
    "inbox",
    "sessions",
];

/// Facts about the place of a database, not about its content.
const FACTS_OF_PLACES: [&str; 2] = ["path", "locks"];

/// An empty database that rows are copied into, in one open transaction.
pub(crate) trait Empty {
    /// Returns the connection, which sees the rows that were inserted.
    fn sql(&self) -> &dyn Sql;

    /// Inserts rows into a table; each has one cell for each of these columns.
    ///
    /// # Errors
    /// [`StoreError::Database`]. The transaction must be rolled back then.
    fn insert(&self, table: &str, columns: &[&str], rows: &[Vec<Cell>]) -> Result<(), StoreError>;
}

/// What was copied, and compared with the original.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// How many rows each table has, by name. Tables without rows are left out.
    pub tables: Vec<(String, u64)>,
    /// Components that were damaged before they were copied: one problem each.
    pub damaged: Vec<String>,
}

impl Copied {
    /// Returns the number of rows of a table.
    pub fn rows(&self, table: &str) -> u64 {
        let found = self.tables.iter().find(|(name, _)| name == table);
        found.map_or(0, |(_, rows)| *rows)
    }

    /// Returns the number of rows of all tables.
    pub fn total(&self) -> u64 {
        self.tables.iter().map(|(_, rows)| rows).sum()
    }
}

/// Copies all rows of one database to another, reads them back and compares them. `from` must be one state of its database: run this in
/// [`Sql::consistently`].
///
/// # Errors
/// `InvalidInput` for a table or column that the other database does not have, or that has rows there already; [`StoreError::Database`], also
/// when the copy differs. The transaction of `to` must be rolled back then.
pub(crate) fn copy(from: &dyn Sql, to: &dyn Empty) -> Result<Copied, StoreError> {
    let tables = table::tables(from, to.sql())?;
    check_empty(to.sql(), &tables)?;
    let mut copied = Copied::default();
    for table in &tables {
        let written = write(table, from, to)?;
        let mut found = Tally::default();
        let mut pages = Pages::of(table, to.sql())?;
        while let Some(rows) = pages.next()? {
            rows.iter().for_each(|row| found.add(row));
        }
        if found != written {
            return Err(StoreError::Database(format!(
                "the table `{}` of the copy is not that of the original: {} rows were written, and {} were read, or their contents \
                 differ; nothing of the copy is kept",
                table.name, written.rows, found.rows
            )));
        }
        if written.rows > 0 {
            copied.tables.push((table.name.clone(), written.rows));
        }
    }
    copied.damaged = components::problems(to.sql())?;
    Ok(copied)
}

/// Copies one table.
fn write(table: &CopiedTable, from: &dyn Sql, to: &dyn Empty) -> Result<Tally, StoreError> {
    let mut tally = Tally::default();
    let mut pages = Pages::of(table, from)?;
    while let Some(mut rows) = pages.next()? {
        for row in &mut rows {
            table.convert(row);
            tally.add(row);
        }
        let mut columns = table.columns();
        if let Some(project) = table.partitioned_by {
            columns.push("part");
            for row in &mut rows {
                let part = partition_of(&Columns(row).text(project)?);
                row.push(Cell::Int(part.into()));
            }
        }
        to.insert(&table.name, &columns, &rows)?;
    }
    Ok(tally)
}

/// Refuses a database that has rows.
fn check_empty(to: &dyn Sql, tables: &[CopiedTable]) -> Result<(), StoreError> {
    let mut found = Vec::new();
    for table in tables {
        if has_rows(to, &table.name)? {
            found.push(table.name.as_str());
        }
    }
    match found.as_slice() {
        [] => Ok(()),
        found => Err(refused(format_args!(
            "the database is not empty: there are rows in {}; name an empty one",
            names(found)
        ))),
    }
}

fn has_rows(sql: &dyn Sql, table: &str) -> Result<bool, StoreError> {
    let statement = format!("SELECT 1 FROM {} LIMIT 1", quoted(table));
    Ok(!sql.query(&statement, &[])?.is_empty())
}

fn refused(message: impl fmt::Display) -> StoreError {
    TaskError::new("InvalidInput", message.to_string()).into()
}

/// Lists names for a message.
fn names(names: &[impl AsRef<str>]) -> String {
    let names = names.iter().map(|name| format!("`{}`", name.as_ref()));
    names.collect::<Vec<_>>().join(", ")
}
