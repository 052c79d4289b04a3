use crate::store::sqlite::row::{self, As, Columns};

/// What the operator's lists are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Volumes.
    Volume,
    /// Snapshots.
    Snapshot,
    /// Volume types.
    VolumeType,
    /// QoS specs.
    QosSpecs,
    /// Images.
    Image,
    /// Messages to other services.
    Cast,
    /// Quota reservations.
    Reservation,
    /// Quota usages.
    Usage,
}

const CAST: Columns = &[
    ("id", As::Plain),
    ("state", As::Plain),
    ("topic", As::Plain),
    ("method", As::Plain),
    ("arguments", As::Json),
    ("created_at", As::Time),
];

const RESERVATION: Columns = &[
    ("id", As::Plain),
    ("project_id", As::Plain),
    ("resource", As::Plain),
    ("delta", As::Plain),
    ("state", As::Plain),
    ("expire", As::Time),
    ("created_at", As::Time),
];

const USAGE: Columns = &[
    ("project_id", As::Plain),
    ("resource", As::Plain),
    ("in_use", As::Plain),
    ("reserved", As::Plain),
    ("until_refresh", As::Plain),
    ("updated_at", As::Time),
    ("deleted", As::Bool),
];

impl Kind {
    /// What a person calls one.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Snapshot => "snapshot",
            Self::VolumeType => "volume type",
            Self::QosSpecs => "QoS specs",
            Self::Image => "image",
            Self::Cast | Self::Reservation | Self::Usage => "row",
        }
    }

    /// Columns, table, and whether the columns `project_id` and `deleted` are there.
    pub(super) const fn layout(self) -> (Columns, &'static str, bool, bool) {
        match self {
            Self::Volume => (row::VOLUME, "volumes", true, true),
            Self::Snapshot => (row::SNAPSHOT, "snapshots", true, true),
            Self::VolumeType => (row::VOLUME_TYPE, "volume_types", false, true),
            Self::QosSpecs => (row::QOS_SPECS, "qos_specs", false, false),
            Self::Image => (row::IMAGE, "images", false, false),
            Self::Cast => (CAST, "outbox", false, false),
            Self::Reservation => (RESERVATION, "reservations", true, false),
            Self::Usage => (USAGE, "quota_usages", true, true),
        }
    }
}
