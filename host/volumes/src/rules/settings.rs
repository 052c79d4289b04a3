use std::path::PathBuf;
use std::sync::OnceLock;

use crate::quota::QuotaConfig;

use cairn_effects::keyring::MasterKey;
use cairn_effects::rows::{Rows, Services};

/// What an operator sets for block storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Limits, refreshes and expiry.
    pub quota: QuotaConfig,
    /// Name of the type of volumes for which none is asked.
    pub default_volume_type: Option<String>,
    /// Where a volume goes when nobody says otherwise; `None` is [`DEFAULT_ZONE`](crate::DEFAULT_ZONE).
    pub default_zone: Option<String>,
    /// Where the master key of the key store is; it is made when the first key is. `None` keeps one in memory.
    pub master_key: Option<PathBuf>,
}

/// The master key, once it is loaded.
#[derive(Debug, Default)]
pub(crate) struct LoadedKey(pub(super) OnceLock<MasterKey>);

impl Settings {
    /// Where a volume goes when nobody says otherwise.
    pub fn zone(&self) -> &str {
        self.default_zone.as_deref().unwrap_or(crate::DEFAULT_ZONE)
    }

    /// The settings among the services of a host; the defaults where block storage was not set up.
    pub fn of(services: &Services) -> &Self {
        static DEFAULTS: OnceLock<Settings> = OnceLock::new();
        let settings = services.get();
        settings.unwrap_or_else(|| DEFAULTS.get_or_init(Self::default))
    }
}

/// The operator's settings.
pub(super) fn settings<'a>(rows: &Rows<'a>) -> &'a Settings {
    Settings::of(rows.services())
}
