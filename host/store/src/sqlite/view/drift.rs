use rusqlite::Connection;

use cairn_effects::volumes::Settings;
use cairn_model::error::TaskError;
use cairn_model::quota::Drift;

use super::{View, failed};
use crate::StoreError;
use crate::sqlite::quota::current_drift;

impl View<'_> {
    /// The usages that differ from what is booked and from what open reservations hold, at one moment: what others write
    /// meanwhile is in it whole or not at all. Of one project, or of every one. Deleted volume types count as well.
    ///
    /// # Errors
    /// `NotAuthorized` for another project's, or for all, without being admin.
    pub fn quota_drift(&self, project: Option<&str>) -> Result<Vec<Drift>, StoreError> {
        let caller = self.tx.by.requester;
        if !caller.is_admin && project != Some(&*caller.project_id) {
            let message =
                "the usages of other projects than the caller's own are checked for admins only";
            return Err(TaskError::new("NotAuthorized", message).into());
        }
        let config = &Settings::of(self.tx.env.domains().services()).quota;
        in_snapshot(self.connection(), |connection| {
            current_drift(connection, config, project)
        })
        .map_err(failed)
    }
}

/// Runs several reads on one state of the database: that of the transaction which is open, else of one for them alone.
fn in_snapshot<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    if !connection.is_autocommit() {
        return read(connection);
    }
    let snapshot = connection.unchecked_transaction()?;
    let result = read(&snapshot)?;
    snapshot.commit()?;
    Ok(result)
}
