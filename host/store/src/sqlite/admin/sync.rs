//! Mending usages that drifted.

use rusqlite::params;

use cairn_effects::volumes::Settings;
use cairn_model::quota::Drift;

use super::{Admin, Result};
use crate::sqlite::quota::{current_drift, settle};

impl Admin<'_, '_> {
    /// Makes every usage say what is booked and held, and says which it changed. Usages that are missing are made.
    ///
    /// Flows in flight are not disturbed: rows and counters are read and written in one write transaction, so each counter
    /// moves by exactly what it was off, and a flow moves it by deltas before and after.
    ///
    /// # Errors
    /// `AdminRequired`.
    pub fn sync_usages(&mut self) -> Result<Vec<Drift>> {
        self.require_admin("mend usages")?;
        let tx = &self.tx;
        let config = &Settings::of(tx.env.domains().services()).quota;
        settle(tx.connection, config, None)?;
        let drift = current_drift(tx.connection, config, None)?;
        for Drift {
            project,
            resource,
            found,
            expected,
        } in &drift
        {
            if found.is_some() {
                tx.connection
                    .prepare_cached(
                        "UPDATE quota_usages SET in_use = ?3, reserved = ?4, updated_at = ?5
                         WHERE project_id = ?1 AND resource = ?2 AND deleted = 0",
                    )?
                    .execute(params![
                        project,
                        resource,
                        expected.in_use,
                        expected.reserved,
                        tx.now.0
                    ])?;
            } else {
                tx.connection
                    .prepare_cached(
                        "INSERT INTO quota_usages (project_id, resource, in_use, reserved, until_refresh, updated_at)
                         VALUES (?, ?, ?, ?, ?, ?)",
                    )?
                    .execute(params![
                        project,
                        resource,
                        expected.in_use,
                        expected.reserved,
                        config.countdown(),
                        tx.now.0
                    ])?;
            }
        }
        Ok(drift)
    }
}
