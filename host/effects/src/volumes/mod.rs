//! Block storage as Cinder 2013.2 has it: its tables, and the rules of its effects and look-ups, over rows. Quota, volumes and keys;
//! what operators set up is only looked at.

mod keys;
mod limits;
mod lookup;
pub mod operate;
mod reservation;
mod scans;
mod settings;
mod tables;
mod usage;
mod volume;

pub use keys::{KeyCopy, KeyCreate, KeyDelete};
pub use lookup::{
    DefaultVolumeType, IsEncrypted, IsZoneValid, ReservedResources, ShowImage, ShowQosSpecs,
    ShowSnapshot, ShowVolume, ShowVolumeType, VolumeTypeName,
};
pub use reservation::{Expiry, QuotaCommit, QuotaReserve, QuotaRollback};
pub use settings::Settings;
pub use tables::*;
pub use volume::{VolumeCreate, VolumeDestroy, VolumeUpdate};

use crate::domain::{Domain, Fact};
use crate::rows::{Row as _, Services};
use crate::rules::Effect as _;

/// The fact that a flow has committed quota: a call booked something, and that was not undone.
pub const QUOTA_COMMITTED: &str = "quota-committed";

/// Block storage, as an operator has set it up.
pub fn domain(settings: Settings) -> Domain {
    Domain {
        name: "volumes",
        tables: vec![
            Volume::TABLE,
            Snapshot::TABLE,
            VolumeType::TABLE,
            QosSpecs::TABLE,
            Encryption::TABLE,
            Image::TABLE,
            Zone::TABLE,
            ProjectLimit::TABLE,
            ClassLimit::TABLE,
            QuotaUsage::TABLE,
            Reservation::TABLE,
            VolumeKey::TABLE,
        ],
        facts: vec![Fact {
            name: QUOTA_COMMITTED,
            holds: |applied| applied.effect == QuotaCommit::NAME && !applied.changes.is_empty(),
        }],
        // Its tables came with the first stage's.
        migrations: &[""],
        services: Services::default()
            .with(settings)
            .with(settings::LoadedKey::default()),
    }
}
