//! Effects on quota: reserve, commit, roll back; whose limit applies, and the count anew that may come before.

mod booked;
mod limits;
mod reservation;
mod usage;

pub(in crate::store::sqlite) use booked::{current_drift, settle};
pub(in crate::store::sqlite) use limits::{Limits, limits_for, resource, resources};
pub(in crate::store::sqlite) use reservation::{
    commit, is_given_back, reserve, reserved_resources, rollback,
};
pub(in crate::store::sqlite) use usage::{refresh, usages};

use super::tx::{Fault, Tx};
use crate::error::TaskError;

impl Tx<'_> {
    /// The project whose quota is meant.
    fn quota_project<'b>(&'b self, named: Option<&'b String>) -> &'b str {
        named.unwrap_or(&self.by.requester.project_id)
    }
}

/// A caller must be somebody: a user of a project, or an admin.
pub(in crate::store::sqlite) fn require_somebody(tx: &Tx<'_>) -> Result<(), Fault> {
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
