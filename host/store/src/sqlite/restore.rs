//! Replaces a database with a backup.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, fcntl_lock};

use cairn_effects::domain::Domains;
use cairn_model::clock::{Clock, Timestamp};

use super::SqliteConfig;
use super::beside::beside;
use super::file::{DatabaseFile, FileId, has_content, invalid};
use super::lease::is_anybody_alive;
use super::open;
use super::reader::FileReader;
use crate::StoreError;

/// Suffixes of the files of a database that hold data: its logs, then the file itself.
const PARTS: [&str; 3] = ["-wal", "-journal", ""];

/// The restore of a backup in three steps: [`stage`](Self::stage), [`begin`](Self::begin), [`finish`](Self::finish). Between the last
/// two, the caller can replace other files of the database: from [`begin`](Self::begin) to [`finish`](Self::finish) the database cannot
/// be opened, even if this process dies; then the restore must be repeated.
///
/// Nothing is deleted: the previous database is set aside under another name.
pub struct Restore {
    to: DatabaseFile,
    /// Holds the lock that excludes other processes from the previous file.
    _alone: Option<File>,
}

impl Restore {
    /// Copies the backup into the folder of the database `to`; the copy is checked and on disk when this returns. Any database of
    /// Cairn can be the backup; it is only read. `locks` is the [`SqliteConfig::locks`] of the database's hosts.
    ///
    /// # Errors
    /// `InvalidInput` when there is no backup, when it is the database itself, or when a process uses the database;
    /// [`StoreError::Database`] when the backup cannot be read or is damaged, or the copy cannot be written.
    pub fn stage(
        backup: &Path,
        to: &Path,
        locks: Option<&Path>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let from = DatabaseFile::named(backup);
        let to = DatabaseFile::named(to).locks_in(locks);
        let shown = from.path().display();
        let Some(found) = from.look()?.filter(|found| found.len() > 0) else {
            return Err(invalid(format!("there is no backup at {shown}")));
        };
        let there = to.look()?;
        if there.as_ref().map(FileId::from) == Some(FileId::from(&found)) {
            return Err(invalid(format!("{shown} is the database itself")));
        }
        let alone = match there {
            Some(_) => Some(lock_out_others(&to)?.ok_or_else(|| in_use(&to))?),
            None => None,
        };
        if is_anybody_alive(&to.locks().path) {
            return Err(in_use(&to));
        }
        let backup = FileReader::open(from.path(), SqliteConfig::default(), clock)?;
        if let Some(problem) = backup.check_file()?.problems.first() {
            return Err(StoreError::Database(format!(
                "{shown} is not sound, and nothing was changed: {problem}"
            )));
        }
        let staged = Self { to, _alone: alone };
        remove(&staged.partial())?;
        backup.backup(&staged.partial())?;
        Ok(staged)
    }

    /// Decides whether the restored database is [held](crate::view::View::held), whatever the backup says. A backup that is to be held is
    /// brought to the newest schema, as older ones cannot say that.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn set_held(
        &self,
        held: bool,
        domains: &Domains,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        open::set_held(&self.partial(), held.then_some(now), domains)
    }

    /// Sets the previous database aside, and returns its new name, if there was one. From here on the database cannot be
    /// opened.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn begin(&self) -> Result<Option<PathBuf>, StoreError> {
        let failed = |error: io::Error| self.to.failed(&error);
        fs::rename(self.partial(), self.to.restoring()).map_err(failed)?;
        self.to.sync_folder().map_err(failed)?;
        let aside = self.set_aside().map_err(failed)?;
        remove(&self.to.beside("-shm"))?;
        self.to.sync_folder().map_err(failed)?;
        Ok(aside)
    }

    /// Moves the copy into the database's place.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn finish(self) -> Result<(), StoreError> {
        fs::rename(self.to.restoring(), self.to.path())
            .and_then(|()| self.to.sync_folder())
            .map_err(|error| self.to.failed(&error))
    }

    fn set_aside(&self) -> io::Result<Option<PathBuf>> {
        let mut aside = None;
        for part in PARTS {
            let there = self.to.beside(part);
            if !has_content(&there) {
                match fs::remove_file(there) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => continue,
                }
            }
            let aside = aside.get_or_insert_with(|| self.free_name());
            fs::rename(there, beside(aside, part))?;
        }
        Ok(aside)
    }

    /// Returns `<path>.replaced`, or a name with a number when that is taken.
    fn free_name(&self) -> PathBuf {
        let is_free = |name: &PathBuf| {
            let mut parts = PARTS.iter().chain(&[".key", ".components"]);
            parts.all(|part| beside(name, part).symlink_metadata().is_err())
        };
        let first = self.to.beside(".replaced");
        let more = (2_u64..).map(|number| self.to.beside(&format!(".replaced-{number}")));
        let mut names = std::iter::once(first.clone()).chain(more);
        names.find(is_free).unwrap_or(first)
    }

    fn partial(&self) -> PathBuf {
        beside(&self.to.restoring(), ".partial")
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.partial()) {
            tracing::warn!(%error, "a part of a restore could not be removed");
        }
    }
}

/// Locks the database file until the returned file is closed. Every process that has the database open holds an SQLite lock on
/// some bytes of it: then there is no lock to have.
pub(super) fn lock_out_others(database: &DatabaseFile) -> Result<Option<File>, StoreError> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open(database.path());
    let file = file.map_err(|error| database.failed(&error))?;
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(None),
        Err(error) => Err(database.failed(&error.into())),
    }
}

fn in_use(database: &DatabaseFile) -> StoreError {
    invalid(format!(
        "a process works on {}: end it first, for a restore would take the database away under it",
        database.path().display()
    ))
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::Database(
            format!("{}: {error}: it cannot be removed", path.display()),
        )),
        _ => Ok(()),
    }
}
