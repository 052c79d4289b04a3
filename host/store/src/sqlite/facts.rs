//! Reads and writes facts about a database: texts by name.

use rusqlite::Connection;

use super::statement::scalar;

/// The path under which the database is used.
pub(super) const PATH: &str = "path";

/// Present once a host has kept its lock elsewhere than beside the database.
pub(super) const LOCKS: &str = "locks";

/// The fingerprint of the master key.
pub(super) const FINGERPRINT: &str = crate::operators::keys::FINGERPRINT;

pub(super) fn fact(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    scalar(connection, "SELECT value FROM facts WHERE name = ?", [name])
}

pub(super) fn set_fact(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)")?
        .execute([name, value])?;
    Ok(())
}
