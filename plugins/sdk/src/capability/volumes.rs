//! Volumes of the caller's project. Every function is an effect.

use serde_json::Value;

use super::read;
use crate::Error;
use crate::host::volumes;

/// Adds a volume and returns the whole of it, with its new `id`. Owner and project are the caller's; unknown columns
/// are ignored.
pub fn create(properties: &Value) -> Result<Value, Error> {
    read("volumes.create", &volumes::create(&properties.to_string())?)
}

/// Updates `status`, `host` or `scheduled_at` of any volume of the project and returns the whole volume. `scheduled_at`
/// takes `"now"`.
///
/// # Errors
/// `VolumeNotFound` with `{"volume_id"}`.
pub fn update(id: &str, changes: &Value) -> Result<Value, Error> {
    read(
        "volumes.update",
        &volumes::update(id, &changes.to_string())?,
    )
}

/// Soft-deletes a volume that this flow created. Does nothing if it is already deleted.
///
/// # Errors
/// `VolumeNotFound` with `{"volume_id"}`.
pub fn destroy(id: &str) -> Result<(), Error> {
    Ok(volumes::destroy(id)?)
}
