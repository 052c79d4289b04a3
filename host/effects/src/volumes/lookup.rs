//! What tasks look up.

use std::sync::Arc;

use cairn_model::error::TaskError;
use cairn_model::value::Value;

use super::tables::{
    Encryption, IMAGE, Image, QOS_SPECS, QosSpecs, SNAPSHOT, Snapshot, VOLUME, VOLUME_TYPE,
    VolumeType, Zone,
};
use super::usage::is_somebody;
use super::volume::{may_see, owns, visible};
use super::{Setup, reservation};
use crate::effect::Query;
use crate::rows::{AnyRow, Row, Rows, Stop};

/// Answers a look-up.
///
/// # Errors
/// [`Stop::Refused`] when there is no such thing, or it is another's; [`Stop::Missing`].
pub fn query(rows: &mut Rows<'_>, setup: &Setup<'_>, query: &Query) -> Result<Value, Stop> {
    match query {
        // These are somebody's; the others are the host's own.
        Query::VolumeType(_)
        | Query::VolumeTypeName(_)
        | Query::Encrypted(_)
        | Query::Snapshot(_)
        | Query::Volume(_)
        | Query::ReservedResources(_) => is_somebody(rows)?,
        Query::DefaultVolumeType | Query::QosSpecs(_) | Query::Image(_) | Query::ZoneIsValid(_) => {
        }
    }
    match query {
        Query::VolumeType(id_or_name) => match volume_type(rows, id_or_name)? {
            Some(found) => Ok(shown(&found, VOLUME_TYPE)),
            None => Err(type_not_found(id_or_name)),
        },
        Query::DefaultVolumeType => match setup.default_volume_type {
            Some(name) => Ok(volume_type(rows, name)?
                .map_or_else(|| Value::from(name), |found| shown(&found, VOLUME_TYPE))),
            None => Ok(Value::Null),
        },
        Query::QosSpecs(type_id) => qos_specs(rows, type_id),
        Query::Encrypted(type_id) => {
            let is_it = |row: &Encryption| *row.volume_type_id == **type_id && !row.deleted;
            Ok(rows.find(is_it)?.is_some().into())
        }
        Query::Snapshot(id) => snapshot(rows, id),
        Query::Volume(id) => Ok(shown(&visible(rows, id)?, VOLUME)),
        Query::Image(id) => image(rows, id),
        Query::ZoneIsValid(zone) => {
            let zones = rows.whole::<Zone>()?;
            let is_valid = zones.is_empty() || zones.iter().any(|row| *row.name == **zone);
            Ok(is_valid.into())
        }
        Query::VolumeTypeName(id) => {
            let found = rows.find::<VolumeType>(|row| *row.id == **id)?;
            found
                .map(|found| Value::from(&*found.name))
                .ok_or_else(|| type_not_found(id))
        }
        Query::ReservedResources(ids) => Ok(reservation::reserved_resources(rows, ids)?.into()),
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

/// A type that is not deleted, by id or by name; an id comes first.
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
