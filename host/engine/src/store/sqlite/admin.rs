//! What operators set up and take down. Each operation is a transaction of its own, on disk when it returns.

use std::collections::BTreeMap;

use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::Sqlite;
use super::view::View;
use super::writer::{Fault, Tx};
use crate::effect::{Answer, Expiry, QuotaCommit, QuotaReserve, VolumeCreate};
use crate::error::TaskError;
use crate::id::Identity;
use crate::quota::{Measure, type_resource};
use crate::store::{Caller, StoreError};
use crate::value::{Digest, Object, Value};

/// A volume type to be made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NewVolumeType {
    /// Unique among types that are not deleted.
    pub name: String,
    /// Free key-value pairs for the scheduler.
    pub extra_specs: BTreeMap<String, String>,
    /// Quality of service, where it has one.
    pub qos: Option<NewQosSpecs>,
    /// Encryption, where its volumes are encrypted.
    pub encryption: Option<NewEncryption>,
}

/// QoS specs to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewQosSpecs {
    /// What they are called.
    pub name: String,
    /// Who keeps to them: `front-end`, `back-end` or `both`.
    pub consumer: String,
    /// What they promise.
    pub specs: BTreeMap<String, String>,
}

/// How volumes of a type are encrypted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewEncryption {
    /// Who encrypts, such as `luks`.
    pub provider: String,
    /// With what, such as `aes-xts-plain64`.
    pub cipher: Option<String>,
    /// Bits.
    pub key_size: Option<u32>,
    /// `front-end` or `back-end`.
    pub control_location: String,
}

/// An image to be registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewImage {
    /// What it is called.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub checksum: Option<String>,
    /// GiB that a volume made from it needs at least.
    pub min_disk: i64,
    /// Whose it is; everyone's when `None`.
    pub project_id: Option<String>,
    /// Where its bytes are.
    pub path: Option<String>,
}

impl Sqlite {
    /// Changes things as `requester`, in one transaction that is on disk when this returns.
    ///
    /// # Errors
    /// Those of `work`, with nothing changed.
    pub fn admin<T>(
        &self,
        requester: &Identity,
        work: impl FnOnce(&mut Admin<'_, '_>) -> Result<T, AdminError>,
    ) -> Result<T, StoreError> {
        let caller = Caller {
            call: None,
            requester,
        };
        self.write(|writer| {
            writer.alone(caller, |tx| {
                work(&mut Admin { tx }).map_err(|error| error.0)
            })
        })
    }
}

/// Why an operator's change was not made.
pub struct AdminError(Fault);

impl From<rusqlite::Error> for AdminError {
    fn from(error: rusqlite::Error) -> Self {
        Self(Fault::Sqlite(error))
    }
}

impl From<TaskError> for AdminError {
    fn from(error: TaskError) -> Self {
        Self(Fault::Refused(error))
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        Self(match error {
            StoreError::Refused(error) => Fault::Refused(error),
            other => Fault::Refused(other.into()),
        })
    }
}

