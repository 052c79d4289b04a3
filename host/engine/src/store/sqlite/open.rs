use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations, SchemaVersion};

use crate::store::StoreError;

/// Each step of the schema, in order; a step that has landed never changes.
const STEPS: &[M<'static>] = &[
    M::up(include_str!("../../../migrations/01-initial.sql")),
    M::up(include_str!("../../../migrations/02-hosts.sql")),
    M::up(include_str!("../../../migrations/03-packed-journal.sql")),
    M::up(include_str!("../../../migrations/04-identity-bookings-keys.sql")),
];

/// Older versions can lose a WAL reset that races with a checkpoint.
const OLDEST_SQLITE: i32 = 3_051_003;

/// How long to wait for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens for writing; makes and migrates.
pub(super) fn at(path: &Path) -> Result<Connection, StoreError> {
    let failed = |error: rusqlite::Error| database(path, &error);
    let mut connection = Connection::open(path).map_err(failed)?;
    prepare(&connection).map_err(failed)?;
    // Before anything is written: the journal mode is a change of the file.
    check_version(&connection, path)?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(failed)?;
    if mode != "wal" {
        return Err(StoreError::Database(format!(
            "{}: SQLite cannot keep a write-ahead log there (journal mode `{mode}`); use a local file system",
            path.display()
        )));
    }
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// Opens for reading only.
pub(super) fn read_only(path: &Path) -> Result<Connection, StoreError> {
    let failed = |error: rusqlite::Error| database(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    check_version(&connection, path)?;
    Ok(connection)
}

pub(super) fn in_memory() -> Result<Connection, StoreError> {
    let path = Path::new(":memory:");
    let failed = |error: rusqlite::Error| database(path, &error);
    let mut connection = Connection::open_in_memory().map_err(failed)?;
    prepare(&connection).map_err(failed)?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    assert!(
        rusqlite::version_number() >= OLDEST_SQLITE,
        "SQLite {} is linked; 3.51.3 or newer is needed",
        rusqlite::version()
    );
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(128);
    // The log is copied by a thread of our own, not by whoever happens to commit.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 0;",
    )
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    match Migrations::from_slice(STEPS).to_latest(connection) {
        Ok(()) => Ok(()),
        // Another process did it in the same moment.
        Err(_) if schema_version(connection)?.0 == STEPS.len() => Ok(()),
        Err(error) => Err(StoreError::Database(format!("{}: {error}", path.display()))),
    }
}

/// Refuses a database of a newer version, and one that is not Cairn's.
fn check_version(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| database(path, &error))?;
    if version > STEPS.len() as i64 {
        return Err(StoreError::Database(format!(
            "{} was made by a newer version of Cairn (schema {version}, this one knows {}); use that version, or another \
             database with --db",
            path.display(),
            STEPS.len()
        )));
    }
    let tables: (i64, i64) = connection
        .query_row(
            "SELECT count(*), count(*) FILTER (WHERE name = 'flows') FROM sqlite_master WHERE type = 'table'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(|error| database(path, &error))?;
    match (version, tables) {
        // New, or ours.
        (0, (0, _)) | (1.., (_, 1)) => Ok(()),
        _ => Err(StoreError::Database(format!(
            "{} is a database of another program, not Cairn's; name another with --db",
            path.display()
        ))),
    }
}

/// The version of the schema, and the newest this program knows.
pub(super) fn schema_version(connection: &Connection) -> Result<(usize, usize), StoreError> {
    let version = Migrations::from_slice(STEPS)
        .current_version(connection)
        .map_err(|error| StoreError::Database(error.to_string()))?;
    let version = match version {
        SchemaVersion::NoneSet => 0,
        SchemaVersion::Inside(version) | SchemaVersion::Outside(version) => version.into(),
    };
    Ok((version, STEPS.len()))
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
