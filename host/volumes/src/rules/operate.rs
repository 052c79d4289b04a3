//! Adds and deletes volumes and snapshots for operators, and books their quota.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::quota::{Measure, type_resource};
use cairn_model::error::TaskError;
use cairn_model::value::{Object, Value};

use super::scans;
use super::settings::settings;
use super::tables::{SNAPSHOT, Snapshot, VOLUME, Volume, VolumeType};
use super::volume::{may_see, not_found, visible};
use super::{Expiry, QuotaCommit, QuotaReserve, VolumeCreate, VolumeUpdate, volume};
use cairn_effects::rows::{AnyRow, Cell, Rows, Stop, Text};
use cairn_effects::rules::Effect as _;

/// Registers an existing volume in the caller's project, and books its quota.
///
/// # Errors
/// `InvalidInput`, `OverQuota`; [`Stop::Missing`].
pub fn create_volume(rows: &mut Rows<'_>, properties: Object) -> Result<Value, Stop> {
    let size = properties.get("size").and_then(Value::as_i64).unwrap_or(0);
    if size < 1 {
        let message = "a volume's `size` must be a whole number of GiB, at least 1";
        return Err(TaskError::new("InvalidInput", message).into());
    }
    let text = |column: &str| properties.get(column).and_then(Value::as_str);
    let project = Text::from(rows.by().requester.project_id.as_str());
    let volume_type = text("volume_type_id").map(Text::from);
    let host = text("host").map(Text::from);
    let amounts = [(Measure::Volumes, 1), (Measure::Gigabytes, size)];
    move_quota(rows, Some(&project), volume_type.as_ref(), &amounts)?;
    let made = volume::create(rows, &VolumeCreate { properties })?;
    let booked = Volume {
        booked: true,
        host,
        ..Volume::clone(&made)
    };
    Ok(Value::Object(shown(&rows.update(&made, booked))))
}

/// Sets `status` or `host` of a volume. Returns the volume before and after.
///
/// # Errors
/// `VolumeNotFound`, `InvalidInput`; [`Stop::Missing`].
pub fn update_volume(
    rows: &mut Rows<'_>,
    id: &str,
    changes: Object,
) -> Result<(Object, Value), Stop> {
    let volume = visible(rows, id)?;
    let before = shown(&volume);
    let update = VolumeUpdate {
        id: id.to_owned(),
        changes,
    };
    Ok((before, update.apply(rows)?))
}

fn shown(volume: &Volume) -> Object {
    let volume: &dyn AnyRow = volume;
    volume.shown(VOLUME)
}

/// Refuses to delete a volume that the caller cannot see or that has snapshots.
///
/// # Errors
/// `VolumeNotFound`, `VolumeInUse`; [`Stop::Missing`].
pub fn check_unused(rows: &mut Rows<'_>, id: &str) -> Result<(), Stop> {
    let volume = visible(rows, id)?;
    let snapshots = rows.select(&scans::SNAPSHOTS, vec![Cell::Text(Arc::clone(&volume.id))])?;
    if snapshots.is_empty() {
        return Ok(());
    }
    let message = format!("volume `{id}` has snapshots: delete them first");
    Err(TaskError::new("VolumeInUse", message).into())
}

/// Soft-deletes a volume, and returns its booked quota to the volume's project. A later rollback of the flow that created it does not
/// return the quota a second time. Returns what it was.
///
/// # Errors
/// `VolumeNotFound`; [`Stop::Missing`].
pub fn delete_volume(rows: &mut Rows<'_>, id: &str) -> Result<Object, Stop> {
    let volume = visible(rows, id)?;
    // Deleting it again would clear `returned`.
    if volume.deleted {
        return Err(not_found(id));
    }
    if volume.booked {
        let size = volume.size.unwrap_or(0).saturating_neg();
        move_quota(
            rows,
            volume.project_id.as_ref(),
            volume.volume_type_id.as_ref(),
            &[(Measure::Volumes, -1), (Measure::Gigabytes, size)],
        )?;
    }
    let deleted = Volume {
        status: "deleted".into(),
        deleted: true,
        booked: false,
        returned: volume.booked,
        version: volume.version + 1,
        deleted_at: Some(rows.now()),
        ..Volume::clone(&volume)
    };
    rows.update(&volume, deleted);
    Ok(shown(&volume))
}

