//! What a database must be to be opened, and that nothing is written to one that is not.

use cairn_effects::domain::{Domain, Domains};
use cairn_model::secret::SecretSource;
use cairn_test_postgres::{Database, Setup};

use super::config;
use crate::postgres::{PostgresConfig, PostgresUrl, open};

/// Opens a database that is to be refused, and returns why.
fn refused(config: &PostgresConfig) -> String {
    let Err(error) = open(config).map(drop) else {
        panic!("{} was opened", config.url);
    };
    error.to_string()
}

/// What is in a database besides what PostgreSQL brings: schemas, and tables of `cairn`.
fn content(database: &Database<'_>) -> String {
    database.sql(
        "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')
         UNION ALL SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('cairn') ORDER BY 1",
    )
}

fn over_tcp(database: &Database<'_>, user: &str, parameters: &str) -> PostgresConfig {
    config(&database.tcp_url(user, parameters))
}

#[test]
fn a_server_that_cannot_be_reached_is_named_with_the_fix() {
    for (url, expected) in [
        (
            "postgres://u@nonexistent.invalid/d",
            "nonexistent.invalid:5432: failed to lookup address information",
        ),
        (
            "postgres://u@127.0.0.1:1/d",
            "127.0.0.1:1: no server answers there; check the host and the port",
        ),
        (
            "postgres://u@%2Fnonexistent/d",
            "/nonexistent/.s.PGSQL.5432: no server answers there",
        ),
    ] {
        let found = refused(&config(url));
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn a_server_of_another_protocol_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let found = refused(&config(&format!(
        "postgres://u@127.0.0.1:{port}/d?connect_timeout=1"
    )));
    assert!(
        found.contains("has not let this program in within 1s"),
        "{found}"
    );

    let http = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = http.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = http.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let found = refused(&config(&format!("postgres://u@127.0.0.1:{port}/d")));
    assert!(found.contains(&format!("127.0.0.1:{port}: ")), "{found}");
    answering.join().unwrap();
}

#[test]
fn a_password_is_asked_for_checked_and_never_shown() {
    let setup = Setup {
        hba: vec![
            "host all locked 127.0.0.1/32 scram-sha-256".to_owned(),
            "hostssl all tls_only 127.0.0.1/32 trust".to_owned(),
        ],
        ..Setup::default()
    };
    let Some(server) = cairn_test_postgres::own(&setup) else {
        return;
    };
    let database = server.database();
    database.sql(
        "CREATE ROLE locked LOGIN PASSWORD 'right'; CREATE ROLE tls_only LOGIN; CREATE ROLE other LOGIN",
    );
    let with = |password: &str| PostgresConfig {
        password: Some(SecretSource::Command(vec![
            "echo".to_owned(),
            password.to_owned(),
        ])),
        ..over_tcp(&database, "locked", "")
    };

    let missing = refused(&over_tcp(&database, "locked", ""));
    assert!(
        missing.contains("asks for the password of the user `locked`; name it by `password_file`"),
        "{missing}"
    );
    let wrong = refused(&with("wr0ng"));
    assert!(
        wrong.contains("the password of the user `locked` is wrong") && !wrong.contains("wr0ng"),
        "{wrong}"
    );
    let prepared = with("wr0ng").target().prepare().unwrap();
    assert!(!format!("{prepared:?}").contains("wr0ng"));
    // Let in, and without the right to make the schema.
    let right = refused(&with("right"));
    assert!(
        right.contains("permission denied for database") && right.contains("GRANT CREATE"),
        "{right}"
    );
    let tls = refused(&over_tcp(&database, "tls_only", ""));
    assert!(
        tls.contains("does not let `tls_only` in without TLS: no pg_hba.conf entry")
            && tls.contains("add `?sslmode=verify-full`"),
        "{tls}"
    );
    let other = refused(&over_tcp(&database, "other", ""));
    assert!(
        other.contains("does not let `other` in") && other.contains("pg_hba.conf"),
        "{other}"
    );
    let no_tls = refused(&over_tcp(&database, "locked", "?sslmode=require"));
    assert!(no_tls.contains("the server has no TLS"), "{no_tls}");
    assert_eq!(content(&database), "");
}

#[test]
fn a_database_that_is_not_there_is_named() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let url = server.database().url() + "_not";
    let found = refused(&config(&url));
    assert!(
        found.contains("does not exist") && found.contains("createdb"),
        "{found}"
    );
}

