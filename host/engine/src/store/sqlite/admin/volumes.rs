//! Volumes and snapshots that an operator adds or takes away, with the quota they are booked with.

use std::collections::BTreeMap;

use rusqlite::params;

use super::{Admin, Result, not_found};
use crate::effect::{Answer, Expiry, QuotaCommit, QuotaReserve, VolumeCreate, VolumeUpdate};
use crate::error::TaskError;
use crate::quota::{Measure, type_resource};
use crate::store::sqlite::tx::scalar;
use crate::store::sqlite::view::Kind;
use crate::store::sqlite::{quota, volumes};
use crate::value::{Object, Value};

impl Admin<'_, '_> {
    /// Adds a volume that is there already, such as one to make others from, and books its quota.
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
        self.book(
            &[(Measure::Volumes, 1), (Measure::Gigabytes, size)],
            volume_type.as_deref(),
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

    /// Soft-deletes a volume, and gives back the quota that it is booked with.
    ///
    /// # Errors
    /// `VolumeNotFound`; `VolumeInUse` when it has snapshots.
    pub fn delete_volume(&mut self, id: &str) -> Result<()> {
        let volume = volumes::visible(self.tx, id)?;
        let snapshots = "SELECT 1 FROM snapshots WHERE volume_id = ? AND deleted = 0";
        if self.view().exists(snapshots, id)? {
            let message = format!("volume `{id}` has snapshots: delete them first");
            return Err(TaskError::new("VolumeInUse", message).into());
        }
        let booked = self
            .view()
            .exists("SELECT 1 FROM volumes WHERE id = ? AND booked = 1", id)?;
        if booked {
            let size = volume.get("size").and_then(Value::as_i64).unwrap_or(0);
            self.give_back(
                &volume,
                &[(Measure::Volumes, 1), (Measure::Gigabytes, size)],
            )?;
        }
        self.tx
            .connection
            .prepare_cached(
                "UPDATE volumes SET status = 'deleted', deleted = 1, booked = 0, version = version + 1, deleted_at = ?
                 WHERE id = ?",
            )?
            .execute(params![self.tx.now.0, id])?;
        Ok(())
    }

    /// Adds a snapshot of a volume that is available, and books its quota; returns it.
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
        let text = |column: &str| volume.get(column).and_then(Value::as_str);
        let gigabytes = if self.tx.env.config.quota.no_snapshot_gigabytes {
            0
        } else {
            size
        };
        self.book(
            &[(Measure::Snapshots, 1), (Measure::Gigabytes, gigabytes)],
            text("volume_type_id"),
        )?;
        let id = crate::id::uuid().to_string();
        self.tx
            .connection
            .prepare_cached(
                "INSERT INTO snapshots (id, project_id, user_id, volume_id, volume_size, volume_type_id, status,
                     display_name, encryption_key_id, booked, created_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)",
            )?
            .execute(params![
                id,
                text("project_id"),
                self.tx.by.requester.user_id,
                volume_id,
                size,
                text("volume_type_id"),
                status,
                name,
                text("encryption_key_id"),
                self.tx.now.0
            ])?;
        let found = self.view().find(Kind::Snapshot, &id)?;
        found.ok_or_else(|| not_found("snapshot", &id).into())
    }

    /// Soft-deletes a snapshot, and gives back its quota.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn delete_snapshot(&mut self, id: &str) -> Result<()> {
        let found = self.view().find(Kind::Snapshot, id)?;
        let found = found.filter(|row| self.tx.may_see(row));
        let snapshot = found.ok_or_else(|| not_found("snapshot", id))?;
        if self
            .view()
            .exists("SELECT 1 FROM snapshots WHERE id = ? AND booked = 1", id)?
        {
            let size = snapshot
                .get("volume_size")
                .and_then(Value::as_i64)
                .unwrap_or(0);
            let gigabytes = if self.tx.env.config.quota.no_snapshot_gigabytes {
                0
            } else {
                size
            };
            self.give_back(
                &snapshot,
                &[(Measure::Snapshots, 1), (Measure::Gigabytes, gigabytes)],
            )?;
        }
        self.tx
            .connection
            .prepare_cached("UPDATE snapshots SET deleted = 1, booked = 0, status = 'deleted', deleted_at = ? WHERE id = ?")?
            .execute(params![self.tx.now.0, id])?;
        Ok(())
    }

    /// Reserves and commits quota of the caller's project, with the volume type's own.
    fn book(&mut self, amounts: &[(Measure, i64)], volume_type: Option<&str>) -> Result<()> {
        self.move_quota(None, amounts, volume_type)
    }

    /// Gives back what a row of any project was booked with.
    fn give_back(&mut self, row: &Object, amounts: &[(Measure, i64)]) -> Result<()> {
        let project = row
            .get("project_id")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let amounts: Vec<_> = amounts
            .iter()
            .map(|(measure, amount)| (*measure, amount.saturating_neg()))
            .collect();
        self.move_quota(
            project,
            &amounts,
            row.get("volume_type_id").and_then(Value::as_str),
        )
    }

    fn move_quota(
        &mut self,
        project: Option<String>,
        amounts: &[(Measure, i64)],
        volume_type: Option<&str>,
    ) -> Result<()> {
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
