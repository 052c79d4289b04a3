//! Limits, and reservations that lapsed.

use rusqlite::params;

use super::{Admin, Result};
use crate::error::TaskError;
use crate::store::sqlite::quota;

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

    /// Rolls back every reservation that is past its expiry; says how many.
    ///
    /// # Errors
    /// `AdminRequired`.
    pub fn expire_reservations(&mut self) -> Result<usize> {
        self.require_admin("expire reservations")?;
        let connection = self.tx.connection;
        let expired: Vec<(String, String, String, i64)> = connection
            .prepare_cached("SELECT id, project_id, resource, delta FROM reservations WHERE state = 'open' AND expire < ?")?
            .query_map([self.tx.now.0], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        for (id, project, resource, delta) in &expired {
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
        Ok(expired.len())
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
