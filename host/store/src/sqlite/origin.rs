//! Checks the origin of a database: the path under which it is used, and whether it is a backup that was never opened. Both are
//! read from the file alone, without its log and without locks, before the given name is used.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::beside::beside;
use super::facts::{self, fact, set_fact};
use super::file::{DatabaseFile, FileId, has_content, invalid};
use super::lease;
use super::unlocked::unlocked;
use crate::StoreError;

/// SQLite's `application_id` of a backup until it is first opened for writing: "CnBk". Every other database has 0.
const BACKUP: i64 = 0x436e_426b;

/// The origin that a file records.
#[derive(Debug, Default)]
pub(super) struct Origin {
    pub(super) is_backup: bool,
    /// The path under which it is used; `None` before it is first opened.
    path: Option<PathBuf>,
    /// Whether the given name must be recorded.
    is_new_name: bool,
}

impl Origin {
    /// Reads the recorded origin, and refuses to use the file under this name where that could lose changes:
    ///
    /// - It has another name, which still leads to it. SQLite keeps one log for each name, so changes under one would not be
    ///   seen, or be overwritten, under the other. A folder that is mounted twice has one log, so this is allowed.
    /// - It was moved away from its log, or while a process uses it.
    /// - It is a backup, and the log beside it belongs to another database.
    ///
    /// # Errors
    /// `InvalidInput`, with the remedy.
    pub(super) fn check(file: &DatabaseFile, id: FileId) -> Result<Self, StoreError> {
        let mut origin = Self::read(file);
        if origin.is_backup {
            check_logs(file)?;
            origin.is_new_name = true;
            return Ok(origin);
        }
        let own = file.path();
        let Some(other) = origin.path.as_deref().filter(|other| *other != own) else {
            origin.is_new_name = origin.path.is_none();
            return Ok(origin);
        };
        match FileId::of(other) {
            // The old path is a link to the new one.
            Ok(_) if std::fs::canonicalize(other).is_ok_and(|path| path == own) => {
                check_moved(file, other)?;
            }
            Ok(found) if found == id && is_same_folder(own, other) => return Ok(origin),
            Ok(found) if found == id => return Err(second_name(own, other)),
            // The file is a copy.
            Ok(_) => {}
            Err(_) => check_moved(file, other)?,
        }
        origin.is_new_name = true;
        Ok(origin)
    }

    /// Reads the recorded origin. An unreadable file gives the default; opening it reports the error.
    fn read(file: &DatabaseFile) -> Self {
        let Ok(connection) = unlocked(file.path()) else {
            return Self::default();
        };
        let id = connection.query_row("PRAGMA application_id", [], |row| row.get::<_, i64>(0));
        let path = fact(&connection, facts::PATH).ok().flatten();
        Self {
            is_backup: id.is_ok_and(|id| id == BACKUP),
            path: path.map(PathBuf::from),
            is_new_name: false,
        }
    }

    /// Removes the mark of a backup, before there is a log.
    ///
    /// Changes one page, and keeps no journal on disk: a marked file with a journal beside it would be refused after a crash.
    pub(super) fn unmark(&self, connection: &Connection) -> rusqlite::Result<()> {
        if !self.is_backup {
            return Ok(());
        }
        connection.query_row("PRAGMA journal_mode = MEMORY", [], |_| Ok(()))?;
        connection.execute_batch("PRAGMA application_id = 0")
    }

    /// Records the path, in the file itself and not only in its log, because another name has a log of its own.
    pub(super) fn remember(&self, connection: &Connection, own: &Path) -> rusqlite::Result<()> {
        // SQLite's texts are UTF-8, so other paths are not recorded.
        let (true, Some(own)) = (self.is_new_name, own.to_str()) else {
            return Ok(());
        };
        if fact(connection, facts::PATH)?.as_deref() != Some(own) {
            set_fact(connection, facts::PATH, own)?;
        }
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }
}

/// Marks a copy as a backup.
pub(super) fn mark(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("PRAGMA application_id = {BACKUP}"))
}

fn check_logs(file: &DatabaseFile) -> Result<(), StoreError> {
    for suffix in ["-wal", "-journal"] {
        let log = file.beside(suffix);
        if has_content(&log) {
            return Err(invalid(format!(
                "{path} is a backup, and {log} beside it is the log of another database, which would undo or damage it: \
                 `cairn db restore BACKUP` puts a backup back as a whole; or move {log} away",
                path = file.path().display(),
                log = log.display(),
            )));
        }
    }
    Ok(())
}

fn check_moved(file: &DatabaseFile, old: &Path) -> Result<(), StoreError> {
    let own = file.path();
    let (log, left) = (beside(own, "-wal"), beside(old, "-wal"));
    let is_used = lease::is_anybody_alive(&file.locks_of(old).path);
    let (own, old) = (own.display(), old.display());
    if is_used {
        return Err(invalid(format!(
            "{own} was {old}, and a process works on it under that name: move it back, or wait until that process has ended"
        )));
    }
    if has_content(&left) && !has_content(&log) {
        let (log, left) = (log.display(), left.display());
        return Err(invalid(format!(
            "{own} was {old}, and its log was left there, with what was written last: `mv {left} {log}`, or remove {left} to go \
             on without it"
        )));
    }
    Ok(())
}

/// Returns whether two paths name the same file in one folder that is mounted in two places.
fn is_same_folder(one: &Path, other: &Path) -> bool {
    let folder = |path: &Path| path.parent().and_then(|folder| FileId::of(folder).ok());
    one.file_name() == other.file_name() && folder(one).is_some() && folder(one) == folder(other)
}

fn second_name(own: &Path, other: &Path) -> StoreError {
    let (own, other) = (own.display(), other.display());
    invalid(format!(
        "{own} is a second name of the database {other}: use it under that name, or remove {other} to use it under this one"
    ))
}
