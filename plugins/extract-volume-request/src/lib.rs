//! Validates a request for a volume and derives the values that it omits.
//!
//! The checks have a fixed order, because the first one that fails determines the error: mutually exclusive sources,
//! policy, the state of the source, size, image, zone, type, encryption key, QoS specs, metadata. Each has its own
//! module, which calls no lookups; this module calls the host.

mod image;
mod metadata;
mod python;
mod size;
mod source;
mod volume_type;
mod zone;

use cairn_plugin::{Error, Task, catalog, images, keys, log, policy, zones};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use source::{Row, Sources};

/// Checks a request for a volume.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtractVolumeRequest {
    /// The action that the policy rules are evaluated for.
    #[serde(default = "volume_create")]
    pub action: String,
    /// Places a volume in the zone of its source, and rejects any other zone.
    #[serde(default = "yes")]
    pub cloned_volume_same_az: bool,
}

fn volume_create() -> String {
    "volume:create".to_owned()
}

fn yes() -> bool {
    true
}

/// The request. Snapshots, volumes and the type are whole objects; they are null if the request names none.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Inputs {
    availability_zone: Option<String>,
    image_id: Option<String>,
    /// Any JSON: a wrong type is reported only after the earlier checks.
    metadata: Value,
    /// In GiB; any JSON, for the same reason as the metadata.
    size: Value,
    snapshot: Option<Row>,
    source_volume: Option<Row>,
    volume_type: Option<Row>,
    backup_source_volume: Option<Row>,
}

/// The validated properties of the volume.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    availability_zone: String,
    /// In GiB.
    size: i64,
    snapshot_id: Option<String>,
    source_volid: Option<String>,
    /// The requested type, or the default one; an empty object when there is neither.
    volume_type: Value,
    volume_type_id: Option<String>,
    encryption_key_id: Option<String>,
    qos_specs: Option<Value>,
}

impl Task for ExtractVolumeRequest {
    type Inputs = Inputs;
    type Output = Output;

    fn call(&self, inputs: Inputs) -> Result<Output, Error> {
        source::check_exclusive(&inputs)?;
        policy::enforce(&self.action, &json!({}))?;

        let sources = Sources {
            snapshot: inputs.snapshot.as_ref(),
            volume: inputs.source_volume.as_ref(),
            backup: inputs.backup_source_volume.as_ref(),
        };
        let snapshot_id = sources.snapshot_id()?;
        let source_volid = sources.volume_id()?;
        let size = size::extract(&inputs.size, sources)?;
        if let Some(id) = inputs.image_id.as_deref().filter(|id| !id.is_empty()) {
            image::check_fits(&images::show(id)?, size)?;
        }
        let availability_zone = self.place(inputs.availability_zone, sources)?;

        let volume_type = choose_type(inputs.volume_type, sources)?;
        let volume_type_id = volume_type::id(volume_type.as_ref(), sources)?;
        let encryption_key_id = make_key(volume_type_id.as_deref(), sources)?;
        let qos_specs = match volume_type_id.as_deref() {
            Some(id) if !id.is_empty() => catalog::qos_specs(id)?,
            _ => None,
        };
        metadata::check(&inputs.metadata)?;

        Ok(Output {
            availability_zone,
            size,
            snapshot_id,
            source_volid,
            volume_type: volume_type.map_or(Value::Null, Value::Object),
            volume_type_id,
            encryption_key_id,
            qos_specs,
        })
    }
}

impl ExtractVolumeRequest {
    /// Returns the zone of the volume.
    fn place(&self, asked: Option<String>, sources: Sources<'_>) -> Result<String, Error> {
        let zone = asked
            .or_else(|| sources.zone())
            .unwrap_or_else(zones::default);
        zone::check_valid(&zone, zones::valid(&zone)?)?;
        if self.cloned_volume_same_az {
            zone::check_same(&zone, sources)?;
        }
        Ok(zone)
    }
}

/// Returns the requested type. If the request and its sources determine no type, returns the default one or an empty
/// object.
fn choose_type(asked: Option<Row>, sources: Sources<'_>) -> Result<Option<Row>, Error> {
    if asked.as_ref().is_some_and(|asked| !asked.is_empty()) || sources.has_content() {
        return Ok(asked);
    }
    match catalog::default_volume_type()? {
        Some(Value::Object(default)) => Ok(Some(default)),
        _ => Ok(Some(Row::new())),
    }
}

/// Creates a separate key if the type is encrypted. Keys are deleted with their volume, so volumes cannot share one.
fn make_key(volume_type_id: Option<&str>, sources: Sources<'_>) -> Result<Option<String>, Error> {
    let Some(volume_type_id) = volume_type_id else {
        return Ok(None);
    };
    if !catalog::encrypted(volume_type_id)? {
        return Ok(None);
    }
    let key = match sources.encryption_key_id()? {
        Some(original) => keys::copy(original)?,
        None => keys::create()?,
    };
    log::debug(format!(
        "the volume has an encryption key of its own, `{key}`"
    ));
    Ok(Some(key))
}

cairn_plugin::export!(ExtractVolumeRequest);

#[cfg(test)]
mod tests;
