//! Checks that an image fits the volume.

use cairn_plugin::{Error, ensure};
use serde_json::Value;

use crate::python::as_int;

const GIB: i64 = 1 << 30;

/// Checks the image, whose `size` is in bytes and whose `min_disk` is in GiB, against the `size` of the volume in GiB.
pub(crate) fn check_fits(image: &Value, size: i64) -> Result<(), Error> {
    let bytes = as_int(&image["size"]).ok_or_else(|| {
        Error::new(
            "InvalidInput",
            format!("the image's size is not known: {}", image["size"]),
        )
    })?;
    // Rounded up to whole GiB.
    let gib = bytes.div_euclid(GIB) + i64::from(bytes.rem_euclid(GIB) > 0);
    ensure!(
        gib <= size,
        "InvalidInput",
        "the image takes {gib} GiB, which is more than the {size} GiB of the volume"
    );
    let min_disk = as_int(&image["min_disk"]).unwrap_or(0);
    ensure!(
        min_disk <= size,
        "InvalidInput",
        "the image wants a disk of {min_disk} GiB; the volume has {size} GiB"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(image: Value, fits: bool) {
        match check_fits(&image, 2) {
            Ok(()) => assert!(fits, "{image}"),
            Err(error) => assert!(!fits && error.is("InvalidInput"), "{image}: {error}"),
        }
    }

    #[test]
    fn bytes_are_rounded_up_to_gib() {
        check(json!({"size": 0}), true);
        check(json!({"size": 2 * GIB - 1}), true);
        check(json!({"size": 2 * GIB}), true);
        check(json!({"size": 2 * GIB + 1}), false);
        check(json!({"size": i64::MAX}), false);
    }

    #[test]
    fn the_smallest_disk_must_fit_too() {
        check(json!({"size": 1, "min_disk": 2}), true);
        check(json!({"size": 1, "min_disk": 3}), false);
        check(json!({"size": 1, "min_disk": null}), true);
    }

    #[test]
    fn an_image_of_unknown_size_does_not_fit() {
        check(json!({"size": null}), false);
        check(json!({}), false);
    }
}
