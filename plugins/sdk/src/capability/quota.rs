//! Quotas of the caller's project. [`reserve`], [`commit`] and [`rollback`] are effects.

use serde_json::{Map, Value, json};

use crate::Error;
pub use crate::bindings::cairn::plugin::quota::{Delta, OverQuota, QuotaError, Usage};
use crate::host::quota;

impl Delta {
    /// Creates a delta of one resource: a count, or GiB for `gigabytes` and `gigabytes_<type>`. A negative amount
    /// returns quota.
    pub fn new(resource: impl Into<String>, amount: i64) -> Self {
        Self {
            resource: resource.into(),
            amount,
        }
    }
}

/// Returns the deltas, plus for each one the same delta of the volume type's own resource. A deleted type still counts.
///
/// # Errors
/// [`QuotaError::Other`] with `VolumeTypeNotFound`.
pub fn with_volume_type(
    deltas: &[Delta],
    volume_type_id: Option<&str>,
) -> Result<Vec<Delta>, QuotaError> {
    quota::with_volume_type(deltas, volume_type_id)
}

/// Reserves all of the deltas, or none, and returns the id of each reservation.
///
/// # Errors
/// [`QuotaError::Over`] and [`QuotaError::UnknownResource`]; nothing is reserved.
pub fn reserve(deltas: &[Delta]) -> Result<Vec<String>, QuotaError> {
    quota::reserve(deltas)
}

/// Converts reservations of this flow into usage. Ignores ids that are closed, unknown or of another flow.
pub fn commit(reservations: &[String]) -> Result<(), QuotaError> {
    quota::commit(reservations)
}

/// Releases reservations of this flow. Ignores ids that are closed, unknown or of another flow.
pub fn rollback(reservations: &[String]) -> Result<(), QuotaError> {
    quota::rollback(reservations)
}

/// Converts to `OverQuota` with `{"overs", "quotas", "usages"}`, to `QuotaResourceUnknown` with `{"unknown"}`, or to
/// the wrapped error. In `quotas` an unlimited resource is null or -1.
impl From<QuotaError> for Error {
    fn from(error: QuotaError) -> Self {
        match error {
            QuotaError::Over(OverQuota { overs, usages }) => {
                let message = format!("over quota: {}", overs.join(", "));
                let quotas: Map<String, Value> = usages
                    .iter()
                    .map(|usage| (usage.resource.clone(), json!(usage.limit)))
                    .collect();
                let usages: Map<String, Value> = usages
                    .into_iter()
                    .map(|usage| {
                        (
                            usage.resource,
                            json!({"in_use": usage.in_use, "reserved": usage.reserved}),
                        )
                    })
                    .collect();
                Error::new("OverQuota", message)
                    .with("overs", overs)
                    .with("quotas", quotas)
                    .with("usages", usages)
            }
            QuotaError::UnknownResource(unknown) => {
                let message = format!("no quota is known for: {}", unknown.join(", "));
                Error::new("QuotaResourceUnknown", message).with("unknown", unknown)
            }
            QuotaError::Other(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_quota_tells_limits_and_usages_by_resource() {
        let usage = |resource: &str, limit, in_use| Usage {
            resource: resource.into(),
            limit,
            in_use,
            reserved: 1,
        };
        let usages = vec![usage("gigabytes", None, 3), usage("volumes", Some(10), 9)];
        let error = Error::from(QuotaError::Over(OverQuota {
            overs: vec!["volumes".into()],
            usages,
        }));
        assert!(error.is("OverQuota"));
        assert_eq!(
            Value::Object(error.details().clone()),
            json!({
                "overs": ["volumes"],
                "quotas": {"gigabytes": null, "volumes": 10},
                "usages": {"gigabytes": {"in_use": 3, "reserved": 1}, "volumes": {"in_use": 9, "reserved": 1}},
            })
        );
    }
}
