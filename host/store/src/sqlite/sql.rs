//! SQLite's connection as portable SQL uses it.

use rusqlite::{CachedStatement, Connection, ErrorCode};

use cairn_effects::rows::Cell;
use cairn_model::clock::Timestamp;

use super::rows;
use super::statement::{describe, execute, scalar};
use crate::sql::{Impact, Sql, SqlError, quoted};

impl Sql for Connection {
    fn query(&self, statement: &str, parameters: &[Cell]) -> Result<Vec<Vec<Cell>>, SqlError> {
        let prepared = rows::prepare(self, statement, parameters).map_err(failed)?;
        if !prepared.readonly() {
            let message = format!("a statement that writes cannot be used to read: {statement}");
            return Err(SqlError::harmless(message));
        }
        rows::read(prepared).map_err(failed)
    }

    fn execute(&self, statement: &str, parameters: &[Cell]) -> Result<usize, SqlError> {
        let prepared = rows::prepare(self, statement, parameters);
        let changed = prepared.and_then(|mut prepared| prepared.raw_execute());
        changed.map_err(failed)
    }

    fn returning(&self, statement: &str, parameters: &[Cell]) -> Result<Vec<Vec<Cell>>, SqlError> {
        let prepared: CachedStatement<'_> =
            rows::prepare(self, statement, parameters).map_err(failed)?;
        rows::read(prepared).map_err(failed)
    }

    fn savepoint(&self, statement: &str) -> Result<(), SqlError> {
        execute(self, statement).map_err(failed)
    }

    fn consistently(&self, read: &mut dyn FnMut()) -> Result<(), SqlError> {
        if !self.is_autocommit() {
            read();
            return Ok(());
        }
        execute(self, "BEGIN").map_err(failed)?;
        // Ends the transaction also when `read` panics.
        let transaction = Transaction(self);
        read();
        transaction.end().map_err(failed)
    }

    fn tables(&self) -> Result<Vec<String>, SqlError> {
        let statement = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
        names(self, statement, [])
    }

    fn columns(&self, table: &str) -> Result<Vec<String>, SqlError> {
        names(
            self,
            "SELECT name FROM pragma_table_info(?) ORDER BY cid",
            [table],
        )
    }

    fn key(&self, table: &str) -> Result<Vec<String>, SqlError> {
        names(
            self,
            "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk",
            [table],
        )
    }

    fn lease_left(&self, now: Timestamp) -> String {
        format!("(expires_at - {}) / 1000", now.0)
    }

    fn widest(&self, table: &str) -> Result<u64, SqlError> {
        let columns = self.columns(table)?;
        let lengths = columns
            .iter()
            .map(|name| format!("coalesce(octet_length({}), 0)", quoted(name)));
        let lengths = lengths.collect::<Vec<_>>().join(" + ");
        let statement = format!("SELECT coalesce(max({lengths}), 0) FROM {}", quoted(table));
        let found: Option<i64> = scalar(self, &statement, []).map_err(failed)?;
        Ok(found
            .and_then(|bytes| u64::try_from(bytes).ok())
            .unwrap_or(0))
    }
}

/// A transaction of reads, which ends when this is dropped.
struct Transaction<'c>(&'c Connection);

impl Transaction<'_> {
    fn end(self) -> rusqlite::Result<()> {
        execute(self.0, "COMMIT")
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.0.is_autocommit()
            && let Err(error) = execute(self.0, "ROLLBACK")
        {
            tracing::warn!(%error, "a transaction of reads could not be ended");
        }
    }
}

fn names(
    connection: &Connection,
    statement: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<String>, SqlError> {
    let read = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare_cached(statement)?;
        statement.query_map(parameters, |row| row.get(0))?.collect()
    };
    read().map_err(failed)
}

/// Translates an error of SQLite's.
pub(super) fn failed(error: rusqlite::Error) -> SqlError {
    let impact = match error.sqlite_error_code() {
        // The statement is wrong, and has changed nothing.
        None | Some(ErrorCode::Unknown) => Impact::None,
        Some(ErrorCode::SystemIoFailure) => Impact::Suspect,
        Some(_) => Impact::Lost,
    };
    SqlError {
        message: describe(&error),
        impact,
    }
}
