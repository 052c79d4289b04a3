//! Writes a backup of a database that is elsewhere: a file with its rows.

use std::path::Path;

use rusqlite::Connection;

use cairn_effects::rows::Cell;

use super::backup::{NewFile, OWNER};
use super::open;
use super::statement::{database, execute};
use crate::StoreError;
use crate::config::Env;
use crate::copy::{self, Copied, Empty};
use crate::sql::{Sql, quoted};

/// Copies a database to a new file, which is a backup as [`FileReader::backup`](super::FileReader::backup) writes one; only its owner can
/// read it. `from` must be one state of its database.
///
/// # Errors
/// Those of [`copy::copy`]; `InvalidInput` when the file exists.
pub(crate) fn backup_of(from: &dyn Sql, to: &Path, env: &Env) -> Result<Copied, StoreError> {
    let new = NewFile::create(to)?;
    let connection = open::new_file(&new.path, env.domains())?;
    let failed = |error: rusqlite::Error| database(&new.path, &error);
    execute(&connection, "BEGIN").map_err(failed)?;
    let copied = copy::copy(from, &Filled(&connection))?;
    execute(&connection, "COMMIT").map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    new.finish(OWNER, env)?;
    Ok(copied)
}

/// A new file with an open transaction.
struct Filled<'c>(&'c Connection);

impl Empty for Filled<'_> {
    fn sql(&self) -> &dyn Sql {
        self.0
    }

    fn insert(&self, table: &str, columns: &[&str], rows: &[Vec<Cell>]) -> Result<(), StoreError> {
        let names: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
        let marks: Vec<String> = (1..=names.len()).map(|at| format!("${at}")).collect();
        let statement = format!(
            "INSERT INTO {} ({}) VALUES ({})",
            quoted(table),
            names.join(", "),
            marks.join(", ")
        );
        for row in rows {
            Sql::execute(self.0, &statement, row)?;
        }
        Ok(())
    }
}
