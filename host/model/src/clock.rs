//! Time, from a clock that the caller gives to the host.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use jiff::Timestamp as Instant;
use serde::{Deserialize, Serialize, Serializer};

/// A point in time: microseconds since 1970-01-01 UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// The clock shows a time outside of the supported years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock says {0}, and only times from 1970 to 9998 are worked with: set the clock of this machine right"
)]
pub struct ClockError(pub Timestamp);

impl Timestamp {
    /// The first microsecond of 1970.
    pub const EARLIEST: Self = Self(0);

    /// The last microsecond of 9998. Times computed from it, such as the expiry of a reservation, may be later.
    pub const LATEST: Self = Self(253_370_764_799_999_999);

    /// Returns this point, if it is one that a clock may show.
    ///
    /// # Errors
    /// [`ClockError`] when it is before [`EARLIEST`](Self::EARLIEST) or after [`LATEST`](Self::LATEST).
    pub fn check(self) -> Result<Self, ClockError> {
        match (Self::EARLIEST..=Self::LATEST).contains(&self) {
            true => Ok(self),
            false => Err(ClockError(self)),
        }
    }

    /// Returns this point moved forward by `by`, saturating.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(by))
    }

    /// Returns this point moved back by `by`, saturating.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(by))
    }

    /// Returns the time since `earlier`; zero if that is later than this point.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Serializes a time as RFC 3339, for `#[serde(serialize_with)]`.
///
/// # Errors
/// Those of the serializer.
pub fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// Serializes a time as [`as_text`] does, or null.
///
/// # Errors
/// Those of the serializer.
pub fn as_optional_text<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => as_text(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// Parses RFC 3339.
impl FromStr for Timestamp {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        let instant: Instant = text.parse()?;
        Ok(Self(instant.as_microsecond()))
    }
}

/// As RFC 3339, UTC, with microseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Instant::from_microsecond(self.0) {
            Ok(instant) => write!(f, "{instant:.6}"),
            // Beyond the year 9999, which only an expiry that means "never" reaches.
            Err(_) => write!(f, "{} us", self.0),
        }
    }
}

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// Returns the current time. May repeat, and may go back. [Check](Timestamp::check) it before it is stored.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Timestamp(micros(since)),
            Err(before) => Timestamp(-micros(before.duration())),
        }
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Creates a clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Advances the clock by `by`.
    pub fn advance(&self, by: Duration) {
        self.0.store(self.now().after(by).0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_as_rfc_3339() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp(i64::MAX).to_string(), format!("{} us", i64::MAX));
    }

    #[test]
    fn a_clock_shows_times_from_1970_to_9998() {
        let latest = "9998-12-31T23:59:59.999999Z";
        assert_eq!(Timestamp::LATEST.to_string(), latest);
        for right in [Timestamp::EARLIEST, Timestamp::LATEST] {
            assert_eq!(right.check(), Ok(right));
        }
        for (wrong, shown) in [
            (Timestamp(-1), "1969-12-31T23:59:59.999999Z"),
            (
                Timestamp(Timestamp::LATEST.0 + 1),
                "9999-01-01T00:00:00.000000Z",
            ),
            (Timestamp(i64::MIN), "-9223372036854775808 us"),
            (Timestamp(i64::MAX), "9223372036854775807 us"),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("the clock says {shown}, ")),
                "{error}"
            );
        }
        assert!(SystemClock.now().check().is_ok());
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(Timestamp(5));
        assert_eq!(clock.now(), Timestamp(5));
        clock.advance(Duration::from_micros(2));
        assert_eq!(clock.now(), Timestamp(7));
        assert_eq!(Timestamp(7).since(Timestamp(9)), Duration::ZERO);
        assert_eq!(Timestamp(7).before(Duration::from_micros(9)), Timestamp(-2));
        assert_eq!(Timestamp(-2).before(Duration::MAX), Timestamp(i64::MIN));
    }
}
