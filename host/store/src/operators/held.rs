//! Databases that are held after a restore. Since the backup was made, messages may have left, and flows may have ended: nothing is
//! delivered, recovered or pruned until an operator has looked and releases the database.

use cairn_model::clock::Timestamp;
use serde_json::json;

use super::admin::Admin;
use super::audit::Change;
use super::facts;
use super::view::View;
use crate::StoreError;
use crate::sql::{Sql, SqlError};

/// The name of the fact that holds a database; its value is the time of the restore, in RFC 3339.
pub(crate) const HELD: &str = "held";

impl View<'_> {
    /// Returns when the database was restored, if it is held since then.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn held(&self) -> Result<Option<String>, StoreError> {
        Ok(since(self.sql())?)
    }
}

impl Admin<'_> {
    /// Releases a held database; returns whether it was held.
    ///
    /// # Errors
    /// `AdminRequired`; [`StoreError::Database`].
    pub fn release(&mut self) -> Result<bool, StoreError> {
        self.require_admin("release a database")?;
        let Some(since) = self.view().held()? else {
            return Ok(false);
        };
        self.execute(facts::REMOVE, &[HELD.into()])?;
        self.record(Change {
            action: "db.release",
            subject: "database",
            before: json!({"held": since}),
            ..Change::default()
        })?;
        Ok(true)
    }
}

/// Returns since when a database is held. One whose schema is too old for facts is not.
pub(crate) fn since(sql: &dyn Sql) -> Result<Option<String>, SqlError> {
    facts::fact(sql, HELD)
}

/// Refuses a held database.
///
/// # Errors
/// [`StoreError::Held`].
pub(crate) fn refuse(sql: &dyn Sql) -> Result<(), StoreError> {
    match since(sql)? {
        Some(since) => Err(StoreError::Held { since }),
        None => Ok(()),
    }
}

/// Holds a database, in the open transaction.
pub(crate) fn hold(sql: &dyn Sql, now: Timestamp) -> Result<(), SqlError> {
    facts::set(sql, HELD, &now.to_string())
}

/// Releases a database, in the open transaction.
pub(crate) fn release(sql: &dyn Sql) -> Result<(), SqlError> {
    match since(sql)? {
        Some(_) => facts::remove(sql, HELD),
        None => Ok(()),
    }
}
