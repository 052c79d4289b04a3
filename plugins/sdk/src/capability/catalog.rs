//! Reads volume types, QoS specs, and the project's volumes and snapshots.
//!
//! A volume or snapshot of another project is reported as not found, unless the caller is an admin. Functions return
//! objects of columns as [`Value`]s, because the host may add columns.

use serde_json::Value;

use super::read;
use crate::Error;
use crate::host::catalog;

/// Returns a volume type that is not deleted, by id or by name:
/// `{"id", "name", "extra_specs", "qos_specs_id", "deleted"}`.
///
/// # Errors
/// `VolumeTypeNotFound` with `{"volume_type_id"}`.
pub fn volume_type(id_or_name: &str) -> Result<Value, Error> {
    read("catalog.volume-type", &catalog::volume_type(id_or_name)?)
}

/// Returns the type given to volumes whose request names none; `None` when the operator configured no default or it
/// does not exist.
pub fn default_volume_type() -> Result<Option<Value>, Error> {
    catalog::default_volume_type()?
        .map(|json| read("catalog.default-volume-type", &json))
        .transpose()
}

/// Returns the QoS specs of a volume type: `{"id", "name", "consumer", "specs"}`; `None` when the type has none.
///
/// # Errors
/// `VolumeTypeNotFound` with `{"volume_type_id"}`.
pub fn qos_specs(volume_type_id: &str) -> Result<Option<Value>, Error> {
    catalog::qos_specs(volume_type_id)?
        .map(|json| read("catalog.qos-specs", &json))
        .transpose()
}

/// Returns whether volumes of this type are encrypted; false for an unknown type.
pub fn encrypted(volume_type_id: &str) -> Result<bool, Error> {
    Ok(catalog::encrypted(volume_type_id)?)
}

/// Returns a snapshot: `{"id", "volume_id", "volume_size", "volume_type_id", "status", "encryption_key_id", …}`.
///
/// # Errors
/// `SnapshotNotFound` with `{"snapshot_id"}`.
pub fn snapshot(id: &str) -> Result<Value, Error> {
    read("catalog.snapshot", &catalog::snapshot(id)?)
}

/// Returns a volume, including the changes that this flow has made so far. Its size is in GiB.
///
/// # Errors
/// `VolumeNotFound` with `{"volume_id"}`.
pub fn volume(id: &str) -> Result<Value, Error> {
    read("catalog.volume", &catalog::volume(id)?)
}
