//! The key store: random 256-bit keys, which never leave the host. Every function is an effect.

use crate::Error;
use crate::host::keys;

/// Creates a key for the caller's project and returns its id.
pub fn create() -> Result<String, Error> {
    Ok(keys::create()?)
}

/// Creates a key with the same bits as key `id`, and returns its id.
///
/// # Errors
/// `KeyNotFound` with `{"key_id"}`, also for a key of another project.
pub fn copy(id: &str) -> Result<String, Error> {
    Ok(keys::copy(id)?)
}

/// Deletes a key that this flow created.
///
/// # Errors
/// `KeyNotFound` with `{"key_id"}`.
pub fn delete(id: &str) -> Result<(), Error> {
    Ok(keys::delete(id)?)
}