impl From<Fault> for AdminError {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

type Result<T, E = AdminError> = std::result::Result<T, E>;

/// Changes that an operator makes.
pub struct Admin<'t, 'a> {
    tx: &'t mut Tx<'a>,
}

fn not_found(noun: &str, id: &str) -> TaskError {
    TaskError::new("NotFound", format!("there is no {noun} `{id}`"))
}

impl<'a> Admin<'_, 'a> {
    /// What can be read in the middle of these changes.
    pub fn view(&self) -> View<'a> {
        View {
            tx: Tx::new(self.tx.connection, self.tx.env, self.tx.by),
        }
    }

    fn require_admin(&self, what: &str) -> Result<()> {
        if self.tx.by.requester.is_admin {
            return Ok(());
        }
        Err(TaskError::new("AdminRequired", format!("only an admin may {what}")).into())
    }

    // ---- Catalogue -----------------------------------------------------------------------------------------------

    /// Makes a volume type, with its QoS specs and encryption; returns its id.
    ///
    /// # Errors
    /// `Duplicate` when a type of this name is there.
    pub fn create_volume_type(&mut self, new: &NewVolumeType) -> Result<String> {
        let taken = "SELECT 1 FROM volume_types WHERE name = ? AND deleted = 0";
        if self.view().exists(taken, &new.name)? {
            let message = format!("there is a volume type called `{}` already", new.name);
            return Err(TaskError::new("Duplicate", message).into());
        }
        let id = uuid::Uuid::now_v7().to_string();
        let qos = match &new.qos {
            Some(qos) => Some(self.create_qos_specs(qos)?),
            None => None,
        };
        let connection = self.tx.connection;
        connection
            .prepare_cached("INSERT INTO volume_types (id, name, extra_specs, qos_specs_id) VALUES (?, ?, ?, ?)")?
            .execute(params![id, new.name, json(&new.extra_specs), qos])?;
        if let Some(encryption) = &new.encryption {
            connection
                .prepare_cached(
                    "INSERT INTO encryptions (volume_type_id, provider, cipher, key_size, control_location)
                     VALUES (?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    id,
                    encryption.provider,
                    encryption.cipher,
                    encryption.key_size,
                    encryption.control_location
                ])?;
        }
        Ok(id)
    }

    fn create_qos_specs(&mut self, new: &NewQosSpecs) -> Result<String> {
        let id = uuid::Uuid::now_v7().to_string();
        self.tx
            .connection
            .prepare_cached(
                "INSERT INTO qos_specs (id, name, consumer, specs) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![id, new.name, new.consumer, json(&new.specs)])?;
        Ok(id)
    }

    /// Soft-deletes a volume type: its quota resources stay.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn delete_volume_type(&mut self, id: &str) -> Result<()> {
        let statement = "UPDATE volume_types SET deleted = 1 WHERE id = ? AND deleted = 0";
        self.change(statement, "volume type", id)
    }

    /// Registers an image; returns its id.
    ///
    /// # Errors
    /// Of the database.
    pub fn create_image(&mut self, new: &NewImage) -> Result<String> {
        let id = uuid::Uuid::now_v7().to_string();
        self.tx
            .connection
            .prepare_cached(
                "INSERT INTO images (id, project_id, name, size, checksum, min_disk, path, created_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                id,
                new.project_id,
                new.name,
                new.size,
                new.checksum,
                new.min_disk,
                new.path,
                self.tx.now.0
            ])?;
        Ok(id)
    }

    /// Forgets an image.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn delete_image(&mut self, id: &str) -> Result<()> {
        self.change("DELETE FROM images WHERE id = ?", "image", id)
    }

    /// Allows volumes in a zone. With the first one every other zone is no longer valid.
    ///
    /// # Errors
    /// Of the database.
    pub fn create_zone(&mut self, name: &str) -> Result<()> {
        self.tx
            .connection
            .prepare_cached("INSERT OR IGNORE INTO zones (name) VALUES (?)")?
            .execute([name])?;
        Ok(())
    }

    /// No longer allows volumes in a zone.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn delete_zone(&mut self, name: &str) -> Result<()> {
        self.change("DELETE FROM zones WHERE name = ?", "zone", name)
    }

    // ---- Volumes and snapshots -----------------------------------------------------------------------------------

    /// Adds a volume that is there already, such as one to make others from, and books its quota.
    ///
    /// # Errors
    /// `OverQuota`; those of [`VolumeCreate`].
    pub fn create_volume(&mut self, properties: Object) -> Result<Value> {
        let size = properties.get("size").and_then(Value::as_i64).unwrap_or(0);
        let volume_type = properties
            .get("volume_type_id")
            .and_then(Value::as_str)
            .map(str::to_owned);
        self.book(
            &[(Measure::Volumes, 1), (Measure::Gigabytes, size)],
            volume_type.as_deref(),
        )?;
        let host = properties.get("host").cloned().unwrap_or(Value::Null);
        let Answer::Volume(volume) = super::volumes::create(self.tx, &VolumeCreate { properties })?
        else {
            return Ok(Value::Null);
        };
        let id = volume["id"].as_str().unwrap_or_default().to_owned();
        self.tx
            .connection
            .prepare_cached("UPDATE volumes SET booked = 1, host = ? WHERE id = ?")?
            .execute(params![host.as_str(), id])?;
        let found = super::volumes::find(self.tx, &id)?;
        Ok(found.map_or(Value::Null, Value::Object))
    }

    /// Sets `status` or `host` of a volume, as its backend would.
    ///
    /// # Errors
    /// `VolumeNotFound`.
    pub fn update_volume(&mut self, id: &str, changes: Object) -> Result<Value> {
        let update = crate::effect::VolumeUpdate {
            id: id.to_owned(),
            changes,
        };
        match super::volumes::update(self.tx, &update)? {
            Answer::Volume(volume) => Ok(volume),
            _ => Ok(Value::Null),
        }
    }

    /// Soft-deletes a volume, and gives back the quota that it is booked with.
    ///
    /// # Errors
    /// `VolumeNotFound`; `VolumeInUse` when it has snapshots.
    pub fn delete_volume(&mut self, id: &str) -> Result<()> {
        let volume = super::volumes::visible(self.tx, id)?;
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
        let volume = super::volumes::visible(self.tx, volume_id)?;
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
        let id = uuid::Uuid::now_v7().to_string();
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
        let found = self.view().find(super::view::Kind::Snapshot, &id)?;
        found.ok_or_else(|| not_found("snapshot", &id).into())
    }

    /// Soft-deletes a snapshot, and gives back its quota.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn delete_snapshot(&mut self, id: &str) -> Result<()> {
        let found = self.view().find(super::view::Kind::Snapshot, id)?;
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
            .map(|(measure, amount)| (*measure, -amount))
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
            Some(id) => super::writer::scalar(
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
        super::quota::refresh(self.tx, &reserve)?;
        if let Answer::Reservations(reservations) = super::quota::reserve(self.tx, &reserve)? {
            super::quota::commit(
                self.tx,
                &QuotaCommit {
                    reservations,
                    project,
                },
            )?;
        }
        Ok(())
    }

    // ---- Quotas --------------------------------------------------------------------------------------------------

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
        if super::quota::resource(self.tx.connection, name)?.is_some() {
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

    // ---- Outbox and plans ----------------------------------------------------------------------------------------

    /// Marks a message as taken.
    ///
    /// # Errors
    /// `NotFound` when there is none that is ready.
    pub fn ack_cast(&mut self, id: &str) -> Result<()> {
        let statement = "UPDATE outbox SET state = 'acked' WHERE id = ? AND state = 'ready'";
        self.change(statement, "ready message", id)
    }

    /// Keeps a resolved plan.
    ///
    /// # Errors
    /// Of the database.
    pub fn put_plan(&mut self, digest: Digest, body: &str) -> Result<()> {
        self.tx
            .connection
            .prepare_cached("INSERT OR IGNORE INTO plans (digest, body) VALUES (?, ?)")?
            .execute(params![digest.to_string(), body])?;
        Ok(())
    }

    /// Adds rows as they are, for a start state that was recorded elsewhere: table -> rows. Columns are the tables' own.
    ///
    /// # Errors
    /// Of the database, for a table or column that is not there.
    pub fn import(&mut self, rows: &BTreeMap<String, Vec<Object>>) -> Result<()> {
        for (table, rows) in rows {
            for row in rows {
                let names: Vec<&str> = row.keys().map(String::as_str).collect();
                let marks = vec!["?"; names.len()];
                let quoted = format!("\"{}\"", table.replace('"', "\"\""));
                let statement = format!(
                    "INSERT INTO {quoted} ({}) VALUES ({})",
                    names.join(", "),
                    marks.join(", ")
                );
                let values = row.values().map(super::changes::to_sql);
                self.tx
                    .connection
                    .prepare_cached(&statement)?
                    .execute(rusqlite::params_from_iter(values))?;
            }
        }
        Ok(())
    }

    fn change(&mut self, statement: &str, noun: &str, id: &str) -> Result<()> {
        let changed = self
            .tx
            .connection
            .prepare_cached(statement)?
            .execute([id])?;
        if changed == 0 {
            return Err(not_found(noun, id).into());
        }
        Ok(())
    }
}

fn json(map: &BTreeMap<String, String>) -> String {
    let object: Object = map
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    Value::Object(object).to_string()
}
