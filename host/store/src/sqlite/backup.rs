//! Makes a copy of the database as of one moment.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_model::error::TaskError;
use cairn_model::file;

use super::reader::FileReader;
use crate::StoreError;
use crate::config::Env;
use crate::sqlite::statement::database;
use crate::sqlite::{DatabaseFile, open};

/// Read and write permission for the owner.
pub(super) const OWNER: u32 = 0o600;

impl FileReader {
    /// Writes a copy of the database, as of one moment, to `to`; the copy is checked and on disk when this returns. Flows may run
    /// meanwhile. Never overwrites: `to` must not exist, and is removed on failure. The copy is marked as a backup until it is first
    /// opened for writing; a marked file is refused beside a log, because that is the log of another database.
    ///
    /// The master key is a separate file and not part of the copy.
    ///
    /// # Errors
    /// `InvalidInput` when `to` exists or is not UTF-8; [`StoreError::Database`] when it cannot be written, or the copy is
    /// damaged.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let new = NewFile::create(to)?;
        self.connection
            .execute("VACUUM INTO ?", [&new.name])
            .map_err(|error| database(&new.path, &error))?;
        // The copy gets the permissions of the database, so that it is not readable by more users.
        let mode = fs::metadata(self.file.path()).map(|file| file.permissions().mode());
        let mode = mode.map_err(|error| unwritten(&new.path, &error))?;
        new.finish(mode | OWNER, &self.env)
    }
}

/// A file that becomes a backup; removed on drop unless finished.
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    /// The path as SQLite takes it.
    name: String,
    is_finished: bool,
}

impl NewFile {
    /// Creates an empty file, which must not exist.
    ///
    /// # Errors
    /// Those of [`FileReader::backup`].
    pub(super) fn create(path: &Path) -> Result<Self, StoreError> {
        // SQLite interprets some relative names as a database in memory or as a URI.
        let path = std::path::absolute(path).map_err(|error| unwritten(path, &error))?;
        let Some(name) = path.to_str().map(str::to_owned) else {
            let message = format!("the name `{}` is not UTF-8", path.display());
            return Err(TaskError::new("InvalidInput", message).into());
        };
        // SQLite would write into an existing empty file.
        // It may hold secrets before it has the mode that it is to have.
        let mut new = OpenOptions::new();
        new.write(true).create_new(true).mode(OWNER);
        if let Err(error) = new.open(&path) {
            if error.kind() == io::ErrorKind::AlreadyExists {
                let message = format!("{name} is there already, and a backup never overwrites");
                return Err(TaskError::new("InvalidInput", message).into());
            }
            return Err(unwritten(&path, &error));
        }
        Ok(Self {
            path,
            name,
            is_finished: false,
        })
    }

    /// Marks the database in the file, which no connection has open, as a backup, and sets the file's mode; it is checked and on disk
    /// when this returns.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(super) fn finish(mut self, mode: u32, env: &Env) -> Result<(), StoreError> {
        let path = &self.path;
        open::mark_backup(path)?;
        fs::set_permissions(path, Permissions::from_mode(mode))
            .and_then(|()| file::sync(path))
            .map_err(|error| unwritten(path, &error))?;
        let copy = FileReader::open_with(
            DatabaseFile::named(path),
            env.config.clone(),
            Arc::clone(&env.clock),
        )?;
        if let Some(problem) = copy.check_file()?.problems.first() {
            return Err(StoreError::Database(format!(
                "{}: the copy is not sound: {problem}; look at the database with `cairn db check`",
                self.name
            )));
        }
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_finished
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(file = self.name, %error, "a backup that failed could not be removed");
        }
    }
}

fn unwritten(to: &Path, error: &io::Error) -> StoreError {
    StoreError::Database(format!(
        "{}: {error}: check that the folder exists and that you may write to it",
        to.display()
    ))
}
