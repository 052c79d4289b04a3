//! Effects on quota: reserve, commit, roll back; and the count anew that may come before.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::effects::object;
use super::writer::{Fault, Tx, scalar};
use crate::clock::Timestamp;
use crate::effect::{Answer, Change, Expiry, QuotaCommit, QuotaReserve, QuotaRollback, Table};
use crate::error::TaskError;
use crate::quota::{Limit, Measure, Over, QuotaConfig, Resource, Usage, is_over, refresh_is_due};

/// The class whose limits apply to every project without its own.
const DEFAULT_CLASS: &str = "default";

impl Tx<'_> {
    /// The project whose quota is meant.
    fn quota_project<'b>(&'b self, named: Option<&'b String>) -> &'b str {
        named.unwrap_or(&self.by.requester.project_id)
    }
}

/// A caller must be somebody: a user of a project, or an admin.
pub(super) fn require_somebody(tx: &Tx<'_>) -> Result<(), Fault> {
    let caller = tx.by.requester;
    if caller.is_admin || !(caller.user_id.is_empty() || caller.project_id.is_empty()) {
        Ok(())
    } else {
        Err(not_authorized(
            "a quota belongs to a project, and the caller names no user or no project",
        ))
    }
}

fn not_authorized(message: impl Into<String>) -> Fault {
    TaskError::new("NotAuthorized", message).into()
}

// ---- Resources and limits ------------------------------------------------------------------------------------------

/// The resource of this name: one of the three, or one confined to a volume type, which may be deleted.
pub(super) fn resource(connection: &Connection, name: &str) -> rusqlite::Result<Option<Resource>> {
    for measure in Measure::ALL {
        let Some(rest) = name.strip_prefix(measure.as_str()) else {
            continue;
        };
        if rest.is_empty() {
            return Ok(Some(Resource {
                measure,
                volume_type: None,
            }));
        }
        let Some(type_name) = rest.strip_prefix('_') else {
            continue;
        };
        let id: Option<String> = scalar(
            connection,
            "SELECT id FROM volume_types WHERE name = ? ORDER BY deleted LIMIT 1",
            [type_name],
        )?;
        return Ok(id.map(|id| Resource {
            measure,
            volume_type: Some((id, type_name.to_owned())),
        }));
    }
    Ok(None)
}

/// Every resource: the three, and those of each volume type, deleted or not.
pub(super) fn resources(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Resource>> {
    let mut all = BTreeMap::new();
    let mut add = |volume_type: Option<(String, String)>| {
        for measure in Measure::ALL {
            let resource = Resource {
                measure,
                volume_type: volume_type.clone(),
            };
            all.insert(resource.name(), resource);
        }
    };
    add(None);
    let mut types =
        connection.prepare_cached("SELECT id, name FROM volume_types ORDER BY deleted DESC")?;
    let types = types.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for volume_type in types {
        add(Some(volume_type?));
    }
    Ok(all)
}

/// Where limits come from, for one project and class.
pub(super) struct Limits<'a> {
    pub(super) connection: &'a Connection,
    pub(super) config: &'a QuotaConfig,
    pub(super) project: &'a str,
    pub(super) class: Option<&'a str>,
}

