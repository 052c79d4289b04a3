//! Versions and migrations of the tables of domains.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use cairn_effects::domain::{Domain, Domains};

use super::statement::database;
use crate::StoreError;

/// Returns the version of a domain's tables; 0 for a domain without tables in this database.
fn version(connection: &Connection, domain: &str) -> rusqlite::Result<usize> {
    let version: Option<i64> = connection
        .prepare_cached("SELECT version FROM schema WHERE domain = ?")?
        .query_row([domain], |row| row.get(0))
        .optional()?;
    Ok(version.map_or(0, |version| usize::try_from(version).unwrap_or(usize::MAX)))
}

/// Migrates the tables of all domains, in one transaction.
///
/// # Errors
/// [`StoreError::Database`]; also when a domain's tables are of a newer version than this program knows.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    domains: &Domains,
) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| database(path, &error);
    if behind(connection, path, domains)?.is_none() {
        return Ok(());
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    for domain in domains.iter() {
        let from = version(&transaction, domain.name).map_err(failed)?;
        let steps = domain.migrations.iter().skip(from);
        for (step, sql) in steps.enumerate() {
            transaction.execute_batch(sql).map_err(|error| {
                StoreError::Database(format!(
                    "{}: step {} of the tables of the domain `{}` failed: {error}",
                    path.display(),
                    from + step + 1,
                    domain.name
                ))
            })?;
        }
        transaction
            .execute(
                "INSERT INTO schema (domain, version) VALUES (?, ?)
                 ON CONFLICT (domain) DO UPDATE SET version = max(version, excluded.version)",
                params![domain.name, domain.migrations.len() as i64],
            )
            .map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// Returns the first domain whose tables are of an older version than this program knows.
///
/// # Errors
/// [`StoreError::Database`]; also when a domain's tables are of a newer version.
pub(super) fn behind<'d>(
    connection: &Connection,
    path: &Path,
    domains: &'d Domains,
) -> Result<Option<&'d Domain>, StoreError> {
    for domain in domains.iter() {
        let found = version(connection, domain.name).map_err(|error| database(path, &error))?;
        let newest = domain.migrations.len();
        if found > newest {
            return Err(StoreError::Database(format!(
                "{}: the tables of the domain `{}` were made by a newer version of it (schema {found}, this one knows {newest}); use \
                 that version, or another database with --db",
                path.display(),
                domain.name
            )));
        }
        if found < newest {
            return Ok(Some(domain));
        }
    }
    Ok(None)
}

/// Returns the domains whose tables the database has; none when it cannot be read.
pub(super) fn domains(connection: &Connection) -> Vec<String> {
    let names = || -> rusqlite::Result<Vec<String>> {
        let mut statement =
            connection.prepare_cached("SELECT domain FROM schema ORDER BY domain")?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    names().unwrap_or_default()
}
