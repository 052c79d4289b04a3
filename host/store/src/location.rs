//! Where a database is.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::{DatabaseFile, StoreError};

/// The beginnings of a name that is the URL of a server.
const URLS: [&str; 2] = ["postgres://", "postgresql://"];

/// Where a database is: in a file of SQLite's, or on a server of PostgreSQL.
#[derive(Clone, Debug)]
pub enum Location {
    /// A file, which is made when it is not there.
    File(DatabaseFile),
    /// The URL of a server's database, as it was written.
    Server(String),
}

impl Location {
    /// Returns the place that a user named: a name that begins with `postgres://` or `postgresql://` is a URL, any other a file.
    pub fn named(name: &Path) -> Self {
        match name.to_str() {
            Some(url) if URLS.iter().any(|start| url.starts_with(start)) => {
                Self::Server(url.to_owned())
            }
            _ => Self::File(DatabaseFile::named(name)),
        }
    }

    /// Returns the file; `None` of a server.
    pub fn file(&self) -> Option<&DatabaseFile> {
        match self {
            Self::File(file) => Some(file),
            Self::Server(_) => None,
        }
    }

    /// Returns the path of a companion of the database's file; `None` of a server, beside which nothing lies.
    pub fn beside(&self, suffix: &str) -> Option<PathBuf> {
        self.file().map(|file| file.beside(suffix))
    }

    /// Returns whether the database exists. That of a server does, or its use fails.
    ///
    /// # Errors
    /// Those of [`DatabaseFile::exists`].
    pub fn exists(&self) -> Result<bool, StoreError> {
        self.file().map_or(Ok(true), DatabaseFile::exists)
    }
}

/// Shows the name. A URL has no password: see `PostgresUrl`.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => file.path().display().fmt(f),
            Self::Server(url) => f.write_str(url),
        }
    }
}
