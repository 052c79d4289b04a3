//! A copy of the database, as of one moment.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use cairn_model::error::TaskError;
use cairn_model::file;

use super::Reader;
use crate::StoreError;
use crate::sqlite::open;
use crate::sqlite::tx::database;

/// That the owner may read and write.
const OWNER: u32 = 0o600;

impl Reader {
    /// Writes a copy of the database, as of one moment, to `to`, on disk and checked when this returns. Flows may run
    /// meanwhile. Never overwrites: `to` must not be there. Nothing is left there when it fails. Until the copy is first opened
    /// for writing it is known as a backup, which is refused beside a log: that is the log of another database.
    ///
    /// The components and the master key are files of their own, and not part of it.
    ///
    /// # Errors
    /// `InvalidInput` when `to` is there, or is no UTF-8; [`StoreError::Database`] when it cannot be written, or the copy is
    /// not sound.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        // SQLite makes a database in memory, or a URI, of some names that are not absolute.
        let to = &std::path::absolute(to).map_err(|error| unwritten(to, &error))?;
        let Some(name) = to.to_str() else {
            let message = format!("the name `{}` is not UTF-8", to.display());
            return Err(TaskError::new("InvalidInput", message).into());
        };
        // SQLite would write into a file that is there and empty.
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
        // Who could not read the database shall not read the copy.
        let mode = fs::metadata(self.file.path()).map(|file| file.permissions().mode());
        mode.and_then(|mode| fs::set_permissions(to, Permissions::from_mode(mode | OWNER)))
            .and_then(|()| file::sync(to))
            .map_err(|error| unwritten(to, &error))?;
        let copy = Self::open_with(to, self.env.config.clone(), Arc::clone(&self.env.clock))?;
        match copy.check()?.problems.first() {
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
