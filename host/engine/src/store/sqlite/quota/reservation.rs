//! Reservations: holding quota, and turning what is held into usage or giving it up.

use rusqlite::{Connection, OptionalExtension, params};

use super::usage::{Wanted, move_usage, usages};
use super::{limits_for, require_somebody};
use crate::effect::{Answer, Expiry, QuotaCommit, QuotaReserve, QuotaRollback, Table};
use crate::error::TaskError;
use crate::quota::{Measure, Over, is_over};
use crate::store::sqlite::effects::object;
use crate::store::sqlite::tx::{Fault, Tx, scalar};

/// Holds what is wanted, whose usages are as [`refresh`](super::refresh) left them.
pub(in super::super) fn reserve(
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

/// Whether a flow has given back what it committed with this reservation, so that undoing the commit would give it back
/// twice.
pub(in super::super) fn is_given_back(connection: &Connection, id: &str) -> rusqlite::Result<bool> {
    let row: Option<(Option<[u8; 16]>, String, String, i64)> = connection
        .prepare_cached("SELECT flow, project_id, resource, delta FROM reservations WHERE id = ?")?
        .query_row([id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    match row {
        Some((Some(flow), project, resource, delta)) if delta > 0 => {
            Ok(committed(connection, flow, &project, &resource)? < delta)
        }
        _ => Ok(false),
    }
}

/// An open reservation that the caller may close.
struct Open {
    id: String,
    resource: String,
    delta: i64,
}

/// Those of `ids` that are open, of `project`, and this flow's; the others are as if they did not exist.
fn open(tx: &mut Tx<'_>, ids: &[String], project: &str) -> Result<Vec<Open>, Fault> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let row = tx
            .connection
            .prepare_cached(
                "SELECT resource, delta, project_id, flow, state FROM reservations WHERE id = ?",
            )?
            .query_row([id], |row| {
                let open = Open {
                    id: id.clone(),
                    resource: row.get(0)?,
                    delta: row.get(1)?,
                };
                let owner: (String, Option<[u8; 16]>) = (row.get(2)?, row.get(3)?);
                Ok((open, owner, row.get::<_, String>(4)?))
            })
            .optional()?;
        let Some((reservation, (owner, flow), state)) = row else {
            continue;
        };
        if owner != project || (tx.by.call.is_some() && flow != tx.flow()) {
            tx.denied.push(("reservation", id.clone()));
        } else if state == "open" {
            found.push(reservation);
        }
    }
    Ok(found)
}

/// The resource of each of `ids` that is open and this flow's.
pub(in super::super) fn reserved_resources(
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

fn close(tx: &mut Tx<'_>, id: &str, state: &'static str) -> Result<(), Fault> {
    tx.connection
        .prepare_cached("UPDATE reservations SET state = ? WHERE id = ?")?
        .execute([state, id])?;
    let before = object([("state", "open".into())]);
    tx.changed(
        Table::Reservations,
        id,
        Some(before),
        Some(object([("state", state.into())])),
    );
    Ok(())
}

pub(in super::super) fn commit(tx: &mut Tx<'_>, commit: &QuotaCommit) -> Result<Answer, Fault> {
    require_somebody(tx)?;
    let project = tx.quota_project(commit.project.as_ref()).to_owned();
    for reservation in open(tx, &commit.reservations, &project)? {
        let delta = reservation.delta;
        close(tx, &reservation.id, "committed")?;
        move_usage(tx, &project, &reservation.resource, delta, -delta.max(0))?;
        if reservation.resource == Measure::Volumes.as_str() && delta != 0 {
            book(tx, delta > 0)?;
        }
    }
    Ok(Answer::Done)
}

pub(in super::super) fn rollback(
    tx: &mut Tx<'_>,
    rollback: &QuotaRollback,
) -> Result<Answer, Fault> {
    require_somebody(tx)?;
    let project = tx.quota_project(rollback.project.as_ref()).to_owned();
    for reservation in open(tx, &rollback.reservations, &project)? {
        close(tx, &reservation.id, "rolled_back")?;
        move_usage(
            tx,
            &project,
            &reservation.resource,
            0,
            -reservation.delta.max(0),
        )?;
    }
    Ok(Answer::Done)
}

/// Marks this flow's volumes as counted in the usage, or no longer.
fn book(tx: &mut Tx<'_>, booked: bool) -> Result<(), Fault> {
    let Some(flow) = tx.flow() else {
        return Ok(());
    };
    let ids: Vec<String> = tx
        .connection
        .prepare_cached(
            "UPDATE volumes SET booked = ?2 WHERE flow = ?1 AND deleted = 0 AND booked <> ?2 RETURNING id",
        )?
        .query_map(params![flow, booked], |row| row.get(0))?
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
