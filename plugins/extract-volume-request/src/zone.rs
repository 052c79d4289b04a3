//! Checks the zone of the volume.

use cairn_plugin::{Error, ensure};

use crate::source::Sources;

/// Converts the host's answer to an error.
pub(crate) fn check_valid(zone: &str, valid: bool) -> Result<(), Error> {
    ensure!(
        valid,
        "InvalidInput",
        "`{zone}` is no availability zone for volumes"
    );
    Ok(())
}

/// Checks that a volume is in the zone of its source. A source without a zone imposes nothing.
pub(crate) fn check_same(zone: &str, sources: Sources<'_>) -> Result<(), Error> {
    for (what, source) in [
        ("snapshot", sources.snapshot_zone()),
        ("source volume", sources.volume_zone()),
    ] {
        if let Some(source) = source.filter(|source| !source.is_empty()) {
            ensure!(
                source == zone,
                "InvalidInput",
                "the {what} is in zone `{source}`, so the volume cannot be in `{zone}`"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::row;

    #[track_caller]
    fn check(source: Value, same: bool) {
        let volume = row(json!({"availability_zone": source}));
        let snapshot = row(json!({"volume": {"availability_zone": source}}));
        for sources in [
            Sources {
                volume: Some(&volume),
                ..Sources::default()
            },
            Sources {
                snapshot: Some(&snapshot),
                ..Sources::default()
            },
        ] {
            match check_same("az1", sources) {
                Ok(()) => assert!(same, "{sources:?}"),
                Err(error) => assert!(!same && error.is("InvalidInput"), "{error}"),
            }
        }
    }

    #[test]
    fn a_source_binds_to_its_zone_where_it_has_one() {
        check(json!("az1"), true);
        check(json!("az2"), false);
        check(json!(null), true);
        check(json!(""), true);
    }

    #[test]
    fn a_zone_that_the_host_does_not_have_is_refused() {
        assert!(check_valid("az1", true).is_ok());
        assert!(check_valid("az1", false).unwrap_err().is("InvalidInput"));
    }
}
