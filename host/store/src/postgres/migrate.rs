//! The schema: bringing the host's tables and those of domains up to date, by one process at a time.

use cairn_effects::domain::{CORE, Domain};
use cairn_effects::rows::Cell;

use super::config::PostgresConfig;
use super::link::{LOCK_TIMEOUT, Link, LinkError, READER};
use crate::StoreError;

/// Each step of the host's own tables, in order; a step that has landed never changes.
const STEPS: &[&str] = &[
    include_str!("../../migrations/postgres/01-initial.sql"),
    include_str!("../../migrations/postgres/02-sleep.sql"),
    include_str!("../../migrations/postgres/03-externals.sql"),
    include_str!("../../migrations/postgres/04-pivot.sql"),
    include_str!("../../migrations/postgres/05-host-locks.sql"),
    include_str!("../../migrations/postgres/06-service.sql"),
];

/// The advisory lock of whoever migrates: `cairn` in ASCII.
const LOCK: i64 = 0x63_6169_726e;

/// How long a process waits for another one that migrates.
const PATIENCE: &str = "30s";

/// Tables of one owner, the host or a domain, and what makes them.
#[derive(Clone, Copy)]
struct Tables {
    owner: &'static str,
    steps: &'static [&'static str],
}

impl From<&Domain> for Tables {
    fn from(domain: &Domain) -> Self {
        Self {
            owner: domain.name,
            steps: domain.postgres,
        }
    }
}

/// Brings the schema up to date: each step in a transaction of its own, under a lock.
///
/// # Errors
/// [`StoreError::Database`]: a schema that is not Cairn's or of a newer version, with nothing written; a domain without tables for
/// PostgreSQL; hosts that live and expect the older tables.
pub(super) fn migrate(link: &mut Link, config: &PostgresConfig) -> Result<(), StoreError> {
    let failed = |problem: &dyn std::fmt::Display| {
        StoreError::Database(format!("{}: {problem}", config.url))
    };
    let mut all = vec![Tables {
        owner: CORE,
        steps: STEPS,
    }];
    for domain in config.store.domains.iter() {
        if domain.postgres.is_empty() {
            return Err(failed(&format!(
                "the domain `{}` has no tables for PostgreSQL; use a SQLite database (a file) with it",
                domain.name
            )));
        }
        all.push(domain.into());
    }
    // All are looked at before the first is changed.
    let mut versions = Vec::new();
    for tables in &all {
        versions.push(version(link, *tables).map_err(|error| failed(&error))?);
    }
    for (tables, found) in all.into_iter().zip(versions) {
        for step in found..tables.steps.len() {
            run(link, tables, step).map_err(|error| failed(&error))?;
        }
    }
    Ok(())
}

/// Returns the version of the host's own tables, and the newest that this program knows. Writes nothing.
///
/// # Errors
/// [`StoreError::Database`]: the server cannot be reached, the schema is not there, not Cairn's, or of a newer version.
pub(super) fn versions(config: &PostgresConfig) -> Result<(usize, usize), StoreError> {
    let failed = |problem: &dyn std::fmt::Display| {
        StoreError::Database(format!("{}: {problem}", config.url))
    };
    let link = Link::connect(&config.target(), &READER);
    let mut link = link.map_err(|error| failed(&error))?;
    let own = Tables {
        owner: CORE,
        steps: STEPS,
    };
    let found = version(&mut link, own).map_err(|error| failed(&error))?;
    let mut older = found < STEPS.len();
    for domain in config.store.domains.iter() {
        let found = version(&mut link, domain.into()).map_err(|error| failed(&error))?;
        older |= found < domain.postgres.len();
    }
    match (found, older) {
        (0, _) => Err(failed(
            &"Cairn has no tables in this database yet: `cairn run` makes them, and so does whatever creates something",
        )),
        // A domain's tables are older: as if the host's own were.
        (found, true) => Ok((found.min(STEPS.len()), STEPS.len().max(found + 1))),
        (found, false) => Ok((found, STEPS.len())),
    }
}

/// Returns the version of the host's own tables; 0 where there are none.
///
/// # Errors
/// As [`versions`].
pub(super) fn found(config: &PostgresConfig) -> Result<usize, StoreError> {
    let failed = |problem: &dyn std::fmt::Display| {
        StoreError::Database(format!("{}: {problem}", config.url))
    };
    let link = Link::connect(&config.target(), &READER);
    let mut link = link.map_err(|error| failed(&error))?;
    let own = Tables {
        owner: CORE,
        steps: STEPS,
    };
    version(&mut link, own).map_err(|error| failed(&error))
}

