//! Slows down who guesses passwords and tokens.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use parking_lot::Mutex;

use crate::error::ApiError;

/// So many failures are free.
const FREE: u32 = 10;

/// After that a caller waits this long, doubled with each further failure.
const FIRST: Duration = Duration::from_secs(1);

/// The longest wait.
const MOST: Duration = Duration::from_secs(300);

/// How many addresses are remembered.
const ADDRESSES: usize = 10_000;

/// Counts failures by address.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<Option<IpAddr>, Failures>>);

struct Failures {
    number: u32,
    last: Instant,
}

impl Failures {
    fn wait(&self) -> Duration {
        match self.number.checked_sub(FREE) {
            None | Some(0) => Duration::ZERO,
            Some(over) => FIRST.saturating_mul(1 << (over - 1).min(16)).min(MOST),
        }
    }
}

impl Throttle {
    /// Refuses a caller that has failed too often lately.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub(crate) fn admit(&self, address: Option<IpAddr>) -> Result<(), ApiError> {
        let failures = self.0.lock();
        let Some(found) = failures.get(&address) else {
            return Ok(());
        };
        match found.wait().checked_sub(found.last.elapsed()) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(left) => Err(ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyFailures",
                "too many logins from this address have failed",
            )
            .retry_after(left.as_secs() + 1)),
        }
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, address: Option<IpAddr>) {
        let mut failures = self.0.lock();
        if failures.len() >= ADDRESSES {
            failures.retain(|_, one| one.last.elapsed() < one.wait().max(FIRST * 60));
        }
        if failures.len() >= ADDRESSES {
            failures.clear();
        }
        let one = failures.entry(address).or_insert(Failures {
            number: 0,
            last: Instant::now(),
        });
        if one.last.elapsed() > MOST * 2 {
            one.number = 0;
        }
        one.number = one.number.saturating_add(1);
        one.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_often_waits() {
        let throttle = Throttle::default();
        let (one, other) = (Some([10, 0, 0, 1].into()), Some([10, 0, 0, 2].into()));
        for _ in 0..FREE {
            throttle.failed(one);
            assert!(throttle.admit(one).is_ok());
        }
        throttle.failed(one);
        let refused = throttle.admit(one).unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(throttle.admit(other).is_ok());
    }

    #[test]
    fn only_so_many_addresses_are_remembered() {
        let throttle = Throttle::default();
        for number in 0..(2 * ADDRESSES as u32) {
            throttle.failed(Some(std::net::Ipv4Addr::from_bits(number).into()));
        }
        assert!(throttle.0.lock().len() <= ADDRESSES);
    }
}
