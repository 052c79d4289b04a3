//! The image registry. Read only.

use serde_json::Value;

use super::read;
use crate::Error;
use crate::host::images;

/// An image: `{"id", "name", "size", "min_disk", "checksum", "status"}`; `size` in bytes, `min_disk` in GiB.
///
/// # Errors
/// `ImageNotFound` and `ImageNotAuthorized`, with `{"image_id"}`.
pub fn show(id: &str) -> Result<Value, Error> {
    read("images.show", &images::show(id)?)
}
