//! Converts the reservations into usage. A rollback after this task keeps the volume, in `error`, and returns its
//! quota.

use cairn_plugin::quota::Delta;
use cairn_plugin::{Disposition, Error, Failure, Outcome, Task, quota};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Converts the reservations into usage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaCommit {}

/// The reservations to commit, and their volume.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Inputs {
    reservations: Vec<String>,
    volume_properties: Map<String, Value>,
}

/// The volume's properties, unchanged: a revert reads the size and the type from them.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    volume_properties: Map<String, Value>,
}

/// The part of the result that a revert reads.
#[derive(Debug, Deserialize)]
struct Committed {
    volume_properties: Booked,
}

#[derive(Debug, Deserialize)]
struct Booked {
    size: i64,
    volume_type_id: Option<String>,
}

impl Task for QuotaCommit {
    type Inputs = Inputs;
    type Output = Output;

    fn call(&self, inputs: Inputs) -> Result<Output, Error> {
        quota::commit(&inputs.reservations)?;
        Ok(Output {
            volume_properties: inputs.volume_properties,
        })
    }

    /// Reserves and commits the negative of the volume's usage. The host returns at most what this flow has committed,
    /// so a repeat changes nothing.
    fn revert(&self, outcome: Outcome, _cause: &Failure) -> Result<Disposition, Error> {
        if let Some(Committed {
            volume_properties: booked,
        }) = outcome.result()?
        {
            let deltas = [
                Delta::new("volumes", -1),
                Delta::new("gigabytes", -booked.size),
            ];
            let deltas = quota::with_volume_type(&deltas, booked.volume_type_id.as_deref())?;
            let reservations = quota::reserve(&deltas)?;
            if !reservations.is_empty() {
                quota::commit(&reservations)?;
            }
        }
        Ok(Disposition::Keep)
    }
}

cairn_plugin::export!(QuotaCommit);

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;
    use serde_json::json;

    use super::*;

    fn completed() -> Outcome {
        Outcome::Completed(
            json!({"volume_properties": {"id": "v1", "size": 5, "volume_type_id": "t1"}}),
        )
    }

    #[test]
    fn the_reservations_are_committed_and_the_properties_passed_on() {
        let host = FakeHost::new();
        let properties = json!({"id": "v1", "size": 5, "volume_type_id": null});
        let inputs = json!({"reservations": ["r1", "r2"], "volume_properties": properties});
        assert_eq!(
            host.call::<QuotaCommit>(inputs).unwrap(),
            json!({"volume_properties": properties})
        );
        assert_eq!(
            host.calls("quota.commit"),
            [json!({"reservations": ["r1", "r2"]})]
        );
    }

    #[test]
    fn a_commit_that_fails_fails_the_task() {
        let host =
            FakeHost::new().fail("quota.commit", Error::new("ServiceUnavailable", "not now"));
        let inputs = json!({"reservations": [], "volume_properties": {}});
        assert!(
            host.call::<QuotaCommit>(inputs)
                .unwrap_err()
                .is("ServiceUnavailable")
        );
    }

    #[test]
    fn a_revert_gives_the_usage_back_with_that_of_the_type() {
        let host = FakeHost::new().answer("quota.reserve", json!(["n1", "n2"]));
        assert_eq!(
            host.revert::<QuotaCommit>(completed()),
            Ok(Disposition::Keep)
        );
        let deltas = json!({"volumes": -1, "gigabytes": -5});
        assert_eq!(
            host.all_calls(),
            [
                (
                    "quota.with-volume-type".to_owned(),
                    json!({"deltas": deltas, "volume-type-id": "t1"})
                ),
                ("quota.reserve".to_owned(), json!({"deltas": deltas})),
                (
                    "quota.commit".to_owned(),
                    json!({"reservations": ["n1", "n2"]})
                ),
            ]
        );
    }

    #[test]
    fn nothing_is_committed_when_the_host_has_nothing_to_give_back() {
        let host = FakeHost::new().answer("quota.reserve", json!([]));
        assert_eq!(
            host.revert::<QuotaCommit>(completed()),
            Ok(Disposition::Keep)
        );
        assert_eq!(host.calls("quota.commit"), [] as [Value; 0]);
    }

    #[test]
    fn a_call_that_did_not_complete_has_nothing_to_give_back() {
        for outcome in [
            Outcome::Failed(Error::new("Busy", "try again")),
            Outcome::Interrupted,
        ] {
            let host = FakeHost::new();
            assert_eq!(host.revert::<QuotaCommit>(outcome), Ok(Disposition::Keep));
            assert_eq!(host.all_calls(), []);
        }
    }

    #[test]
    fn each_step_that_fails_fails_the_revert() {
        for step in ["quota.with-volume-type", "quota.reserve", "quota.commit"] {
            let host = FakeHost::new()
                .answer("quota.reserve", json!(["n1"]))
                .fail(step, Error::new("ServiceUnavailable", "not now"));
            assert!(
                host.revert::<QuotaCommit>(completed())
                    .unwrap_err()
                    .is("ServiceUnavailable"),
                "{step}"
            );
        }
    }
}
