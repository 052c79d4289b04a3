//! Records the fingerprint of the master key that the database's keys are sealed with.

use cairn_effects::keyring::{Fingerprint, Sealed};
use cairn_effects::rows::Cell;

use super::admin::Admin;
use super::view::View;
use crate::StoreError;
use crate::sql::{Columns, Sql};

/// The name of the fact that holds the fingerprint.
pub(crate) const FINGERPRINT: &str = "master-key";

impl View<'_> {
    /// Returns the fingerprint of the master key of this database's keys; `None` before it is recorded.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn key_fingerprint(&self) -> Result<Option<Fingerprint>, StoreError> {
        recorded(self.sql())
    }

    /// Reads the id and the box of a sealed key by a statement of a
    /// [`Keyring`](cairn_effects::keyring::Keyring::sealed_keys); `None` if there is no key.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn sealed_key(&self, statement: &str) -> Result<Option<(String, Sealed)>, StoreError> {
        let rows = self.query(statement, &[])?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        match row.get(1) {
            Some(Cell::Blob(sealed)) => Ok(Some((Columns(row).text(0)?, Sealed(sealed.to_vec())))),
            _ => Err(StoreError::Database("a sealed key is no bytes".to_owned())),
        }
    }
}

impl Admin<'_> {
    /// Records the fingerprint of a master key, unless there is one; returns the recorded one.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn record_key_fingerprint(&mut self, own: Fingerprint) -> Result<Fingerprint, StoreError> {
        let statement =
            "INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        let value = own.to_string();
        self.execute(statement, &[FINGERPRINT.into(), value.as_str().into()])?;
        Ok(self.view().key_fingerprint()?.unwrap_or(own))
    }
}

fn recorded(sql: &dyn Sql) -> Result<Option<Fingerprint>, StoreError> {
    let statement = "SELECT value FROM facts WHERE name = $1";
    let rows = sql.query(statement, &[FINGERPRINT.into()])?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let value = Columns(row).text(0)?;
    let fingerprint = value.parse();
    fingerprint
        .map(Some)
        .map_err(|error| StoreError::Database(format!("the fact `{FINGERPRINT}`: {error}")))
}
