//! What an answer says of a message.

use std::io::Read as _;
use std::time::{Duration, SystemTime};

use ureq::Body;
use ureq::http::{Response, StatusCode};

use crate::transport::Outcome;

/// The most that is read of an answer.
const MOST: u64 = 4096;

/// The most of it that is told.
const SHOWN: usize = 200;

/// Reads an answer: 2xx is done; 408, 425, 429 and 5xx are tried again; anything else is refused.
pub(super) fn outcome(answer: &mut Response<Body>) -> Outcome {
    let status = answer.status();
    // What is behind the bound is not waited for: the connection is closed.
    let mut text = Vec::new();
    let read = answer
        .body_mut()
        .as_reader()
        .take(MOST)
        .read_to_end(&mut text);
    if status.is_success() {
        return Outcome::Confirmed;
    }
    let mut reason = format!("the receiver answered {status}");
    let said = String::from_utf8_lossy(&text);
    let said = said.trim();
    if read.is_ok() && !said.is_empty() {
        let end = said
            .char_indices()
            .nth(SHOWN)
            .map_or(said.len(), |(at, _)| at);
        reason = format!("{reason}: {}", &said[..end]);
    }
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {}
        status if status.is_server_error() => {}
        _ => return Outcome::Refused(reason),
    }
    let after = answer.headers().get("Retry-After");
    Outcome::Retry {
        reason,
        after: after.and_then(|after| wait(after.to_str().ok()?, SystemTime::now())),
    }
}

/// Reads `Retry-After`: seconds, or a date.
fn wait(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = date(text)?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Reads a date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let parts: Vec<&str> = text.split_once(", ")?.1.split([' ', ':']).collect();
    let [day, month, year, hour, minute, second, "GMT"] = parts.as_slice() else {
        return None;
    };
    let number = |text: &str, most: u64| text.parse::<u64>().ok().filter(|number| *number <= most);
    let month = MONTHS.iter().position(|name| name == month)? as u64 + 1;
    let (day, year) = (
        number(day, 31)?,
        number(year, 9998).filter(|year| *year >= 1970)?,
    );
    let (hour, minute, second) = (number(hour, 23)?, number(minute, 59)?, number(second, 60)?);
    // Days since 1970-01-01 of the Gregorian calendar, whose years are counted from March here.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day.checked_sub(1)?;
    let seconds = (days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, expected) in [
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 1996 08:49:37 GMT", Some(41_472_000)),
            ("soon", None),
            ("-1", None),
            ("Sun, 00 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 99999 08:49:37 GMT", None),
        ] {
            assert_eq!(
                wait(text, now).map(|wait| wait.as_secs()),
                expected,
                "{text}"
            );
        }
    }
}
