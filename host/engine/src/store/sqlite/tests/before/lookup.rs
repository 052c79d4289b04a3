//! Reads: what tasks look up, and what the command line lists.

use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension, ToSql};

use super::tx::{Fault, Tx, scalar};
use crate::store::sqlite::row::{self, IMAGE, QOS_SPECS, SNAPSHOT, VOLUME_TYPE};

use super::volumes;
use crate::effect::Query;
use crate::error::TaskError;
use crate::event::{Entry, FlowState, FlowSummary};
use crate::id::FlowId;
use crate::value::{Object, Value};

pub(in crate::store::sqlite) fn query(tx: &mut Tx<'_>, query: &Query) -> Result<Value, Fault> {
    match query {
        // These are somebody's; the others are the host's own.
        Query::VolumeType(_)
        | Query::VolumeTypeName(_)
        | Query::Encrypted(_)
        | Query::Snapshot(_)
        | Query::Volume(_)
        | Query::ReservedResources(_) => super::quota::require_somebody(tx)?,
        Query::DefaultVolumeType | Query::QosSpecs(_) | Query::Image(_) | Query::ZoneIsValid(_) => {
        }
    }
    match query {
        Query::VolumeType(id_or_name) => match volume_type(tx.connection, id_or_name)? {
            Some(found) => Ok(Value::Object(found)),
            None => Err(type_not_found(id_or_name)),
        },
        Query::DefaultVolumeType => match &tx.env.config.default_volume_type {
            Some(name) => Ok(volume_type(tx.connection, name)?
                .map_or_else(|| Value::from(name.as_str()), Value::Object)),
            None => Ok(Value::Null),
        },
        Query::QosSpecs(type_id) => qos_specs(tx.connection, type_id),
        Query::Encrypted(type_id) => {
            let found: Option<i64> = scalar(
                tx.connection,
                "SELECT 1 FROM encryptions WHERE volume_type_id = ? AND deleted = 0",
                [type_id],
            )?;
            Ok(found.is_some().into())
        }
        Query::Snapshot(id) => snapshot(tx, id),
        Query::Volume(id) => Ok(Value::Object(volumes::visible(tx, id)?)),
        Query::Image(id) => image(tx, id),
        Query::ZoneIsValid(zone) => {
            let found: Option<bool> = scalar(
                tx.connection,
                "SELECT ?1 IN (SELECT name FROM zones) OR NOT EXISTS (SELECT 1 FROM zones)",
                [zone],
            )?;
            Ok(found.unwrap_or(false).into())
        }
        Query::VolumeTypeName(id) => {
            let name: Option<String> = scalar(
                tx.connection,
                "SELECT name FROM volume_types WHERE id = ?",
                [id],
            )?;
            name.map(Value::from).ok_or_else(|| type_not_found(id))
        }
        Query::ReservedResources(ids) => Ok(super::quota::reserved_resources(tx, ids)?.into()),
    }
}

fn type_not_found(id: &str) -> Fault {
    TaskError::new(
        "VolumeTypeNotFound",
        format!("there is no volume type `{id}`"),
    )
    .with("volume_type_id", id)
    .into()
}

/// A type that is not deleted, by id or by name.
pub(in crate::store::sqlite) fn volume_type(
    connection: &Connection,
    id_or_name: &str,
) -> rusqlite::Result<Option<Object>> {
    static SELECT: LazyLock<String> = LazyLock::new(|| {
        let rest = "WHERE deleted = 0 AND (id = ?1 OR name = ?1) ORDER BY id = ?1 DESC LIMIT 1";
        row::select(VOLUME_TYPE, "volume_types", rest)
    });
    row::first(connection, VOLUME_TYPE, &SELECT, [id_or_name])
}

fn qos_specs(connection: &Connection, type_id: &str) -> Result<Value, Fault> {
    static SELECT: LazyLock<String> =
        LazyLock::new(|| row::select(QOS_SPECS, "qos_specs", "WHERE id = ?"));
    let specs: Option<Option<String>> = connection
        .prepare_cached("SELECT qos_specs_id FROM volume_types WHERE id = ? AND deleted = 0")?
        .query_row([type_id], |row| row.get(0))
        .optional()?;
    match specs {
        None => Err(type_not_found(type_id)),
        Some(None) => Ok(Value::Null),
        Some(Some(id)) => Ok(
            row::first(connection, QOS_SPECS, &SELECT, [id])?.map_or(Value::Null, Value::Object)
        ),
    }
}

fn snapshot(tx: &mut Tx<'_>, id: &str) -> Result<Value, Fault> {
    static SELECT: LazyLock<String> =
        LazyLock::new(|| row::select(SNAPSHOT, "snapshots", "WHERE id = ?"));
    match row::first(tx.connection, SNAPSHOT, &SELECT, [id])? {
        Some(found) if tx.may_see(&found) => return Ok(Value::Object(found)),
        Some(found) => tx.deny("snapshot", id, &found),
        None => {}
    }
    Err(snapshot_not_found(id))
}

fn snapshot_not_found(id: &str) -> Fault {
    TaskError::new("SnapshotNotFound", format!("there is no snapshot `{id}`"))
        .with("snapshot_id", id)
        .into()
}

fn image(tx: &mut Tx<'_>, id: &str) -> Result<Value, Fault> {
    static SELECT: LazyLock<String> =
        LazyLock::new(|| row::select(IMAGE, "images", "WHERE id = ?"));
    let caller = tx.by.requester;
    if let Some(found) = row::first(tx.connection, IMAGE, &SELECT, [id])? {
        let owner = found.get("project_id").and_then(Value::as_str);
        if caller.is_admin || owner.is_none_or(|owner| owner == caller.project_id) {
            return Ok(Value::Object(found));
        }
        tx.denied.push(("image", id.to_owned()));
    }
    Err(
        TaskError::new("ImageNotFound", format!("there is no image `{id}`"))
            .with("image_id", id)
            .into(),
    )
}
