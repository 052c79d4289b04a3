//! Records as operators read and change them: [`ReadRecords`] adds its questions to a [`View`](cairn_store::view::View),
//! [`OperateRecords`] its operations to an [`Admin`](cairn_store::admin::Admin). On the public interface of the store alone, in portable
//! SQL. Both are about the requester's project.

mod operate;
mod read;

pub use operate::OperateRecords;
pub use read::{ReadRecords, RecordListing};
