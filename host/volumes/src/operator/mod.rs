//! Lets operators read and change block storage: [`ReadVolumes`] adds queries to a [`View`](cairn_store::view::View),
//! [`OperateVolumes`] adds operations to an [`Admin`](cairn_store::admin::Admin). Uses portable SQL and the public interface of the
//! store only.

mod catalogue;
mod check;
mod everywhere;
pub mod kind;
mod operate;
mod quota;
mod read;
mod record;

pub use check::{QUOTA_CHECK, quota_check};

pub use everywhere::{
    CheckedUsages, ExpiredReservations, SyncedUsages, check_usages, expire_reservations,
    sync_usages,
};

pub use catalogue::{NewEncryption, NewImage, NewQosSpecs, NewVolumeType};
pub use operate::OperateVolumes;
pub use quota::{Expired, Quota, QuotaUsage};
pub use read::ReadVolumes;
