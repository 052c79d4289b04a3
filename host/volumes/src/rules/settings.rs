use std::sync::OnceLock;

use crate::quota::QuotaConfig;

use cairn_effects::keyring::KeySource;
use cairn_effects::rows::{Rows, Services};

/// The operator's settings for block storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Limits, recounts and expiry.
    pub quota: QuotaConfig,
    /// Name of the type of volumes that are requested without one.
    pub default_volume_type: Option<String>,
    /// The zone of volumes that are requested without one; `None` is [`DEFAULT_ZONE`](crate::DEFAULT_ZONE).
    pub default_zone: Option<String>,
    /// Where the key store's master key comes from.
    pub keys: KeySource,
}

impl Settings {
    /// Returns the zone of volumes that are requested without one.
    pub fn zone(&self) -> &str {
        self.default_zone.as_deref().unwrap_or(crate::DEFAULT_ZONE)
    }

    /// Returns the settings among the services of a host, or the defaults if block storage was not set up.
    pub fn of(services: &Services) -> &Self {
        static DEFAULTS: OnceLock<Settings> = OnceLock::new();
        let settings = services.get();
        settings.unwrap_or_else(|| DEFAULTS.get_or_init(Self::default))
    }
}

/// Returns the operator's settings.
pub(super) fn settings<'a>(rows: &Rows<'a>) -> &'a Settings {
    Settings::of(rows.services())
}
