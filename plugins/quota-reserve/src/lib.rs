//! Reserves quota for a volume: one volume and its gigabytes, both in total and of its type.

mod over;

use cairn_plugin::quota::{Delta, QuotaError};
use cairn_plugin::{Disposition, Error, Failure, Outcome, Task, context, quota};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reserves quota for a volume.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaReserve {}

/// The volume for which quota is reserved.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Inputs {
    /// In GiB.
    size: i64,
    volume_type_id: Option<String>,
}

/// Ids of the reservations, for the task that commits them.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub struct Output {
    reservations: Vec<String>,
}

impl Task for QuotaReserve {
    type Inputs = Inputs;
    type Output = Output;

    fn call(&self, inputs: Inputs) -> Result<Output, Error> {
        let deltas = [
            Delta::new("volumes", 1),
            Delta::new("gigabytes", inputs.size),
        ];
        let deltas = quota::with_volume_type(&deltas, inputs.volume_type_id.as_deref())?;
        let reservations = quota::reserve(&deltas).map_err(|error| match error {
            QuotaError::Over(over) => over::explain(over, inputs.size),
            other => other.into(),
        })?;
        Ok(Output { reservations })
    }

    /// Releases the reservations. After a commit there is nothing to release: the revert of the committing task returns
    /// the usage.
    fn revert(&self, outcome: Outcome, _cause: &Failure) -> Result<Disposition, Error> {
        if let Some(output) = outcome.result::<Output>()?
            && !context::quota_committed()
        {
            quota::rollback(&output.reservations)?;
        }
        Ok(Disposition::Keep)
    }
}

cairn_plugin::export!(QuotaReserve);

#[cfg(test)]
mod tests {
    use cairn_plugin::quota::{OverQuota, Usage};
    use cairn_plugin::testing::FakeHost;
    use serde_json::json;

    use super::*;

    fn completed() -> Outcome {
        Outcome::Completed(json!({"reservations": ["r1", "r2"]}))
    }

    #[test]
    fn a_volume_and_its_gigabytes_are_reserved_with_those_of_the_type() {
        let typed = json!({"gigabytes": 5, "gigabytes_gold": 5, "volumes": 1, "volumes_gold": 1});
        let host = FakeHost::new()
            .answer("quota.with-volume-type", typed.clone())
            .answer("quota.reserve", json!(["r1", "r2", "r3", "r4"]));
        let result = host.call::<QuotaReserve>(json!({"size": 5, "volume_type_id": "t1"}));
        assert_eq!(
            result.unwrap(),
            json!({"reservations": ["r1", "r2", "r3", "r4"]})
        );
        assert_eq!(
            host.calls("quota.with-volume-type"),
            [json!({"deltas": {"volumes": 1, "gigabytes": 5}, "volume-type-id": "t1"})]
        );
        assert_eq!(host.calls("quota.reserve"), [json!({"deltas": typed})]);
    }

    #[test]
    fn over_quota_says_what_is_over() {
        let usage = Usage {
            resource: "volumes".into(),
            limit: Some(10),
            in_use: 9,
            reserved: 1,
        };
        let over = QuotaError::Over(OverQuota {
            overs: vec!["volumes".into()],
            usages: vec![usage],
        });
        let host = FakeHost::new().fail("quota.reserve", over);
        let error = host
            .call::<QuotaReserve>(json!({"size": 5, "volume_type_id": null}))
            .unwrap_err();
        assert!(error.is("VolumeLimitExceeded"));
        assert_eq!(error.details()["allowed"], 10);
    }

    #[test]
    fn an_unknown_resource_is_named() {
        let host = FakeHost::new().fail(
            "quota.reserve",
            QuotaError::UnknownResource(vec!["volumes_x".into()]),
        );
        let error = host
            .call::<QuotaReserve>(json!({"size": 5, "volume_type_id": "x"}))
            .unwrap_err();
        assert!(error.is("QuotaResourceUnknown"));
        assert_eq!(error.details()["unknown"], json!(["volumes_x"]));
    }

    #[test]
    fn a_revert_rolls_the_reservations_back() {
        let host = FakeHost::new();
        assert_eq!(
            host.revert::<QuotaReserve>(completed()),
            Ok(Disposition::Keep)
        );
        assert_eq!(
            host.calls("quota.rollback"),
            [json!({"reservations": ["r1", "r2"]})]
        );
    }

    #[test]
    fn a_revert_leaves_committed_quota_and_unfinished_calls_alone() {
        for (host, outcome) in [
            (FakeHost::new().quota_committed(), completed()),
            (
                FakeHost::new(),
                Outcome::Failed(Error::new("OverQuota", "over")),
            ),
            (FakeHost::new(), Outcome::Interrupted),
        ] {
            assert_eq!(host.revert::<QuotaReserve>(outcome), Ok(Disposition::Keep));
            assert_eq!(host.all_calls(), []);
        }
    }

    #[test]
    fn a_rollback_that_fails_fails_the_revert() {
        let host = FakeHost::new().fail(
            "quota.rollback",
            Error::new("ServiceUnavailable", "not now"),
        );
        assert!(
            host.revert::<QuotaReserve>(completed())
                .unwrap_err()
                .is("ServiceUnavailable")
        );
    }
}
