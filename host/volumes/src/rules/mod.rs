//! The tables of block storage, and the rules of its effects and look-ups, over rows. Effects change quotas, volumes and keys; rows that
//! operators set up are only read.

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

pub(crate) use keys::A_SEALED_KEY;
pub use keys::{KeyCopy, KeyCreate, KeyDelete};
pub use lookup::{
    DefaultVolumeType, IsEncrypted, IsZoneValid, ReservedResources, ShowImage, ShowQosSpecs,
    ShowSnapshot, ShowVolume, ShowVolumeType, VolumeTypeName,
};
pub use reservation::{Expiry, QuotaCommit, QuotaReserve, QuotaRollback};
pub use settings::Settings;
pub use tables::*;
pub use volume::{VolumeCreate, VolumeDestroy, VolumeUpdate};

use cairn_effects::rows::{Registered, Row as _};

/// Returns the tables, with the rules that check or refuse inverses.
pub(crate) fn registered() -> Vec<Registered> {
    let plain = [
        Snapshot::TABLE,
        VolumeType::TABLE,
        QosSpecs::TABLE,
        Encryption::TABLE,
        Image::TABLE,
        Zone::TABLE,
        ProjectLimit::TABLE,
        ClassLimit::TABLE,
        QuotaUsage::TABLE,
        VolumeKey::TABLE,
    ];
    let own = [
        Registered {
            undo: volume::undo,
            ..Volume::TABLE.into()
        },
        Registered {
            undo: reservation::undo,
            ..Reservation::TABLE.into()
        },
    ];
    own.into_iter().chain(plain.map(Registered::from)).collect()
}
