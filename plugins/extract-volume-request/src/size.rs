//! Determines the size of the volume.

use cairn_plugin::{Error, ensure};
use serde_json::Value;

use crate::python::{as_int, is_true};
use crate::source::{Row, Sources};

/// Returns the size in GiB: the requested one, or else that of the source. It must not be smaller than the source.
pub(crate) fn extract(asked: &Value, sources: Sources<'_>) -> Result<i64, Error> {
    // A source volume takes precedence over a snapshot; a request names only one of them.
    let source = match (sources.full_volume(), sources.full_snapshot()) {
        (Some(volume), _) => Some(("volume", column(volume, "size"))),
        (None, Some(snapshot)) => Some(("snapshot", column(snapshot, "volume_size"))),
        (None, None) => None,
    };
    let wanted = match source {
        Some((_, size)) if !is_true(asked) => size,
        _ => asked,
    };
    let size = as_int(wanted).filter(|size| *size > 0).ok_or_else(|| {
        Error::new(
            "InvalidInput",
            format!("`size` is a whole number of GiB and at least 1, not {wanted}"),
        )
    })?;
    if let Some((what, source_size)) = source {
        let least = as_int(source_size).unwrap_or(0);
        ensure!(
            size >= least,
            "InvalidInput",
            "{size} GiB are less than the {least} GiB of the source {what}"
        );
    }
    Ok(size)
}

fn column<'a>(row: &'a Row, name: &str) -> &'a Value {
    row.get(name).unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::row;

    #[track_caller]
    fn check(asked: Value, source_size: Option<Value>, expected: Option<i64>) {
        let volume = source_size
            .clone()
            .map(|size| row(json!({"id": "v0", "size": size})));
        let snapshot = source_size.map(|size| row(json!({"id": "s0", "volume_size": size})));
        for sources in [
            Sources {
                volume: volume.as_ref(),
                ..Sources::default()
            },
            Sources {
                snapshot: snapshot.as_ref(),
                ..Sources::default()
            },
        ] {
            let size = extract(&asked, sources);
            assert_eq!(
                size.as_ref().ok(),
                expected.as_ref(),
                "{asked} from {sources:?}: {size:?}"
            );
            assert!(size.is_ok() || size.unwrap_err().is("InvalidInput"));
        }
    }

    #[test]
    fn a_size_is_a_positive_whole_number() {
        check(json!(2), None, Some(2));
        check(json!("3"), None, Some(3));
        check(json!(2.5), None, Some(2));
        for wrong in [
            json!(null),
            json!(0),
            json!(-1),
            json!("0"),
            json!(0.4),
            json!("abc"),
            json!([]),
            json!([1]),
        ] {
            check(wrong, None, None);
        }
    }

    #[test]
    fn a_size_that_is_left_out_is_that_of_the_source() {
        for nothing in [json!(null), json!(0), json!(""), json!(false), json!([])] {
            check(nothing, Some(json!(5)), Some(5));
        }
        check(json!("0"), Some(json!(5)), None);
        check(json!(null), Some(json!(null)), None);
    }

    #[test]
    fn a_volume_is_no_smaller_than_its_source() {
        check(json!(5), Some(json!(5)), Some(5));
        check(json!("6"), Some(json!(5)), Some(6));
        check(json!(4), Some(json!(5)), None);
        check(json!(4), Some(json!(null)), Some(4));
    }
}
