//! Reads, changes and recounts usages.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::quota::{Measure, Resource, Usage, refresh_is_due, type_resource};
use cairn_model::error::TaskError;

use super::limits::{not_authorized, own_project, resource, type_name};
use super::scans;
use super::settings::settings;
use super::tables::{ProjectLimit, QuotaUsage, Snapshot};
use cairn_effects::effect::{Change, counts};
use cairn_effects::rows::{Cell, Key, Row as _, RowId, Rows, Stop, Text};

/// Refuses a caller without a user or without a project, unless it is admin.
///
/// # Errors
/// `NotAuthorized`.
pub fn require_user_and_project(rows: &Rows<'_>) -> Result<(), Stop> {
    let caller = rows.by().requester;
    if caller.is_admin || !(caller.user_id.is_empty() || caller.project_id.is_empty()) {
        return Ok(());
    }
    Err(not_authorized(
        "a quota belongs to a project, and the caller names no user or no project",
    ))
}

/// Returns the named project, or the caller's own.
pub(super) fn quota_project(rows: &Rows<'_>, named: Option<&String>) -> Text {
    let own = &rows.by().requester.project_id;
    named.unwrap_or(own).as_str().into()
}

impl QuotaUsage {
    fn counters(&self) -> Usage {
        Usage {
            in_use: self.in_use,
            reserved: self.reserved,
            until_refresh: self.until_refresh,
            updated_at: self.updated_at,
        }
    }
}

/// Returns all usages of a project.
pub(super) fn usages(rows: &mut Rows<'_>, project: &Text) -> Result<BTreeMap<String, Usage>, Stop> {
    let usages = rows.select(&scans::USAGES, vec![Cell::Text(Arc::clone(project))])?;
    let usages = usages.iter();
    Ok(usages
        .map(|row| (row.resource.to_string(), row.counters()))
        .collect())
}

/// Adds to the counters of an existing usage, and notes the change. Does nothing if both amounts are zero.
///
/// # Errors
/// `QuotaOutOfRange` when the usage does not exist, or a counter cannot hold the sum.
pub(super) fn move_usage(
    rows: &mut Rows<'_>,
    project: &Text,
    resource: &Text,
    in_use: i64,
    reserved: i64,
) -> Result<(), Stop> {
    if in_use == 0 && reserved == 0 {
        return Ok(());
    }
    let id = RowId::of::<QuotaUsage>([Arc::clone(project), Arc::clone(resource)]);
    rows.count_by(&id, [("in_use", in_use), ("reserved", reserved)])?;
    rows.note(change(project, resource, in_use, reserved));
    Ok(())
}

pub(super) fn change(project: &Text, resource: &Text, in_use: i64, reserved: i64) -> Change {
    Change::Count {
        table: QuotaUsage::TABLE.name.into(),
        key: Key::from([Arc::clone(project), Arc::clone(resource)]),
        by: counts([("in_use", in_use), ("reserved", reserved)]),
    }
}

/// A requested resource and its usage.
pub(super) struct Wanted {
    pub(super) name: Text,
    pub(super) delta: i64,
    pub(super) resource: Resource,
    pub(super) usage: Usage,
}

/// Creates missing usages and recounts those that are due. This is a repair: it is kept even if the reservation is refused.
pub(super) fn refresh(
    rows: &mut Rows<'_>,
    project: &Text,
    deltas: &BTreeMap<String, i64>,
) -> Result<Vec<Wanted>, Stop> {
    require_user_and_project(rows)?;
    let known = known(rows, deltas)?;
    if !known.is_empty() {
        // Checks that the caller may see the limits, before anything is written.
        own_project(rows, project)?;
    }
    let keys = known.iter().flat_map(|(name, ..)| {
        let key = || [Arc::clone(project), Arc::clone(name)];
        [
            RowId::of::<QuotaUsage>(key()),
            RowId::of::<ProjectLimit>(key()),
        ]
    });
    rows.prefetch(keys.collect::<Vec<_>>())?;
    let config = &settings(rows).quota;
    let mut wanted = Vec::with_capacity(known.len());
    let mut counted = None;
    for (name, delta, resource) in known {
        let found = rows.get::<QuotaUsage>([Arc::clone(project), Arc::clone(&name)])?;
        let (is_new, old) = match found {
            Some(usage) => (false, usage),
            None => {
                let usage = QuotaUsage {
                    project_id: Arc::clone(project),
                    resource: Arc::clone(&name),
                    until_refresh: config.countdown(),
                    ..QuotaUsage::default()
                };
                (true, rows.insert(usage))
            }
        };
        let mut usage = old.counters();
        if is_new || refresh_is_due(&mut usage, config, rows.now()) {
            let counted = match &mut counted {
                Some(counted) => counted,
                none => none.insert(booked(rows, project)?),
            };
            usage.in_use = counted.get(&*name).copied().unwrap_or(0);
            usage.until_refresh = config.countdown();
        }
        if usage != old.counters() {
            let new = QuotaUsage {
                in_use: usage.in_use,
                reserved: usage.reserved,
                until_refresh: usage.until_refresh,
                // Its age starts at zero again.
                updated_at: Some(rows.now()),
                ..QuotaUsage::clone(&old)
            };
            rows.update(&old, new);
        }
        wanted.push(Wanted {
            name,
            delta,
            resource,
            usage,
        });
    }
    rows.keep();
    Ok(wanted)
}

