//! Makes a copy of the database as of one moment.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use cairn_model::error::TaskError;
use cairn_model::file;

use super::reader::FileReader;
use crate::StoreError;
use crate::sqlite::statement::database;
use crate::sqlite::{DatabaseFile, open};

/// Read and write permission for the owner.
const OWNER: u32 = 0o600;

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
        // SQLite interprets some relative names as a database in memory or as a URI.
        let to = &std::path::absolute(to).map_err(|error| unwritten(to, &error))?;
        let Some(name) = to.to_str() else {
            let message = format!("the name `{}` is not UTF-8", to.display());
            return Err(TaskError::new("InvalidInput", message).into());
        };
        // SQLite would write into an existing empty file.
        if let Err(error) = File::create_new(to) {
            if error.kind() == io::ErrorKind::AlreadyExists {
                let message = format!("{name} is there already, and a backup never overwrites");
                return Err(TaskError::new("InvalidInput", message).into());
            }
            return Err(unwritten(to, &error));
        }
        let written = self.write_copy(to, name);
        if written.is_err()
            && let Err(error) = fs::remove_file(to)
        {
            tracing::warn!(file = name, %error, "a backup that failed could not be removed");
        }
        written
    }

    fn write_copy(&self, to: &Path, name: &str) -> Result<(), StoreError> {
        let failed = |error: rusqlite::Error| database(to, &error);
        self.connection
            .execute("VACUUM INTO ?", [name])
            .map_err(failed)?;
        open::mark_backup(to)?;
        // The copy gets the permissions of the database, so that it is not readable by more users.
        let mode = fs::metadata(self.file.path()).map(|file| file.permissions().mode());
        mode.and_then(|mode| fs::set_permissions(to, Permissions::from_mode(mode | OWNER)))
            .and_then(|()| file::sync(to))
            .map_err(|error| unwritten(to, &error))?;
        let copy = Self::open_with(
            DatabaseFile::named(to),
            self.env.config.clone(),
            Arc::clone(&self.env.clock),
        )?;
        match copy.check_file()?.problems.first() {
            None => Ok(()),
            Some(problem) => Err(StoreError::Database(format!(
                "{name}: the copy is not sound: {problem}; look at the database with `cairn db check`"
            ))),
        }
    }
}

fn unwritten(to: &Path, error: &io::Error) -> StoreError {
    StoreError::Database(format!(
        "{}: {error}: check that the folder exists and that you may write to it",
        to.display()
    ))
}