impl Limits<'_> {
    /// The project's own row.
    pub(super) fn own(&self, resource: &str) -> rusqlite::Result<Option<Limit>> {
        self.row(
            "SELECT hard_limit FROM quotas WHERE project_id = ? AND resource = ?",
            self.project,
            resource,
        )
    }

    /// The row of a class.
    pub(super) fn of_class(&self, class: &str, resource: &str) -> rusqlite::Result<Option<Limit>> {
        self.row(
            "SELECT hard_limit FROM quota_classes WHERE class_name = ? AND resource = ?",
            class,
            resource,
        )
    }

    fn row(&self, statement: &str, owner: &str, resource: &str) -> rusqlite::Result<Option<Limit>> {
        let limit: Option<Option<i64>> = self
            .connection
            .prepare_cached(statement)?
            .query_row([owner, resource], |row| row.get(0))
            .optional()?;
        Ok(limit.map(Limit::from))
    }

    /// What the class `default` says, whether or not it counts, else what is configured: what stands in for the rows that
    /// another class lacks.
    pub(super) fn of_everybody(&self, resource: &Resource) -> rusqlite::Result<Limit> {
        let class = self.of_class(DEFAULT_CLASS, &resource.name())?;
        Ok(class.unwrap_or_else(|| self.config.default_limit(resource)))
    }

    /// What applies to everybody: the default class's row, else what is configured.
    pub(super) fn default(&self, resource: &Resource) -> rusqlite::Result<Limit> {
        let class = if self.config.use_default_class {
            self.of_class(DEFAULT_CLASS, &resource.name())?
        } else {
            None
        };
        Ok(class.unwrap_or_else(|| self.config.default_limit(resource)))
    }

    /// The limit that applies: the first of project, class, default.
    pub(super) fn get(&self, resource: &Resource) -> rusqlite::Result<Limit> {
        let name = resource.name();
        if let Some(limit) = self.own(&name)? {
            return Ok(limit);
        }
        if let Some(class) = self.class
            && let Some(limit) = self.of_class(class, &name)?
        {
            return Ok(limit);
        }
        self.default(resource)
    }
}

/// The limits that a caller may see of `project`. A class counts for the caller's own project only.
pub(super) fn limits_for<'a>(tx: &'a Tx<'_>, project: &'a str) -> Result<Limits<'a>, Fault> {
    let caller = tx.by.requester;
    let own = project == caller.project_id;
    if !own && !caller.is_admin {
        return Err(not_authorized(format!(
            "the quotas of project `{project}` are shown to that project and to admins only"
        )));
    }
    Ok(Limits {
        connection: tx.connection,
        config: &tx.env.config.quota,
        project,
        class: caller.quota_class.as_deref().filter(|_| own),
    })
}

// ---- Usages --------------------------------------------------------------------------------------------------------

pub(super) fn usage(
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

pub(super) fn usages(
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
fn move_usage(
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
    super::changes::apply(tx, &change)?;
    tx.changes.push(change);
    Ok(())
}

/// Counts what a project has of a resource, and marks the rows that count as booked.
///
/// A row counts when its quota was committed, and also when no live flow still has to commit it, unless it is in `error`:
/// then its quota was given back.
fn count(tx: &Tx<'_>, project: &str, resource: &Resource) -> rusqlite::Result<i64> {
    const COUNTS: &str = "deleted = 0 AND (booked = 1 OR (status <> 'error' AND (flow IS NULL OR EXISTS (
             SELECT 1 FROM flows WHERE flows.id = volumes.flow AND flows.state IN ('SUCCESS', 'FAILURE')))))";
    let connection = tx.connection;
    let volume_type = resource.volume_type.as_ref().map(|(id, _)| id.as_str());
    let volumes = |what: &str| -> rusqlite::Result<i64> {
        let statement = format!(
            "SELECT COALESCE({what}, 0) FROM volumes
             WHERE project_id = ?1 AND (?2 IS NULL OR volume_type_id = ?2) AND {COUNTS}"
        );
        Ok(scalar(connection, &statement, params![project, volume_type])?.unwrap_or(0))
    };
    // A snapshot is of its volume's type.
    let snapshots = |what: &str| -> rusqlite::Result<i64> {
        let statement = format!(
            "SELECT COALESCE({what}, 0) FROM snapshots
             WHERE project_id = ?1 AND deleted = 0 AND (?2 IS NULL OR EXISTS (
                 SELECT 1 FROM volumes WHERE volumes.id = snapshots.volume_id AND volumes.volume_type_id = ?2))"
        );
        Ok(scalar(connection, &statement, params![project, volume_type])?.unwrap_or(0))
    };
    let counted = match resource.measure {
        Measure::Volumes => volumes("COUNT(*)")?,
        Measure::Snapshots => snapshots("COUNT(*)")?,
        Measure::Gigabytes if tx.env.config.quota.no_snapshot_gigabytes => volumes("SUM(size)")?,
        Measure::Gigabytes => volumes("SUM(size)")? + snapshots("SUM(volume_size)")?,
    };
    if resource.measure != Measure::Snapshots {
        let statement = format!(
            "UPDATE volumes SET booked = 1
             WHERE project_id = ?1 AND (?2 IS NULL OR volume_type_id = ?2) AND booked = 0 AND {COUNTS}"
        );
        connection
            .prepare_cached(&statement)?
            .execute(params![project, volume_type])?;
    }
    Ok(counted)
}

