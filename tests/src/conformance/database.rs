//! The databases of scenarios: SQLite in memory, or PostgreSQL.

use std::sync::Arc;

use anyhow::Result;
use cairn::clock::Clock;
use cairn::store::HostStore;
use cairn::store::postgres::{self, Postgres, PostgresConfig, PostgresUrl};
use cairn::volumes::Settings;
use cairn::{Sqlite, SqliteConfig};
use cairn_test_postgres::{Database, Server};

use crate::any;

/// Where the scenarios of a run are stored.
pub enum Databases {
    /// Each scenario has a SQLite database in memory.
    Memory,
    /// Each scenario has a database on this server.
    Server {
        /// The server.
        server: &'static Server,
        /// An empty database with its tables, which is copied.
        template: Database<'static>,
    },
}

/// The store of one scenario.
pub struct Opened {
    /// The store.
    pub store: Arc<dyn HostStore>,
    /// Dropped after the store.
    pub _database: Option<Database<'static>>,
}

impl Databases {
    /// Creates databases on a server of PostgreSQL; `None`, after a message, if this machine has none.
    ///
    /// # Errors
    /// If the tables cannot be created.
    pub fn on_a_server() -> Result<Option<Self>> {
        let Some(server) = cairn_test_postgres::shared() else {
            return Ok(None);
        };
        let template = server.database();
        postgres::migrate(&server_config(&template, any::config(Settings::default()))?)?;
        Ok(Some(Self::Server { server, template }))
    }

    /// Creates an empty database.
    ///
    /// # Errors
    /// If it cannot be created or opened.
    pub fn open(&self, config: SqliteConfig, clock: Arc<dyn Clock>) -> Result<Opened> {
        match self {
            Self::Memory => Ok(Opened {
                store: Arc::new(Sqlite::in_memory(config, clock)?),
                _database: None,
            }),
            Self::Server { server, template } => {
                let database = server.copy_of(template);
                let config = server_config(&database, config)?;
                Ok(Opened {
                    store: Arc::new(Postgres::open(&config, clock)?),
                    _database: Some(database),
                })
            }
        }
    }
}

fn server_config(database: &Database<'_>, config: SqliteConfig) -> Result<PostgresConfig> {
    Ok(PostgresConfig {
        store: config.into(),
        unsafe_server: true,
        ..PostgresConfig::new(PostgresUrl::parse(&database.url())?)
    })
}