/// Why the schema is not brought up to date.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("{0}")]
    Refused(String),
}

/// The version of an owner's tables; 0 of one that has none.
fn version(link: &mut Link, tables: Tables) -> Result<usize, Stop> {
    if !is_there(link)? {
        return Ok(0);
    }
    let statement = "SELECT version FROM cairn.schema WHERE domain = $1";
    let found = link.run(statement, &[Cell::from(tables.owner)])?.rows;
    let found = match found.first().and_then(|row| row.first()) {
        Some(Cell::Int(version)) => usize::try_from(*version).unwrap_or(usize::MAX),
        Some(_) => return Err(foreign()),
        None if tables.owner == CORE => return Err(foreign()),
        None => 0,
    };
    let newest = tables.steps.len();
    if found > newest {
        let whose = match tables.owner {
            CORE => "the database was made by a newer version of Cairn".to_owned(),
            domain => {
                format!("the tables of the domain `{domain}` were made by a newer version of it")
            }
        };
        return Err(Stop::Refused(format!(
            "{whose} (schema {found}, this one knows {newest}); use that version, or another database with --db"
        )));
    }
    Ok(found)
}

/// Whether the schema `cairn` is there, and Cairn's.
fn is_there(link: &mut Link) -> Result<bool, Stop> {
    let statement = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'cairn'), \
         (SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('cairn.schema') AND NOT attisdropped \
          AND attname IN ('domain', 'version'))";
    let found = link.run(statement, &[])?.rows;
    match found.first().map(Vec::as_slice) {
        Some([Cell::Int(0), _]) => Ok(false),
        Some([_, Cell::Int(2)]) => Ok(true),
        _ => Err(foreign()),
    }
}

fn foreign() -> Stop {
    Stop::Refused(
        "the schema `cairn` of this database is another program's, not Cairn's; name another database with --db".to_owned(),
    )
}

/// Takes one step, unless another process has taken it by now.
fn run(link: &mut Link, tables: Tables, step: usize) -> Result<(), Stop> {
    link.script(&format!(
        "BEGIN; SET LOCAL lock_timeout = '{PATIENCE}'; SELECT pg_advisory_xact_lock({LOCK})"
    ))
    .map_err(|error| match error.code() {
        Some(LOCK_TIMEOUT) => Stop::Refused(format!(
            "another process has been changing the tables for more than {PATIENCE}; try again when it is done"
        )),
        _ => error.into(),
    })
    .and_then(|()| step_under_lock(link, tables, step))
    .inspect_err(|_| {
        if let Err(error) = link.script("ROLLBACK") {
            tracing::debug!(%error, "the transaction of a migration ended with its connection");
        }
    })
}

fn step_under_lock(link: &mut Link, tables: Tables, step: usize) -> Result<(), Stop> {
    if version(link, tables)? != step {
        return Ok(link.script("ROLLBACK")?);
    }
    if step > 0 {
        refuse_beside_hosts(link, tables)?;
    }
    let number = i64::try_from(step + 1).unwrap_or(i64::MAX);
    if tables.owner == CORE && step == 0 {
        link.script("CREATE SCHEMA cairn")
            .map_err(|error| match error.code() {
                Some("42501") => Stop::Refused(format!(
                    "{error}; give the user the right to make schemas there: GRANT CREATE ON DATABASE … TO …"
                )),
                _ => error.into(),
            })?;
    }
    link.script(tables.steps[step]).map_err(|error| {
        Stop::Refused(format!(
            "step {number} of the tables of `{}` failed: {error}",
            tables.owner
        ))
    })?;
    link.run(
        "INSERT INTO cairn.schema (domain, version) VALUES ($1, $2)
         ON CONFLICT (domain) DO UPDATE SET version = excluded.version",
        &[Cell::from(tables.owner), Cell::Int(number)],
    )?;
    Ok(link.script("COMMIT")?)
}

/// Hosts that live expect the tables as they are.
fn refuse_beside_hosts(link: &mut Link, tables: Tables) -> Result<(), Stop> {
    let statement = "SELECT count(*) FROM cairn.hosts WHERE expires_at > clock_timestamp()";
    let found = link.run(statement, &[])?.rows;
    match found.first().map(Vec::as_slice) {
        Some([Cell::Int(0)]) => Ok(()),
        Some([Cell::Int(hosts)]) => Err(Stop::Refused(format!(
            "the tables of `{}` are of an older version, and {hosts} hosts work with them; end these first (`cairn host drain --all`)",
            tables.owner
        ))),
        _ => Err(foreign()),
    }
}
