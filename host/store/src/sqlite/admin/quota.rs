//! Limits, and reservations that lapsed.

use rusqlite::params;
use serde::Serialize;

use cairn_model::error::TaskError;

use super::{Admin, Result};
use crate::sqlite::quota;

/// What became of the reservations that are past their expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Expired {
    /// Rolled back.
    pub rolled_back: usize,
    /// Left to flows that have not ended.
    pub kept: usize,
}

impl Admin<'_, '_> {
    /// Sets a project's limit; `None` and -1 are unlimited.
    ///
    /// # Errors
    /// `QuotaResourceUnknown`.
    pub fn set_project_limit(
        &mut self,
        project: &str,
        resource: &str,
        limit: Option<i64>,
    ) -> Result<()> {
        self.require_resource(resource)?;
        self.tx
            .connection
            .prepare_cached(
                "INSERT OR REPLACE INTO quotas (project_id, resource, hard_limit) VALUES (?, ?, ?)",
            )?
            .execute(params![project, resource, limit])?;
        Ok(())
    }

    /// Sets a quota class's limit; class `default` is everybody's.
    ///
    /// # Errors
    /// `QuotaResourceUnknown`.
    pub fn set_class_limit(
        &mut self,
        class: &str,
        resource: &str,
        limit: Option<i64>,
    ) -> Result<()> {
        self.require_resource(resource)?;
        self.tx
            .connection
            .prepare_cached("INSERT OR REPLACE INTO quota_classes (class_name, resource, hard_limit) VALUES (?, ?, ?)")?
            .execute(params![class, resource, limit])?;
        Ok(())
    }

    fn require_resource(&self, name: &str) -> Result<()> {
        if quota::resource(self.tx.connection, name)?.is_some() {
            return Ok(());
        }
        let message = format!("there is no quota of {name}");
        let error = TaskError::new("QuotaResourceUnknown", message);
        Err(error.with("unknown", vec![name.to_owned()]).into())
    }

    /// Rolls back every open reservation that is past its expiry, but for those of a flow that has not ended: the flow, or
    /// its recovery, closes them, and could not be rolled back if somebody else had.
    ///
    /// # Errors
    /// `AdminRequired`.
    pub fn expire_reservations(&mut self) -> Result<Expired> {
        self.require_admin("expire reservations")?;
        let connection = self.tx.connection;
        // The flow of a reservation may be pruned, and has ended then.
        let lapsed: Vec<(String, String, String, i64, bool)> = connection
            .prepare_cached(
                "SELECT id, project_id, resource, delta, EXISTS (
                     SELECT 1 FROM flows
                     WHERE flows.id = reservations.flow AND flows.state NOT IN ('SUCCESS', 'FAILURE'))
                 FROM reservations WHERE state = 'open' AND expire < ?",
            )?
            .query_map([self.tx.now.0], |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                ))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let mut counts = Expired::default();
        for (id, project, resource, delta, in_flight) in &lapsed {
            if *in_flight {
                counts.kept += 1;
                continue;
            }
            counts.rolled_back += 1;
            connection
                .prepare_cached("UPDATE reservations SET state = 'expired' WHERE id = ?")?
                .execute([id])?;
            if *delta > 0 {
                connection
                    .prepare_cached(
                        "UPDATE quota_usages SET reserved = reserved - ?, updated_at = ?
                         WHERE project_id = ? AND resource = ? AND deleted = 0",
                    )?
                    .execute(params![delta, self.tx.now.0, project, resource])?;
            }
        }
        Ok(counts)
    }

    /// Forgets a project's limits, usages and reservations.
    ///
    /// # Errors
    /// `AdminRequired`.
    pub fn destroy_project_quotas(&mut self, project: &str) -> Result<()> {
        self.require_admin("destroy a project's quotas")?;
        for statement in [
            "DELETE FROM quotas WHERE project_id = ?",
            "UPDATE quota_usages SET deleted = 1 WHERE project_id = ? AND deleted = 0",
            "UPDATE reservations SET state = 'destroyed' WHERE project_id = ? AND state = 'open'",
        ] {
            self.tx
                .connection
                .prepare_cached(statement)?
                .execute([project])?;
        }
        Ok(())
    }
}
