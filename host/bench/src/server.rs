//! The CPU time and the waits of a PostgreSQL server on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cairn::store::postgres::Scratch;
use serde::Serialize;

use crate::BenchError;

/// The interval between two looks at what sessions wait for.
const LOOK: Duration = Duration::from_millis(20);

/// The processes of a server on this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processes {
    /// The parent of all others.
    postmaster: u32,
}

/// An event that sessions of the server waited for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wait {
    /// The event, as `kind: event` of `pg_stat_activity`; `running` for a session that used a processor.
    pub event: String,
    /// Its share of the samples of active sessions, from 0 to 1.
    pub share: f64,
}

impl Processes {
    /// Finds the server of a database; `None` for a server on another machine, or one whose processes cannot be seen.
    pub(crate) fn of(scratch: &mut Scratch) -> Result<Option<Self>, BenchError> {
        if !scratch.config().url.is_local() {
            return Ok(None);
        }
        let session = scratch.session_process()?;
        let name = fs::read_to_string(format!("/proc/{session}/comm")).unwrap_or_default();
        // Of a server in a container this is another process, or none.
        if name.trim() != "postgres" {
            return Ok(None);
        }
        Ok(parent(session).map(|postmaster| Self { postmaster }))
    }

    /// Returns the CPU time of the processes that are alive.
    pub(crate) fn cpu(self) -> Duration {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let of_the_server =
            pids.filter(|pid| *pid == self.postmaster || parent(*pid) == Some(self.postmaster));
        of_the_server.filter_map(cpu_of).sum()
    }
}

/// Returns the CPU time of a process with one thread, as those of PostgreSQL are.
fn cpu_of(pid: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

fn parent(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may contain blanks: proc_pid_stat(5).
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

/// Counts what sessions wait for until `ended`.
pub(crate) fn sample(scratch: &mut Scratch, ended: &AtomicBool) -> Result<Vec<Wait>, BenchError> {
    let mut counts = BTreeMap::<String, u32>::new();
    while !ended.load(Ordering::Relaxed) {
        for active in scratch.active()? {
            let event = active.waits_for.unwrap_or_else(|| "running".to_owned());
            *counts.entry(event).or_default() += 1;
        }
        std::thread::sleep(LOOK);
    }
    Ok(shares(counts))
}

fn shares(counts: BTreeMap<String, u32>) -> Vec<Wait> {
    let all: u32 = counts.values().sum();
    let shares = counts.into_iter().map(|(event, count)| Wait {
        event,
        share: f64::from(count) / f64::from(all),
    });
    let mut shares: Vec<Wait> = shares.collect();
    shares.sort_by(|a, b| b.share.total_cmp(&a.share));
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_parent_and_a_time() {
        let own = std::process::id();
        let parent = parent(own).unwrap();
        assert!(fs::exists(format!("/proc/{parent}")).unwrap());
        assert_eq!(super::parent(u32::MAX), None);
        assert_eq!(cpu_of(u32::MAX), None);
        assert!(Processes { postmaster: parent }.cpu() >= cpu_of(own).unwrap());
    }

    #[test]
    fn the_most_frequent_wait_comes_first() {
        let counts = [("IO: WALSync", 3), ("running", 9)];
        let counts = counts.map(|(event, count)| (event.to_owned(), count));
        let found = shares(counts.into());
        let found: Vec<(&str, f64)> = found.iter().map(|w| (&*w.event, w.share)).collect();
        assert_eq!(found, [("running", 0.75), ("IO: WALSync", 0.25)]);
        assert_eq!(shares(BTreeMap::new()), []);
    }
}
