//! The database of a case: a file of SQLite, or a database on a server of PostgreSQL.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use cairn::clock::Clock;
use cairn::clock::SystemClock;
use cairn::store::HostStore;
use cairn::store::postgres::{Postgres, PostgresConfig, PostgresUrl};
use cairn::store::view::{Dump, Reader};
use cairn::{Identity, Sqlite, SqliteConfig};
use cairn_test_postgres::Database;

use crate::plan::Books;
use crate::world::start;

/// The kind of a case's database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    /// Needs a server: see [`cairn_test_postgres::shared`].
    Postgres,
}

/// A database, or the copy of one that a crash leaves.
#[derive(Clone, Debug)]
pub enum Place {
    File(PathBuf),
    Server {
        database: Arc<Database<'static>>,
        /// The schema that holds the copy.
        copy: Option<String>,
    },
}

/// Copies every table of the schema `cairn` into a new schema.
const COPY: &str = "DO $$ DECLARE name text; BEGIN
    CREATE SCHEMA {copy};
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'cairn' LOOP
        EXECUTE format('CREATE UNLOGGED TABLE {copy}.%I AS TABLE cairn.%I', name, name);
    END LOOP;
END $$";

/// Puts the rows of a copy back. The process that had written them is dead.
const PUT_BACK: &str = "DO $$ DECLARE name text; BEGIN
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'cairn' LOOP
        EXECUTE format('DELETE FROM cairn.%I', name);
        EXECUTE format('INSERT INTO cairn.%I OVERRIDING SYSTEM VALUE SELECT * FROM {copy}.%I', name, name);
    END LOOP;
    UPDATE cairn.hosts SET expires_at = '-infinity';
END $$";

impl Place {
    /// Creates the database that a case starts with. Its file, if it is one, has this name.
    pub fn fresh(kind: Kind, books: Books, file: &Path) -> Self {
        static FREE: LazyLock<Vec<u8>> = LazyLock::new(|| file_template(Books::Free));
        static KEPT: LazyLock<Vec<u8>> = LazyLock::new(|| file_template(Books::Kept));
        static SERVED_FREE: LazyLock<Database> = LazyLock::new(|| server_template(Books::Free));
        static SERVED_KEPT: LazyLock<Database> = LazyLock::new(|| server_template(Books::Kept));
        match kind {
            Kind::Sqlite => {
                let bytes = match books {
                    Books::Free => &*FREE,
                    Books::Kept => &*KEPT,
                };
                std::fs::write(file, bytes).unwrap();
                Self::File(file.to_owned())
            }
            Kind::Postgres => {
                let template = match books {
                    Books::Free => &*SERVED_FREE,
                    Books::Kept => &*SERVED_KEPT,
                };
                let server = cairn_test_postgres::shared().expect("the caller has looked");
                Self::Server {
                    database: Arc::new(server.copy_of(template)),
                    copy: None,
                }
            }
        }
    }

    /// Opens the database. That of a crash on a server becomes the database itself again.
    pub fn open(&self, config: SqliteConfig, clock: Arc<dyn Clock>) -> Arc<dyn HostStore> {
        match self {
            Self::File(file) => Arc::new(Sqlite::open(file, config, clock).unwrap()),
            Self::Server { database, copy } => {
                if let Some(copy) = copy {
                    database.sql(&PUT_BACK.replace("{copy}", copy));
                }
                let config = server_config(database, config);
                Arc::new(Postgres::open(&config, clock).unwrap())
            }
        }
    }

    /// Copies the database, to which nobody writes, as a crash after this many operations leaves it.
    pub fn copy(&self, operations: usize) -> Self {
        match self {
            Self::File(file) => {
                let copy = PathBuf::from(format!("{}-{operations}", file.display()));
                for suffix in ["", "-wal"] {
                    let path = |file: &Path| format!("{}{suffix}", file.display());
                    std::fs::copy(path(file), path(&copy)).unwrap();
                }
                Self::File(copy)
            }
            Self::Server { database, copy } => {
                let before = copy.as_deref().unwrap_or("crash");
                let copy = format!("{before}_{operations}");
                database.sql(&COPY.replace("{copy}", &copy));
                Self::Server {
                    database: Arc::clone(database),
                    copy: Some(copy),
                }
            }
        }
    }

    /// Reads everything that is committed, without the journal. `names` maps ids to the ids that replace them.
    pub fn dump(&self, names: &BTreeMap<String, String>) -> Dump {
        let config = crate::any::config(Default::default());
        let clock = Arc::new(SystemClock);
        let reader = match self {
            Self::File(file) => Reader::open(file, config, clock),
            Self::Server { database, .. } => {
                Reader::connect(&server_config(database, config), clock)
            }
        };
        let dump = reader.unwrap().view(&Identity::default()).dump(names);
        let dump = dump.unwrap();
        assert!(!dump.is_empty(), "the tables were found");
        dump
    }

    /// Runs a statement, and returns the first column of its rows.
    pub fn texts(&self, statement: &str) -> Vec<String> {
        match self {
            Self::File(file) => {
                use rusqlite::OpenFlags;
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = rusqlite::Connection::open_with_flags(file, flags).unwrap();
                let mut statement = connection.prepare(statement).unwrap();
                let texts = statement.query_map([], |row| row.get(0)).unwrap();
                texts.map(Result::unwrap).collect()
            }
            Self::Server { database, .. } => {
                let rows = database.sql(&format!("SET search_path = cairn; {statement}"));
                rows.lines().map(str::to_owned).collect()
            }
        }
    }

    /// Returns the path of a file.
    pub fn file(&self) -> &Path {
        match self {
            Self::File(file) => file,
            Self::Server { database, .. } => panic!("{} is no file", database.name()),
        }
    }
}

fn server_config(database: &Database<'_>, config: SqliteConfig) -> PostgresConfig {
    PostgresConfig {
        store: config.into(),
        unsafe_server: true,
        ..PostgresConfig::new(PostgresUrl::parse(&database.url()).unwrap())
    }
}

fn file_template(books: Books) -> Vec<u8> {
    let folder = crate::world::scratch();
    let path = folder.path().join("template.db");
    let place = Place::File(path);
    fill(&place, books);
    std::fs::read(place.file()).unwrap()
}

fn server_template(books: Books) -> Database<'static> {
    let server = cairn_test_postgres::shared().expect("the caller has looked");
    let place = Place::Server {
        database: Arc::new(server.database()),
        copy: None,
    };
    fill(&place, books);
    match place {
        Place::Server { database, .. } => Arc::into_inner(database).expect("nobody else has it"),
        Place::File(_) => unreachable!("it is on a server"),
    }
}

/// Creates the tables, and writes the rows that cases start with.
fn fill(place: &Place, books: Books) {
    let store = place.open(
        crate::any::config(Default::default()),
        Arc::new(SystemClock),
    );
    let rows = start(books);
    let operator = crate::world::operator();
    store.admin(&operator, |admin| admin.import(&rows)).unwrap();
}
