//! Adds the volume's row, in status `creating`.

use cairn_plugin::{Disposition, Error, Failure, Outcome, Task, context, volumes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Adds the volume's row.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntryCreate {
    /// The status of a volume that a rollback keeps. An empty string leaves the status unchanged, including `creating`,
    /// which then remains unless the revert of a later task changes it.
    #[serde(default = "kept_status")]
    pub kept_status: String,
}

fn kept_status() -> String {
    "error".to_owned()
}

/// The columns, as validated by earlier tasks. This task does not check them.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Inputs {
    availability_zone: Value,
    description: Value,
    encryption_key_id: Value,
    metadata: Value,
    name: Value,
    reservations: Value,
    size: Value,
    snapshot_id: Value,
    source_volid: Value,
    volume_type_id: Value,
}

/// The volume.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub struct Output {
    volume_id: String,
    /// The requested properties, with the new id.
    volume_properties: Value,
    /// The whole row.
    volume: Value,
}

impl Task for EntryCreate {
    type Inputs = Inputs;
    type Output = Output;

    fn call(&self, inputs: Inputs) -> Result<Output, Error> {
        let requester = context::requester();
        let mut volume_properties = json!({
            "size": inputs.size,
            "user_id": requester.user_id,
            "project_id": requester.project_id,
            "status": "creating",
            "attach_status": "detached",
            "encryption_key_id": inputs.encryption_key_id,
            "display_description": inputs.description,
            "display_name": inputs.name,
            "availability_zone": inputs.availability_zone,
            "metadata": inputs.metadata,
            "reservations": inputs.reservations,
            "snapshot_id": inputs.snapshot_id,
            "source_volid": inputs.source_volid,
            "volume_type_id": inputs.volume_type_id,
        });
        let volume = volumes::create(&volume_properties)?;
        let Some(volume_id) = volume["id"].as_str().map(str::to_owned) else {
            return Err(Error::new(
                "HostAnswerInvalid",
                "the volume that the host created has no id",
            ));
        };
        volume_properties["id"] = json!(volume_id);
        Ok(Output {
            volume_id,
            volume_properties,
            volume,
        })
    }

    /// Destroys the row. If quota was committed for it, sets its status to `kept_status` instead and keeps it, so that
    /// its owner can see and delete it.
    fn revert(&self, outcome: Outcome, _cause: &Failure) -> Result<Disposition, Error> {
        let Some(output) = outcome.result::<Output>()? else {
            return Ok(Disposition::Keep);
        };
        let id = &output.volume_id;
        let undone = match (context::quota_committed(), self.kept_status.as_str()) {
            (false, _) => volumes::destroy(id),
            (true, "") => Ok(()),
            (true, status) => volumes::update(id, &json!({"status": status})).map(drop),
        };
        match undone {
            Err(error) if error.is("VolumeNotFound") => {} // nothing to undo
            other => other?,
        }
        Ok(Disposition::Keep)
    }
}

cairn_plugin::export!(EntryCreate);

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;

    use super::*;

    fn inputs() -> Value {
        json!({
            "availability_zone": "az1", "description": null, "encryption_key_id": "key", "metadata": {"k": "v"},
            "name": "data", "reservations": ["r1"], "size": 2, "snapshot_id": null, "source_volid": "v0",
            "volume_type_id": "t1",
        })
    }

    fn completed() -> Outcome {
        Outcome::Completed(json!({"volume_id": "v1", "volume_properties": {}, "volume": {}}))
    }

    #[test]
    fn the_row_is_creating_and_detached_and_the_properties_gain_its_id() {
        let host = FakeHost::new().answer("volumes.create", json!({"id": "v1", "host": null}));
        let result = host.call::<EntryCreate>(inputs()).unwrap();
        let mut properties = json!({
            "attach_status": "detached", "availability_zone": "az1", "display_description": null,
            "display_name": "data", "encryption_key_id": "key", "metadata": {"k": "v"}, "project_id": "project",
            "reservations": ["r1"], "size": 2, "snapshot_id": null, "source_volid": "v0", "status": "creating",
            "user_id": "user", "volume_type_id": "t1",
        });
        assert_eq!(
            host.calls("volumes.create"),
            [json!({"properties": properties})]
        );
        properties["id"] = json!("v1");
        assert_eq!(
            result,
            json!({"volume_id": "v1", "volume_properties": properties, "volume": {"id": "v1", "host": null}})
        );
    }

    #[test]
    fn a_revert_destroys_the_row() {
        let host = FakeHost::new();
        assert_eq!(
            host.revert::<EntryCreate>(completed()),
            Ok(Disposition::Keep)
        );
        assert_eq!(host.calls("volumes.destroy"), [json!({"id": "v1"})]);
    }

    /// A host whose flow has committed quota.
    fn keeping() -> FakeHost {
        FakeHost::new()
            .quota_committed()
            .answer("volumes.update", json!({}))
    }

    #[test]
    fn a_volume_that_is_kept_gets_the_status_of_the_settings_or_error() {
        let lost = json!({"kept_status": "lost"});
        for (host, status) in [(keeping(), "error"), (keeping().settings(lost), "lost")] {
            assert_eq!(
                host.revert::<EntryCreate>(completed()),
                Ok(Disposition::Keep)
            );
            let update = json!({"id": "v1", "changes": {"status": status}});
            assert_eq!(host.all_calls(), [("volumes.update".to_owned(), update)]);
        }
    }

    #[test]
    fn a_row_that_is_gone_is_nothing_to_undo() {
        for (host, undo) in [
            (FakeHost::new(), "volumes.destroy"),
            (keeping(), "volumes.update"),
        ] {
            let host = host.fail(undo, Error::new("VolumeNotFound", "no volume `v1`"));
            assert_eq!(
                host.revert::<EntryCreate>(completed()),
                Ok(Disposition::Keep)
            );
        }
    }

    #[test]
    fn any_other_error_fails_the_revert() {
        for (host, undo) in [
            (FakeHost::new(), "volumes.destroy"),
            (keeping(), "volumes.update"),
        ] {
            let host = host.fail(undo, Error::new("ServiceUnavailable", "not now"));
            assert!(
                host.revert::<EntryCreate>(completed())
                    .unwrap_err()
                    .is("ServiceUnavailable")
            );
        }
    }

    #[test]
    fn a_revert_leaves_unfinished_calls_alone_and_with_an_empty_status_a_volume_that_is_kept() {
        let as_it_is = json!({"kept_status": ""});
        for (host, outcome) in [
            (keeping().settings(as_it_is), completed()),
            (
                FakeHost::new(),
                Outcome::Failed(Error::new("Busy", "try again")),
            ),
            (FakeHost::new(), Outcome::Interrupted),
        ] {
            assert_eq!(host.revert::<EntryCreate>(outcome), Ok(Disposition::Keep));
            assert_eq!(host.all_calls(), []);
        }
    }
}
