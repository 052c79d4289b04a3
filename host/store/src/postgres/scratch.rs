//! Empty databases for measurements, and what a server does meanwhile.

use cairn_effects::rows::Cell;
use uuid::Uuid;

use super::PostgresConfig;
use super::link::{ADMIN, Link, LinkError};
use crate::StoreError;

/// A database of its own on a server. It is dropped with this.
pub struct Scratch {
    link: Link,
    config: PostgresConfig,
    name: String,
}

/// A session of a server that is not idle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// What it waits for, as `kind: event`; `None` while it uses a processor.
    pub waits_for: Option<String>,
}

/// The prefix of each database's name.
const PREFIX: &str = "cairn_scratch_";

/// Takes the lock of a database, which this session holds until it ends in any way.
const LOCK: &str = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";

impl Scratch {
    /// Creates an empty database beside the one that `config` names, whose role needs the right `CREATEDB`. The named database is not
    /// touched.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the server cannot be reached, or refuses.
    pub fn create(config: &PostgresConfig) -> Result<Self, StoreError> {
        let failed = |error: LinkError| {
            StoreError::Database(format!(
                "{}: no database for the measurement can be made: {error}",
                config.url
            ))
        };
        let mut link = Link::connect(&config.target(), &ADMIN).map_err(failed)?;
        remove_abandoned(&mut link).map_err(failed)?;
        // The name needs no quotes.
        let name = format!("{PREFIX}{}", Uuid::now_v7().simple());
        link.run(LOCK, &[name.as_str().into()]).map_err(failed)?;
        link.script(&format!(
            "CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"
        ))
        .map_err(failed)?;
        let mut own = config.clone();
        own.url = config.url.with_database(&name);
        Ok(Self {
            link,
            config: own,
            name,
        })
    }

    /// How to connect to it.
    pub fn config(&self) -> &PostgresConfig {
        &self.config
    }

    /// Returns the server's process that serves this object's own session. Its parent is the server.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn session_process(&mut self) -> Result<u32, StoreError> {
        let rows = self.rows("SELECT pg_backend_pid()", &[])?;
        match rows.first().map(Vec::as_slice) {
            Some([Cell::Int(pid)]) => Ok(u32::try_from(*pid).unwrap_or(0)),
            _ => Err(StoreError::Database(
                "the server named no process of a session".to_owned(),
            )),
        }
    }

    /// Returns the sessions of this database that are not idle now.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn active(&mut self) -> Result<Vec<Active>, StoreError> {
        let statement = "SELECT wait_event_type || ': ' || wait_event FROM pg_stat_activity
             WHERE datname = $1 AND state = 'active'";
        let name = [Cell::from(self.name.as_str())];
        let rows = self.rows(statement, &name)?;
        let active = rows.into_iter().map(|row| Active {
            waits_for: match row.into_iter().next() {
                Some(Cell::Text(event)) => Some(event.to_string()),
                _ => None,
            },
        });
        Ok(active.collect())
    }

    fn rows(&mut self, statement: &str, parameters: &[Cell]) -> Result<Vec<Vec<Cell>>, StoreError> {
        let answer = self.link.run(statement, parameters);
        let answer = answer.map_err(|error| StoreError::Database(error.to_string()))?;
        Ok(answer.rows)
    }
}

/// Drops the databases of sessions that are gone.
fn remove_abandoned(link: &mut Link) -> Result<(), LinkError> {
    let statement = "SELECT datname::text FROM pg_database WHERE starts_with(datname, $1)
         AND pg_has_role(datdba, 'USAGE')";
    let found = link.run(statement, &[PREFIX.into()])?.rows;
    for row in found {
        let Some(Cell::Text(name)) = row.first() else {
            continue;
        };
        let is_made_here = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_made_here || link.run(LOCK, &row)?.rows != [[Cell::Int(1)]] {
            continue;
        }
        link.script(&format!("DROP DATABASE IF EXISTS {name}"))?;
    }
    Ok(())
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Sessions of threads that are still ending are ended with it.
        let dropped = self
            .link
            .script(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        if let Err(error) = dropped {
            tracing::warn!(%error, database = self.name, "a database of a measurement was not dropped");
        }
    }
}
