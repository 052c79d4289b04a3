use std::fmt;
use std::time::Duration;

use super::Guest;

/// The end of a guest, and the duration of each run.
#[derive(Clone, Debug)]
pub struct Row {
    /// The guest.
    pub guest: Guest,
    /// A readable description of its end.
    pub ended: String,
    /// The durations, each from the start of its flow, or of its planning, to the end.
    pub times: Vec<Duration>,
}

/// Rows, displayed as a table in Markdown.
#[derive(Clone, Debug, Default)]
pub struct Table(pub Vec<Row>);

impl Row {
    /// Returns the median and the longest duration.
    ///
    /// # Panics
    /// If there are no durations.
    pub fn median_and_worst(&self) -> (Duration, Duration) {
        let mut times = self.times.clone();
        times.sort_unstable();
        (times[times.len() / 2], times[times.len() - 1])
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| guest | ends in | median | worst |")?;
        writeln!(f, "|---|---|---:|---:|")?;
        let mut rows: Vec<&Row> = self.0.iter().collect();
        rows.sort_by_key(|row| row.guest.name());
        for row in rows {
            let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
            let (median, worst) = row.median_and_worst();
            writeln!(
                f,
                "| {} | {} | {:.1} ms | {:.1} ms |",
                row.guest.name(),
                row.ended,
                milliseconds(median),
                milliseconds(worst)
            )?;
        }
        Ok(())
    }
}
