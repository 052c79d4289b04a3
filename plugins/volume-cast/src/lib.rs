//! Sends the request to create the volume: to the host of its source if it has one, otherwise to the scheduler.

use cairn_plugin::{Error, Task, catalog, rpc, volumes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

const SCHEDULER_TOPIC: &str = "cinder-scheduler";
const METHOD: &str = "create_volume";

/// Sends the request to create the volume.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeCast {
    /// Creates a volume from a snapshot on the host of the snapshot's volume.
    #[serde(default = "yes")]
    pub snapshot_same_host: bool,
    /// The topic of the services that create volumes; each listens at `<topic>.<host>`.
    #[serde(default = "volume_topic")]
    pub topic: String,
}

fn yes() -> bool {
    true
}

fn volume_topic() -> String {
    "cinder-volume".to_owned()
}

/// The volume to create.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Inputs {
    image_id: Value,
    scheduler_hints: Value,
    snapshot_id: Option<String>,
    source_volid: Option<String>,
    volume_id: String,
    volume_type: Value,
    volume_properties: Value,
}

impl Task for VolumeCast {
    type Inputs = Inputs;
    type Output = ();

    fn call(&self, inputs: Inputs) -> Result<(), Error> {
        match self.host_of_source(&inputs)? {
            None => self.ask_the_scheduler(inputs),
            Some(host) => self.ask_the_host(&host, inputs),
        }
    }
}

impl VolumeCast {
    /// Returns the host that must create the volume, if any.
    fn host_of_source(&self, inputs: &Inputs) -> Result<Option<String>, Error> {
        let source = match (given(&inputs.snapshot_id), given(&inputs.source_volid)) {
            (Some(snapshot), _) if self.snapshot_same_host => {
                let snapshot = catalog::snapshot(snapshot)?;
                // For a snapshot that names no volume, the host reports the volume as not found.
                catalog::volume(snapshot["volume_id"].as_str().unwrap_or_default())?
            }
            (_, Some(volume)) => catalog::volume(volume)?,
            _ => return Ok(None),
        };
        Ok(source["host"]
            .as_str()
            .filter(|host| !host.is_empty())
            .map(str::to_owned))
    }

    fn ask_the_scheduler(&self, inputs: Inputs) -> Result<(), Error> {
        let arguments = json!({
            "topic": self.topic,
            "volume_id": inputs.volume_id,
            "snapshot_id": inputs.snapshot_id,
            "image_id": inputs.image_id,
            "request_spec": request_spec(&inputs),
            "filter_properties": filter_properties(inputs.scheduler_hints),
        });
        rpc::cast(SCHEDULER_TOPIC, METHOD, &arguments)
    }

    fn ask_the_host(&self, host: &str, inputs: Inputs) -> Result<(), Error> {
        let volume = volumes::update(
            &inputs.volume_id,
            &json!({"host": host, "scheduled_at": "now"}),
        )?;
        let arguments = json!({
            "volume": volume,
            "host": host,
            "request_spec": request_spec(&inputs),
            "filter_properties": filter_properties(inputs.scheduler_hints),
            "allow_reschedule": false, // no other host has the source
            "snapshot_id": inputs.snapshot_id,
            "image_id": inputs.image_id,
            "source_volid": inputs.source_volid,
        });
        rpc::cast(&format!("{}.{host}", self.topic), METHOD, &arguments)
    }
}

/// Returns the inputs without the scheduler hints, which are sent separately.
fn request_spec(inputs: &Inputs) -> Value {
    json!({
        "image_id": inputs.image_id,
        "snapshot_id": inputs.snapshot_id,
        "source_volid": inputs.source_volid,
        "volume_id": inputs.volume_id,
        "volume_type": inputs.volume_type,
        "volume_properties": inputs.volume_properties,
    })
}

fn filter_properties(hints: Value) -> Value {
    let empty = match &hints {
        Value::Null => true,
        Value::Object(hints) => hints.is_empty(),
        Value::Array(hints) => hints.is_empty(),
        _ => false,
    };
    if empty {
        json!({})
    } else {
        json!({"scheduler_hints": hints})
    }
}

fn given(id: &Option<String>) -> Option<&str> {
    id.as_deref().filter(|id| !id.is_empty())
}

