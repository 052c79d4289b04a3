//! Reads: what tasks look up, and what the command line lists.

use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension, ToSql};

use super::row::{self, IMAGE, QOS_SPECS, SNAPSHOT, VOLUME_TYPE};
use super::tx::{Fault, Tx, scalar};
use super::view::FlowFilter;
use super::volumes;
use crate::effect::Query;
use crate::error::TaskError;
use crate::event::{Entry, FlowState, FlowSummary};
use crate::id::FlowId;
use crate::value::{Object, Value};

pub(super) fn query(tx: &mut Tx<'_>, query: &Query) -> Result<Value, Fault> {
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

/// Why a flow cannot be recovered; `None` of one that can, or is not there.
pub(super) fn stuck(connection: &Connection, flow: FlowId) -> rusqlite::Result<Option<String>> {
    let statement = "SELECT stuck FROM flows WHERE id = ?";
    Ok(scalar::<Option<String>>(connection, statement, [flow.0.as_bytes()])?.flatten())
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
pub(super) fn volume_type(
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

/// A flow's journal as it is on disk; empty for a flow that nobody knows.
pub(super) fn journal(connection: &Connection, flow: FlowId) -> rusqlite::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut statement =
        connection.prepare_cached("SELECT entries FROM journal WHERE flow = ? ORDER BY first")?;
    let mut rows = statement.query([flow.0.as_bytes()])?;
    while let Some(row) = rows.next()? {
        entries.extend(super::journal::read(row.get_ref(0)?)?);
    }
    Ok(entries)
}

/// Flows, newest first.
pub(super) fn flows(
    connection: &Connection,
    filter: FlowFilter,
    limit: usize,
) -> rusqlite::Result<Vec<FlowSummary>> {
    let mut conditions = vec!["1"];
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    if let Some(state) = filter.state {
        conditions.push("state = ?");
        values.push(Box::new(state.as_str()));
    }
    if filter.incomplete {
        conditions.push("incomplete = 1");
    }
    if filter.stuck {
        conditions.push("stuck IS NOT NULL");
    }
    if let Some(before) = filter.before {
        conditions.push("id < ?");
        values.push(Box::new(before.0.into_bytes()));
    }
    if let Some((lowest, highest)) = filter.ids {
        conditions.push("id BETWEEN ? AND ?");
        values.push(Box::new(lowest.0.into_bytes()));
        values.push(Box::new(highest.0.into_bytes()));
    }
    values.push(Box::new(i64::try_from(limit).unwrap_or(i64::MAX)));
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, name, state, project_id, user_id, error, created_at, updated_at, incomplete, stuck FROM flows
         WHERE {} ORDER BY id DESC LIMIT ?",
        conditions.join(" AND ")
    ))?;
    let flows = statement.query_map(rusqlite::params_from_iter(values), |row| {
        let state: String = row.get(2)?;
        let state = FlowState::parse(&state).ok_or_else(|| {
            let problem = format!("`{state}` is no state of a flow");
            rusqlite::Error::FromSqlConversionFailure(
                2,
                rusqlite::types::Type::Text,
                problem.into(),
            )
        })?;
        Ok(FlowSummary {
            id: FlowId(uuid::Uuid::from_bytes(row.get(0)?)),
            name: row.get(1)?,
            state,
            project_id: row.get(3)?,
            user_id: row.get(4)?,
            error: row.get(5)?,
            created_at: crate::clock::Timestamp(row.get(6)?),
            updated_at: crate::clock::Timestamp(row.get(7)?),
            incomplete: row.get(8)?,
            stuck: row.get(9)?,
        })
    })?;
    flows.collect()
}
