//! Giving the space of what was deleted back to the file system.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, ErrorCode};
use serde::Serialize;

use cairn_model::error::TaskError;

use crate::StoreError;
use crate::batched::Writer;
use crate::sqlite::tx::describe;
use crate::sqlite::{Database, Sqlite, database};

/// How large a database was, and is; in bytes, with its write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Vacuumed {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
    /// Whether all is given back. Else a process still reads what was there before, and the file shrinks when it is done and the
    /// log is copied.
    pub complete: bool,
}

impl Sqlite {
    /// Writes the database anew without the space of what was deleted, in one transaction: when the process dies, the database is
    /// as it was or as it will be. For as long as that takes nobody else can write; reading goes on. It needs room for the new
    /// database twice: in the folder of temporary files (`SQLITE_TMPDIR`, `TMPDIR`), and beside the database.
    ///
    /// # Errors
    /// `DatabaseInUse` while another process works on flows; [`StoreError::Database`].
    pub fn vacuum(&self) -> Result<Vacuumed, StoreError> {
        self.write(vacuum)
    }
}

fn vacuum(writer: &mut Writer<Database>) -> Result<Vacuumed, StoreError> {
    writer.ledger.commit()?;
    let failed = |error: rusqlite::Error| StoreError::Database(describe(&error));
    let now = writer.env.clock.now();
    let database = &writer.ledger.backend;
    let path = database
        .held
        .as_ref()
        .map(|held| held.file.path().to_owned());
    let before = path.as_deref().map_or(0, size);
    let at_work = database.holder.at_work(&database.connection, now);
    if let [pid, ..] = at_work.map_err(failed)?.as_slice() {
        let message = format!(
            "process {pid} works on flows of this database, and could not write for as long as this takes: let it end, and try again"
        );
        return Err(TaskError::new("DatabaseInUse", message).into());
    }
    let (turnstile, patience) = (database.turnstile.as_ref(), database.patience);
    let turn = database::take_turn(turnstile, patience)?;
    database::mark(turnstile);
    let written = write_anew(&database.connection);
    // Rows of the journal may have other numbers now.
    writer.ledger.overlay.forget();
    if let Err(error) = &written
        && error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
    {
        return Err(database::busy(turnstile, patience));
    }
    let complete = written.and_then(|()| copy_log(&database.connection));
    let complete = complete.map_err(failed)?;
    drop(turn);
    Ok(Vacuumed {
        before,
        after: path.as_deref().map_or(0, size),
        complete,
    })
}

/// Temporary tables are kept in memory otherwise: a whole database is not to be.
fn write_anew(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("PRAGMA temp_store = FILE")?;
    let written = connection.execute_batch("VACUUM");
    connection.execute_batch("PRAGMA temp_store = MEMORY")?;
    written
}

/// Copies the log into the database, which shrinks by that; false when somebody reads what was there before.
fn copy_log(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        Ok(!row.get::<_, bool>(0)?)
    })
}

/// Bytes of a database and its log.
fn size(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    bytes(path) + bytes(Path::new(&log))
}
