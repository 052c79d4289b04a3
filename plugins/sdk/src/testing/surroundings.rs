//! A deterministic clock and random source for tests.

use std::time::{Duration, SystemTime};

use super::{FakeHost, current};

/// 2025-06-18 08:00 UTC, in seconds since 1970.
const BEGINNING: u64 = 1_750_233_600;

/// State behind [`time::now`](crate::time::now) and [`random::number`](crate::random::number).
pub(super) struct Surroundings {
    now: SystemTime,
    random: u64,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(BEGINNING),
            random: 0,
        }
    }
}

impl FakeHost {
    /// Sets the clock, which does not advance. The default is 2025-06-18 08:00 UTC.
    #[must_use]
    pub fn now(self, now: SystemTime) -> Self {
        self.state.borrow_mut().surroundings.now = now;
        self
    }

    /// Sets the seed of the random numbers. The default is 0.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.state.borrow_mut().surroundings.random = seed;
        self
    }
}

pub(crate) fn now() -> SystemTime {
    current().borrow().surroundings.now
}

/// Returns the next number of SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) fn random() -> u64 {
    let state = current();
    let state = &mut state.borrow_mut().surroundings.random;
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{random, time};

    #[test]
    fn the_clock_stands_where_it_was_set() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
        let host = FakeHost::new().now(at);
        assert_eq!(host.run(time::now), at);
        assert_eq!(host.run(time::now), at);
    }

    #[test]
    fn random_numbers_differ_and_are_the_same_in_each_run() {
        let numbers = |seed| {
            FakeHost::new()
                .seed(seed)
                .run(|| [random::number(), random::number()])
        };
        let [first, second] = numbers(0);
        // The first number of SplitMix64 for the seed 0.
        assert_eq!(first, 0xe220_a839_7b1d_cdaf);
        assert_ne!(first, second);
        assert_eq!(numbers(0), [first, second]);
        assert_ne!(numbers(1), [first, second]);
    }
}
