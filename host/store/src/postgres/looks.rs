//! When a host looks at the others.

use std::time::{Duration, Instant};

/// A longer time without a look at the hosts is as if the database could not be reached.
const GAP: Duration = Duration::from_secs(3);

/// When a host has looked at the others.
#[derive(Default)]
pub(super) struct Looks {
    /// Since when it could.
    since: Option<Instant>,
    last: Option<Instant>,
    /// Whether its row says that it shares.
    pub(super) shares: bool,
}

impl Looks {
    /// Notes a look, and returns whether hosts may be ended whose lease has expired. After a time in which nobody could write, each must be
    /// able to renew its lease first.
    pub(super) fn may_end(&mut self, lease: Duration) -> bool {
        let now = Instant::now();
        let is_gap = self.last.is_none_or(|last| now - last > GAP);
        let since = match self.since {
            Some(since) if !is_gap => since,
            _ => now,
        };
        self.since = Some(since);
        self.last = Some(now);
        now - since >= lease / 2
    }
}
