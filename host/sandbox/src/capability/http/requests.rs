//! The requests of one call, for the flow's log: method, URL without the values of its query, status and time. Never headers, bodies
//! or secrets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use cairn_effects::event::LogLevel;

/// The requests of one call. Requests end in other threads, so that their lines are collected until the instance's own thread
/// writes them to the log.
#[derive(Clone, Default)]
pub(super) struct Requests(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    /// Requests without a response, in their order.
    open: Vec<Open>,
    ready: Vec<(LogLevel, String)>,
    next: u64,
}

struct Open {
    number: u64,
    /// Method and URL.
    name: String,
    since: Instant,
}

/// A request that began.
pub(super) struct Begun {
    requests: Requests,
    number: u64,
    name: String,
    since: Instant,
}

impl Requests {
    /// Records the beginning of a request.
    pub(super) fn begin(&self, method: &str, url: &str) -> Begun {
        let (name, since) = (format!("{method} {url}"), Instant::now());
        let mut lines = self.0.lock();
        let number = lines.next;
        lines.next += 1;
        lines.open.push(Open {
            number,
            name: name.clone(),
            since,
        });
        Begun {
            requests: self.clone(),
            number,
            name,
            since,
        }
    }

    /// Takes the lines that are ready.
    pub(super) fn take_ready(&self) -> Vec<(LogLevel, String)> {
        std::mem::take(&mut self.0.lock().ready)
    }

    /// Takes all lines, when the call ends. A request without a response is cut off.
    pub(super) fn take_all(&self) -> Vec<(LogLevel, String)> {
        let mut lines = self.0.lock();
        let cut = std::mem::take(&mut lines.open).into_iter().map(|open| {
            let time = show(open.since.elapsed());
            let line = format!(
                "http: {}: no response after {time}, when the call ended",
                open.name
            );
            (LogLevel::Warn, line)
        });
        let mut all = std::mem::take(&mut lines.ready);
        all.extend(cut);
        all
    }
}

impl Begun {
    /// Records the response's status.
    pub(super) fn answered(&self, status: u16) {
        self.end(LogLevel::Info, &status.to_string());
    }

    /// Records why there is no response, or not the whole of it.
    pub(super) fn failed(&self, why: &str) {
        self.end(LogLevel::Warn, why);
    }

    fn end(&self, level: LogLevel, what: &str) {
        let line = format!(
            "http: {}: {what} ({})",
            self.name,
            show(self.since.elapsed())
        );
        let mut lines = self.requests.0.lock();
        lines.open.retain(|open| open.number != self.number);
        lines.ready.push((level, line));
    }
}

/// Formats a time in milliseconds.
fn show(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_logged_when_it_ends_or_when_its_call_does() {
        let requests = Requests::default();
        let first = requests.begin("GET", "http://h/a");
        let second = requests.begin("PUT", "http://h/b");
        assert!(requests.take_ready().is_empty());
        second.answered(204);
        let [(level, line)] = &requests.take_ready()[..] else {
            panic!("one line");
        };
        assert_eq!(*level, LogLevel::Info);
        assert!(line.starts_with("http: PUT http://h/b: 204 ("), "{line}");
        second.failed("the connection was closed");
        let all = requests.take_all();
        let lines: Vec<&str> = all.iter().map(|(_, line)| line.as_str()).collect();
        assert!(
            lines[0].starts_with("http: PUT http://h/b: the connection was closed ("),
            "{lines:?}"
        );
        assert!(
            lines[1].starts_with("http: GET http://h/a: no response after "),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 2);
        // Its own end comes too late for the log.
        drop(first);
        assert!(requests.take_all().is_empty());
    }
}
