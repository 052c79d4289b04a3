//! Volumes and snapshots that an operator adds or takes away, with the quota they are booked with.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};

use super::{Admin, Result, not_found};
use crate::effect::{Answer, Expiry, QuotaCommit, QuotaReserve, VolumeCreate, VolumeUpdate};
use crate::error::TaskError;
use crate::id::FlowId;
use crate::quota::{Measure, type_resource};
use crate::store::sqlite::tx::scalar;
use crate::store::sqlite::view::Kind;
use crate::store::sqlite::{quota, volumes};
use crate::value::{Object, Value};

impl Admin<'_, '_> {
    /// Adds a volume that is there already, such as one to make others from, to the caller's project, and books its quota.
    ///
    /// # Errors
    /// `OverQuota`; those of [`VolumeCreate`].
    pub fn create_volume(&mut self, properties: Object) -> Result<Value> {
        let size = properties.get("size").and_then(Value::as_i64).unwrap_or(0);
        if size < 1 {
            let message = "a volume's `size` must be a whole number of GiB, at least 1";
            return Err(TaskError::new("InvalidInput", message).into());
        }
        let volume_type = properties
            .get("volume_type_id")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let project = self.tx.by.requester.project_id.clone();
        self.move_quota(
            Some(project),
            volume_type.as_deref(),
            &[(Measure::Volumes, 1), (Measure::Gigabytes, size)],
        )?;
        let host = properties.get("host").cloned().unwrap_or(Value::Null);
        let Answer::Volume(volume) = volumes::create(self.tx, &VolumeCreate { properties })? else {
            return Ok(Value::Null);
        };
        let id = volume["id"].as_str().unwrap_or_default().to_owned();
        self.tx
            .connection
            .prepare_cached("UPDATE volumes SET booked = 1, host = ? WHERE id = ?")?
            .execute(params![host.as_str(), id])?;
        let found = volumes::find(self.tx, &id)?;
        Ok(found.map_or(Value::Null, Value::Object))
    }

    /// Sets `status` or `host` of a volume, as its backend would.
    ///
    /// # Errors
    /// `VolumeNotFound`.
    pub fn update_volume(&mut self, id: &str, changes: Object) -> Result<Value> {
        let update = VolumeUpdate {
            id: id.to_owned(),
            changes,
        };
        match volumes::update(self.tx, &update)? {
            Answer::Volume(volume) => Ok(volume),
            _ => Ok(Value::Null),
        }
    }

    /// Soft-deletes a volume, and gives back the quota that it is booked with: to the volume's project, whoever asks. A
    /// rollback of the flow that made it does not give that back again.
    ///
    /// # Errors
    /// `VolumeNotFound`; `VolumeInUse` when it has snapshots; `FlowUnfinished` while the flow that made it has not ended,
    /// since that flow may yet book the volume, or give its quota back.
    pub fn delete_volume(&mut self, id: &str) -> Result<()> {
        let volume = volumes::visible(self.tx, id)?;
        let snapshots = "SELECT 1 FROM snapshots WHERE volume_id = ? AND deleted = 0";
        if self.view().exists(snapshots, id)? {
            let message = format!("volume `{id}` has snapshots: delete them first");
            return Err(TaskError::new("VolumeInUse", message).into());
        }
        self.require_ended_flow(id)?;
        let booked = self
            .view()
            .exists("SELECT 1 FROM volumes WHERE id = ? AND booked = 1", id)?;
        if booked {
            let size = volume.get("size").and_then(Value::as_i64).unwrap_or(0);
            self.move_quota(
                project_of(&volume),
                text(&volume, "volume_type_id"),
                &[
                    (Measure::Volumes, -1),
                    (Measure::Gigabytes, size.saturating_neg()),
                ],
            )?;
        }
        self.tx
            .connection
            .prepare_cached(
                "UPDATE volumes SET status = 'deleted', deleted = 1, booked = 0, returned = booked, version = version + 1,
                     deleted_at = ?
                 WHERE id = ?",
            )?
            .execute(params![self.tx.now.0, id])?;
        Ok(())
    }

