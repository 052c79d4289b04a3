use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use serde::Serialize;

use cairn_model::clock::{Clock, Timestamp};
use cairn_model::id::Identity;

use super::file::{DatabaseFile, invalid};
use super::statement::describe;
use super::{SqliteConfig, open, schema};
use crate::config::Env;
use crate::extent::Extent;
use crate::operators::{Access, components};
use crate::sql::Sql;
use crate::view::View;
use crate::{Caller, StoreConfig, StoreError};

/// A database opened for reading only.
pub struct FileReader {
    pub(super) file: DatabaseFile,
    pub(super) connection: Connection,
    pub(super) env: Env,
}

impl FileReader {
    /// Opens the database at `path`, which must exist. Works in a folder that is not writable, as long as no process that starts
    /// later writes there.
    ///
    /// # Errors
    /// Those of [`Sqlite::open`](crate::Sqlite::open).
    pub fn open(
        path: &Path,
        config: SqliteConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let file = DatabaseFile::named(path).locks_in(config.locks.as_deref());
        Self::open_with(file, config.into(), clock)
    }

    pub(super) fn open_with(
        file: DatabaseFile,
        config: StoreConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        clock.now().check()?;
        let connection = open::read_only(&file)?;
        Ok(Self {
            file,
            connection,
            env: Env::new(config, clock),
        })
    }

    /// Refuses a database of an older schema, which supports only a check and a backup.
    ///
    /// # Errors
    /// `InvalidInput`.
    pub fn require_newest(&self) -> Result<(), StoreError> {
        let (version, newest) = open::schema_version(&self.connection)?;
        let path = self.file.path();
        if version >= newest {
            let Some(domain) = schema::behind(&self.connection, path, self.env.domains())? else {
                return Ok(());
            };
            return Err(invalid(format!(
                "{} lacks tables of the domain `{}`, or has older ones: `cairn db migrate` brings it up to date; make a backup first",
                path.display(),
                domain.name
            )));
        }
        Err(invalid(format!(
            "{} was made by an older version of Cairn (schema {version}, this one reads {newest}): `cairn db migrate` brings it up \
             to date; make a backup first",
            path.display()
        )))
    }

    /// Returns the connection.
    pub(crate) fn sql(&self) -> &dyn Sql {
        &self.connection
    }

    /// Returns the time by the reader's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.env.clock.now()
    }

    /// Returns the path of the file.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Returns a view for `requester`.
    pub fn view<'a>(&'a self, requester: &'a Identity) -> View<'a> {
        let caller = Caller {
            call: None,
            requester,
        };
        View(Access::new(&self.connection, &self.env, caller))
    }

    /// Returns the size of the file and of its log, and the schema's version.
    pub(crate) fn extent(&self) -> Result<Extent, StoreError> {
        let pages = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        let bytes = self.connection.query_row(pages, [], |row| row.get(0));
        let bytes: i64 = bytes.map_err(|error| StoreError::Database(describe(&error)))?;
        let (schema_version, newest_version) = open::schema_version(&self.connection)?;
        // No process has a log open when there is none.
        let log = std::fs::metadata(self.file.beside("-wal"));
        Ok(Extent {
            engine: format!("SQLite {}", rusqlite::version()),
            bytes: bytes.unsigned_abs(),
            log_bytes: Some(log.map_or(0, |log| log.len())),
            schema_version,
            newest_version,
        })
    }

    /// Runs SQLite's integrity check, verifies the digest of each component, and reads the schema's version.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the check cannot run.
    pub fn check(&self) -> Result<DatabaseCheck, StoreError> {
        let mut check = self.check_file()?;
        // The components of a damaged file cannot be read.
        if check.problems.is_empty() {
            check.problems = components::problems(&self.connection)?;
        }
        Ok(check)
    }

    /// Runs SQLite's integrity check, and reads the schema's version.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the check cannot run.
    pub(crate) fn check_file(&self) -> Result<DatabaseCheck, StoreError> {
        let failed = |error: rusqlite::Error| StoreError::Database(describe(&error));
        let mut statement = self
            .connection
            .prepare("PRAGMA integrity_check")
            .map_err(failed)?;
        let lines = statement.query_map([], |row| row.get(0)).map_err(failed)?;
        let problems: Vec<String> = lines.collect::<Result<_, _>>().map_err(failed)?;
        let (version, newest) = open::schema_version(&self.connection)?;
        Ok(DatabaseCheck {
            schema_version: version,
            newest_version: newest,
            problems: problems.into_iter().filter(|line| line != "ok").collect(),
        })
    }
}

/// The result of a check of the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseCheck {
    /// The schema's version.
    pub schema_version: usize,
    /// The newest version that this program knows.
    pub newest_version: usize,
    /// Problems of the file, else of the components; empty when there are none.
    pub problems: Vec<String>,
}
