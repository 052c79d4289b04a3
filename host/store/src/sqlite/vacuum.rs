//! Returns the space of deleted rows to the file system.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, ErrorCode};
use serde::Serialize;

use cairn_model::error::TaskError;

use crate::StoreError;
use crate::batched::Writer;
use crate::sqlite::statement::describe;
use crate::sqlite::{Database, Sqlite, database};

/// The sizes of a database before and after a vacuum, in bytes, including its write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Vacuumed {
    /// The size before.
    pub before: u64,
    /// The size after.
    pub after: u64,
    /// Whether all free space was returned. If not, a process still reads an older snapshot, and the file shrinks once it is done and
    /// the log is copied.
    pub complete: bool,
}

impl Sqlite {
    /// Rewrites the database without free space, in one transaction, so a crash leaves either the old or the new database. Other
    /// processes cannot write meanwhile, but can read. Needs space for two copies of the new database: in the folder of temporary
    /// files (`SQLITE_TMPDIR`, `TMPDIR`), and beside the database.
    ///
    /// # Errors
    /// `DatabaseInUse` while another live process is registered as a host; [`StoreError::Database`].
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
    // The row ids of the journal, on which the mark is based, may have changed.
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

/// Runs VACUUM with temporary files on disk, so that it does not hold the whole database in memory.
fn write_anew(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("PRAGMA temp_store = FILE")?;
    let written = connection.execute_batch("VACUUM");
    connection.execute_batch("PRAGMA temp_store = MEMORY")?;
    written
}

/// Copies the log into the database, which shrinks it; returns false when a process still reads an older snapshot.
fn copy_log(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        Ok(!row.get::<_, bool>(0)?)
    })
}

/// Returns the size of a database and its log, in bytes.
fn size(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    bytes(path) + bytes(Path::new(&log))
}