    /// Refuses what would take a volume from under the flow that made it. A pruned flow has ended.
    fn require_ended_flow(&self, volume: &str) -> Result<()> {
        let unfinished: Option<([u8; 16], String)> = self
            .tx
            .connection
            .prepare_cached(
                "SELECT flows.id, flows.state FROM volumes JOIN flows ON flows.id = volumes.flow
                 WHERE volumes.id = ? AND flows.state NOT IN ('SUCCESS', 'FAILURE')",
            )?
            .query_row([volume], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((flow, state)) = unfinished else {
            return Ok(());
        };
        let flow = FlowId(uuid::Uuid::from_bytes(flow));
        let message = format!(
            "volume `{volume}` was made by flow {flow}, which has not ended ({state}): `cairn flows rollback {flow}` takes the \
             volume away, `cairn flows resume {flow}` finishes it"
        );
        Err(TaskError::new("FlowUnfinished", message)
            .with("flow", flow.to_string())
            .with("state", state)
            .into())
    }

    /// Adds a snapshot of a volume, to the volume's project, and books its quota there; returns it.
    ///
    /// # Errors
    /// `VolumeNotFound`, `OverQuota`.
    pub fn create_snapshot(
        &mut self,
        volume_id: &str,
        name: Option<&str>,
        status: &str,
    ) -> Result<Object> {
        let volume = volumes::visible(self.tx, volume_id)?;
        let size = volume.get("size").and_then(Value::as_i64).unwrap_or(0);
        let gigabytes = match self.tx.env.config.quota.no_snapshot_gigabytes {
            true => 0,
            false => size,
        };
        self.move_quota(
            project_of(&volume),
            text(&volume, "volume_type_id"),
            &[(Measure::Snapshots, 1), (Measure::Gigabytes, gigabytes)],
        )?;
        let id = crate::id::uuid().to_string();
        self.tx
            .connection
            .prepare_cached(
                "INSERT INTO snapshots (id, project_id, user_id, volume_id, volume_size, volume_type_id, status,
                     display_name, encryption_key_id, booked, booked_gigabytes, created_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
            )?
            .execute(params![
                id,
                text(&volume, "project_id"),
                self.tx.by.requester.user_id,
                volume_id,
                size,
                text(&volume, "volume_type_id"),
                status,
                name,
                text(&volume, "encryption_key_id"),
                gigabytes,
                self.tx.now.0
            ])?;
        let found = self.view().find(Kind::Snapshot, &id)?;
        found.ok_or_else(|| not_found("snapshot", &id).into())
    }

    /// Soft-deletes a snapshot, and gives back what was booked when it was made, whatever the settings say by now.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn delete_snapshot(&mut self, id: &str) -> Result<()> {
        let found = self.view().find(Kind::Snapshot, id)?;
        let found = found.filter(|row| self.tx.may_see(row));
        let snapshot = found.ok_or_else(|| not_found("snapshot", id))?;
        let booked: Option<i64> = scalar(
            self.tx.connection,
            "SELECT COALESCE(booked_gigabytes, IIF(?2, 0, volume_size), 0) FROM snapshots WHERE id = ?1 AND booked = 1",
            params![id, self.tx.env.config.quota.no_snapshot_gigabytes],
        )?;
        if let Some(gigabytes) = booked {
            self.move_quota(
                project_of(&snapshot),
                text(&snapshot, "volume_type_id"),
                &[
                    (Measure::Snapshots, -1),
                    (Measure::Gigabytes, gigabytes.saturating_neg()),
                ],
            )?;
        }
        self.tx
            .connection
            .prepare_cached("UPDATE snapshots SET deleted = 1, booked = 0, status = 'deleted', deleted_at = ? WHERE id = ?")?
            .execute(params![self.tx.now.0, id])?;
        Ok(())
    }

    /// Reserves and commits amounts of a project's quota, with the volume type's own; negative ones give back. What belongs
    /// to no project is booked nowhere.
    fn move_quota(
        &mut self,
        project: Option<String>,
        volume_type: Option<&str>,
        amounts: &[(Measure, i64)],
    ) -> Result<()> {
        if project.is_none() {
            return Ok(());
        }
        let type_name: Option<String> = match volume_type {
            Some(id) => scalar(
                self.tx.connection,
                "SELECT name FROM volume_types WHERE id = ?",
                [id],
            )?,
            None => None,
        };
        let mut deltas = BTreeMap::new();
        for (measure, amount) in amounts {
            deltas.insert(measure.as_str().to_owned(), *amount);
            if let Some(name) = &type_name {
                deltas.insert(type_resource(measure.as_str(), name), *amount);
            }
        }
        let reserve = QuotaReserve {
            project: project.clone(),
            deltas,
            expiry: Expiry::Default,
        };
        let wanted = quota::refresh(self.tx, &reserve)?;
        if let Answer::Reservations(reservations) = quota::reserve(self.tx, &reserve, &wanted)? {
            quota::commit(
                self.tx,
                &QuotaCommit {
                    reservations,
                    project,
                },
            )?;
        }
        Ok(())
    }
}

fn text<'a>(row: &'a Object, column: &str) -> Option<&'a str> {
    row.get(column).and_then(Value::as_str)
}

/// Where a row's quota is booked.
fn project_of(row: &Object) -> Option<String> {
    text(row, "project_id").map(str::to_owned)
}
