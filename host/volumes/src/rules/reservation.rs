//! Reserves quota, commits reservations into usage, and rolls them back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::quota::{Measure, Over, Resource, is_over};
use cairn_model::clock::Timestamp;
use cairn_model::error::{HostErrorKind, TaskError};

use cairn_model::value::Value;
use serde_json::json;

use super::limits::{limit, own_project, resource};
use super::settings::settings;
use super::tables::{Reservation, Volume, VolumeType};
use super::usage::{
    Wanted, change, move_usage, quota_project, refresh, require_user_and_project, usages,
};
use super::volume::{note_deleted, object};
use cairn_effects::effect::Change;
use cairn_effects::rows::{Inverse, Row as _, RowId, Rows, Stop, Text, Undo};
use cairn_effects::rules::Effect;

/// Reserves `deltas` of a project's quota: all of them, or none.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotaReserve {
    /// The project; the caller's own when `None`.
    pub project: Option<String>,
    /// Resource -> amount: a count, or GiB for `gigabytes*`. A negative amount returns quota.
    pub deltas: BTreeMap<String, i64>,
    /// The time at which it expires.
    pub expiry: Expiry,
}

/// The time at which a reservation expires.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Expiry {
    /// After the configured time.
    #[default]
    Default,
    /// This long from now.
    In(Duration),
    /// At this point in time.
    At(Timestamp),
}

/// Commits reservations into usage. Skips ids that are closed, unknown, or of another flow or project.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotaCommit {
    /// Ids of reservations.
    pub reservations: Vec<String>,
    /// The project; the caller's own when `None`.
    pub project: Option<String>,
}

/// Rolls reservations back. Skips ids that are closed, unknown, or of another flow or project.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotaRollback {
    /// Ids of reservations.
    pub reservations: Vec<String>,
    /// The project; the caller's own when `None`.
    pub project: Option<String>,
}

impl Effect for QuotaReserve {
    const NAME: &'static str = "quota_reserve";
    const FUNCTION: &'static str = "quota.reserve";
    /// Ids of the new reservations, in order of their resources' names.
    type Answer = Vec<String>;

    fn arguments(&self) -> Value {
        json!({"deltas": self.deltas})
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<Vec<String>, Stop> {
        reserve(rows, self)
    }

    fn new_ids(ids: &Vec<String>) -> Vec<String> {
        ids.clone()
    }
}

impl Effect for QuotaCommit {
    const NAME: &'static str = "quota_commit";
    const FUNCTION: &'static str = "quota.commit";
    type Answer = ();

    fn arguments(&self) -> Value {
        json!({"reservations": self.reservations})
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<(), Stop> {
        commit(rows, self)
    }
}

impl Effect for QuotaRollback {
    const NAME: &'static str = "quota_rollback";
    const FUNCTION: &'static str = "quota.rollback";
    type Answer = ();

