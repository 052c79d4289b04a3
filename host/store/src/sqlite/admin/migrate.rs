//! Bringing the schema up to date.

use std::path::Path;

use serde::Serialize;

use cairn_effects::domain::Domains;

use crate::StoreError;
use crate::sqlite::{DatabaseFile, Sqlite, open};

/// From which version of the schema to which a database was brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// The version that was found.
    pub from: usize,
    /// The newest this program knows, which the database has now.
    pub to: usize,
}

impl Sqlite {
    /// Brings the schema of the database at `path`, which must exist, to the newest version. Does nothing when it is
    /// there already. [`open`](Self::open) does the same, and says nothing of it.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it cannot be written, is no database or another program's, or was made by a newer
    /// version.
    pub fn migrate(path: &Path, domains: &Domains) -> Result<Migrated, StoreError> {
        let file = DatabaseFile::named(path);
        let (from, _) = open::schema_version(&open::read_only(&file)?)?;
        let (connection, _) = open::at(&file, domains)?;
        let (to, _) = open::schema_version(&connection)?;
        Ok(Migrated { from, to })
    }
}
