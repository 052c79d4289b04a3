//! Reads the image registry.

use serde_json::Value;

use super::read;
use crate::Error;
use crate::host::images;

/// Returns an image: `{"id", "name", "size", "min_disk", "checksum", "status"}`; `size` in bytes, `min_disk` in GiB.
///
/// # Errors
/// `ImageNotFound` with `{"image_id"}`, also for a private image of another project.
pub fn show(id: &str) -> Result<Value, Error> {
    read("images.show", &images::show(id)?)
}