    fn arguments(&self) -> Value {
        json!({"reservations": self.reservations})
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<(), Stop> {
        rollback(rows, self)
    }
}

/// Refreshes usages that are due, checks the limits, and inserts the reservations.
pub(super) fn reserve(rows: &mut Rows<'_>, reserve: &QuotaReserve) -> Result<Vec<String>, Stop> {
    let project = quota_project(rows, reserve.project.as_ref());
    let wanted = refresh(rows, &project, &reserve.deltas)?;
    own_project(rows, &project)?;
    let mut over = Over::default();
    for Wanted {
        name,
        delta,
        resource,
        usage,
    } in &wanted
    {
        let limit = limit(rows, &project, name, resource)?;
        if is_over(limit, *delta, usage) {
            over.overs.push(name.to_string());
        }
        over.quotas.insert(name.to_string(), limit);
    }
    if !over.overs.is_empty() {
        over.usages = usages(rows, &project)?;
        return Err(TaskError::from(over).into());
    }
    for wanted in &wanted {
        check_giving_back(rows, &project, wanted)?;
    }
    let expire = match reserve.expiry {
        Expiry::Default => rows.now().after(settings(rows).quota.expiry()),
        Expiry::In(time) => rows.now().after(time),
        Expiry::At(time) => time,
    };
    let mut ids = Vec::with_capacity(wanted.len());
    for Wanted { name, delta, .. } in wanted {
        let reservation = Reservation {
            id: rows.new_id(),
            project_id: Arc::clone(&project),
            resource: Arc::clone(&name),
            delta,
            state: "open".into(),
            expire,
            flow: rows.by().call.map(|call| call.flow),
            created_at: rows.now(),
        };
        let reservation = rows.insert(reservation);
        rows.note(Change::Row {
            table: Reservation::TABLE.name.into(),
            id: Text::clone(&reservation.id).into(),
            before: None,
            after: Some(object([("state", "open".into())])),
        });
        move_usage(rows, &project, &name, 0, delta.max(0))?;
        ids.push(reservation.id.to_string());
    }
    Ok(ids)
}

/// Refuses a flow's reservation that would return more than the flow has committed.
fn check_giving_back(rows: &mut Rows<'_>, project: &str, wanted: &Wanted) -> Result<(), Stop> {
    let Wanted { name, delta, .. } = wanted;
    if *delta >= 0 || rows.by().call.is_none() {
        return Ok(());
    }
    let balance = committed(rows, project, name)?;
    if balance.saturating_add(*delta) >= 0 {
        return Ok(());
    }
    let message = format!(
        "this flow has committed {balance} of `{name}` and cannot give back {}",
        delta.unsigned_abs()
    );
    Err(TaskError::new("QuotaGiveBackExceeded", message)
        .with("resource", &**name)
        .with("committed", balance)
        .into())
}

/// Returns this flow's reservations of a project's resource.
fn of_flow(
    rows: &mut Rows<'_>,
    project: &str,
    resource: &str,
) -> Result<Vec<Arc<Reservation>>, Stop> {
    let mut found = rows.of_flow::<Reservation>()?;
    let flow = rows.by().call.map(|call| call.flow);
    found.retain(|row| {
        row.flow == flow && &*row.project_id == project && &*row.resource == resource
    });
    Ok(found)
}

/// Returns the amount of a project's resource that this flow has committed, less what it returned or has reserved to return.
fn committed(rows: &mut Rows<'_>, project: &str, resource: &str) -> Result<i64, Stop> {
    let found = of_flow(rows, project, resource)?;
    let counts = found
        .iter()
        .filter(|row| &*row.state == "committed" || (&*row.state == "open" && row.delta < 0));
    Ok(counts.fold(0, |sum: i64, row| sum.saturating_add(row.delta)))
}

/// Returns the amount of a project's resource that operators returned when they deleted volumes of this flow: see
/// [`delete_volume`](super::operate::delete_volume).
fn returned(rows: &mut Rows<'_>, project: &str, name: &str) -> Result<i64, Stop> {
    let Some(Resource {
        measure,
        volume_type,
    }) = resource(rows, name)?
    else {
        return Ok(0);
    };
    if measure == Measure::Snapshots {
        return Ok(0);
    }
    let mut sum: i64 = 0;
    for volume in returned_volumes(rows, project)? {
        if let Some((_, name)) = &volume_type {
            let own = volume.volume_type_id.clone();
            let is_named = |row: &VolumeType| Some(&row.id) == own.as_ref() && *row.name == **name;
            if rows.find::<VolumeType>(is_named)?.is_none() {
                continue;
            }
        }
        sum = sum.saturating_add(match measure {
            Measure::Volumes => 1,
            _ => volume.size.unwrap_or(0),
        });
    }
    Ok(sum)
}

/// Returns the volumes of this flow that operators deleted, returning their quota.
fn returned_volumes(rows: &mut Rows<'_>, project: &str) -> Result<Vec<Arc<Volume>>, Stop> {
    let mut volumes = made(rows, project)?;
    volumes.retain(|row| row.returned);
    Ok(volumes)
}

/// Returns the volumes of a project that this flow created.
fn made(rows: &mut Rows<'_>, project: &str) -> Result<Vec<Arc<Volume>>, Stop> {
    let mut volumes = rows.of_flow::<Volume>()?;
    let flow = rows.by().call.map(|call| call.flow);
    volumes.retain(|row| row.flow == flow && row.project_id.as_deref() == Some(project));
    Ok(volumes)
}

/// Returns whether the flow or an operator has returned quota that this reservation committed, so that undoing the commit would return
/// it twice.
fn is_given_back(rows: &mut Rows<'_>, id: &str) -> Result<bool, Stop> {
    let Some(reservation) = rows.get::<Reservation>(id)? else {
        return Ok(false);
    };
    if reservation.flow.is_none() || reservation.delta <= 0 {
        return Ok(false);
    }
    let (project, resource) = (&reservation.project_id, &reservation.resource);
    let committed = committed(rows, project, resource)?;
    let returned = returned(rows, project, resource)?;
    Ok(committed.saturating_sub(returned) < reservation.delta)
}

/// Refuses to undo a commit whose quota was returned since.
pub(super) fn undo(rows: &mut Rows<'_>, inverse: &Inverse<'_>) -> Result<Undo, Stop> {
    let undo = inverse.compare()?;
    let state = inverse.wrote.and_then(|wrote| wrote.get("state"));
    let id = inverse.id.key.first();
    if state.is_some_and(|state| state == "committed") && is_given_back(rows, id)? {
        let message = format!("the quota that reservation `{id}` committed was returned since");
        return Err(TaskError::host(HostErrorKind::UndoRefused, message).into());
    }
    Ok(undo)
}

/// Returns the part of a negative reservation that an operator has already returned.
fn already_returned(rows: &mut Rows<'_>, reservation: &Reservation) -> Result<i64, Stop> {
    if reservation.delta >= 0 || rows.by().call.is_none() {
        return Ok(0);
    }
    let (project, resource) = (&reservation.project_id, &reservation.resource);
    let returned = returned(rows, project, resource)?;
    if returned == 0 {
        return Ok(0);
    }
    let (mut committed, mut before) = (0_i64, 0_i64);
    for row in of_flow(rows, project, resource)? {
        if &*row.state == "committed" {
            committed = committed.saturating_add(row.delta.max(0));
            before = before.saturating_add(row.delta.saturating_neg().max(0));
        }
    }
    // The flow's own part counts first; the rest was already returned by operators.
    let own = committed.saturating_sub(returned).max(0);
    let after = before.saturating_sub(reservation.delta);
    let moves = after.min(own) - before.min(own);
    Ok((-reservation.delta).saturating_sub(moves))
}

/// Returns a reservation of `project` and, in a call, of this flow. Others are treated as missing and noted as denied.
fn own(rows: &mut Rows<'_>, id: &str, project: &str) -> Result<Option<Arc<Reservation>>, Stop> {
    let Some(found) = rows.get::<Reservation>(id)? else {
        return Ok(None);
    };
    let call = rows.by().call;
    if &*found.project_id != project || call.is_some_and(|call| found.flow != Some(call.flow)) {
        rows.deny("reservation", id);
        return Ok(None);
    }
    Ok(Some(found))
}

/// Returns the resource of each of `ids` that is open and belongs to this flow.
pub(super) fn reserved_resources(rows: &mut Rows<'_>, ids: &[String]) -> Result<Vec<String>, Stop> {
    let flow = rows.by().call.map(|call| call.flow);
    fetch(rows, ids)?;
    let mut found = Vec::new();
    for id in ids {
        let row = rows.get::<Reservation>(id.as_str())?;
        let row = row.filter(|row| flow.is_some() && row.flow == flow && &*row.state == "open");
        found.extend(row.map(|row| row.resource.to_string()));
    }
    Ok(found)
}

/// Prefetches reservations in one request.
fn fetch(rows: &mut Rows<'_>, ids: &[String]) -> Result<(), Stop> {
    rows.prefetch(ids.iter().map(|id| RowId::of::<Reservation>(id.as_str())))
}

fn close(rows: &mut Rows<'_>, reservation: &Arc<Reservation>, state: &str) {
    rows.note(Change::Row {
        table: Reservation::TABLE.name.into(),
        id: Text::clone(&reservation.id).into(),
        before: Some(object([("state", (&*reservation.state).into())])),
        after: Some(object([("state", state.into())])),
    });
    let closed = Reservation {
        state: state.into(),
        ..Reservation::clone(reservation)
    };
    rows.update(reservation, closed);
}

/// Commits reservations into usage. Quota that an operator has already returned moves no counter a second time, but is noted as a
/// change made elsewhere.
pub(super) fn commit(rows: &mut Rows<'_>, commit: &QuotaCommit) -> Result<(), Stop> {
    require_user_and_project(rows)?;
    let project = quota_project(rows, commit.project.as_ref());
    fetch(rows, &commit.reservations)?;
    // An id that is listed twice is open only the first time.
    for id in &commit.reservations {
        let found = own(rows, id, &project)?;
        let Some(reservation) = found.filter(|row| &*row.state == "open") else {
            continue;
        };
        let (delta, resource) = (reservation.delta, &reservation.resource);
        let returned = already_returned(rows, &reservation)?;
        let moves = delta.saturating_add(returned);
        close(rows, &reservation, "committed");
        move_usage(rows, &project, resource, moves, -delta.max(0))?;
        if returned != 0 {
            rows.note(elsewhere(&project, resource, -returned, 0));
        }
        if **resource == *Measure::Volumes.as_str() {
            book(rows, &project, moves)?;
            if returned != 0 {
                for volume in returned_volumes(rows, &project)? {
                    note_deleted(rows, &volume.id);
                }
            }
        }
    }
    Ok(())
}

/// Rolls reservations back. A flow's reservation that an operator has expired reserves nothing any more; this is noted as a change made
/// elsewhere.
fn rollback(rows: &mut Rows<'_>, rollback: &QuotaRollback) -> Result<(), Stop> {
    require_user_and_project(rows)?;
    let project = quota_project(rows, rollback.project.as_ref());
    fetch(rows, &rollback.reservations)?;
    for id in &rollback.reservations {
        let Some(reservation) = own(rows, id, &project)? else {
            continue;
        };
        let held = reservation.delta.max(0);
        if &*reservation.state == "open" {
            close(rows, &reservation, "rolled_back");
            move_usage(rows, &project, &reservation.resource, 0, -held)?;
        } else if &*reservation.state == "expired" && rows.by().call.is_some() {
            close(rows, &reservation, "rolled_back");
            rows.note(elsewhere(&project, &reservation.resource, 0, -held));
        }
    }
    Ok(())
}

/// Returns a change of a usage that an operator made.
fn elsewhere(project: &Text, resource: &Text, in_use: i64, reserved: i64) -> Change {
    Change::Elsewhere(Box::new(change(project, resource, in_use, reserved)))
}

/// Marks this many of the flow's volumes as booked in the project's usage, newest first; a negative number marks them as not booked.
fn book(rows: &mut Rows<'_>, project: &Text, number: i64) -> Result<(), Stop> {
    if number == 0 || rows.by().call.is_none() {
        return Ok(());
    }
    let booked = number > 0;
    let mut volumes = made(rows, project)?;
    volumes.retain(|row| !row.deleted && row.booked != booked);
    volumes.sort_by(|one, two| two.id.cmp(&one.id));
    volumes.truncate(usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX));
    for volume in volumes.into_iter().rev() {
        let changed = Volume {
            booked,
            ..Volume::clone(&volume)
        };
        rows.update(&volume, changed);
        super::volume::note(
            rows,
            &volume.id,
            Some(object([("booked", (!booked).into())])),
            Some(object([("booked", booked.into())])),
        );
    }
    Ok(())
}