/// Makes missing usages and counts those anew that are due. A repair: it stays whatever becomes of the reservation.
pub(super) fn refresh(tx: &Tx<'_>, reserve: &QuotaReserve) -> Result<(), Fault> {
    require_somebody(tx)?;
    let project = tx.quota_project(reserve.project.as_ref());
    let config = &tx.env.config.quota;
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
            new.in_use = count(tx, project, &resource)?;
            new.until_refresh = config.countdown();
        }
        write_usage(tx, project, &name, &old, &new)?;
    }
    Ok(())
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

// ---- Reservations --------------------------------------------------------------------------------------------------

pub(super) fn reserve(tx: &mut Tx<'_>, reserve: &QuotaReserve) -> Result<Answer, Fault> {
    let project = tx.quota_project(reserve.project.as_ref()).to_owned();
    let wanted = known(tx, reserve)?;
    let mut over = Over::default();
    {
        let limits = limits_for(tx, &project)?;
        for (name, resource) in &wanted {
            let delta = reserve.deltas[name];
            let limit = limits.get(resource)?;
            let usage = usage(tx.connection, &project, name)?.unwrap_or_default();
            if is_over(limit, delta, &usage) {
                over.overs.push(name.clone());
            }
            over.quotas.insert(name.clone(), limit);
        }
    }
    if !over.overs.is_empty() {
        over.usages = usages(tx.connection, &project)?;
        return Err(TaskError::from(over).into());
    }
    let expire = match reserve.expiry {
        Expiry::Default => tx.now.after(tx.env.config.quota.expiry()),
        Expiry::In(time) => tx.now.after(time),
        Expiry::At(time) => time,
    };
    let mut ids = Vec::with_capacity(wanted.len());
    for (name, _) in &wanted {
        let delta = reserve.deltas[name];
        check_giving_back(tx, name, delta)?;
        let id = uuid::Uuid::now_v7().to_string();
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
fn check_giving_back(tx: &Tx<'_>, resource: &str, delta: i64) -> Result<(), Fault> {
    let Some(flow) = tx.flow().filter(|_| delta < 0) else {
        return Ok(());
    };
    let balance: i64 = scalar(
        tx.connection,
        "SELECT COALESCE(SUM(delta), 0) FROM reservations
         WHERE flow = ? AND resource = ? AND (state = 'committed' OR (state = 'open' AND delta < 0))",
        params![flow, resource],
    )?
    .unwrap_or(0);
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

pub(super) fn commit(tx: &mut Tx<'_>, commit: &QuotaCommit) -> Result<Answer, Fault> {
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

pub(super) fn rollback(tx: &mut Tx<'_>, rollback: &QuotaRollback) -> Result<Answer, Fault> {
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
        .prepare_cached("SELECT id FROM volumes WHERE flow = ? AND deleted = 0 AND booked <> ?")?
        .query_map(params![flow, booked], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in ids {
        tx.connection
            .prepare_cached("UPDATE volumes SET booked = ? WHERE id = ?")?
            .execute(params![booked, id])?;
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
