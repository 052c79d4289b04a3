//! One operator's view of the open batch, and the small change of talking to SQLite.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use cairn_model::clock::Timestamp;

use crate::config::Env;
use crate::{Caller, StoreError};

/// What an operator's change works with.
pub(super) struct Tx<'a> {
    pub(super) connection: &'a Connection,
    pub(super) env: &'a Env,
    pub(super) by: Caller<'a>,
    pub(super) now: Timestamp,
}

impl<'a> Tx<'a> {
    pub(super) fn new(connection: &'a Connection, env: &'a Env, by: Caller<'a>) -> Self {
        Self {
            connection,
            env,
            by,
            now: env.clock.now(),
        }
    }
}

/// Runs `work` in a savepoint: what it wrote is gone when it is refused.
///
/// # Errors
/// The outer one is SQLite's: it is not known what is left of the transaction, so the whole batch goes.
pub(super) fn in_savepoint<T, E>(
    tx: &mut Tx<'_>,
    work: impl FnOnce(&mut Tx<'_>) -> rusqlite::Result<Result<T, E>>,
) -> rusqlite::Result<Result<T, E>> {
    execute(tx.connection, "SAVEPOINT effect")?;
    let result = work(tx)?;
    if result.is_err() {
        execute(tx.connection, "ROLLBACK TO effect")?;
    }
    execute(tx.connection, "RELEASE effect")?;
    Ok(result)
}

pub(super) fn execute(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([])?;
    Ok(())
}

/// SQLite's words, and those of the connection where they say more.
pub(super) fn describe(error: &rusqlite::Error) -> String {
    match error.sqlite_error() {
        Some(code) => format!("{error} (SQLite code {})", code.extended_code),
        None => error.to_string(),
    }
}

/// The first column of the only row, where there is one.
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

/// An error of SQLite's, with the file and what to do about it.
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
