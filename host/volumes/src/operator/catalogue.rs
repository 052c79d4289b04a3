//! Creates and deletes volume types, images and zones for operators.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use cairn_effects::rows::Text;
use cairn_model::error::TaskError;
use cairn_model::value::{Object, Value};
use cairn_store::StoreError;
use cairn_store::admin::{Admin, not_found};
use cairn_store::audit::{Change, shown};
use serde_json::json;

use super::kind;
use super::record::query;

/// A volume type to be created.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NewVolumeType {
    /// Unique among types that are not deleted.
    pub name: String,
    /// Free key-value pairs for the scheduler.
    pub extra_specs: BTreeMap<String, String>,
    /// Quality of service, if any.
    pub qos: Option<NewQosSpecs>,
    /// Encryption, if its volumes are encrypted.
    pub encryption: Option<NewEncryption>,
}

/// QoS specs to be created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewQosSpecs {
    /// Their name.
    pub name: String,
    /// The side that applies them: `front-end`, `back-end` or `both`.
    pub consumer: String,
    /// The specs by name.
    pub specs: BTreeMap<String, String>,
}

/// The encryption of a type's volumes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewEncryption {
    /// The provider, such as `luks`.
    pub provider: String,
    /// The cipher, such as `aes-xts-plain64`.
    pub cipher: Option<String>,
    /// Size of the key in bits.
    pub key_size: Option<u32>,
    /// `front-end` or `back-end`.
    pub control_location: String,
}

/// An image to be registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewImage {
    /// Its name.
    pub name: String,
    /// Size in bytes.
    pub size: i64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub checksum: Option<String>,
    /// Smallest size, in GiB, of a volume made from it.
    pub min_disk: i64,
    /// The project that owns it; `None` makes it public.
    pub project_id: Option<String>,
    /// The path of its bytes.
    pub path: Option<String>,
}

/// Creates a volume type, with its QoS specs and encryption; returns its id.
///
/// # Errors
/// `Duplicate`.
pub(super) fn create_volume_type(
    admin: &mut Admin<'_>,
    new: &NewVolumeType,
) -> Result<String, StoreError> {
    let name = new.name.as_str();
    let taken = "SELECT id FROM volume_types WHERE name = $1 AND deleted = FALSE";
    if !admin.view().query(taken, &[name.into()])?.is_empty() {
        let message = format!("there is a volume type called `{name}` already");
        return Err(TaskError::new("Duplicate", message).into());
    }
    let id = cairn_model::id::uuid().to_string();
    let qos = match &new.qos {
        Some(qos) => Some(create_qos_specs(admin, qos)?),
        None => None,
    };
    admin.execute(
        "INSERT INTO volume_types (id, name, extra_specs, qos_specs_id) VALUES ($1, $2, $3, $4)",
        &[
            id.as_str().into(),
            name.into(),
            text_of(&new.extra_specs).as_str().into(),
            qos.as_deref().into(),
        ],
    )?;
    if let Some(encryption) = &new.encryption {
        admin.execute(
            "INSERT INTO encryptions (volume_type_id, provider, cipher, key_size, control_location)
             VALUES ($1, $2, $3, $4, $5)",
            &[
                id.as_str().into(),
                encryption.provider.as_str().into(),
                encryption.cipher.as_deref().into(),
                encryption.key_size.map(i64::from).into(),
                encryption.control_location.as_str().into(),
            ],
        )?;
    }
    admin.record(Change {
        action: "type.create",
        subject: &id,
        after: serde_json::to_value(new).unwrap_or_default(),
        ..Change::default()
    })?;
    Ok(id)
}

fn create_qos_specs(admin: &mut Admin<'_>, new: &NewQosSpecs) -> Result<String, StoreError> {
    let id = cairn_model::id::uuid().to_string();
    admin.execute(
        "INSERT INTO qos_specs (id, name, consumer, specs) VALUES ($1, $2, $3, $4)",
        &[
            id.as_str().into(),
            new.name.as_str().into(),
            new.consumer.as_str().into(),
            text_of(&new.specs).as_str().into(),
        ],
    )?;
    Ok(id)
}

