use crate::sqlite::row::{self, As, Columns};

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

/// Whose the rows of a table are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The host's own.
    Host,
    /// The project's in `project_id`.
    Project,
    /// The same, or everyone's where that is null.
    ProjectOrEveryone,
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

    /// Columns, table, whose the rows are, and whether there is a column `deleted`.
    pub(super) const fn layout(self) -> (Columns, &'static str, Owner, bool) {
        use Owner::{Host, Project, ProjectOrEveryone};
        match self {
            Self::Volume => (row::VOLUME, "volumes", Project, true),
            Self::Snapshot => (row::SNAPSHOT, "snapshots", Project, true),
            Self::VolumeType => (row::VOLUME_TYPE, "volume_types", Host, true),
            Self::QosSpecs => (row::QOS_SPECS, "qos_specs", Host, false),
            Self::Image => (row::IMAGE, "images", ProjectOrEveryone, false),
            Self::Cast => (CAST, "outbox", Host, false),
            Self::Reservation => (RESERVATION, "reservations", Project, false),
            Self::Usage => (USAGE, "quota_usages", Project, true),
        }
    }
}
