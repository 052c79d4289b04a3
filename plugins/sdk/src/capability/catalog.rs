//! What the operator has set up, and the project's own volumes and snapshots. Read only.
//!
//! A volume or snapshot of another project is answered like one that does not exist, unless the caller is an admin.
//! Answers are objects of columns, to which the host may add; so they are [`Value`]s.

use serde_json::Value;

use super::read;
use crate::Error;
use crate::host::catalog;

/// A volume type that is not deleted, by id or by name: `{"id", "name", "extra_specs", "qos_specs_id", "deleted"}`.
///
/// # Errors
/// `VolumeTypeNotFound` with `{"volume_type_id"}`.
pub fn volume_type(id_or_name: &str) -> Result<Value, Error> {
    read("catalog.volume-type", &catalog::volume_type(id_or_name)?)
}

/// The type of volumes for which none is asked; nothing when the operator set none or it does not exist.
pub fn default_volume_type() -> Result<Option<Value>, Error> {
    catalog::default_volume_type()?
        .map(|json| read("catalog.default-volume-type", &json))
        .transpose()
}

/// The QoS specs of a volume type: `{"id", "name", "consumer", "specs"}`; nothing when it has none.
///
/// # Errors
/// `VolumeTypeNotFound` with `{"volume_type_id"}`.
pub fn qos_specs(volume_type_id: &str) -> Result<Option<Value>, Error> {
    catalog::qos_specs(volume_type_id)?
        .map(|json| read("catalog.qos-specs", &json))
        .transpose()
}

/// Whether volumes of this type are encrypted. An unknown type is not.
pub fn encrypted(volume_type_id: &str) -> Result<bool, Error> {
    Ok(catalog::encrypted(volume_type_id)?)
}

/// A snapshot: `{"id", "volume_id", "volume_size", "volume_type_id", "status", "encryption_key_id", …}`.
///
/// # Errors
/// `SnapshotNotFound` with `{"snapshot_id"}`.
pub fn snapshot(id: &str) -> Result<Value, Error> {
    read("catalog.snapshot", &catalog::snapshot(id)?)
}

/// A volume, with what this flow did to it so far. Size in GiB.
///
/// # Errors
/// `VolumeNotFound` with `{"volume_id"}`.
pub fn volume(id: &str) -> Result<Value, Error> {
    read("catalog.volume", &catalog::volume(id)?)
}