cairn_plugin::export!(VolumeCast);

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;

    use super::*;

    fn inputs(changes: Value) -> Value {
        let mut inputs = json!({
            "image_id": null, "scheduler_hints": null, "snapshot_id": null, "source_volid": null, "volume_id": "v1",
            "volume_type": {}, "volume_properties": {"size": 2},
        });
        for (key, value) in changes.as_object().unwrap() {
            inputs[key] = value.clone();
        }
        inputs
    }

    fn host() -> FakeHost {
        FakeHost::new()
            .answer("catalog.snapshot", json!({"id": "s0", "volume_id": "v0"}))
            .answer("catalog.volume", json!({"id": "v0", "host": "a@lvm"}))
            .answer("volumes.update", json!({"id": "v1", "host": "a@lvm"}))
    }

    /// Calls the task, and returns the message that it sent.
    fn cast(host: &FakeHost, changes: Value) -> Value {
        assert_eq!(
            host.call::<VolumeCast>(inputs(changes)).unwrap(),
            Value::Null
        );
        let casts = host.calls("rpc.cast");
        assert_eq!(casts.len(), 1);
        casts[0].clone()
    }

    #[test]
    fn a_volume_without_a_source_goes_to_the_scheduler() {
        let sent = cast(&FakeHost::new(), json!({"image_id": "i0"}));
        assert_eq!(
            sent,
            json!({"topic": "cinder-scheduler", "method": "create_volume", "arguments": {
                "topic": "cinder-volume", "volume_id": "v1", "snapshot_id": null, "image_id": "i0",
                "request_spec": {
                    "image_id": "i0", "snapshot_id": null, "source_volid": null, "volume_id": "v1",
                    "volume_type": {}, "volume_properties": {"size": 2},
                },
                "filter_properties": {},
            }})
        );
    }

    #[test]
    fn a_volume_from_another_goes_to_its_host() {
        let host = host();
        let sent = cast(&host, json!({"source_volid": "v0"}));
        assert_eq!(
            host.calls("volumes.update"),
            [json!({"id": "v1", "changes": {"host": "a@lvm", "scheduled_at": "now"}})]
        );
        assert_eq!(sent["topic"], "cinder-volume.a@lvm");
        assert_eq!(
            sent["arguments"]["volume"],
            json!({"id": "v1", "host": "a@lvm"})
        );
        assert_eq!(sent["arguments"]["host"], "a@lvm");
        assert_eq!(sent["arguments"]["allow_reschedule"], false);
        assert_eq!(sent["arguments"]["source_volid"], "v0");
    }

    #[test]
    fn a_volume_from_a_snapshot_goes_to_the_host_of_the_snapshots_volume() {
        let host = host();
        assert_eq!(
            cast(&host, json!({"snapshot_id": "s0"}))["topic"],
            "cinder-volume.a@lvm"
        );
        assert_eq!(host.calls("catalog.snapshot"), [json!({"id": "s0"})]);
        assert_eq!(host.calls("catalog.volume"), [json!({"id": "v0"})]);
    }

    #[test]
    fn a_snapshot_need_not_bind_to_its_host() {
        let host = host().settings(json!({"snapshot_same_host": false, "topic": "elsewhere"}));
        let sent = cast(&host, json!({"snapshot_id": "s0"}));
        assert_eq!(sent["topic"], "cinder-scheduler");
        assert_eq!(sent["arguments"]["topic"], "elsewhere");
        assert_eq!(host.calls("catalog.snapshot"), [] as [Value; 0]);
    }

    #[test]
    fn a_source_without_a_host_leaves_the_choice_to_the_scheduler() {
        for nowhere in [Value::Null, json!("")] {
            let host = host().answer("catalog.volume", json!({"id": "v0", "host": nowhere}));
            assert_eq!(
                cast(&host, json!({"source_volid": "v0"}))["topic"],
                "cinder-scheduler"
            );
        }
    }

    #[test]
    fn hints_travel_as_filter_properties_when_there_are_any() {
        let sent = cast(&FakeHost::new(), json!({"scheduler_hints": {"near": "v9"}}));
        assert_eq!(
            sent["arguments"]["filter_properties"],
            json!({"scheduler_hints": {"near": "v9"}})
        );
        assert_eq!(
            sent["arguments"]["request_spec"].get("scheduler_hints"),
            None
        );
        let sent = cast(&FakeHost::new(), json!({"scheduler_hints": {}}));
        assert_eq!(sent["arguments"]["filter_properties"], json!({}));
    }

    #[test]
    fn a_source_that_is_gone_fails_the_task() {
        let host = FakeHost::new().fail(
            "catalog.volume",
            Error::new("VolumeNotFound", "no volume `v0`"),
        );
        assert!(
            host.call::<VolumeCast>(inputs(json!({"source_volid": "v0"})))
                .unwrap_err()
                .is("VolumeNotFound")
        );
        assert_eq!(host.calls("rpc.cast"), [] as [Value; 0]);
    }
}
