//! Reads and changes quotas for operators: limits, usages, their drift, and expired reservations.

mod booked;
mod expire;
mod limits;
mod sync;
mod usage;

pub use expire::Expired;
pub use usage::{Quota, QuotaUsage};

pub(super) use booked::{current_drift, drifting};
pub(super) use expire::{expire, expiring};
pub(super) use limits::{Limits, Whose, resources, set_limit, unset_limit};
pub(super) use sync::sync;
pub(super) use usage::{destroy, usages};
