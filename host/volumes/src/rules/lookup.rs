//! The look-ups of tasks.

use std::sync::Arc;

use cairn_model::error::TaskError;
use cairn_model::value::Value;
use serde_json::json;

use super::reservation;
use super::settings::settings;
use super::tables::{
    Encryption, IMAGE, Image, QOS_SPECS, QosSpecs, SNAPSHOT, Snapshot, VOLUME, VOLUME_TYPE,
    VolumeType, Zone,
};
use super::usage::require_user_and_project;
use super::volume::{may_see, owns, visible};
use cairn_effects::rows::{AnyRow, Row, Rows, Stop};
use cairn_effects::rules::LookUp;

/// Looks up a volume type that is not deleted, by id or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShowVolumeType(pub String);

impl LookUp for ShowVolumeType {
    const FUNCTION: Option<&'static str> = Some("catalog.volume-type");
    type Answer = Value;

    fn arguments(&self) -> Value {
        json!({"id-or-name": self.0})
    }

    fn look_up(&self, rows: &mut Rows<'_>) -> Result<Value, Stop> {
        require_user_and_project(rows)?;
        match volume_type(rows, &self.0)? {
            Some(found) => Ok(shown(&found, VOLUME_TYPE)),
            None => Err(type_not_found(&self.0)),
        }
    }
}

/// Looks up the default volume type; null when the operator set none, and only its name when that type does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultVolumeType;

impl LookUp for DefaultVolumeType {
    const FUNCTION: Option<&'static str> = Some("catalog.default-volume-type");
    type Answer = Value;

    fn arguments(&self) -> Value {
        json!({})
    }

    fn look_up(&self, rows: &mut Rows<'_>) -> Result<Value, Stop> {
        match settings(rows).default_volume_type.as_deref() {
            Some(name) => Ok(volume_type(rows, name)?
                .map_or_else(|| Value::from(name), |found| shown(&found, VOLUME_TYPE))),
            None => Ok(Value::Null),
        }
    }
}

/// Looks up the QoS specs of a volume type; null when it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShowQosSpecs(pub String);

impl LookUp for ShowQosSpecs {
    const FUNCTION: Option<&'static str> = Some("catalog.qos-specs");
    type Answer = Value;

    fn arguments(&self) -> Value {
        json!({"volume-type-id": self.0})
    }

    fn look_up(&self, rows: &mut Rows<'_>) -> Result<Value, Stop> {
        qos_specs(rows, &self.0)
    }
}

/// Looks up whether volumes of a type are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsEncrypted(pub String);

impl LookUp for IsEncrypted {
    const FUNCTION: Option<&'static str> = Some("catalog.encrypted");
    type Answer = bool;

    fn arguments(&self) -> Value {
        json!({"volume-type-id": self.0})
    }

    fn look_up(&self, rows: &mut Rows<'_>) -> Result<bool, Stop> {
        require_user_and_project(rows)?;
        let is_it = |row: &Encryption| *row.volume_type_id == *self.0 && !row.deleted;
        Ok(rows.find(is_it)?.is_some())
    }
}

/// Looks up a snapshot of the caller's project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShowSnapshot(pub String);

impl LookUp for ShowSnapshot {
    const FUNCTION: Option<&'static str> = Some("catalog.snapshot");
    type Answer = Value;

    fn arguments(&self) -> Value {
        json!({"id": self.0})
    }

    fn look_up(&self, rows: &mut Rows<'_>) -> Result<Value, Stop> {
        require_user_and_project(rows)?;
        snapshot(rows, &self.0)
    }
}

/// Looks up a volume of the caller's project, including this flow's changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShowVolume(pub String);

impl LookUp for ShowVolume {
    const FUNCTION: Option<&'static str> = Some("catalog.volume");
    type Answer = Value;

    fn arguments(&self) -> Value {
        json!({"id": self.0})
    }

    fn look_up(&self, rows: &mut Rows<'_>) -> Result<Value, Stop> {
        require_user_and_project(rows)?;
        Ok(shown(&visible(rows, &self.0)?, VOLUME))
    }
}

/// Looks up an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShowImage(pub String);

impl LookUp for ShowImage {
    const FUNCTION: Option<&'static str> = Some("images.show");
    type Answer = Value;

    fn arguments(&self) -> Value {
        json!({"id": self.0})
    }

