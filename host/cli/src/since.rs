//! The earliest time of a list, as options name it.

use std::time::{Duration, UNIX_EPOCH};

use cairn::clock::{Clock as _, SystemClock, Timestamp};

/// The earliest time of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// A time.
    Time(Timestamp),
    /// How long ago it is.
    Ago(Duration),
}

impl Since {
    /// Returns the time.
    pub fn time(self) -> Timestamp {
        match self {
            Self::Time(time) => time,
            Self::Ago(ago) => SystemClock.now().before(ago),
        }
    }
}

/// Parses a time, or how long ago it is.
pub fn since(text: &str) -> Result<Since, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(Since::Ago(ago));
    }
    // A date alone means its first moment.
    let day = format!("{text}T00:00:00Z");
    let time = humantime::parse_rfc3339_weak(text).or_else(|_| humantime::parse_rfc3339(&day));
    let time = time.map_err(|_| {
        "write a time, such as 2026-03-01T12:00:00Z, or how long ago it is, such as 30d or 12h"
            .to_owned()
    })?;
    let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX);
    Ok(Since::Time(Timestamp(micros)))
}