/// Returns the requested resources.
///
/// # Errors
/// `QuotaResourceUnknown` with all those that do not exist.
fn known(
    rows: &mut Rows<'_>,
    deltas: &BTreeMap<String, i64>,
) -> Result<Vec<(Text, i64, Resource)>, Stop> {
    let mut known = Vec::with_capacity(deltas.len());
    let mut unknown = Vec::new();
    for (name, delta) in deltas {
        match resource(rows, name)? {
            Some(resource) => known.push((name.as_str().into(), *delta, resource)),
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

/// Sums by resource; 128 bits hold any sum.
#[derive(Default)]
struct Sums(BTreeMap<String, i128>);

impl Sums {
    /// Adds to the resource of a measure and to that of a volume type.
    fn add(&mut self, measure: Measure, type_name: Option<&str>, amount: i128) {
        let whole = measure.as_str();
        *self.0.entry(whole.to_owned()).or_default() += amount;
        if let Some(name) = type_name {
            *self.0.entry(type_resource(whole, name)).or_default() += amount;
        }
    }

    /// Returns the sums, clamped to 64 bits.
    fn counters(self) -> BTreeMap<String, i64> {
        let counter = |sum: i128| {
            let most = if sum < 0 { i64::MIN } else { i64::MAX };
            i64::try_from(sum).unwrap_or(most)
        };
        let sums = self.0.into_iter();
        sums.map(|(name, sum)| (name, counter(sum))).collect()
    }
}

/// Counts what is booked in one project: resource -> `in_use`. Fills `booked_gigabytes` of snapshots that lack it. Usages are named
/// after types, so rows of a deleted type count for the type that has its name now.
fn booked(rows: &mut Rows<'_>, project: &Text) -> Result<BTreeMap<String, i64>, Stop> {
    let parameters = || vec![Cell::Text(Arc::clone(project))];
    let volumes = rows.count(&scans::BOOKED_VOLUMES, parameters())?;
    let leaves_out = settings(rows).quota.no_snapshot_gigabytes;
    let snapshots = rows.count(&scans::BOOKED_SNAPSHOTS, parameters())?;
    let unknown = rows.select(&scans::UNSETTLED_SNAPSHOTS, parameters())?;
    let mut sums = Sums::default();
    for (group, number) in &volumes {
        let [volume_type, size] = group.as_slice() else {
            continue;
        };
        let name = type_name(rows, volume_type)?;
        let gigabytes = i128::from(number_of(size).unwrap_or(0)) * i128::from(*number);
        sums.add(Measure::Volumes, name.as_deref(), (*number).into());
        sums.add(Measure::Gigabytes, name.as_deref(), gigabytes);
    }
    let of_snapshot = |booked: Option<i64>, size: Option<i64>| match (booked, leaves_out) {
        (Some(booked), _) => booked,
        (None, true) => 0,
        (None, false) => size.unwrap_or(0),
    };
    for (group, number) in &snapshots {
        let [volume_type, booked, size] = group.as_slice() else {
            continue;
        };
        let name = type_name(rows, volume_type)?;
        let gigabytes = of_snapshot(number_of(booked), number_of(size));
        let gigabytes = i128::from(gigabytes) * i128::from(*number);
        sums.add(Measure::Snapshots, name.as_deref(), (*number).into());
        sums.add(Measure::Gigabytes, name.as_deref(), gigabytes);
    }
    for snapshot in unknown {
        let settled = Snapshot {
            booked_gigabytes: Some(of_snapshot(None, snapshot.volume_size)),
            ..Snapshot::clone(&snapshot)
        };
        rows.update(&snapshot, settled);
    }
    Ok(sums.counters())
}

fn number_of(cell: &Cell) -> Option<i64> {
    match cell {
        Cell::Int(number) => Some(*number),
        _ => None,
    }
}
