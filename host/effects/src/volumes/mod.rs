//! Block storage as Cinder 2013.2 has it: its tables, and the rules of its effects and look-ups, over rows. Quota, volumes, keys
//! and casts; what operators set up is only looked at.

mod apply;
mod cast;
mod keys;
mod limits;
mod lookup;
pub mod operate;
mod reservation;
mod restore;
mod scans;
mod tables;
mod usage;
mod volume;

pub use apply::apply;
pub use cast::settle;
pub use lookup::query;
pub use restore::{restore, row_id};
pub use tables::*;

use std::path::Path;
use std::sync::OnceLock;

use cairn_model::quota::QuotaConfig;

use crate::keyring::MasterKey;

/// What the rules work with, besides rows: what the operator set, and the master key.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// Limits, refreshes and expiry.
    pub quota: &'a QuotaConfig,
    /// Name of the type of volumes for which none is asked.
    pub default_volume_type: Option<&'a str>,
    /// Where the master key of the key store is; it is made when the first key is. `None` keeps one in memory.
    pub master_key_file: Option<&'a Path>,
    /// The master key, once it is loaded.
    pub master_key: &'a OnceLock<MasterKey>,
}