#[test]
fn a_database_that_cannot_hold_what_cairn_writes_is_refused() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let latin = server.database_with("ENCODING 'LATIN1' TEMPLATE template0");
    let found = refused(&config(&latin.url()));
    assert!(
        found.contains("has the encoding LATIN1, not UTF8"),
        "{found}"
    );
    assert_eq!(content(&latin), "");

    let read_only = server.database();
    read_only.sql(&format!(
        "ALTER DATABASE {} SET default_transaction_read_only = on",
        read_only.name()
    ));
    let found = refused(&config(&read_only.url()));
    assert!(found.contains("the database is read-only"), "{found}");
    assert!(found.contains("name the primary in the URL"), "{found}");
    assert_eq!(content(&read_only), "");
}

#[test]
fn a_server_that_loses_commits_is_taken_only_when_that_is_accepted() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    let config = PostgresConfig {
        unsafe_server: false,
        ..config(&database.url())
    };
    let found = refused(&config);
    assert!(
        found.contains("the server may lose what it has committed: `fsync` is `off`")
            && found.contains("`unsafe_server = true`"),
        "{found}"
    );
    assert_eq!(content(&database), "");
    let config = PostgresConfig {
        unsafe_server: true,
        ..config
    };
    open(&config).unwrap();
    assert!(content(&database).contains("journal"));
}

#[test]
fn a_schema_that_is_not_cairns_is_left_alone() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    for foreign in [
        "CREATE SCHEMA cairn",
        "CREATE SCHEMA cairn; CREATE TABLE cairn.schema (id int)",
        "CREATE SCHEMA cairn; CREATE TABLE cairn.schema (domain text, version bigint)",
    ] {
        let database = server.database();
        database.sql(foreign);
        let before = content(&database);
        let found = refused(&config(&database.url()));
        assert!(
            found.contains("is another program's, not Cairn's; name another database"),
            "{found}"
        );
        assert_eq!(content(&database), before);
    }
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    let config = PostgresConfig {
        store: crate::StoreConfig {
            domains: Domains::new([cairn_records::domain(Default::default())]).unwrap(),
            ..crate::StoreConfig::default()
        },
        ..config(&database.url())
    };
    open(&config).unwrap();
    for (domain, whose) in [
        ("core", "the database was made by a newer version of Cairn"),
        (
            "records",
            "the tables of the domain `records` were made by a newer version",
        ),
    ] {
        let row = format!("cairn.schema WHERE domain = '{domain}'");
        let newest = database.sql(&format!("SELECT version FROM {row}"));
        let set = |version: &str| {
            let changed =
                format!("UPDATE cairn.schema SET version = {version} WHERE domain = '{domain}'");
            database.sql(&changed);
        };
        set("9");
        let before = content(&database);
        let found = refused(&config);
        assert!(
            found.contains(whose)
                && found.contains(&format!("(schema 9, this one knows {newest})")),
            "{found}"
        );
        assert_eq!(content(&database), before);
        set(&newest);
    }
    open(&config).unwrap();
}

fn with_domain(url: &str, postgres: &'static [&'static str]) -> PostgresConfig {
    let domain = Domain {
        name: "shelves",
        postgres,
        ..Domain::default()
    };
    let mut config = config(url);
    config.store.domains = Domains::new([domain]).unwrap();
    config
}

const SHELVES: &str = "CREATE TABLE shelves (id text PRIMARY KEY)";

