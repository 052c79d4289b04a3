//! Block storage as operators read and change it: [`ReadVolumes`] adds its questions to a [`View`](cairn_store::view::View),
//! [`OperateVolumes`] its operations to an [`Admin`](cairn_store::admin::Admin). Written in portable SQL, on the public interface of
//! the store alone.

mod catalogue;
pub mod kind;
mod operate;
mod quota;
mod read;
mod record;

pub use catalogue::{NewEncryption, NewImage, NewQosSpecs, NewVolumeType};
pub use operate::OperateVolumes;
pub use quota::{Expired, Quota, QuotaUsage};
pub use read::ReadVolumes;
