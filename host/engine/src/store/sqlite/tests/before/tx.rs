//! One effect's view of the open batch, and the small change of talking to SQLite.

use rusqlite::{Connection, OptionalExtension};

use crate::clock::Timestamp;
use crate::store::Caller;
use crate::store::sqlite::Env;

/// What an effect works with.
pub(in crate::store::sqlite) struct Tx<'a> {
    pub(in crate::store::sqlite) connection: &'a Connection,
    pub(in crate::store::sqlite) env: &'a Env,
    pub(in crate::store::sqlite) by: Caller<'a>,
    pub(in crate::store::sqlite) now: Timestamp,
    pub(in crate::store::sqlite) changes: Vec<crate::effect::Change>,
    /// Things of others that were named: kind and id.
    pub(in crate::store::sqlite) denied: Vec<(&'static str, String)>,
}

/// Why an effect was not applied.
pub(in crate::store::sqlite) enum Fault {
    /// One of our rules.
    Refused(crate::error::TaskError),
    /// SQLite: nobody knows what is left of the transaction.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<crate::error::TaskError> for Fault {
    fn from(error: crate::error::TaskError) -> Self {
        Self::Refused(error)
    }
}

impl<'a> Tx<'a> {
    pub(in crate::store::sqlite) fn new(
        connection: &'a Connection,
        env: &'a Env,
        by: Caller<'a>,
    ) -> Self {
        Self {
            connection,
            env,
            by,
            now: env.clock.now(),
            changes: Vec::new(),
            denied: Vec::new(),
        }
    }
}

/// Runs `work` in a savepoint: what it wrote is gone when it is refused.
pub(in crate::store::sqlite) fn in_savepoint<T>(
    tx: &mut Tx<'_>,
    work: impl FnOnce(&mut Tx<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    execute(tx.connection, "SAVEPOINT effect")?;
    let result = work(tx);
    match &result {
        Ok(_) => execute(tx.connection, "RELEASE effect")?,
        Err(Fault::Refused(_)) => {
            tx.changes.clear();
            execute(tx.connection, "ROLLBACK TO effect")?;
            execute(tx.connection, "RELEASE effect")?;
        }
        // The whole batch goes.
        Err(Fault::Sqlite(_)) => {}
    }
    result
}

/// Runs `work`, which is refused before it writes anything or not at all.
///
/// # Panics
/// When it is refused after it changed something: then the whole batch goes.
pub(in crate::store::sqlite) fn checked_first<T>(
    tx: &mut Tx<'_>,
    work: impl FnOnce(&mut Tx<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let result = work(tx);
    let is_refused = matches!(result, Err(Fault::Refused(_)));
    assert!(
        !is_refused || tx.changes.is_empty(),
        "an effect was refused half-way"
    );
    result
}

pub(in crate::store::sqlite) fn execute(
    connection: &Connection,
    statement: &str,
) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([])?;
    Ok(())
}

/// SQLite's words, and those of the connection where they say more.
pub(in crate::store::sqlite) fn describe(error: &rusqlite::Error) -> String {
    match error.sqlite_error() {
        Some(code) => format!("{error} (SQLite code {})", code.extended_code),
        None => error.to_string(),
    }
}

/// The first column of the only row, where there is one.
pub(in crate::store::sqlite) fn scalar<T: rusqlite::types::FromSql>(
    connection: &Connection,
    statement: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<Option<T>> {
    connection
        .prepare_cached(statement)?
        .query_row(params, |row| row.get(0))
        .optional()
}
