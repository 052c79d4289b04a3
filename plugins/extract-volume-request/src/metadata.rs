//! Checks the metadata that a caller attaches to a volume.

use cairn_plugin::{Error, bail, ensure};
use serde_json::Value;

use crate::python::is_true;

/// The maximal length of a key and of a value, in characters.
const LONGEST: usize = 255;

/// Checks that metadata is an object whose keys and string values are short. Any empty value passes.
pub(crate) fn check(metadata: &Value) -> Result<(), Error> {
    if !is_true(metadata) {
        return Ok(());
    }
    let Value::Object(metadata) = metadata else {
        bail!("InvalidInput", "`metadata` is an object, not {metadata}");
    };
    for (key, value) in metadata {
        ensure!(
            !key.is_empty(),
            "InvalidVolumeMetadata",
            "`metadata` has a blank key"
        );
        ensure!(
            fits(key),
            "InvalidVolumeMetadataSize",
            "the metadata key `{key}` has more than {LONGEST} characters"
        );
        let Value::String(value) = value else {
            bail!(
                "InvalidVolumeMetadata",
                "the metadata value of `{key}` is text, not {value}"
            );
        };
        ensure!(
            fits(value),
            "InvalidVolumeMetadataSize",
            "the metadata value of `{key}` has more than {LONGEST} characters"
        );
    }
    Ok(())
}

fn fits(text: &str) -> bool {
    // The length in bytes is a cheap upper bound of the length in characters.
    text.len() <= LONGEST || text.chars().count() <= LONGEST
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_kind(metadata: Value, kind: Option<&str>) {
        let error = check(&metadata).err();
        assert_eq!(error.as_ref().map(Error::kind), kind, "{metadata}");
    }

    #[test]
    fn no_metadata_is_fine() {
        for nothing in [json!(null), json!({}), json!([]), json!("")] {
            check_kind(nothing, None);
        }
        check_kind(json!(["a"]), Some("InvalidInput"));
    }

    #[test]
    fn a_key_is_not_blank_and_a_value_is_text() {
        check_kind(json!({" ": ""}), None);
        check_kind(json!({"": "v"}), Some("InvalidVolumeMetadata"));
        check_kind(json!({"k": 5}), Some("InvalidVolumeMetadata"));
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        for letter in ["a", "é", "😀"] {
            let (fits, too_long) = (letter.repeat(255), letter.repeat(256));
            check_kind(json!({fits.clone(): fits}), None);
            check_kind(
                json!({too_long.clone(): "v"}),
                Some("InvalidVolumeMetadataSize"),
            );
            check_kind(json!({"k": too_long}), Some("InvalidVolumeMetadataSize"));
        }
    }
}
