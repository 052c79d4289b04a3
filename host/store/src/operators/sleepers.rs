//! Flows that sleep: which are due, and which were woken.

use cairn_effects::rows::Cell;
use cairn_model::clock::Timestamp;
use cairn_model::id::FlowId;

use crate::host::Due;
use crate::sql::{Columns, Sql, SqlError};

/// How many flows one statement asks for.
const TOGETHER: usize = 64;

/// Returns flows that sleep and are to be woken by now, those that are due longest first. `business` is the further condition for flows that
/// are the business of `host`.
pub(super) fn due(
    sql: &dyn Sql,
    host: Cell,
    business: &str,
    due: Due,
) -> Result<Vec<FlowId>, SqlError> {
    let statement = format!(
        "SELECT id FROM flows WHERE wake_at <= $2 AND (host = $1 OR host IS NULL) AND {} AND {business}
         ORDER BY wake_at LIMIT $3",
        match due.stuck_too {
            true => "TRUE",
            false => "stuck IS NULL",
        }
    );
    let most = i64::try_from(due.most).unwrap_or(i64::MAX);
    let rows = sql.query(&statement, &[host, due.now.into(), most.into()])?;
    rows.iter().map(|row| Columns(row).flow(0)).collect()
}

/// Returns which of these flows do not sleep, or are to be woken by now.
pub(super) fn awake(
    sql: &dyn Sql,
    flows: &[FlowId],
    now: Timestamp,
) -> Result<Vec<FlowId>, SqlError> {
    let places: Vec<String> = (2..TOGETHER + 2).map(|at| format!("${at}")).collect();
    let statement = format!(
        "SELECT id FROM flows WHERE wake_at > $1 AND id IN ({})",
        places.join(", ")
    );
    let mut awake = Vec::new();
    for page in flows.chunks(TOGETHER) {
        let last = page.last().copied();
        let padded = page.iter().copied().chain(last.into_iter().cycle());
        let mut parameters = vec![now.into()];
        parameters.extend(padded.take(TOGETHER).map(Cell::from));
        let rows = sql.query(&statement, &parameters)?;
        let asleep = rows.iter().map(|row| Columns(row).flow(0));
        let asleep: Vec<FlowId> = asleep.collect::<Result<_, _>>()?;
        awake.extend(page.iter().filter(|flow| !asleep.contains(flow)));
    }
    Ok(awake)
}
