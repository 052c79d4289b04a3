//! Migrates the schema.

use std::path::Path;

use serde::Serialize;

use cairn_effects::domain::Domains;

use super::{DatabaseFile, Sqlite, open};
use crate::StoreError;

/// The versions of a database's schema before and after a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// The version before.
    pub from: usize,
    /// The version after: the newest that this program knows.
    pub to: usize,
}

impl Sqlite {
    /// Migrates the schema of the database at `path`, which must exist, to the newest version. Does nothing when it has that
    /// version. [`open`](Self::open) does the same without reporting the versions.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it cannot be written, is not a database or another program's, or was created by a newer
    /// version.
    pub fn migrate(path: &Path, domains: &Domains) -> Result<Migrated, StoreError> {
        let file = DatabaseFile::named(path);
        let (from, _) = open::schema_version(&open::read_only(&file)?)?;
        let (connection, _) = open::at(&file, domains)?;
        let (to, _) = open::schema_version(&connection)?;
        Ok(Migrated { from, to })
    }
}
