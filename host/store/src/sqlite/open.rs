use std::path::Path;
use std::time::{Duration, Instant};

use cairn_effects::domain::Domains;
use cairn_model::clock::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rusqlite_migration::{M, Migrations, SchemaVersion};

use super::file::{DatabaseFile, FileId, Held, has_content};
use super::origin::{self, Origin};
use super::schema;
use super::statement::database;
use super::unlocked::unlocked;
use crate::StoreError;
use crate::operators::held;

/// The steps of the schema, in order; a released step never changes.
const STEPS: &[M<'static>] = &[
    M::up(include_str!("../../migrations/stage-1/01-initial.sql")),
    M::up(include_str!("../../migrations/stage-1/02-hosts.sql")),
    M::up(include_str!(
        "../../migrations/stage-1/03-packed-journal.sql"
    )),
    M::up(include_str!(
        "../../migrations/stage-1/04-identity-bookings-keys.sql"
    )),
    M::up(include_str!("../../migrations/05-domains.sql")),
    M::up(include_str!("../../migrations/06-components.sql")),
    M::up(include_str!("../../migrations/07-deliver.sql")),
    M::up(include_str!("../../migrations/08-sleep.sql")),
    M::up(include_str!("../../migrations/09-externals.sql")),
    M::up(include_str!("../../migrations/10-pivot.sql")),
    M::up(include_str!("../../migrations/11-host-locks.sql")),
    M::up(include_str!("../../migrations/12-service.sql")),
];

/// The oldest supported SQLite: older versions can lose a WAL reset that races with a checkpoint.
const OLDEST_SQLITE: i32 = 3_051_003;

/// How long to wait while another process writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause between two attempts at an operation for which SQLite itself does not wait.
const PAUSE: Duration = Duration::from_millis(5);

/// Flags for SQLite's usual locks and no mutex, because one thread at a time uses a connection. No flag makes SQLite read a name as a URI.
const PLAIN: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX;

/// Opens a database for writing; creates and migrates it.
pub(super) fn at(file: &DatabaseFile, domains: &Domains) -> Result<(Connection, Held), StoreError> {
    let path = file.path();
    let failed = |error: rusqlite::Error| database(path, &error);
    let id = file.make()?;
    let origin = Origin::check(file, id)?;
    let mut connection = writable(path)?;
    // Checked before anything is written, and setting the journal mode writes to the file.
    check_version(&connection, path)?;
    origin.unmark(&connection).map_err(failed)?;
    let mode = write_ahead(&connection).map_err(failed)?;
    if mode != "wal" {
        return Err(StoreError::Database(format!(
            "{}: SQLite cannot keep a write-ahead log there (journal mode `{mode}`); use a local file system",
            path.display()
        )));
    }
    // The first read through the log locks the file for the life of the connection: from here on a restore is refused.
    check_version(&connection, path)?;
    let held = Held::of(file, id).inspect_err(|_| leave_files(&connection))?;
    migrate(&mut connection, path)?;
    schema::migrate(&mut connection, path, domains)?;
    origin.remember(&connection, path).map_err(failed)?;
    Ok((connection, held))
}

/// Turns the write-ahead log on, and returns the journal mode. Retries, because SQLite does not wait for another connection that does the
/// same at the same time, as when two processes create a database.
fn write_ahead(connection: &Connection) -> rusqlite::Result<String> {
    let until = Instant::now() + BUSY_TIMEOUT;
    loop {
        let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
        match mode {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < until =>
            {
                std::thread::sleep(PAUSE);
            }
            mode => return mode,
        }
    }
}

/// Opens another connection for writing to a database that this process has open; creates nothing.
pub(super) fn again(held: &Held) -> Result<Connection, StoreError> {
    held.check()?;
    let path = held.file.path();
    let connection = writable(path)?;
    check_version(&connection, path)?;
    held.check().inspect_err(|_| leave_files(&connection))?;
    Ok(connection)
}

fn writable(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | PLAIN;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| database(path, &error))?;
    prepare(&connection).map_err(|error| database(path, &error))?;
    Ok(connection)
}

/// Keeps SQLite from checkpointing and removing the log when the connection is closed, because the log may belong to another
/// database by then.
pub(super) fn leave_files(connection: &Connection) {
    if let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        tracing::warn!(%error, "the log may be removed when the database is closed");
    }
}

