use std::time::Duration;

use cairn_model::error::Diagnostic;
use cairn_model::status::StatusLimits;

use crate::document::Table;

const KEYS: &[&str] = &["run", "wait", "overdue", "undelivered", "backup"];

/// Ten years: no limit.
const MOST: Duration = Duration::from_secs(3653 * 24 * 3600);

/// Reads `[status]`.
pub(super) fn read(table: Table<'_>) -> Result<StatusLimits, Diagnostic> {
    let table = table.only(KEYS)?;
    let defaults = StatusLimits::default();
    let time = |key| -> Result<Option<Duration>, Diagnostic> {
        let item = table.get(key);
        item.map(|item| item.duration_within(Duration::from_secs(1), MOST))
            .transpose()
    };
    Ok(StatusLimits {
        run: time("run")?.unwrap_or(defaults.run),
        wait: time("wait")?.unwrap_or(defaults.wait),
        overdue: time("overdue")?.unwrap_or(defaults.overdue),
        undelivered: time("undelivered")?.unwrap_or(defaults.undelivered),
        backup: time("backup")?,
    })
}
