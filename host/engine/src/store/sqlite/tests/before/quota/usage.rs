//! Usages: reading, moving and counting them anew.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::booked::booked;
use super::{limits_for, require_somebody, resource};
use crate::clock::Timestamp;
use crate::effect::{Change, QuotaReserve};
use crate::error::TaskError;
use crate::quota::{Resource, Usage, refresh_is_due};
use crate::store::sqlite::tests::before::changes;
use crate::store::sqlite::tests::before::tx::{Fault, Tx};

pub(in crate::store::sqlite) fn usage(
    connection: &Connection,
    project: &str,
    resource: &str,
) -> rusqlite::Result<Option<Usage>> {
    connection
        .prepare_cached(
            "SELECT in_use, reserved, until_refresh, updated_at FROM quota_usages
             WHERE project_id = ? AND resource = ? AND deleted = 0",
        )?
        .query_row([project, resource], |row| {
            Ok(Usage {
                in_use: row.get(0)?,
                reserved: row.get(1)?,
                until_refresh: row.get(2)?,
                updated_at: row.get::<_, Option<i64>>(3)?.map(Timestamp),
            })
        })
        .optional()
}

pub(in crate::store::sqlite) fn usages(
    connection: &Connection,
    project: &str,
) -> rusqlite::Result<BTreeMap<String, Usage>> {
    connection
        .prepare_cached(
            "SELECT resource, in_use, reserved, until_refresh, updated_at FROM quota_usages
             WHERE project_id = ? AND deleted = 0",
        )?
        .query_map([project], |row| {
            let usage = Usage {
                in_use: row.get(1)?,
                reserved: row.get(2)?,
                until_refresh: row.get(3)?,
                updated_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
            };
            Ok((row.get(0)?, usage))
        })?
        .collect()
}

/// Writes a usage that changed; its age starts anew.
fn write_usage(
    tx: &Tx<'_>,
    project: &str,
    resource: &str,
    old: &Usage,
    new: &Usage,
) -> rusqlite::Result<()> {
    let counters = |usage: &Usage| (usage.in_use, usage.reserved, usage.until_refresh);
    if counters(old) != counters(new) {
        tx.connection
            .prepare_cached(
                "UPDATE quota_usages SET in_use = ?3, reserved = ?4, until_refresh = ?5, updated_at = ?6
                 WHERE project_id = ?1 AND resource = ?2 AND deleted = 0",
            )?
            .execute(params![project, resource, new.in_use, new.reserved, new.until_refresh, tx.now.0])?;
    }
    Ok(())
}

/// Moves the counters of a usage that exists, and notes it.
pub(in crate::store::sqlite) fn move_usage(
    tx: &mut Tx<'_>,
    project: &str,
    resource: &str,
    in_use: i64,
    reserved: i64,
) -> Result<(), Fault> {
    if in_use == 0 && reserved == 0 {
        return Ok(());
    }
    let change = Change::Usage {
        project: project.to_owned(),
        resource: resource.to_owned(),
        in_use,
        reserved,
    };
    changes::apply(tx, &change)?;
    tx.changes.push(change);
    Ok(())
}

/// A resource that is asked for, and its usage.
pub(in crate::store::sqlite) struct Wanted {
    pub(in crate::store::sqlite) name: String,
    pub(in crate::store::sqlite) resource: Resource,
    pub(in crate::store::sqlite) usage: Usage,
}

/// Makes missing usages and counts those anew that are due. A repair: it stays whatever becomes of the reservation.
pub(in crate::store::sqlite) fn refresh(
    tx: &Tx<'_>,
    reserve: &QuotaReserve,
) -> Result<Vec<Wanted>, Fault> {
    require_somebody(tx)?;
    let project = tx.quota_project(reserve.project.as_ref());
    let config = &tx.env.config.quota;
    let mut wanted = Vec::with_capacity(reserve.deltas.len());
    let mut counted = None;
    for (name, resource) in known(tx, reserve)? {
        // Whether the caller may see the limits is asked before anything is written.
        limits_for(tx, project)?;
        let found = usage(tx.connection, project, &name)?;
        let old = match found {
            Some(usage) => usage,
            None => {
                tx.connection
                    .prepare_cached(
                        "INSERT INTO quota_usages (project_id, resource, in_use, reserved, until_refresh)
                         VALUES (?, ?, 0, 0, ?)",
                    )?
                    .execute(params![project, name, config.countdown()])?;
                Usage {
                    until_refresh: config.countdown(),
                    ..Usage::default()
                }
            }
        };
        let mut new = old;
        if found.is_none() || refresh_is_due(&mut new, config, tx.now) {
            let counted = match &mut counted {
                Some(counted) => counted,
                none => none.insert(booked(tx.connection, config, project)?),
            };
            new.in_use = counted.get(&name).copied().unwrap_or(0);
            new.until_refresh = config.countdown();
        }
        write_usage(tx, project, &name, &old, &new)?;
        wanted.push(Wanted {
            name,
            resource,
            usage: new,
        });
    }
    Ok(wanted)
}

/// The resources that are asked for, or all those that nobody knows.
fn known(tx: &Tx<'_>, reserve: &QuotaReserve) -> Result<Vec<(String, Resource)>, Fault> {
    let mut known = Vec::with_capacity(reserve.deltas.len());
    let mut unknown = Vec::new();
    for name in reserve.deltas.keys() {
        match resource(tx.connection, name)? {
            Some(resource) => known.push((name.clone(), resource)),
            None => unknown.push(name.clone()),
        }
    }
    if unknown.is_empty() {
        return Ok(known);
    }
    let message = format!("there is no quota of {}", unknown.join(", "));
    Err(TaskError::new("QuotaResourceUnknown", message)
        .with("unknown", unknown)
        .into())
}
