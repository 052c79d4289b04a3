//! Does its work only in its revert: when a later task fails, sets the volume's status to `error` and restores the
//! status of a source volume.

use cairn_plugin::{Disposition, Error, Failure, Outcome, Task, bail, context, results, volumes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// Sets the volume's status to `error` when a later task fails.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnFailureChangeStatus {}

/// The volumes whose status a revert changes.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Inputs {
    volume_id: String,
    /// The specification of the volume: `{"type", "source_volid", "source_volstatus", …}`.
    #[serde(default)]
    volume_spec: Option<Value>,
}

/// The result: the inputs, kept for a revert.
#[derive(Debug, Deserialize)]
struct Kept {
    volume_id: String,
    volume_spec: Option<Value>,
}

impl Task for OnFailureChangeStatus {
    type Inputs = Inputs;
    /// Untyped, so that the task provides no names: other tasks provide these values.
    type Output = Value;

    fn call(&self, inputs: Inputs) -> Result<Value, Error> {
        Ok(json!({"volume_id": inputs.volume_id, "volume_spec": inputs.volume_spec}))
    }

    fn revert(&self, outcome: Outcome, cause: &Failure) -> Result<Disposition, Error> {
        let kept: Kept = match &outcome {
            Outcome::Completed(_) => match outcome.result()? {
                Some(kept) => kept,
                None => return Ok(Disposition::Keep),
            },
            Outcome::Failed(error) => {
                bail!(
                    "VolumeUnknown",
                    "which volume to put into `error` is not known, for the task failed: {error}"
                )
            }
            Outcome::Interrupted => return Ok(Disposition::Keep),
        };
        if cause.error.kind().is_empty() {
            bail!(
                "NoFailure",
                "volume `{}` keeps its status: the host gave no reason for the rollback",
                kept.volume_id
            );
        }
        let spec = match kept.volume_spec {
            Some(spec) if says_something(&spec) => Some(spec),
            _ => spec_of_another_task()?,
        };
        // Both steps run even if one fails; the first error is returned.
        let restored = spec.as_ref().map_or(Ok(()), restore_source);
        context::checkpoint();
        let errored = set_status(&kept.volume_id, "error");
        context::checkpoint();
        restored.and(errored)?;
        Ok(Disposition::Keep)
    }
}

/// Returns the volume's specification from the first earlier result that has one. It is read now because it may come
/// from a task that started after this one.
fn spec_of_another_task() -> Result<Option<Value>, Error> {
    let specs = results::tasks()?
        .into_iter()
        .filter_map(|(_, mut result)| Some(result.get_mut("volume_spec")?.take()));
    Ok(specs.into_iter().find(says_something))
}

fn says_something(spec: &Value) -> bool {
    spec.as_object().is_some_and(|spec| !spec.is_empty())
}

/// Restores the status that a source volume had before it was cloned.
fn restore_source(spec: &Value) -> Result<(), Error> {
    if spec["type"] != "source_vol" {
        return Ok(());
    }
    let (Some(id), Some(status)) = (
        spec["source_volid"].as_str(),
        spec["source_volstatus"].as_str(),
    ) else {
        bail!(
            "InvalidInput",
            "`volume_spec` names no `source_volid` and `source_volstatus` to restore"
        );
    };
    set_status(id, status)
}

fn set_status(id: &str, status: &str) -> Result<(), Error> {
    match volumes::update(id, &json!({"status": status})) {
        Err(error) if error.is("VolumeNotFound") => Ok(()), // nothing to undo
        other => other.map(drop),
    }
}

