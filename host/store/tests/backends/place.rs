//! The databases that tests run over, and the processes that open them.

use std::sync::Arc;
use std::time::Duration;

use cairn_effects::rows::Row as _;
use cairn_effects::rows::typed;
use cairn_model::clock::SystemClock;
use cairn_model::id::Identity;
use cairn_model::value::Object;
use cairn_store::memory::MemoryDatabase;
use cairn_store::postgres::{Postgres, PostgresConfig, PostgresUrl};
use cairn_store::view::{Kind, Reader};
use cairn_store::{BatchConfig, Batched, HostStore, Sqlite, SqliteConfig, StoreConfig};
use cairn_volumes::operator::kind;
use cairn_volumes::{QuotaUsage, Volume};

/// A database that several processes may open.
pub trait Place {
    /// Opens the database, as a new process does.
    fn open(&self) -> Box<dyn HostStore>;

    /// Returns a usage on disk: in use, reserved; zeros when there is none.
    fn usage(&self, resource: &str) -> (i64, i64);

    /// Returns how many volumes on disk are not deleted.
    fn volumes(&self) -> usize;
}

/// Settings with batches that stay open until something waits for them, however slow the machine is.
pub fn config() -> SqliteConfig {
    let config = crate::any::config(Default::default());
    SqliteConfig {
        batch: BatchConfig {
            age: Duration::from_secs(1),
            ..config.batch
        },
        ..config
    }
}

pub struct OnDisk(tempfile::TempDir);

impl OnDisk {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn rows(&self, kind: &Kind) -> Vec<Object> {
        let path = self.0.path().join("a.db");
        let reader = Reader::open(&path, config(), Arc::new(SystemClock)).unwrap();
        let acme = Identity::new("ann", "acme");
        reader.view(&acme).list(kind, None, true).unwrap()
    }
}

impl Place for OnDisk {
    fn open(&self) -> Box<dyn HostStore> {
        let path = self.0.path().join("a.db");
        Box::new(Sqlite::open(&path, config(), Arc::new(SystemClock)).unwrap())
    }

    fn usage(&self, resource: &str) -> (i64, i64) {
        usage_of(&self.rows(&kind::USAGE), resource)
    }

    fn volumes(&self) -> usize {
        live(&self.rows(&kind::VOLUME))
    }
}

fn usage_of(usages: &[Object], resource: &str) -> (i64, i64) {
    let usage = usages.iter().find(|row| row["resource"] == resource);
    let number = |name: &str| usage.map_or(0, |row| row[name].as_i64().unwrap());
    (number("in_use"), number("reserved"))
}

fn live(volumes: &[Object]) -> usize {
    volumes.iter().filter(|row| row["deleted"] != true).count()
}

fn usage_in(database: &MemoryDatabase, resource: &str) -> (i64, i64) {
    let usages = database.rows(QuotaUsage::TABLE);
    let mut usages = usages.iter().filter_map(typed::<QuotaUsage>);
    let usage = usages.find(|row| &*row.resource == resource && &*row.project_id == "acme");
    usage.map_or((0, 0), |row| (row.in_use, row.reserved))
}

fn volumes_in(database: &MemoryDatabase) -> usize {
    let volumes = database.rows(Volume::TABLE);
    let volumes = volumes.iter().filter_map(typed::<Volume>);
    volumes.filter(|row| !row.deleted).count()
}

pub struct InMemory(MemoryDatabase);

impl InMemory {
    pub fn new() -> Self {
        Self(MemoryDatabase::default())
    }
}

impl Place for InMemory {
    fn open(&self) -> Box<dyn HostStore> {
        let backend = self.0.backend(|| false);
        Box::new(
            Batched::over(backend, StoreConfig::from(config()), Arc::new(SystemClock)).unwrap(),
        )
    }

    fn usage(&self, resource: &str) -> (i64, i64) {
        usage_in(&self.0, resource)
    }

    fn volumes(&self) -> usize {
        volumes_in(&self.0)
    }
}

/// On a server of PostgreSQL, in a database of its own.
pub struct OnServer(cairn_test_postgres::Database<'static>);

impl OnServer {
    /// Returns `None` where there is no server to be had.
    pub fn new() -> Option<Self> {
        Some(Self(cairn_test_postgres::shared()?.database()))
    }

    fn config(&self) -> PostgresConfig {
        PostgresConfig {
            store: StoreConfig::from(config()),
            unsafe_server: true,
            ..PostgresConfig::new(PostgresUrl::parse(&self.0.url()).unwrap())
        }
    }

    fn rows(&self, kind: &Kind) -> Vec<Object> {
        let reader = Reader::connect(&self.config(), Arc::new(SystemClock)).unwrap();
        let acme = Identity::new("ann", "acme");
        reader.view(&acme).list(kind, None, true).unwrap()
    }
}

impl Place for OnServer {
    fn open(&self) -> Box<dyn HostStore> {
        Box::new(Postgres::open(&self.config(), Arc::new(SystemClock)).unwrap())
    }

    fn usage(&self, resource: &str) -> (i64, i64) {
        usage_of(&self.rows(&kind::USAGE), resource)
    }

    fn volumes(&self) -> usize {
        live(&self.rows(&kind::VOLUME))
    }
}

/// In memory, over a connection that breaks in the middle of commits: before the database has applied a batch, and after it, when the
/// answer is lost.
pub struct Broken(MemoryDatabase);

impl Broken {
    pub fn new() -> Self {
        Self(MemoryDatabase::default())
    }
}

impl Place for Broken {
    fn open(&self) -> Box<dyn HostStore> {
        let mut asked = 0_usize;
        let breaks = move || {
            asked += 1;
            // Broken before it is applied; applied, and broken before the answer; sent again, and answered.
            matches!(asked % 5, 1 | 3)
        };
        let backend = self.0.backend(breaks);
        Box::new(
            Batched::over(backend, StoreConfig::from(config()), Arc::new(SystemClock)).unwrap(),
        )
    }

    fn usage(&self, resource: &str) -> (i64, i64) {
        usage_in(&self.0, resource)
    }

    fn volumes(&self) -> usize {
        volumes_in(&self.0)
    }
}
