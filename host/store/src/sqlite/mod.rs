//! The store on SQLite; the only module that uses rusqlite.

mod backup;
mod beside;
pub(crate) mod components;
mod database;
mod facts;
mod fetcher;
mod file;
#[cfg(feature = "postgres")]
mod filled;
mod lease;
mod lock_folder;
mod log;
mod migrate;
mod open;
mod origin;
mod outbox;
mod reader;
mod restore;
mod rows;
mod schema;
mod sql;
mod statement;
#[cfg(feature = "postgres")]
mod still;
#[cfg(test)]
#[path = "../../tests/inside/sqlite/mod.rs"]
mod tests;
mod turnstile;
mod unlocked;
mod vacuum;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use cairn_effects::domain::Domains;
use cairn_model::audit::AuditConfig;
use cairn_model::clock::Clock;
use cairn_model::idempotency::IdempotencyConfig;

use crate::StoreError;
use crate::batched::Batched;
use crate::config::{BatchConfig, StoreConfig};
use crate::operators::held;

use lease::LeaseHolder;
use log::Log;
use turnstile::Turnstile;

pub use database::Database;
pub use file::DatabaseFile;
#[cfg(feature = "postgres")]
pub(crate) use filled::backup_of;
pub use log::WalConfig;
pub use migrate::Migrated;
pub use reader::{DatabaseCheck, FileReader};
pub use restore::Restore;
#[cfg(feature = "postgres")]
pub(crate) use still::Still;
pub use vacuum::Vacuumed;

/// Settings of a store on SQLite.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    /// The domains, whose tables flows may change.
    pub domains: Domains,
    /// How long idempotency keys are kept.
    pub idempotency: IdempotencyConfig,
    /// How long operators' changes are kept in the audit.
    pub audit: AuditConfig,
    /// When a batch is committed although no flow waits at a barrier.
    pub batch: BatchConfig,
    /// The length of this process's lease: if the process stops for longer, another one may take its flows over.
    pub lease: Duration,
    /// How long to wait while another process writes.
    pub patience: Duration,
    /// When the write-ahead log is copied into the database.
    pub log: WalConfig,
    /// The folder in which this database's locks get a folder of their own; `None` is beside the database. It must be one that the hosts
    /// of this machine share: a host that does not see another's lock waits for its lease to expire.
    pub locks: Option<PathBuf>,
    /// Opens a database for writing although it is held: see [`StoreConfig::even_held`].
    pub even_held: bool,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            domains: Domains::default(),
            idempotency: IdempotencyConfig::default(),
            audit: AuditConfig::default(),
            batch: BatchConfig::default(),
            lease: Duration::from_secs(10),
            patience: Duration::from_secs(5),
            log: WalConfig::default(),
            locks: None,
            even_held: false,
        }
    }
}

impl From<SqliteConfig> for StoreConfig {
    fn from(config: SqliteConfig) -> Self {
        Self {
            domains: config.domains,
            idempotency: config.idempotency,
            audit: config.audit,
            batch: config.batch,
            even_held: config.even_held,
        }
    }
}

/// A store in one SQLite database, written through one connection.
pub type Sqlite = Batched<Database>;

impl Sqlite {
    /// Opens the database at `path`, and creates or migrates it. Locks are kept in a folder beside it, `<path>.locks`, unless
    /// `config` names another. Symbolic
    /// links are followed first, so that every name of the database leads to the same locks. Components that an older version kept in
    /// the folder `<path>.components` are moved into the database.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it cannot be written, is not a database, or was created by a newer version; [`StoreError::Clock`];
    /// [`StoreError::Held`];
    /// `InvalidInput` when `path` cannot name a database, or is a second name of one, or when a file beside it prevents its use:
    /// see [`DatabaseFile::exists`], [`Restore`].
    pub fn open(
        path: &Path,
        config: SqliteConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let file = DatabaseFile::named(path).locks_in(config.locks.as_deref());
        let locks = file.locks();
        let failed = |error: std::io::Error| {
            StoreError::Database(format!(
                "{}: {error}: check that you may write to the folder that it is in",
                locks.path.display()
            ))
        };
        clock.now().check()?;
        // The database is opened first, because its errors say more than those of the locks.
        let (connection, held) = open::at(&file, &config.domains)?;
        if !config.even_held {
            held::refuse(&connection)?;
        }
        std::fs::create_dir_all(&locks.path).map_err(failed)?;
        let turnstile = Turnstile::open(&locks.path).map_err(failed)?;
        patient(&connection, config.patience)?;
        let holder = LeaseHolder::new(Some(locks), config.lease);
        let log = Log::of(&held, config.log);
        let patience = config.patience;
        let services = config.domains.services().clone();
        let database =
            Database::on_disk(connection, held, holder, turnstile, log, patience, services);
        let store = Self::over(database, config.into(), clock)?;
        store.take_in_beside(&file)?;
        Ok(store)
    }

    /// Creates a database in memory, which lives as long as the store.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it cannot be created; [`StoreError::Clock`].
    pub fn in_memory(config: SqliteConfig, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        clock.now().check()?;
        let holder = LeaseHolder::new(None, config.lease);
        let connection = open::in_memory(&config.domains)?;
        patient(&connection, config.patience)?;
        let database = Database::in_memory(connection, holder, config.patience);
        Self::over(database, config.into(), clock)
    }
}

fn patient(connection: &Connection, patience: Duration) -> Result<(), StoreError> {
    connection
        .busy_timeout(patience)
        .map_err(|error| StoreError::Database(error.to_string()))
}
