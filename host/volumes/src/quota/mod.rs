//! The quotas of Cinder 2013.2: resources, default limits, when a usage is recounted, when a request is over its limit, and when a
//! usage has drifted. Pure rules over values; the store applies them.

mod drift;
mod resource;
mod rules;

pub use drift::{Counters, Drift, Usages, drift};
pub use resource::{Measure, Resource, type_resource};
pub use rules::{Limit, Over, Usage, is_over, refresh_is_due};

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The operator's settings for quotas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaConfig {
    /// Default limit of `volumes`; -1 is unlimited.
    pub volumes: i64,
    /// Default limit of `snapshots`; -1 is unlimited.
    pub snapshots: i64,
    /// Default limit of `gigabytes`, in GiB; -1 is unlimited.
    pub gigabytes: i64,
    /// Whether the limits of the quota class `default` take precedence over the defaults above.
    pub use_default_class: bool,
    /// Whether snapshots are left out of `gigabytes`.
    pub no_snapshot_gigabytes: bool,
    /// Seconds until an open reservation expires.
    pub reservation_expire: u64,
    /// Reservations until a usage is recounted; 0 is never.
    pub until_refresh: i64,
    /// Seconds until a usage is recounted; 0 is never.
    pub max_age: u64,
}

impl Default for QuotaConfig {
    fn default() -> Self {
        Self {
            volumes: 10,
            snapshots: 10,
            gigabytes: 1000,
            use_default_class: true,
            no_snapshot_gigabytes: false,
            reservation_expire: 86_400,
            until_refresh: 0,
            max_age: 0,
        }
    }
}

impl QuotaConfig {
    /// Returns the limit of a resource for which no row has one. Resources of volume types are unlimited.
    pub fn default_limit(&self, resource: &Resource) -> Limit {
        Limit::Of(match (&resource.volume_type, resource.measure) {
            (Some(_), _) => -1,
            (None, Measure::Volumes) => self.volumes,
            (None, Measure::Snapshots) => self.snapshots,
            (None, Measure::Gigabytes) => self.gigabytes,
        })
    }

    /// Returns [`reservation_expire`](Self::reservation_expire) as a duration.
    pub fn expiry(&self) -> Duration {
        Duration::from_secs(self.reservation_expire)
    }

    /// Returns [`until_refresh`](Self::until_refresh) as usages store it: `None` is never.
    pub fn countdown(&self) -> Option<i64> {
        (self.until_refresh != 0).then_some(self.until_refresh)
    }
}
