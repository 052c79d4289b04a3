//! What one call of a plugin may use up, and sizes and times as a person writes them.

use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::document::{Item, Table};
use crate::error::Diagnostic;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What one call of a plugin may use up.
///
/// A plan that was stored before a limit existed reads back with that limit's default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of linear memory, all memories together; 64 KiB (one page of WebAssembly) to 4 GiB.
    pub memory: u64,
    /// How long a call may take, waits in WASI included; 1 ms to 1 h. A wait for the database is not cut short.
    #[serde(with = "crate::retry::duration_text")]
    pub deadline: Duration,
    /// Bytes of log that one call may write; the rest is dropped. At most 16 MiB.
    pub log_bytes: u64,
    /// Bytes of a result's JSON text; 1 KiB to 64 MiB.
    pub result_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 * MIB,
            deadline: Duration::from_secs(5),
            log_bytes: 64 * KIB,
            result_bytes: 4 * MIB,
        }
    }
}

impl Limits {
    pub(super) fn read(table: Table<'_>) -> Result<Self, Diagnostic> {
        let table = table.only(&["memory", "deadline", "log_bytes", "result_bytes"])?;
        let mut limits = Self::default();
        if let Some(item) = table.get("memory") {
            limits.memory = size(&item, 64 * KIB, 4096 * MIB)?;
        }
        if let Some(item) = table.get("deadline") {
            limits.deadline = item.duration(Duration::from_millis(1))?;
        }
        if let Some(item) = table.get("log_bytes") {
            limits.log_bytes = size(&item, 0, 16 * MIB)?;
        }
        if let Some(item) = table.get("result_bytes") {
            limits.result_bytes = size(&item, KIB, 64 * MIB)?;
        }
        Ok(limits)
    }
}

/// Bytes, written with a unit as in "16MiB".
fn size(item: &Item<'_>, min: u64, max: u64) -> Result<u64, Diagnostic> {
    let text = item
        .text()
        .map_err(|error| error.help(r#"write a size with its unit, such as "16MiB""#))?;
    let size = text.trim().parse::<ByteSize>().map_err(|_| {
        item.error(format!("is no size: `{}`", text.escape_debug()))
            .help(r#"write a number and a unit, such as "16MiB""#)
    })?;
    if !(min..=max).contains(&size.as_u64()) {
        return Err(item.error(format!(
            "must be from {} to {}, not {}",
            ByteSize(min).display().iec(),
            ByteSize(max).display().iec(),
            text.escape_debug(),
        )));
    }
    Ok(size.as_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_survive_json_to_the_nanosecond() {
        let limits = Limits {
            deadline: Duration::new(61, 1),
            ..Limits::default()
        };
        let text = serde_json::to_string(&limits).unwrap();
        assert_eq!(serde_json::from_str::<Limits>(&text).unwrap(), limits);
    }

    #[test]
    fn a_plan_older_than_a_limit_gets_its_default() {
        let limits: Limits = serde_json::from_str(r#"{"memory": 65536}"#).unwrap();
        assert_eq!(limits.memory, 65536);
        assert_eq!(limits.deadline, Limits::default().deadline);
    }
}
