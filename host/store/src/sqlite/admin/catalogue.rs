//! Volume types, images and zones.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use cairn_model::error::TaskError;
use cairn_model::value::{Object, Value};

use super::{Admin, Result};

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

impl Admin<'_, '_> {
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
        let id = cairn_model::id::uuid().to_string();
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
        let id = cairn_model::id::uuid().to_string();
        self.tx
            .connection
            .prepare_cached(
                "INSERT INTO qos_specs (id, name, consumer, specs) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![id, new.name, new.consumer, json(&new.specs)])?;
        Ok(id)
    }

    /// Soft-deletes a volume type: its quota resources stay. Volumes keep a type that is deleted with `force`; what they count
    /// for in its resources counts for a new type of the same name, too.
    ///
    /// # Errors
    /// `NotFound`; `VolumeTypeInUse` when volumes have it, without `force`.
    pub fn delete_volume_type(&mut self, id: &str, force: bool) -> Result<()> {
        let used =
            "SELECT name, (SELECT COUNT(*) FROM volumes WHERE volume_type_id = ?1 AND deleted = 0)
             FROM volume_types WHERE id = ?1";
        let used: Option<(String, i64)> = self
            .tx
            .connection
            .prepare_cached(used)?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((name, used @ 1..)) = used.filter(|_| !force) {
            let volumes = if used == 1 {
                "volume has"
            } else {
                "volumes have"
            };
            let message = format!(
                "{used} {volumes} type `{name}`: delete them first, or delete the type with --force, which leaves it to them"
            );
            return Err(TaskError::new("VolumeTypeInUse", message)
                .with("volumes", used)
                .into());
        }
        let statement = "UPDATE volume_types SET deleted = 1 WHERE id = ? AND deleted = 0";
        self.change(statement, "volume type", id)
    }

    /// Registers an image; returns its id.
    ///
    /// # Errors
    /// Of the database.
    pub fn create_image(&mut self, new: &NewImage) -> Result<String> {
        let id = cairn_model::id::uuid().to_string();
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
}

fn json(map: &BTreeMap<String, String>) -> String {
    let object: Object = map
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    Value::Object(object).to_string()
}