    fn look_up(&self, rows: &mut Rows<'_>) -> Result<Value, Stop> {
        image(rows, &self.0)
    }
}

/// Looks up whether volumes may be placed in a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsZoneValid(pub String);

impl LookUp for IsZoneValid {
    const FUNCTION: Option<&'static str> = Some("zones.valid");
    type Answer = bool;

    fn arguments(&self) -> Value {
        json!({"zone": self.0})
    }

    fn look_up(&self, rows: &mut Rows<'_>) -> Result<bool, Stop> {
        let zones = rows.whole::<Zone>()?;
        Ok(zones.is_empty() || zones.iter().any(|row| *row.name == *self.0))
    }
}

/// Looks up the name of a volume type, deleted or not, for the names of its quota resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeTypeName(pub String);

impl LookUp for VolumeTypeName {
    const FUNCTION: Option<&'static str> = Some("quota.with-volume-type");
    type Answer = String;

    fn arguments(&self) -> Value {
        json!({"volume-type-id": self.0})
    }

    fn look_up(&self, rows: &mut Rows<'_>) -> Result<String, Stop> {
        require_user_and_project(rows)?;
        let found = rows.find::<VolumeType>(|row| *row.id == *self.0)?;
        found
            .map(|found| found.name.to_string())
            .ok_or_else(|| type_not_found(&self.0))
    }
}

/// Looks up the resources of those reservations that are open and belong to this flow, to check them against a narrowed grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservedResources(pub Vec<String>);

impl LookUp for ReservedResources {
    const FUNCTION: Option<&'static str> = None;
    type Answer = Vec<String>;

    fn arguments(&self) -> Value {
        json!({"reservations": self.0})
    }

    fn look_up(&self, rows: &mut Rows<'_>) -> Result<Vec<String>, Stop> {
        require_user_and_project(rows)?;
        reservation::reserved_resources(rows, &self.0)
    }
}

fn shown<R: Row>(row: &Arc<R>, columns: &[&str]) -> Value {
    let row: &dyn AnyRow = &**row;
    Value::Object(row.shown(columns))
}

fn type_not_found(id: &str) -> Stop {
    TaskError::new(
        "VolumeTypeNotFound",
        format!("there is no volume type `{id}`"),
    )
    .with("volume_type_id", id)
    .into()
}

/// Finds a type that is not deleted, by id, else by name.
fn volume_type(rows: &mut Rows<'_>, id_or_name: &str) -> Result<Option<Arc<VolumeType>>, Stop> {
    if let Some(found) = rows.find::<VolumeType>(|row| !row.deleted && *row.id == *id_or_name)? {
        return Ok(Some(found));
    }
    rows.find::<VolumeType>(|row| !row.deleted && *row.name == *id_or_name)
}

fn qos_specs(rows: &mut Rows<'_>, type_id: &str) -> Result<Value, Stop> {
    let found = rows.find::<VolumeType>(|row| !row.deleted && *row.id == *type_id)?;
    let Some(found) = found else {
        return Err(type_not_found(type_id));
    };
    let Some(id) = &found.qos_specs_id else {
        return Ok(Value::Null);
    };
    let specs = rows.find::<QosSpecs>(|row| row.id == *id)?;
    Ok(specs.map_or(Value::Null, |specs| shown(&specs, QOS_SPECS)))
}

fn snapshot(rows: &mut Rows<'_>, id: &str) -> Result<Value, Stop> {
    if let Some(found) = rows.get::<Snapshot>(id)? {
        let owner = found.project_id.as_deref();
        if may_see(rows, owner, found.deleted) {
            return Ok(shown(&found, SNAPSHOT));
        }
        if !owns(rows, owner) {
            rows.deny("snapshot", id);
        }
    }
    let message = format!("there is no snapshot `{id}`");
    Err(TaskError::new("SnapshotNotFound", message)
        .with("snapshot_id", id)
        .into())
}

fn image(rows: &mut Rows<'_>, id: &str) -> Result<Value, Stop> {
    if let Some(found) = rows.get::<Image>(id)? {
        if found.project_id.is_none() || owns(rows, found.project_id.as_deref()) {
            return Ok(shown(&found, IMAGE));
        }
        rows.deny("image", id);
    }
    let message = format!("there is no image `{id}`");
    Err(TaskError::new("ImageNotFound", message)
        .with("image_id", id)
        .into())
}
