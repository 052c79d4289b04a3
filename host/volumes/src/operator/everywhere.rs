//! Operators' work on the quotas of one project or of all: each project is changed in a transaction of its own.

use cairn_model::id::Identity;
use cairn_store::projects::Left;
use cairn_store::view::{CheckResult, View};
use cairn_store::{HostStore, StoreError};

use super::{Expired, OperateVolumes as _, QUOTA_CHECK, ReadVolumes as _};
use crate::quota::Drift;

/// Usages that were compared with bookings and reservations.
#[derive(Debug)]
pub struct CheckedUsages {
    /// Those that differ.
    pub drift: Vec<Drift>,
    /// The result for [`Admin::note_checks`](cairn_store::admin::Admin::note_checks); `None` unless all projects were compared.
    pub result: Option<CheckResult>,
}

/// Usages that were set to the booked and reserved amounts.
#[derive(Debug, Default)]
pub struct SyncedUsages {
    /// Those that differed.
    pub mended: Vec<Drift>,
    /// The projects that were left as they are.
    pub left: Left,
}

/// Reservations past their expiry that were closed.
#[derive(Debug, Default)]
pub struct ExpiredReservations {
    /// How many.
    pub expired: Expired,
    /// The projects that were left as they are.
    pub left: Left,
}

/// Compares the usages of a project, or of all, with what is booked and reserved.
///
/// # Errors
/// `NotAuthorized` for other projects than the caller's own, unless the caller is admin; [`StoreError::Database`].
pub fn check_usages(view: &View<'_>, project: Option<&str>) -> Result<CheckedUsages, StoreError> {
    let (drift, now) = (view.quota_drift(project)?, view.now());
    let result = || CheckResult::new(QUOTA_CHECK, now, drift.len() as u64);
    Ok(CheckedUsages {
        result: project.is_none().then(result),
        drift,
    })
}

/// Sets the usages of a project, or of all that differ, to what is booked and reserved. The next status of the database compares them again.
///
/// # Errors
/// `AdminRequired`; [`StoreError::Elsewhere`] for a project that was named; [`StoreError::Database`].
pub fn sync_usages(
    store: &dyn HostStore,
    by: &Identity,
    project: Option<&str>,
    reason: Option<&str>,
) -> Result<SyncedUsages, StoreError> {
    let mut synced = SyncedUsages::default();
    if let Some(project) = project {
        synced.mended = store.admin(by, |admin| {
            admin.because(reason);
            admin.sync_project(project)
        })?;
    } else {
        for project in store.read(by, |view| view.drifting_projects())? {
            let done = synced.left.change(store, by, |admin| {
                admin.because(reason);
                admin.sync_project(&project)
            })?;
            synced.mended.extend(done.into_iter().flatten());
        }
    }
    store.admin(by, |admin| admin.forget_check(QUOTA_CHECK))?;
    Ok(synced)
}

/// Rolls back the reservations of a project, or of all, that are past their expiry and whose flows have ended.
///
/// # Errors
/// `AdminRequired`; [`StoreError::Elsewhere`] for a project that was named; [`StoreError::Database`].
pub fn expire_reservations(
    store: &dyn HostStore,
    by: &Identity,
    project: Option<&str>,
    reason: Option<&str>,
) -> Result<ExpiredReservations, StoreError> {
    let mut done = ExpiredReservations::default();
    if let Some(project) = project {
        done.expired = store.admin(by, |admin| {
            admin.because(reason);
            admin.expire_project(project)
        })?;
        return Ok(done);
    }
    for project in store.read(by, |view| view.expiring_projects())? {
        let expired = done.left.change(store, by, |admin| {
            admin.because(reason);
            admin.expire_project(&project)
        })?;
        done.expired += expired.unwrap_or_default();
    }
    Ok(done)
}
