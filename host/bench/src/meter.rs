//! What the machine says of time, processors and memory.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::BenchError;

/// CPU time of the whole process so far, user and system.
pub(crate) fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

/// Makes [`max_rss_mib`] count from now on. Where the kernel does not offer that, what was before counts as well.
pub(crate) fn forget_max_rss() {
    // "5" resets the high-water mark: proc(5).
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that was resident so far, in MiB; 0 where the kernel does not say.
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

/// The machine's load average over a minute; 0 where the kernel does not say.
pub(crate) fn load1() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(0.0)
}

/// A connection set up as the store's own.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    let _: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

/// How long one small commit takes; the median of many on a new database.
pub(crate) fn median_commit(path: &Path) -> Result<Duration, BenchError> {
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
    Ok(median(times))
}

/// The middle one; of an even number the later of the two.
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
