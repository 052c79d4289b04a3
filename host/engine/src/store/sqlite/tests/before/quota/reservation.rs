//! Reservations: holding quota, and turning what is held into usage or giving it up.

use rusqlite::{Connection, OptionalExtension, params};

use super::usage::{Wanted, move_usage, usages};
use super::{limits_for, require_somebody, resource};
use crate::effect::{Answer, Change, Expiry, QuotaCommit, QuotaReserve, QuotaRollback, Table};
use crate::error::TaskError;
use crate::quota::{Measure, Over, Resource, is_over};
use crate::store::sqlite::tests::before::effects::object;
use crate::store::sqlite::tests::before::tx::{Fault, Tx, scalar};
use crate::store::sqlite::tests::before::volumes;

/// Holds what is wanted, whose usages are as [`refresh`](super::refresh) left them.
pub(in crate::store::sqlite) fn reserve(
    tx: &mut Tx<'_>,
    reserve: &QuotaReserve,
    wanted: &[Wanted],
) -> Result<Answer, Fault> {
    let project = tx.quota_project(reserve.project.as_ref()).to_owned();
    let mut over = Over::default();
    {
        let limits = limits_for(tx, &project)?;
        for Wanted {
            name,
            resource,
            usage,
        } in wanted
        {
            let delta = reserve.deltas[name];
            let limit = limits.get(resource)?;
            if is_over(limit, delta, usage) {
                over.overs.push(name.clone());
            }
            over.quotas.insert(name.clone(), limit);
        }
    }
    if !over.overs.is_empty() {
        over.usages = usages(tx.connection, &project)?;
        return Err(TaskError::from(over).into());
    }
    // Everything that may be refused is, before anything is written.
    for Wanted { name, .. } in wanted {
        check_giving_back(tx, &project, name, reserve.deltas[name])?;
    }
    let expire = match reserve.expiry {
        Expiry::Default => tx.now.after(tx.env.config.quota.expiry()),
        Expiry::In(time) => tx.now.after(time),
        Expiry::At(time) => time,
    };
    let mut ids = Vec::with_capacity(wanted.len());
    for Wanted { name, .. } in wanted {
        let delta = reserve.deltas[name];
        let id = crate::id::uuid().to_string();
        tx.connection
            .prepare_cached(
                "INSERT INTO reservations (id, project_id, resource, delta, expire, flow, created_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![id, project, name, delta, expire.0, tx.flow(), tx.now.0])?;
        tx.changed(
            Table::Reservations,
            &id,
            None,
            Some(object([("state", "open".into())])),
        );
        move_usage(tx, &project, name, 0, delta.max(0))?;
        ids.push(id);
    }
    Ok(Answer::Reservations(ids))
}

/// A flow gives back at most what it has committed.
fn check_giving_back(tx: &Tx<'_>, project: &str, resource: &str, delta: i64) -> Result<(), Fault> {
    let Some(flow) = tx.flow().filter(|_| delta < 0) else {
        return Ok(());
    };
    let balance = committed(tx.connection, flow, project, resource)?;
    if balance.saturating_add(delta) >= 0 {
        return Ok(());
    }
    let message = format!(
        "this flow has committed {balance} of `{resource}` and cannot give back {}",
        delta.unsigned_abs()
    );
    Err(TaskError::new("QuotaGiveBackExceeded", message)
        .with("resource", resource)
        .with("committed", balance)
        .into())
}

/// How much of a project's resource a flow has committed, less what it gave back or is about to.
fn committed(
    connection: &Connection,
    flow: [u8; 16],
    project: &str,
    resource: &str,
) -> rusqlite::Result<i64> {
    let balance = scalar(
        connection,
        "SELECT COALESCE(SUM(delta), 0) FROM reservations
         WHERE flow = ? AND resource = ? AND project_id = ?
             AND (state = 'committed' OR (state = 'open' AND delta < 0))",
        params![flow, resource, project],
    )?;
    Ok(balance.unwrap_or(0))
}

/// How much of a project's resource operators gave back when they deleted volumes that the flow had made: see
/// [`delete_volume`](crate::store::admin::Admin::delete_volume).
fn returned(
    connection: &Connection,
    flow: [u8; 16],
    project: &str,
    name: &str,
) -> rusqlite::Result<i64> {
    let Some(Resource {
        measure,
        volume_type,
    }) = resource(connection, name)?
    else {
        return Ok(0);
    };
    let what = match measure {
        Measure::Volumes => "COUNT(*)",
        Measure::Gigabytes => "CAST(TOTAL(size) AS INTEGER)",
        Measure::Snapshots => return Ok(0),
    };
    let statement = format!(
        "SELECT {what} FROM volumes WHERE flow = ?1 AND project_id = ?2 AND returned = 1
             AND (?3 IS NULL OR volume_type_id IN (SELECT id FROM volume_types WHERE name = ?3))"
    );
    let name = volume_type.map(|(_, name)| name);
    let amount = scalar(connection, &statement, params![flow, project, name])?;
    Ok(amount.unwrap_or(0))
}

/// Whether what a flow committed with this reservation was given back since, by the flow or by an operator, so that undoing
/// the commit would give it back twice.
pub(in crate::store::sqlite) fn is_given_back(
    connection: &Connection,
    id: &str,
) -> rusqlite::Result<bool> {
    let row: Option<(Option<[u8; 16]>, String, String, i64)> = connection
        .prepare_cached("SELECT flow, project_id, resource, delta FROM reservations WHERE id = ?")?
        .query_row([id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    match row {
        Some((Some(flow), project, resource, delta)) if delta > 0 => {
            let committed = committed(connection, flow, &project, &resource)?;
            let returned = returned(connection, flow, &project, &resource)?;
            Ok(committed.saturating_sub(returned) < delta)
        }
        _ => Ok(false),
    }
}

/// The part of what a flow gives back that an operator has given back before.
fn already_returned(tx: &Tx<'_>, project: &str, reservation: &Reserved) -> rusqlite::Result<i64> {
    let Some(flow) = tx.flow().filter(|_| reservation.delta < 0) else {
        return Ok(0);
    };
    let returned = returned(tx.connection, flow, project, &reservation.resource)?;
    if returned == 0 {
        return Ok(0);
    }
    let sums: Option<(i64, i64)> = tx
        .connection
        .prepare_cached(
            "SELECT COALESCE(SUM(MAX(delta, 0)), 0), COALESCE(SUM(MAX(-delta, 0)), 0) FROM reservations
             WHERE flow = ? AND project_id = ? AND resource = ? AND state = 'committed'",
        )?
        .query_row(params![flow, project, reservation.resource], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let (committed, before) = sums.unwrap_or_default();
    // What the flow itself gives back comes first: an operator's part is what is left of it.
    let own = committed.saturating_sub(returned).max(0);
    let after = before.saturating_sub(reservation.delta);
    let moves = after.min(own) - before.min(own);
    Ok((-reservation.delta).saturating_sub(moves))
}

/// A reservation that is the caller's to close.
struct Reserved {
    id: String,
    resource: String,
    delta: i64,
    state: String,
}

/// A reservation of `project`, and of this flow; another's is as if it did not exist.
fn reserved(tx: &mut Tx<'_>, id: &str, project: &str) -> Result<Option<Reserved>, Fault> {
    let row = tx
        .connection
        .prepare_cached(
            "SELECT resource, delta, state, project_id, flow FROM reservations WHERE id = ?",
        )?
        .query_row([id], |row| {
            let reserved = Reserved {
                id: id.to_owned(),
                resource: row.get(0)?,
                delta: row.get(1)?,
                state: row.get(2)?,
            };
            let owner: (String, Option<[u8; 16]>) = (row.get(3)?, row.get(4)?);
            Ok((reserved, owner))
        })
        .optional()?;
    let Some((reserved, (owner, flow))) = row else {
        return Ok(None);
    };
    if owner != project || (tx.by.call.is_some() && flow != tx.flow()) {
        tx.denied.push(("reservation", id.to_owned()));
        return Ok(None);
    }
    Ok(Some(reserved))
}

/// The resource of each of `ids` that is open and this flow's.
pub(in crate::store::sqlite) fn reserved_resources(
    tx: &Tx<'_>,
    ids: &[String],
) -> rusqlite::Result<Vec<String>> {
    let mut select = tx.connection.prepare_cached(
        "SELECT resource FROM reservations WHERE id = ? AND flow = ? AND state = 'open'",
    )?;
    let mut found = Vec::new();
    for id in ids {
        let resource = select.query_row(params![id, tx.flow()], |row| row.get(0));
        found.extend(resource.optional()?);
    }
    Ok(found)
}

fn close(tx: &mut Tx<'_>, reserved: &Reserved, state: &'static str) -> Result<(), Fault> {
    tx.connection
        .prepare_cached("UPDATE reservations SET state = ? WHERE id = ?")?
        .execute([state, &reserved.id])?;
    let before = object([("state", reserved.state.as_str().into())]);
    tx.changed(
        Table::Reservations,
        &reserved.id,
        Some(before),
        Some(object([("state", state.into())])),
    );
    Ok(())
}

/// Turns reservations into usage. What a flow gives back that an operator gave back before moves no counter a second time;
/// the flow takes note of it.
pub(in crate::store::sqlite) fn commit(
    tx: &mut Tx<'_>,
    commit: &QuotaCommit,
) -> Result<Answer, Fault> {
    require_somebody(tx)?;
    let project = tx.quota_project(commit.project.as_ref()).to_owned();
    // One that is named twice is open once.
    for id in &commit.reservations {
        let Some(reserved) = reserved(tx, id, &project)?.filter(|found| found.state == "open")
        else {
            continue;
        };
        let (delta, resource) = (reserved.delta, reserved.resource.as_str());
        let returned = already_returned(tx, &project, &reserved)?;
        let moves = delta.saturating_add(returned);
        close(tx, &reserved, "committed")?;
        move_usage(tx, &project, resource, moves, -delta.max(0))?;
        if returned != 0 {
            tx.changes.push(elsewhere(&project, resource, -returned, 0));
        }
        if resource == Measure::Volumes.as_str() {
            book(tx, &project, moves)?;
            if returned != 0 {
                note_deleted(tx, &project)?;
            }
        }
    }
    Ok(Answer::Done)
}

/// Gives reservations up. A flow's that lapsed since the flow had ended holds nothing any more; the flow takes note of that.
pub(in crate::store::sqlite) fn rollback(
    tx: &mut Tx<'_>,
    rollback: &QuotaRollback,
) -> Result<Answer, Fault> {
    require_somebody(tx)?;
    let project = tx.quota_project(rollback.project.as_ref()).to_owned();
    for id in &rollback.reservations {
        let Some(reserved) = reserved(tx, id, &project)? else {
            continue;
        };
        let held = reserved.delta.max(0);
        if reserved.state == "open" {
            close(tx, &reserved, "rolled_back")?;
            move_usage(tx, &project, &reserved.resource, 0, -held)?;
        } else if reserved.state == "expired" && tx.by.call.is_some() {
            close(tx, &reserved, "rolled_back")?;
            tx.changes
                .push(elsewhere(&project, &reserved.resource, 0, -held));
        }
    }
    Ok(Answer::Done)
}

/// A usage that an operator moved.
fn elsewhere(project: &str, resource: &str, in_use: i64, reserved: i64) -> Change {
    Change::Elsewhere(Box::new(Change::Usage {
        project: project.to_owned(),
        resource: resource.to_owned(),
        in_use,
        reserved,
    }))
}

/// Marks as many of this flow's volumes as counted in the project's usage, the newest first, or with a negative number as
/// no longer counted.
fn book(tx: &mut Tx<'_>, project: &str, volumes: i64) -> Result<(), Fault> {
    let Some(flow) = tx.flow().filter(|_| volumes != 0) else {
        return Ok(());
    };
    let booked = volumes > 0;
    let ids: Vec<String> = tx
        .connection
        .prepare_cached(
            "UPDATE volumes SET booked = ?3 WHERE id IN (
                 SELECT id FROM volumes
                 WHERE flow = ?1 AND project_id = ?2 AND deleted = 0 AND booked <> ?3 ORDER BY id DESC LIMIT ?4)
             RETURNING id",
        )?
        .query_map(
            params![flow, project, booked, volumes.saturating_abs()],
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    for id in ids {
        let before = object([("booked", (!booked).into())]);
        tx.changed(
            Table::Volumes,
            &id,
            Some(before),
            Some(object([("booked", booked.into())])),
        );
    }
    Ok(())
}

/// Takes note of this flow's volumes that operators deleted with their quota.
fn note_deleted(tx: &mut Tx<'_>, project: &str) -> Result<(), Fault> {
    let ids: Vec<String> = tx
        .connection
        .prepare_cached(
            "SELECT id FROM volumes WHERE flow = ? AND project_id = ? AND returned = 1",
        )?
        .query_map(params![tx.flow(), project], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    ids.iter().for_each(|id| volumes::note_deleted(tx, id));
    Ok(())
}
