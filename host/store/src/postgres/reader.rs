//! A database on a server that is only read.

use std::path::Path;
use std::sync::Arc;

use cairn_model::clock::Clock;
use cairn_model::error::TaskError;
use cairn_model::id::Identity;

use super::connect::Target;
use super::fill::SILENCE;
use super::link::{Link, READER};
use super::session::Session;
use super::sql::SqlLink;
use super::{PostgresConfig, migrate};
use crate::config::Env;
use crate::extent::Extent;
use crate::operators::{Access, components};
use crate::sql::{Columns, Sql};
use crate::sqlite::{DatabaseCheck, backup_of};
use crate::view::View;
use crate::{Caller, StoreError};

/// A database on a server that is only read.
pub struct ServerReader {
    target: Arc<Target>,
    session: Session,
    env: Env,
    /// The versions of the schema: of the database, and of this program.
    versions: (usize, usize),
}

impl ServerReader {
    /// Connects; writes nothing.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the server cannot be reached or the database is not Cairn's; [`StoreError::Clock`].
    pub fn connect(config: &PostgresConfig, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        clock.now().check()?;
        let versions = migrate::versions(config)?;
        Ok(Self {
            target: config.target(),
            session: Session::later(config.target(), &READER),
            env: Env::new(config.store.clone(), clock),
            versions,
        })
    }

    pub(crate) fn require_newest(&self) -> Result<(), StoreError> {
        let (found, newest) = self.versions;
        if found >= newest {
            return Ok(());
        }
        let message = format!(
            "the database has an older schema ({found}, this version reads {newest}): `cairn db migrate` brings it up to date; make a \
             backup first"
        );
        Err(TaskError::new("InvalidInput", message).into())
    }

    pub(crate) fn view<'a>(&'a self, requester: &'a Identity) -> View<'a> {
        let caller = Caller {
            call: None,
            requester,
        };
        View(Access::new(&self.session, &self.env, caller))
    }

    /// Copies the database, as of one moment, to a new file that is a backup as one of a SQLite database is.
    pub(crate) fn backup(&self, to: &Path) -> Result<(), StoreError> {
        self.require_newest()?;
        let link = Link::connect(&self.target, &READER);
        let mut link = link.map_err(|error| StoreError::Database(error.to_string()))?;
        link.set_silence(SILENCE);
        let sql = SqlLink::new(link);
        let mut written = Ok(0);
        sql.consistently(&mut || {
            written = backup_of(&sql, to, &self.env).and_then(|_| waiting(&sql));
        })?;
        let waiting = written?;
        if waiting > 0 {
            tracing::warn!(
                flows = waiting,
                "flows that were asked for and that no host has begun are not part of the backup"
            );
        }
        Ok(())
    }

    /// Returns the size of the database, and the schema's version.
    pub(crate) fn extent(&self) -> Result<Extent, StoreError> {
        let statement =
            "SELECT pg_database_size(current_database()), current_setting('server_version')";
        let rows = self.session.query(statement, &[])?;
        let row = rows.first().map_or(&[][..], |row| row);
        Ok(Extent {
            engine: format!("PostgreSQL {}", Columns(row).text(1)?),
            bytes: Columns(row).int(0)?.unsigned_abs(),
            log_bytes: None,
            schema_version: self.versions.0,
            newest_version: self.versions.1,
        })
    }

    /// Checks that the tables can be read, and verifies the digest of each component; a server checks its own files.
    pub(crate) fn check(&self) -> Result<DatabaseCheck, StoreError> {
        let mut problems = Vec::new();
        for table in self.session.tables()? {
            let statement = format!("SELECT count(*) FROM {table}");
            if let Err(error) = self.session.query(&statement, &[]) {
                problems.push(format!("table {table}: {error}"));
            }
        }
        problems.extend(components::problems(&self.session)?);
        Ok(DatabaseCheck {
            schema_version: self.versions.0,
            newest_version: self.versions.1,
            problems,
        })
    }
}

/// Returns how many flows wait for a host that begins them.
fn waiting(sql: &dyn Sql) -> Result<i64, StoreError> {
    let rows = sql.query("SELECT count(*) FROM inbox", &[])?;
    Ok(rows.first().map_or(Ok(0), |row| Columns(row).int(0))?)
}
