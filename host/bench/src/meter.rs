//! Reads CPU time, load and memory, and measures commits.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::BenchError;

/// Returns the CPU time of the whole process so far, user and system.
pub(crate) fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

/// Resets [`max_rss_mib`]. If the kernel does not support that, earlier peaks count as well.
pub(crate) fn forget_max_rss() {
    // "5" resets the high-water mark: proc(5).
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Returns the peak resident memory in MiB; 0 if the kernel does not provide it.
pub(crate) fn max_rss_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| {
        line.strip_prefix("VmHWM:")?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse::<f64>()
            .ok()
    });
    kib.unwrap_or(0.0) / 1024.0
}

/// Returns the machine's load average over a minute; 0 if the kernel does not provide it.
pub(crate) fn load1() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(0.0)
}

/// Opens a connection with the store's settings.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    let _: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

/// Measures a small commit: the median of many on a new database.
pub(crate) fn median_commit(path: &Path) -> Result<Duration, BenchError> {
    commit_times(path).map(median).map_err(BenchError::database)
}

fn commit_times(path: &Path) -> rusqlite::Result<Vec<Duration>> {
    const COMMITS: i64 = 300;
    let connection = connect(path)?;
    connection.execute_batch("CREATE TABLE small (id INTEGER PRIMARY KEY, text TEXT) STRICT")?;
    let mut insert = connection.prepare("INSERT INTO small (id, text) VALUES (?, 'small')")?;
    let mut times = Vec::new();
    for id in 0..COMMITS {
        let begin = Instant::now();
        insert.execute([id])?;
        times.push(begin.elapsed());
    }
    Ok(times)
}

/// Returns the median; for an even number of times, the later of the middle two.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_time_and_memory_that_are_seen() {
        let before = cpu();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(20) {
            std::hint::black_box(before);
        }
        assert!(cpu() - before >= Duration::from_millis(5));

        let held = std::hint::black_box(vec![1_u8; 64 << 20]);
        let with = max_rss_mib();
        assert!(with >= 64.0, "{with}");
        drop(held);
        forget_max_rss();
        assert!(max_rss_mib() < with - 32.0);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let times = [9, 1, 7, 3, 5].map(Duration::from_millis).to_vec();
        assert_eq!(median(times), Duration::from_millis(5));
        assert_eq!(median(Vec::new()), Duration::ZERO);
    }
}
