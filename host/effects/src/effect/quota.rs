use std::collections::BTreeMap;
use std::time::Duration;

use cairn_model::clock::Timestamp;

/// Hold `deltas` of a project's quota: all of them, or none.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotaReserve {
    /// Whose quota; the caller's project when `None`.
    pub project: Option<String>,
    /// Resource -> amount: a count, or GiB for `gigabytes*`. Negative gives back.
    pub deltas: BTreeMap<String, i64>,
    /// When it lapses.
    pub expiry: Expiry,
}

/// When a reservation lapses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Expiry {
    /// After the configured time.
    #[default]
    Default,
    /// This long from now.
    In(Duration),
    /// At this point in time.
    At(Timestamp),
}

/// Turn reservations into usage. Ids that are closed, unknown or another's are passed over.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotaCommit {
    /// Ids of reservations.
    pub reservations: Vec<String>,
    /// Whose; the caller's project when `None`.
    pub project: Option<String>,
}

/// Give reservations up. Ids that are closed, unknown or another's are passed over.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotaRollback {
    /// Ids of reservations.
    pub reservations: Vec<String>,
    /// Whose; the caller's project when `None`.
    pub project: Option<String>,
}