/// Opens a database for reading only.
///
/// In a folder that is not writable SQLite cannot create the index of the log, and can read only while a writing process
/// provides one. Without such a process, the file is opened alone or the log is read without a shared index.
pub(super) fn read_only(file: &DatabaseFile) -> Result<Connection, StoreError> {
    let path = file.path();
    file.check_restored()?;
    if let Some(found) = file.look()? {
        Origin::check(file, FileId::from(&found))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | PLAIN;
    let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // SQLite opens the log when something is read.
        connection.query_row("PRAGMA user_version", [], |_| Ok(()))?;
        Ok(connection)
    });
    let connection = match opened {
        Err(error) if needs_index(&error) => without_index(file, &error)?,
        opened => opened.map_err(|error| database(path, &error))?,
    };
    check_version(&connection, path)?;
    Ok(connection)
}

fn needs_index(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | ReadOnly))
}

/// Opens for reading a database that no process writes to; a writing process would have created the index.
fn without_index(file: &DatabaseFile, error: &rusqlite::Error) -> Result<Connection, StoreError> {
    let path = file.path();
    let (log, index) = (file.beside("-wal"), file.beside("-shm"));
    if index.symlink_metadata().is_ok() && log.symlink_metadata().is_ok() {
        return Err(StoreError::Database(format!(
            "{}: {error}: check that you may read the file, {} and {}",
            path.display(),
            log.display(),
            index.display()
        )));
    }
    let failed = |error: rusqlite::Error| database(path, &error);
    if !has_content(&log) {
        return unlocked(path).map_err(failed);
    }
    // In exclusive mode SQLite keeps the index in memory, but takes a lock that needs write permission; the VFS "unix-none" takes
    // no locks.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | PLAIN;
    let connection =
        Connection::open_with_flags_and_vfs(path, flags, c"unix-none").map_err(failed)?;
    leave_files(&connection);
    connection
        .query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))
        .map_err(failed)?;
    Ok(connection)
}

/// Creates the tables in an empty file, for rows that are written before anyone else opens it: without a log, and without syncing.
pub(super) fn new_file(path: &Path, domains: &Domains) -> Result<Connection, StoreError> {
    let mut connection = writable(path)?;
    connection
        .execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF")
        .map_err(|error| database(path, &error))?;
    migrate(&mut connection, path)?;
    schema::migrate(&mut connection, path, domains)?;
    Ok(connection)
}

/// Holds a copy, which no other process uses, since `now`, or releases it.
pub(super) fn set_held(
    copy: &Path,
    now: Option<Timestamp>,
    domains: &Domains,
) -> Result<(), StoreError> {
    let mut connection = writable(copy)?;
    match now {
        Some(now) => {
            migrate(&mut connection, copy)?;
            schema::migrate(&mut connection, copy, domains)?;
            held::hold(&connection, now)?;
        }
        None => held::release(&connection)?,
    }
    connection
        .close()
        .map_err(|(_, error)| database(copy, &error))
}

/// Marks a copy, which has no log, as a backup.
pub(super) fn mark_backup(copy: &Path) -> Result<(), StoreError> {
    let connection = writable(copy)?;
    origin::mark(&connection).map_err(|error| database(copy, &error))
}

pub(super) fn in_memory(domains: &Domains) -> Result<Connection, StoreError> {
    let path = Path::new(":memory:");
    let failed = |error: rusqlite::Error| database(path, &error);
    let mut connection = Connection::open_in_memory().map_err(failed)?;
    prepare(&connection).map_err(failed)?;
    migrate(&mut connection, path)?;
    schema::migrate(&mut connection, path, domains)?;
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
    // No automatic checkpoints: a separate thread copies the log, not the connection that happens to commit.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 0;",
    )
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    match Migrations::from_slice(STEPS).to_latest(connection) {
        Ok(()) => Ok(()),
        // Another process migrated it at the same time.
        Err(_) if schema_version(connection)?.0 == STEPS.len() => Ok(()),
        Err(error) => Err(StoreError::Database(format!("{}: {error}", path.display()))),
    }
}

/// Refuses a database of a newer version or of another program.
fn check_version(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    // One statement: another process may migrate it meanwhile.
    let (version, tables): (i64, (i64, i64)) = connection
        .query_row(
            "SELECT user_version, (SELECT count(*) FROM sqlite_master WHERE type = 'table'),
                 (SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'flows') FROM pragma_user_version",
            [],
            |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))),
        )
        .map_err(|error| database(path, &error))?;
    if version > STEPS.len() as i64 {
        return Err(StoreError::Database(format!(
            "{} was made by a newer version of Cairn (schema {version}, this one knows {}); use that version, or another \
             database with --db",
            path.display(),
            STEPS.len()
        )));
    }
    match (version, tables) {
        // A new database, or one of Cairn.
        (0, (0, _)) | (1.., (_, 1)) => Ok(()),
        _ => Err(StoreError::Database(format!(
            "{} is a database of another program, not Cairn's; name another with --db",
            path.display()
        ))),
    }
}

/// Returns the version of the schema, and the newest that this program knows.
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
