//! The databases of scenarios: SQLite in memory, or PostgreSQL.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use cairn::clock::Clock;
use cairn::store::HostStore;
use cairn::store::postgres::link::{ADMIN, Link};
use cairn::store::postgres::{self, Postgres};
use cairn::volumes::Settings;
use cairn::{Sqlite, SqliteConfig};
use cairn_test_postgres::{Database, Server};

use crate::{any, server};

/// Keeps the facts of an empty database.
const KEEP: &str = "CREATE TABLE public.facts AS TABLE cairn.facts";

/// Makes a database empty again. Deleting a few rows takes less time than truncating tables, or than creating a database.
const EMPTY: &str = "DO $$ DECLARE name text; BEGIN
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'cairn' AND tablename NOT IN ('schema', 'partitions', 'catalogue') LOOP
        EXECUTE format('DELETE FROM cairn.%I', name);
    END LOOP;
    UPDATE cairn.partitions SET host = NULL WHERE host IS NOT NULL;
    INSERT INTO cairn.facts SELECT * FROM public.facts;
END $$";

/// Where the scenarios of a run are stored.
pub enum Databases {
    /// Each scenario has a SQLite database in memory.
    Memory,
    /// A scenario has a database on this server while it runs.
    Server {
        /// The server.
        server: &'static Server,
        /// Databases that no scenario has.
        free: Free,
    },
}

type Free = Arc<Mutex<Vec<OnServer>>>;

/// A database with its tables, and a session that empties it.
pub struct OnServer {
    database: Database<'static>,
    link: Link,
}

/// The store of one scenario.
pub struct Opened {
    /// The store.
    pub store: Arc<dyn HostStore>,
    /// Dropped after the store.
    pub(super) place: Place,
}

/// The place of a database, which is free again when this is dropped.
pub struct Place(Option<(OnServer, Free)>);

impl Databases {
    /// Creates databases on a server of PostgreSQL; `None`, after a message, if this machine has none.
    pub fn on_a_server() -> Option<Self> {
        Some(Self::Server {
            server: cairn_test_postgres::shared()?,
            free: Free::default(),
        })
    }

    /// Opens an empty database.
    ///
    /// # Errors
    /// If it cannot be created or opened.
    pub fn open(&self, config: SqliteConfig, clock: Arc<dyn Clock>) -> Result<Opened> {
        match self {
            Self::Memory => Ok(Opened {
                store: Arc::new(Sqlite::in_memory(config, clock)?),
                place: Place(None),
            }),
            Self::Server { server, free } => {
                let found = free.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let on_server = match found {
                    Some(mut used) => {
                        used.link.script(EMPTY)?;
                        used
                    }
                    None => OnServer::new(server)?,
                };
                let config = server::config(&on_server.database.url(), config)?;
                Ok(Opened {
                    store: Arc::new(Postgres::open(&config, clock)?),
                    place: Place(Some((on_server, Arc::clone(free)))),
                })
            }
        }
    }
}

impl OnServer {
    fn new(server: &'static Server) -> Result<Self> {
        let database = server.database();
        let config = server::config(&database.url(), any::config(Settings::default()))?;
        postgres::migrate(&config)?;
        let mut link = Link::connect(&config.target(), &ADMIN)?;
        link.script(KEEP)?;
        Ok(Self { database, link })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((on_server, free)) = self.0.take() {
            let mut free = free.lock().unwrap_or_else(PoisonError::into_inner);
            free.push(on_server);
        }
    }
}
