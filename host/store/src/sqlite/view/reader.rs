use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use serde::Serialize;

use cairn_model::clock::Clock;
use cairn_model::id::Identity;

use super::View;
use crate::config::Env;
use crate::sqlite::file::invalid;
use crate::sqlite::tx::{Tx, describe};
use crate::sqlite::{DatabaseFile, SqliteConfig, open, schema};
use crate::{Caller, StoreConfig, StoreError};

/// A database that is only read.
pub struct Reader {
    pub(super) file: DatabaseFile,
    pub(super) connection: Connection,
    pub(super) env: Env,
}

impl Reader {
    /// Opens the database at `path`, which must exist. Also in a folder where nothing can be written, as long as no other process
    /// that began later writes there.
    ///
    /// # Errors
    /// Those of [`Sqlite::open`](crate::Sqlite::open).
    pub fn open(
        path: &Path,
        config: SqliteConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        Self::open_with(path, config.into(), clock)
    }

    pub(super) fn open_with(
        path: &Path,
        config: StoreConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        clock.now().check()?;
        let file = DatabaseFile::named(path);
        let connection = open::read_only(&file)?;
        Ok(Self {
            file,
            connection,
            env: Env::new(config, clock),
        })
    }

    /// Refuses a database of an older schema, of which a check and a backup can be made and nothing else be read.
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

    /// What `requester` may read.
    pub fn view<'a>(&'a self, requester: &'a Identity) -> View<'a> {
        View {
            tx: Tx::new(
                &self.connection,
                &self.env,
                Caller {
                    call: None,
                    requester,
                },
            ),
        }
    }

    /// Whether the file is sound: what SQLite's own check finds, and the schema's version.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it cannot even be asked.
    pub fn check(&self) -> Result<DatabaseCheck, StoreError> {
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

/// What a check of the database found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseCheck {
    /// The schema's version.
    pub schema_version: usize,
    /// The newest version this program knows.
    pub newest_version: usize,
    /// What is wrong with the file; empty when nothing is.
    pub problems: Vec<String>,
}
