//! Lets operators read and change records of the requester's project: [`ReadRecords`] adds queries to a
//! [`View`](cairn_store::view::View), [`OperateRecords`] adds operations to an [`Admin`](cairn_store::admin::Admin). Uses portable SQL
//! and the public interface of the store only.

mod operate;
mod read;

pub use operate::OperateRecords;
pub use read::{ReadRecords, RecordListing};
