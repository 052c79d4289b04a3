//! Quota as operators read it: limits, usages, and what usages should say.

mod booked;
mod limits;
mod usage;

pub(super) use booked::{current_drift, settle};
pub(super) use limits::{Limits, limits_for, resource, resources};
pub(super) use usage::usages;

use cairn_model::error::TaskError;

use super::tx::Fault;

fn not_authorized(message: impl Into<String>) -> Fault {
    TaskError::new("NotAuthorized", message).into()
}
