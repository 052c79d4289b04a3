//! How long to wait before a message, or a connection, is tried again.

use std::time::Duration;

/// The longest wait between two attempts of a message.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

/// The first wait.
const FIRST: Duration = Duration::from_secs(1);

/// The longest wait between two connections.
const LONGEST_DOWN: Duration = Duration::from_secs(30);

/// Returns how long to wait after attempt number `attempt`, counted from 1: it doubles, up to an hour, and half of it is random.
pub(crate) fn after_attempt(attempt: i64) -> Duration {
    jittered(doubled(FIRST, attempt).min(LONGEST))
}

/// Returns how long to wait after so many connections in a row that failed, counted from 1.
pub(crate) fn after_failure(failures: i64) -> Duration {
    jittered(doubled(FIRST / 4, failures).min(LONGEST_DOWN))
}

fn doubled(first: Duration, times: i64) -> Duration {
    let doublings = u32::try_from(times.clamp(1, 24) - 1).unwrap_or(0);
    first.saturating_mul(1 << doublings)
}

/// From half of it to all of it, so that messages that failed together do not come back together.
fn jittered(wait: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness the whole wait is as good.
    let share = getrandom::fill(&mut random).map_or(u32::MAX, |()| u32::from_le_bytes(random));
    wait / 2 + wait.mul_f64(0.5 * f64::from(share) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_end_and_half_of_it_is_random() {
        for (attempt, seconds) in [
            (1, 1),
            (2, 2),
            (5, 16),
            (12, 2048),
            (13, 3600),
            (i64::MAX, 3600),
        ] {
            let (wait, whole) = (after_attempt(attempt), Duration::from_secs(seconds));
            assert!(whole / 2 <= wait && wait <= whole, "{attempt}: {wait:?}");
        }
        let waits: std::collections::BTreeSet<_> = (0..32).map(|_| after_attempt(1)).collect();
        assert!(waits.len() > 16, "{waits:?}");
        assert!(after_failure(i64::MAX) <= LONGEST_DOWN);
    }
}
