//! What an operator expects of a database: what is beyond these limits needs a person.

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// `[status]`: the operator's settings about what needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusLimits {
    /// How long a flow may run. The time until it last woke from a sleep does not count.
    pub run: Duration,
    /// How long a flow may wait for a signal that nothing but the signal ends.
    pub wait: Duration,
    /// How long after its time a flow that sleeps may be woken.
    pub overdue: Duration,
    /// How long a message may be undelivered while a transport delivers it.
    pub undelivered: Duration,
    /// How old the last backup may be. `None`: [`BACKUP`](Self::BACKUP), once a backup was made; before that, backups are not judged.
    pub backup: Option<Duration>,
}

impl StatusLimits {
    /// How old the last backup may be where the operator set nothing and a backup was made.
    pub const BACKUP: Duration = Duration::from_secs(7 * 24 * 3600);
}

impl Default for StatusLimits {
    fn default() -> Self {
        Self {
            run: 60 * MINUTE,
            wait: 7 * DAY,
            overdue: 5 * MINUTE,
            undelivered: 15 * MINUTE,
            backup: None,
        }
    }
}
