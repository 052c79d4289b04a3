use std::collections::VecDeque;

use cairn_effects::event::LogLevel;

use super::State;
use crate::wit::cairn::plugin::log::{Host, Level};

impl Host for State {
    fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.alive()?;
        let level = match level {
            Level::Error => LogLevel::Error,
            Level::Warn => LogLevel::Warn,
            Level::Info => LogLevel::Info,
            Level::Debug => LogLevel::Debug,
        };
        State::log(self, level, message);
        Ok(())
    }
}

/// The last lines of a log, bounded in number and length for a report.
#[derive(Default)]
pub(super) struct LogEnd(VecDeque<String>);

impl LogEnd {
    /// Number of lines that are kept: a panic's message and its context.
    const LINES: usize = 10;

    /// Number of bytes that are kept of a line.
    const LINE: usize = 400;

    /// Adds a message, which may have several lines; skips blank ones.
    pub(super) fn add(&mut self, message: &str) {
        let lines = message.lines().rev().filter(|line| !line.trim().is_empty());
        let lines: Vec<String> = lines
            .take(Self::LINES)
            .map(|line| super::cut(line, Self::LINE))
            .collect();
        self.0.extend(lines.into_iter().rev());
        let excess = self.0.len().saturating_sub(Self::LINES);
        self.0.drain(..excess);
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_has_its_last_lines_cut_to_what_is_read() {
        let mut end = LogEnd::default();
        end.add(
            &(1..=30)
                .map(|line| format!("line {line}\n"))
                .collect::<String>(),
        );
        end.add("one more\n\n  \n");
        end.add(&"ü".repeat(1000));
        let lines = end.into_lines();
        assert_eq!(lines.len(), LogEnd::LINES);
        assert_eq!(
            (lines[0].as_str(), lines[8].as_str()),
            ("line 23", "one more")
        );
        assert_eq!(lines[9], format!("{}…", "ü".repeat(200)));
    }
}