#[test]
fn a_step_that_fails_leaves_the_steps_before_it() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    let broken = with_domain(
        &database.url(),
        &[SHELVES, "CREATE TABLE more (); CREATE TABLE shelves (); "],
    );
    let found = refused(&broken);
    assert!(
        found.contains(
            "step 2 of the tables of `shelves` failed: relation \"shelves\" already exists"
        ),
        "{found}"
    );
    let versions = "SELECT version FROM cairn.schema WHERE domain = 'shelves'";
    assert_eq!(database.sql(versions), "1");
    assert!(!content(&database).contains("more"));

    let mended = with_domain(&database.url(), &[SHELVES, "CREATE TABLE more ()"]);
    open(&mended).unwrap();
    assert_eq!(database.sql(versions), "2");
}

#[test]
fn tables_are_not_changed_beneath_a_host_that_lives() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    open(&with_domain(&database.url(), &[SHELVES])).unwrap();
    let newer = with_domain(&database.url(), &[SHELVES, "CREATE TABLE more ()"]);
    database.sql(
        "INSERT INTO cairn.hosts (id, pid, started_at, expires_at) VALUES ('\\x01', 1, 0, now() + interval '1 min')",
    );
    let found = refused(&newer);
    assert!(
        found.contains("1 hosts work with them") && found.contains("cairn host drain --all"),
        "{found}"
    );
    database.sql("UPDATE cairn.hosts SET expires_at = now() - interval '1 s'");
    open(&newer).unwrap();
}

#[test]
fn a_domain_without_tables_for_postgresql_is_refused_by_name() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    let found = refused(&with_domain(&database.url(), &[]));
    assert!(
        found.contains("the domain `shelves` has no tables for PostgreSQL"),
        "{found}"
    );
    assert_eq!(content(&database), "");
}

#[test]
fn an_empty_database_is_migrated_once_by_many_that_open_it() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    let config = config(&database.url());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| open(&config).unwrap());
        }
    });
    assert_eq!(database.sql("SELECT count(*) FROM cairn.partitions"), "256");
    assert_eq!(database.sql("SELECT * FROM cairn.schema"), "core|6");
}

/// Where a domain keeps a column in SQLite, PostgreSQL has it, too, and all texts are compared as SQLite compares them.
#[test]
fn the_tables_of_domains_have_the_columns_that_their_rows_have() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    let domains = Domains::new([
        cairn_volumes::domain(Default::default()),
        cairn_records::domain(Default::default()),
    ]);
    let mut config = config(&database.url());
    config.store.domains = domains.unwrap();
    open(&config).unwrap();
    for table in config.store.domains.each_table() {
        let found = database.sql(&format!(
            "SELECT string_agg(attname, ',') FROM pg_attribute WHERE attrelid = 'cairn.{}'::regclass AND attnum > 0",
            table.name
        ));
        let found: Vec<&str> = found.split(',').collect();
        for column in table.columns {
            assert!(
                found.contains(&column.name),
                "{}.{}",
                table.name,
                column.name
            );
        }
    }
    let other = database.sql(
        "SELECT attrelid::regclass || '.' || attname FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid AND relkind = 'r'
         WHERE relnamespace = 'cairn'::regnamespace AND atttypid = 'text'::regtype AND attcollation <> '\"C\"'::regcollation",
    );
    assert_eq!(other, "");
}

#[test]
fn the_hosts_that_are_named_are_tried_in_turn() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    let (port, name) = (server.port(), database.name());
    let several = format!("postgres://cairn@127.0.0.1:1,127.0.0.1:{port}/{name}");
    open(&config(&several)).unwrap();
    let none = refused(&config("postgres://cairn@127.0.0.1:1,127.0.0.1:2/d"));
    assert!(
        none.contains("127.0.0.1:1: no server") && none.contains("; 127.0.0.1:2: no server"),
        "{none}"
    );
}

#[test]
fn a_url_is_shown_without_what_follows_the_database() {
    let url = PostgresUrl::parse("postgres://u@db/d?application_name=x").unwrap();
    assert_eq!(
        PostgresConfig::new(url).url.to_string(),
        "postgres://u@db:5432/d"
    );
}
