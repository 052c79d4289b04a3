//! The store on SQLite: the only place that names rusqlite.

pub mod admin;
mod control;
mod database;
mod facts;
mod fetcher;
mod file;
mod idempotency;
mod lease;
mod log;
mod lookup;
mod open;
mod origin;
mod outbox;
mod restore;
mod rows;
mod schema;
#[cfg(test)]
#[path = "../../tests/inside/sqlite/mod.rs"]
mod tests;
mod turnstile;
mod tx;
mod unlocked;
pub mod view;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use cairn_effects::domain::Domains;
use cairn_model::clock::Clock;
use cairn_model::idempotency::IdempotencyConfig;

use crate::StoreError;
use crate::batched::Batched;
use crate::config::{BatchConfig, StoreConfig};

use lease::Host;
use log::Log;
use turnstile::Turnstile;

pub use database::Database;
pub use file::DatabaseFile;
pub use log::WalConfig;
pub use restore::Restore;

/// How the store behaves.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    /// What flows may change.
    pub domains: Domains,
    /// How long idempotency keys are kept.
    pub idempotency: IdempotencyConfig,
    /// When a batch is committed though nobody waits at a barrier.
    pub batch: BatchConfig,
    /// How long this process may be stopped before another one takes its flows over.
    pub lease: Duration,
    /// How long to wait for another process that writes.
    pub patience: Duration,
    /// When the write-ahead log is copied into the database.
    pub log: WalConfig,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            domains: Domains::default(),
            idempotency: IdempotencyConfig::default(),
            batch: BatchConfig::default(),
            lease: Duration::from_secs(10),
            patience: Duration::from_secs(5),
            log: WalConfig::default(),
        }
    }
}

impl From<SqliteConfig> for StoreConfig {
    fn from(config: SqliteConfig) -> Self {
        Self {
            domains: config.domains,
            idempotency: config.idempotency,
            batch: config.batch,
        }
    }
}

/// A store in one SQLite database, written through one connection.
pub type Sqlite = Batched<Database>;

impl Sqlite {
    /// Opens the database at `path`, and makes or migrates it. Locks are kept in a folder beside it, `<path>.locks`. Symbolic
    /// links are followed first, so that whatever leads to the database finds the same locks.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it cannot be written, is no database, or was made by a newer version; [`StoreError::Clock`];
    /// `InvalidInput` when `path` cannot name a database, or is a second name of one, or when something stands beside it that
    /// must not: see [`DatabaseFile::exists`], [`Restore`].
    pub fn open(
        path: &Path,
        config: SqliteConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let file = DatabaseFile::named(path);
        let locks = file.beside(".locks");
        let failed = |error: std::io::Error| {
            StoreError::Database(format!(
                "{}: {error}: check that you may write to the folder of the database",
                locks.display()
            ))
        };
        clock.now().check()?;
        // The database first: its errors say more.
        let (connection, held) = open::at(&file, &config.domains)?;
        std::fs::create_dir_all(&locks).map_err(failed)?;
        let turnstile = Turnstile::open(&locks).map_err(failed)?;
        patient(&connection, config.patience)?;
        let host = Host::new(Some(locks), config.lease);
        let log = Log::of(&held, config.log);
        let patience = config.patience;
        let database = Database::on_disk(connection, held, host, turnstile, log, patience);
        Self::over(database, config.into(), clock)
    }

    /// A database that is gone with its last handle.
    ///
    /// # Errors
    /// [`StoreError::Database`] when there is no memory for it; [`StoreError::Clock`].
    pub fn in_memory(config: SqliteConfig, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        clock.now().check()?;
        let host = Host::new(None, config.lease);
        let connection = open::in_memory(&config.domains)?;
        patient(&connection, config.patience)?;
        let database = Database::in_memory(connection, host, config.patience);
        Self::over(database, config.into(), clock)
    }
}

fn patient(connection: &Connection, patience: Duration) -> Result<(), StoreError> {
    connection
        .busy_timeout(patience)
        .map_err(|error| StoreError::Database(error.to_string()))
}