cairn_plugin::export!(OnFailureChangeStatus);

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;

    use super::*;

    fn spec() -> Value {
        json!({"type": "source_vol", "source_volid": "v0", "source_volstatus": "available", "volume_id": "v1"})
    }

    fn completed(volume_spec: Value) -> Outcome {
        Outcome::Completed(json!({"volume_id": "v1", "volume_spec": volume_spec}))
    }

    fn host() -> FakeHost {
        FakeHost::new().answer("volumes.update", json!({}))
    }

    /// Calls the revert, and returns each volume with its new status.
    fn statuses(host: &FakeHost, outcome: Outcome) -> Vec<(Value, Value)> {
        assert_eq!(
            host.revert::<OnFailureChangeStatus>(outcome),
            Ok(Disposition::Keep)
        );
        let updates = host.calls("volumes.update").into_iter();
        updates
            .map(|update| (update["id"].clone(), update["changes"]["status"].clone()))
            .collect()
    }

    #[test]
    fn a_call_keeps_what_a_revert_needs() {
        let with = FakeHost::new()
            .call::<OnFailureChangeStatus>(json!({"volume_id": "v1", "volume_spec": spec()}));
        assert_eq!(
            with.unwrap(),
            json!({"volume_id": "v1", "volume_spec": spec()})
        );
        let without = FakeHost::new().call::<OnFailureChangeStatus>(json!({"volume_id": "v1"}));
        assert_eq!(
            without.unwrap(),
            json!({"volume_id": "v1", "volume_spec": null})
        );
    }

    #[test]
    fn the_spec_is_optional_and_nothing_is_provided() {
        let wiring = OnFailureChangeStatus {}.wiring();
        assert_eq!(
            (wiring.requires, wiring.optional),
            (vec!["volume_id".into()], vec!["volume_spec".into()])
        );
        assert_eq!(wiring.provides, [] as [&str; 0]);
    }

    #[test]
    fn the_volume_goes_to_error() {
        assert_eq!(
            statuses(&host(), completed(Value::Null)),
            [(json!("v1"), json!("error"))]
        );
    }

    #[test]
    fn a_source_volume_gets_its_status_back_first() {
        let both = [
            (json!("v0"), json!("available")),
            (json!("v1"), json!("error")),
        ];
        assert_eq!(statuses(&host(), completed(spec())), both);
    }

    #[test]
    fn another_tasks_spec_is_used_where_its_own_is_missing() {
        let tasks =
            json!([["a", null], ["b", {"volume_spec": {}}], ["c", {"volume_spec": spec()}]]);
        let host = host().answer("results.tasks", tasks);
        let both = [
            (json!("v0"), json!("available")),
            (json!("v1"), json!("error")),
        ];
        assert_eq!(statuses(&host, completed(json!({}))), both);
    }

    #[test]
    fn a_spec_of_another_type_restores_nothing() {
        let mut spec = spec();
        spec["type"] = json!("snap");
        assert_eq!(
            statuses(&host(), completed(spec)),
            [(json!("v1"), json!("error"))]
        );
    }

    #[test]
    fn a_volume_that_is_gone_is_nothing_to_undo() {
        let host = FakeHost::new().fail(
            "volumes.update",
            Error::new("VolumeNotFound", "no such volume"),
        );
        assert_eq!(statuses(&host, completed(spec())).len(), 2);
    }

    #[test]
    fn both_steps_are_tried_and_the_first_error_is_told() {
        let host = FakeHost::new().on("volumes.update", |arguments| {
            Err(Error::new(
                if arguments["id"] == "v0" {
                    "First"
                } else {
                    "Second"
                },
                "not now",
            ))
        });
        assert!(
            host.revert::<OnFailureChangeStatus>(completed(spec()))
                .unwrap_err()
                .is("First")
        );
        assert_eq!(host.calls("volumes.update").len(), 2);
    }

    #[test]
    fn a_rollback_that_was_requested_is_a_failure_like_any_other() {
        let host = host();
        let cause = Failure {
            task: String::new(),
            error: Error::new("RollbackRequested", "somebody asked"),
        };
        let reverted = host.revert_because::<OnFailureChangeStatus>(completed(Value::Null), &cause);
        assert_eq!(reverted, Ok(Disposition::Keep));
        assert_eq!(host.calls("volumes.update").len(), 1);
    }

    #[test]
    fn without_any_reason_the_status_stays_and_the_revert_says_so() {
        let host = host();
        let cause = Failure {
            task: String::new(),
            error: Error::new("", ""),
        };
        let error = host
            .revert_because::<OnFailureChangeStatus>(completed(spec()), &cause)
            .unwrap_err();
        assert!(error.is("NoFailure"));
        assert_eq!(host.all_calls(), []);
    }

    #[test]
    fn a_call_that_failed_leaves_the_volume_unknown() {
        let failed = Outcome::Failed(Error::new("Trap", "unreachable"));
        assert!(
            host()
                .revert::<OnFailureChangeStatus>(failed)
                .unwrap_err()
                .is("VolumeUnknown")
        );
        assert_eq!(statuses(&host(), Outcome::Interrupted), []);
    }
}
