//! Retry rules: number of attempts, errors, and waits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Maximum wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A retry rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Number of attempts, including the first; at least 1.
    pub attempts: u32,
    /// Wait before the second attempt. It doubles after each attempt, up to a minute; half of it is random.
    #[serde(with = "duration_text")]
    pub backoff: Duration,
    /// The kinds of error that are retried; `None` means every kind.
    #[serde(default)]
    pub on: Option<Vec<String>>,
}

impl Default for Retry {
    /// One attempt.
    fn default() -> Self {
        Self {
            attempts: 1,
            backoff: Duration::ZERO,
            on: None,
        }
    }
}

impl Retry {
    /// Returns whether attempt number `attempt`, counted from 1, that ended with an error of `kind` is followed by another.
    pub fn again(&self, attempt: u32, kind: &str) -> bool {
        attempt < self.attempts
            && self
                .on
                .as_ref()
                .is_none_or(|kinds| kinds.iter().any(|known| known == kind))
    }

    /// Returns the wait after attempt number `attempt`, counted from 1.
    pub fn wait(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(16);
        let doubled = self
            .backoff
            .saturating_mul(1 << doublings)
            .min(LONGEST_WAIT);
        let mut random = [0; 4];
        // Without a random number, waits the whole time.
        let share = getrandom::fill(&mut random).map_or(u32::MAX, |()| u32::from_le_bytes(random));
        doubled / 2 + doubled.mul_f64(0.5 * f64::from(share) / f64::from(u32::MAX))
    }
}

/// Reads and writes durations in stored JSON as text with units; no precision is lost. For `#[serde(with)]`.
pub mod duration_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes the duration, for example `1s 500ms`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    /// Reads a duration.
    ///
    /// # Errors
    /// Those of the deserializer; a text that is not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(attempts: u32, on: Option<&[&str]>) -> Retry {
        Retry {
            attempts,
            backoff: Duration::from_millis(10),
            on: on.map(|kinds| kinds.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn only_the_named_kinds_are_tried_again_and_only_so_often() {
        assert!(!Retry::default().again(1, "Busy"));
        assert!(retry(2, None).again(1, "Busy"));
        assert!(!retry(2, None).again(2, "Busy"));
        assert!(retry(2, Some(&["Busy"])).again(1, "Busy"));
        assert!(!retry(2, Some(&["Busy"])).again(1, "InvalidInput"));
    }

    #[test]
    fn the_wait_doubles_and_half_of_it_is_random() {
        for (attempt, millis) in [(1, 10), (2, 20), (5, 160), (40, 60_000)] {
            let wait = retry(50, None).wait(attempt);
            let whole = Duration::from_millis(millis);
            assert!(whole / 2 <= wait && wait <= whole, "{attempt}: {wait:?}");
        }
    }

    #[test]
    fn two_that_fail_together_do_not_come_back_together() {
        let waits: std::collections::BTreeSet<_> =
            (0..32).map(|_| retry(2, None).wait(1)).collect();
        assert!(waits.len() > 16, "{waits:?}");
    }
}
