//! A database that is only read, wherever it is.

use std::path::Path;
use std::sync::Arc;

use cairn_model::clock::Clock;
use cairn_model::id::Identity;

use crate::extent::Extent;
#[cfg(feature = "postgres")]
use crate::postgres::{PostgresConfig, ServerReader};
use crate::sqlite::{DatabaseCheck, FileReader};
use crate::view::View;
use crate::{SqliteConfig, StoreError};

/// A database that is only read.
pub struct Reader(Source);

enum Source {
    File(Box<FileReader>),
    #[cfg(feature = "postgres")]
    Server(Box<ServerReader>),
}

impl Reader {
    /// Opens the SQLite database at `path`, which must exist. Also in a folder where nothing can be written, as long as no other process
    /// that started later writes there.
    ///
    /// # Errors
    /// Those of [`Sqlite::open`](crate::Sqlite::open).
    pub fn open(
        path: &Path,
        config: SqliteConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        FileReader::open(path, config, clock).map(|reader| Self(Source::File(Box::new(reader))))
    }

    /// Connects to the database on a PostgreSQL server, which must be Cairn's.
    ///
    /// # Errors
    /// Those of [`Postgres::open`](crate::postgres::Postgres::open).
    #[cfg(feature = "postgres")]
    pub fn connect(config: &PostgresConfig, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        ServerReader::connect(config, clock).map(|reader| Self(Source::Server(Box::new(reader))))
    }

    /// Refuses a database with an older schema, which can only be checked and backed up.
    ///
    /// # Errors
    /// `InvalidInput`.
    pub fn require_newest(&self) -> Result<(), StoreError> {
        match &self.0 {
            Source::File(reader) => reader.require_newest(),
            #[cfg(feature = "postgres")]
            Source::Server(reader) => reader.require_newest(),
        }
    }

    /// Returns what `requester` may read.
    pub fn view<'a>(&'a self, requester: &'a Identity) -> View<'a> {
        match &self.0 {
            Source::File(reader) => reader.view(requester),
            #[cfg(feature = "postgres")]
            Source::Server(reader) => reader.view(requester),
        }
    }

    /// Checks the database: the problems that its own check finds, and the schema's version.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the check cannot run.
    pub fn check(&self) -> Result<DatabaseCheck, StoreError> {
        match &self.0 {
            Source::File(reader) => reader.check(),
            #[cfg(feature = "postgres")]
            Source::Server(reader) => reader.check(),
        }
    }

    /// Returns how large the database is, and which schema it has.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn extent(&self) -> Result<Extent, StoreError> {
        match &self.0 {
            Source::File(reader) => reader.extent(),
            #[cfg(feature = "postgres")]
            Source::Server(reader) => reader.extent(),
        }
    }

    /// Writes a copy of the database, as of one moment, to the file `to`; the copy is checked and on disk when this returns. Flows may run
    /// meanwhile. Never overwrites: `to` must not exist, and is removed on failure. The master key is not part of the copy. That of a database
    /// on a server is a file of the same kind, which only its owner can read.
    ///
    /// # Errors
    /// `InvalidInput` when `to` exists or is not UTF-8; for a database on a server also when its schema is older, or when it has tables that
    /// no domain of this program knows. [`StoreError::Database`] when it cannot be written, or the copy is damaged.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        match &self.0 {
            Source::File(reader) => reader.backup(to),
            #[cfg(feature = "postgres")]
            Source::Server(reader) => reader.backup(to),
        }
    }
}