/// Registers a snapshot of a volume in the volume's project, and books its quota there.
///
/// # Errors
/// `VolumeNotFound`, `OverQuota`; [`Stop::Missing`].
pub fn create_snapshot(
    rows: &mut Rows<'_>,
    volume_id: &str,
    name: Option<&str>,
    status: &str,
) -> Result<Object, Stop> {
    let volume = visible(rows, volume_id)?;
    let size = volume.size.unwrap_or(0);
    let gigabytes = match settings(rows).quota.no_snapshot_gigabytes {
        true => 0,
        false => size,
    };
    move_quota(
        rows,
        volume.project_id.as_ref(),
        volume.volume_type_id.as_ref(),
        &[(Measure::Snapshots, 1), (Measure::Gigabytes, gigabytes)],
    )?;
    let snapshot = Snapshot {
        id: rows.new_id(),
        project_id: volume.project_id.clone(),
        user_id: Some(rows.by().requester.user_id.as_str().into()),
        volume_id: Some(Arc::clone(&volume.id)),
        volume_size: Some(size),
        volume_type_id: volume.volume_type_id.clone(),
        status: status.into(),
        display_name: name.map(Text::from),
        encryption_key_id: volume.encryption_key_id.clone(),
        booked: true,
        created_at: rows.now(),
        booked_gigabytes: Some(gigabytes),
        ..Snapshot::default()
    };
    let snapshot = rows.insert(snapshot);
    let snapshot: &dyn AnyRow = &*snapshot;
    Ok(snapshot.shown(SNAPSHOT))
}

/// Soft-deletes a snapshot, and returns the quota that was booked at its creation, even if the settings have changed since. Returns
/// what it was; `None` if the caller cannot see such a snapshot.
///
/// # Errors
/// [`Stop::Missing`].
pub fn delete_snapshot(rows: &mut Rows<'_>, id: &str) -> Result<Option<Object>, Stop> {
    let Some(snapshot) = rows.get::<Snapshot>(id)? else {
        return Ok(None);
    };
    if !may_see(rows, snapshot.project_id.as_deref(), snapshot.deleted) {
        return Ok(None);
    }
    if snapshot.booked {
        let unknown = match settings(rows).quota.no_snapshot_gigabytes {
            true => 0,
            false => snapshot.volume_size.unwrap_or(0),
        };
        let gigabytes = snapshot.booked_gigabytes.unwrap_or(unknown);
        move_quota(
            rows,
            snapshot.project_id.as_ref(),
            snapshot.volume_type_id.as_ref(),
            &[
                (Measure::Snapshots, -1),
                (Measure::Gigabytes, gigabytes.saturating_neg()),
            ],
        )?;
    }
    let deleted = Snapshot {
        status: "deleted".into(),
        deleted: true,
        booked: false,
        deleted_at: Some(rows.now()),
        ..Snapshot::clone(&snapshot)
    };
    rows.update(&snapshot, deleted);
    let snapshot: &dyn AnyRow = &*snapshot;
    Ok(Some(snapshot.shown(SNAPSHOT)))
}

/// Reserves and commits amounts of a project's quota, and of its volume type's; negative amounts return quota. Does nothing without a
/// project.
fn move_quota(
    rows: &mut Rows<'_>,
    project: Option<&Text>,
    volume_type: Option<&Text>,
    amounts: &[(Measure, i64)],
) -> Result<(), Stop> {
    let Some(project) = project else {
        return Ok(());
    };
    let volume_type = match volume_type {
        Some(id) => rows.find::<VolumeType>(|row| row.id == *id)?,
        None => None,
    };
    let mut deltas = BTreeMap::new();
    for (measure, amount) in amounts {
        deltas.insert(measure.as_str().to_owned(), *amount);
        if let Some(own) = &volume_type {
            deltas.insert(type_resource(measure.as_str(), &own.name), *amount);
        }
    }
    let project = Some(project.to_string());
    let reserve = QuotaReserve {
        project: project.clone(),
        deltas,
        expiry: Expiry::Default,
    };
    let reservations = reserve.apply(rows)?;
    let commit = QuotaCommit {
        reservations,
        project,
    };
    commit.apply(rows)
}
