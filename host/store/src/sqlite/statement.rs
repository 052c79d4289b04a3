//! Small helpers for statements and errors of SQLite.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use crate::StoreError;

pub(super) fn execute(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([])?;
    Ok(())
}

/// Returns the error's text, with SQLite's extended code if it has one.
pub(super) fn describe(error: &rusqlite::Error) -> String {
    match error.sqlite_error() {
        Some(code) => format!("{error} (SQLite code {})", code.extended_code),
        None => error.to_string(),
    }
}

/// Returns the first column of the first row, if there is a row.
pub(super) fn scalar<T: rusqlite::types::FromSql>(
    connection: &Connection,
    statement: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<Option<T>> {
    connection
        .prepare_cached(statement)?
        .query_row(params, |row| row.get(0))
        .optional()
}

/// Converts an SQLite error to a store error with the file and the remedy.
pub(super) fn database(path: &Path, error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseCorrupt, DiskFull, NotADatabase, PermissionDenied,
        ReadOnly,
    };
    let help = match error.sqlite_error_code() {
        Some(CannotOpen | PermissionDenied | ReadOnly) => {
            ": check that the folder exists and that you may write to it and to the file"
        }
        Some(NotADatabase) => ": this file is no SQLite database; name another with --db",
        Some(DatabaseCorrupt) => ": the file is damaged; restore it from a backup",
        Some(DatabaseBusy) => ": another process holds the write lock; try again when it is done",
        Some(DiskFull) => ": make room on the disk and try again",
        _ => "",
    };
    StoreError::Database(format!("{}: {error}{help}", path.display()))
}
