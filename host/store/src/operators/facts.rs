//! Reads and writes facts: properties of the database, by name.

use crate::sql::{Columns, Sql, SqlError};

/// The fact that says when the last backup was made, in RFC 3339.
pub(crate) const BACKUP: &str = "backup";

/// The fact that says when it was last tried whether the database can be written, in RFC 3339.
pub(crate) const PROBED: &str = "probed";

/// Sets the fact `$1` to `$2`.
pub(crate) const SET: &str = "INSERT INTO facts (name, value) VALUES ($1, $2)
     ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// Removes the fact `$1`.
pub(crate) const REMOVE: &str = "DELETE FROM facts WHERE name = $1";

/// Returns a fact; `None` also where the schema is too old for facts.
pub(crate) fn fact(sql: &dyn Sql, name: &str) -> Result<Option<String>, SqlError> {
    if sql.columns("facts")?.is_empty() {
        return Ok(None);
    }
    let rows = sql.query("SELECT value FROM facts WHERE name = $1", &[name.into()])?;
    rows.first().map(|row| Columns(row).text(0)).transpose()
}

/// Sets a fact, in the open transaction.
pub(crate) fn set(sql: &dyn Sql, name: &str, value: &str) -> Result<(), SqlError> {
    sql.execute(SET, &[name.into(), value.into()]).map(drop)
}

/// Removes a fact, in the open transaction.
pub(crate) fn remove(sql: &dyn Sql, name: &str) -> Result<(), SqlError> {
    sql.execute(REMOVE, &[name.into()]).map(drop)
}
