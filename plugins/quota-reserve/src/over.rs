//! Converts an over-quota error to the one that the caller is shown.

use cairn_plugin::Error;
use cairn_plugin::quota::{OverQuota, QuotaError};

/// Returns the error for a volume of `size` GiB. Exceeded gigabytes take precedence over an exceeded number of volumes.
pub(crate) fn explain(over: OverQuota, size: i64) -> Error {
    let is_over = |resource: &str| over.overs.iter().any(|name| counts(name, resource));
    let usage = |resource: &str| over.usages.iter().find(|usage| usage.resource == resource);
    if is_over("gigabytes") {
        let used =
            usage("gigabytes").map_or(0, |usage| usage.in_use.saturating_add(usage.reserved));
        let overs = over.overs.join(", ");
        let message = format!(
            "{size} GiB more exceed the quota of the project, which uses {used} GiB (over: {overs})"
        );
        return Error::new("VolumeSizeExceedsAvailableQuota", message);
    }
    if is_over("volumes") {
        // The limit on all volumes, even when only that of the type is exceeded; null and -1 mean unlimited.
        let allowed = usage("volumes").and_then(|usage| usage.limit);
        let message = format!(
            "one volume more exceeds the quota of the project (over: {})",
            over.overs.join(", ")
        );
        return Error::new("VolumeLimitExceeded", message).with("allowed", allowed);
    }
    QuotaError::Over(over).into()
}

/// Returns whether `name` is `resource` itself or the same of one volume type. A substring would not do: the number of
/// volumes of a type called `gigabytes` is `volumes_gigabytes`.
fn counts(name: &str, resource: &str) -> bool {
    name.strip_prefix(resource)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

#[cfg(test)]
mod tests {
    use cairn_plugin::quota::Usage;
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(overs: &[&str], limit: Option<i64>, kind: &str, details: Value) {
        let usage = |resource: &str| Usage {
            resource: resource.into(),
            limit,
            in_use: 3,
            reserved: 0,
        };
        let over = OverQuota {
            overs: overs.iter().map(ToString::to_string).collect(),
            usages: vec![usage("gigabytes"), usage("volumes")],
        };
        let error = explain(over, 2);
        assert_eq!(error.kind(), kind);
        assert_eq!(Value::Object(error.details().clone()), details);
    }

    #[test]
    fn space_comes_before_count() {
        check(
            &["gigabytes", "volumes"],
            Some(10),
            "VolumeSizeExceedsAvailableQuota",
            json!({}),
        );
        check(
            &["gigabytes_gold", "volumes"],
            Some(10),
            "VolumeSizeExceedsAvailableQuota",
            json!({}),
        );
    }

    #[test]
    fn a_count_that_is_over_tells_the_limit_of_all_volumes() {
        check(
            &["volumes"],
            Some(10),
            "VolumeLimitExceeded",
            json!({"allowed": 10}),
        );
        check(
            &["volumes_gold"],
            Some(10),
            "VolumeLimitExceeded",
            json!({"allowed": 10}),
        );
        check(
            &["volumes_gold"],
            None,
            "VolumeLimitExceeded",
            json!({"allowed": null}),
        );
    }

    #[test]
    fn the_name_of_a_type_does_not_change_what_is_counted() {
        check(
            &["volumes_gigabytes"],
            Some(10),
            "VolumeLimitExceeded",
            json!({"allowed": 10}),
        );
        check(
            &["gigabytes_volumes"],
            Some(10),
            "VolumeSizeExceedsAvailableQuota",
            json!({}),
        );
    }

    #[test]
    fn anything_else_is_told_in_full() {
        let none = OverQuota {
            overs: vec!["backups".into()],
            usages: Vec::new(),
        };
        let error = explain(none, 2);
        assert!(error.is("OverQuota"));
        assert_eq!(
            Value::Object(error.details().clone()),
            json!({"overs": ["backups"], "quotas": {}, "usages": {}})
        );
    }
}
