//! Quota as operators read and change it: limits, usages, what usages should say, and reservations that lapsed.

mod booked;
mod expire;
mod limits;
mod sync;
mod usage;

pub use expire::Expired;
pub use usage::{Quota, QuotaUsage};

pub(super) use booked::current_drift;
pub(super) use expire::expire;
pub(super) use limits::{Limits, Whose, resources, set_limit};
pub(super) use sync::sync;
pub(super) use usage::{destroy, usages};