/// Soft-deletes a volume type; with `force` also one that volumes use.
///
/// # Errors
/// `NotFound`, `VolumeTypeInUse`.
pub(super) fn delete_volume_type(
    admin: &mut Admin<'_>,
    id: &str,
    force: bool,
) -> Result<(), StoreError> {
    if !force {
        let statement =
            "SELECT name, (SELECT COUNT(*) FROM volumes WHERE volume_type_id = $1 AND deleted = FALSE)
             FROM volume_types WHERE id = $1";
        let used = query::<(Text, i64)>(&admin.view(), statement, &[id.into()])?.pop();
        if let Some((name, used @ 1..)) = used {
            return Err(in_use(&name, used).into());
        }
    }
    let before = admin.view().find(&kind::VOLUME_TYPE, id)?;
    let statement = "UPDATE volume_types SET deleted = TRUE WHERE id = $1 AND deleted = FALSE";
    change(admin, statement, "volume type", id)?;
    record_deleted(admin, "type.delete", id, before.unwrap_or_default())
}

fn in_use(name: &str, used: i64) -> TaskError {
    let volumes = if used == 1 {
        "volume has"
    } else {
        "volumes have"
    };
    let message = format!(
        "{used} {volumes} type `{name}`: delete them first, or delete the type with --force, which leaves it to them"
    );
    TaskError::new("VolumeTypeInUse", message).with("volumes", used)
}

/// Registers an image; returns its id.
pub(super) fn create_image(admin: &mut Admin<'_>, new: &NewImage) -> Result<String, StoreError> {
    let id = cairn_model::id::uuid().to_string();
    admin.execute(
        "INSERT INTO images (id, project_id, name, size, checksum, min_disk, path, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        &[
            id.as_str().into(),
            new.project_id.as_deref().into(),
            new.name.as_str().into(),
            new.size.into(),
            new.checksum.as_deref().into(),
            new.min_disk.into(),
            new.path.as_deref().into(),
            admin.now().into(),
        ],
    )?;
    admin.record(Change {
        action: "image.create",
        subject: &id,
        project_id: new.project_id.as_deref(),
        after: serde_json::to_value(new).unwrap_or_default(),
        ..Change::default()
    })?;
    Ok(id)
}

/// Removes an image.
///
/// # Errors
/// `NotFound`.
pub(super) fn delete_image(admin: &mut Admin<'_>, id: &str) -> Result<(), StoreError> {
    let before = admin.view().find(&kind::IMAGE, id)?;
    change(admin, "DELETE FROM images WHERE id = $1", "image", id)?;
    record_deleted(admin, "image.delete", id, before.unwrap_or_default())
}

/// Creates a zone if it does not exist.
pub(super) fn create_zone(admin: &mut Admin<'_>, name: &str) -> Result<(), StoreError> {
    let statement = "INSERT INTO zones (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
    if admin.execute(statement, &[name.into()])? == 0 {
        return Ok(());
    }
    admin.record(Change {
        action: "zone.create",
        subject: name,
        after: json!({"name": name}),
        ..Change::default()
    })
}

/// Removes a zone.
///
/// # Errors
/// `NotFound`.
pub(super) fn delete_zone(admin: &mut Admin<'_>, name: &str) -> Result<(), StoreError> {
    change(admin, "DELETE FROM zones WHERE name = $1", "zone", name)?;
    admin.record(Change {
        action: "zone.delete",
        subject: name,
        before: json!({"name": name}),
        ..Change::default()
    })
}

/// Records that a row was deleted.
pub(super) fn record_deleted(
    admin: &mut Admin<'_>,
    action: &str,
    id: &str,
    deleted: Object,
) -> Result<(), StoreError> {
    let project_id = deleted.get("project_id").and_then(Value::as_str);
    let project_id = project_id.map(str::to_owned);
    admin.record(Change {
        action,
        subject: id,
        project_id: project_id.as_deref(),
        before: shown(deleted),
        ..Change::default()
    })
}

/// Runs a statement that changes or removes the row with this id.
///
/// # Errors
/// `NotFound`.
fn change(admin: &mut Admin<'_>, statement: &str, noun: &str, id: &str) -> Result<(), StoreError> {
    match admin.execute(statement, &[id.into()])? {
        0 => Err(not_found(noun, id).into()),
        _ => Ok(()),
    }
}

fn text_of(map: &BTreeMap<String, String>) -> String {
    let object: Object = map
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    Value::Object(object).to_string()
}
