//! Databases on servers that are filled by a restore.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_effects::domain::Domains;
use cairn_effects::rows::Cell;
use cairn_model::clock::SystemClock;
use cairn_model::id::Identity;
use cairn_test_postgres::Database;
use tempfile::TempDir;

use super::config;
use crate::copy::Copied;
use crate::postgres::{Postgres, PostgresConfig, restore};
use crate::view::Reader;
use crate::{Sqlite, SqliteConfig, StoreConfig, StoreError};

fn domains() -> Domains {
    Domains::new([cairn_records::domain(cairn_records::Settings::default())]).unwrap()
}

fn on_file() -> SqliteConfig {
    SqliteConfig {
        domains: domains(),
        ..SqliteConfig::default()
    }
}

fn on_server(database: &Database<'_>) -> PostgresConfig {
    PostgresConfig {
        store: StoreConfig {
            domains: domains(),
            ..StoreConfig::default()
        },
        ..config(&database.url())
    }
}

const PLAN: &str = "INSERT INTO plans (digest, body) VALUES ($1, '{}')";

/// A backup of a database with one plan.
fn backup(folder: &TempDir) -> PathBuf {
    let (path, backup) = (folder.path().join("a.db"), folder.path().join("b.db"));
    let store = Sqlite::open(&path, on_file(), Arc::new(SystemClock)).unwrap();
    let plan = store.admin(&Identity::default(), |admin| {
        admin.execute(PLAN, &[Cell::from("first")])
    });
    plan.unwrap();
    drop(store);
    let reader = Reader::open(&path, on_file(), Arc::new(SystemClock)).unwrap();
    reader.backup(&backup).unwrap();
    backup
}

fn restored(database: &Database<'_>, backup: &Path) -> Result<Copied, StoreError> {
    let config = on_server(database);
    restore(&config, backup, on_file(), Arc::new(SystemClock), || Ok(()))
}

/// Restores the backup while a store is open, and lets the store write afterwards.
fn written_after_a_restore(database: &Database<'_>, store: &Postgres) -> StoreError {
    let folder = TempDir::new().unwrap();
    let backup = backup(&folder);
    let copied = restored(database, &backup);
    assert_eq!(copied.unwrap().tables, [("plans".to_owned(), 1)]);
    let written = store.admin(&Identity::default(), |admin| {
        admin.execute(PLAN, &[Cell::from("second")])
    });
    assert_eq!(database.sql("SELECT digest FROM cairn.plans"), "first");
    written.unwrap_err()
}

#[test]
fn a_store_that_was_opened_before_a_restore_writes_nothing() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    let store = Postgres::open(&on_server(&database), Arc::new(SystemClock)).unwrap();
    let error = written_after_a_restore(&database, &store);
    assert!(matches!(error, StoreError::Held { .. }), "{error}");
    assert_eq!(database.sql("SELECT count(*) FROM cairn.hosts"), "0");
}

#[test]
fn a_host_that_was_stopped_during_a_restore_is_fenced() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    let store = Postgres::open(&on_server(&database), Arc::new(SystemClock)).unwrap();
    let digest = [Cell::from("gone")];
    for statement in [PLAN, "DELETE FROM plans WHERE digest = $1"] {
        let done = store.admin(&Identity::default(), |admin| {
            admin.execute(statement, &digest)
        });
        assert_eq!(done.unwrap(), 1);
    }
    let folder = TempDir::new().unwrap();
    let backup = backup(&folder);
    let refused = restored(&database, &backup);
    let error = refused.unwrap_err().to_string();
    assert!(
        error.contains("works on this database: end it first"),
        "{error}"
    );
    // As if its lease had expired while it was stopped.
    database.sql("UPDATE cairn.hosts SET expires_at = '2000-01-01'");
    let error = written_after_a_restore(&database, &store);
    assert!(error.to_string().contains("fenced"), "{error}");
}

#[test]
fn rows_that_are_not_those_that_were_written_are_not_kept() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    crate::postgres::migrate(&on_server(&database)).unwrap();
    database.sql(
        "CREATE FUNCTION cairn.other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.body = ''[]''; RETURN NEW; END';
         CREATE TRIGGER other BEFORE INSERT ON cairn.plans FOR EACH ROW EXECUTE FUNCTION cairn.other()",
    );
    let folder = TempDir::new().unwrap();
    let refused = restored(&database, &backup(&folder));
    let error = refused.unwrap_err().to_string();
    assert!(
        error.contains("the table `plans` of the copy is not that of the original"),
        "{error}"
    );
    assert_eq!(database.sql("SELECT count(*) FROM cairn.plans"), "0");
}
