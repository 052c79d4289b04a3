//! Reads what is on disk of flows that another process may work on.

use std::collections::HashMap;
use std::sync::LazyLock;

use cairn_effects::rows::Cell;
use cairn_model::id::FlowId;

use super::{idempotency, lookup};
use crate::StoreError;
use crate::host::FlowOnDisk;
use crate::sql::{Columns, Sql, SqlError};

/// How many flows are read in one statement.
const TOGETHER: usize = 32;

/// A flow whose journal has a block of more bytes is read alone.
const LONG: usize = 64 << 10;

/// One text for all pages, so that it is prepared once.
pub(crate) static PAGE: LazyLock<String> = LazyLock::new(|| {
    let flows: Vec<String> = (1..=TOGETHER).map(|at| format!("${at}")).collect();
    format!(
        "SELECT flows.id, stuck, journal.entries FROM flows JOIN journal ON journal.flow = flows.id WHERE flows.id IN ({})
         AND NOT EXISTS (SELECT 1 FROM journal AS long WHERE long.flow = flows.id AND octet_length(long.entries) > {LONG})
         ORDER BY flows.id, journal.first",
        flows.join(", ")
    )
});

/// Returns what the database has of each of these flows, in their order.
pub(crate) fn all_on_disk(sql: &dyn Sql, flows: &[FlowId]) -> Vec<Result<FlowOnDisk, StoreError>> {
    let mut all = Vec::with_capacity(flows.len());
    for page in flows.chunks(TOGETHER) {
        let mut found = match page {
            [_] => HashMap::new(),
            // Each is read alone then, and has an error of its own.
            page => together(sql, page).unwrap_or_default(),
        };
        let one = |flow: &FlowId| found.remove(flow).map_or_else(|| on_disk(sql, *flow), Ok);
        all.extend(page.iter().map(one));
    }
    all
}

/// Returns what the database has of those flows of a page that are there, have a journal, and have no long one.
pub(crate) fn together(
    sql: &dyn Sql,
    page: &[FlowId],
) -> Result<HashMap<FlowId, FlowOnDisk>, SqlError> {
    let mut flows: Vec<Cell> = page.iter().map(|flow| Cell::from(*flow)).collect();
    if let Some(last) = flows.last().cloned() {
        flows.resize(TOGETHER, last);
    }
    let mut found: HashMap<FlowId, FlowOnDisk> = HashMap::new();
    for row in sql.query(&PAGE, &flows)? {
        let row = Columns(&row);
        let flow = found.entry(row.flow(0)?).or_default();
        flow.stuck = row.optional_text(1)?;
        let entries = row.entries(2).map_err(SqlError::harmless)?;
        flow.journal.extend(entries);
    }
    Ok(found)
}

/// Returns what the database has of a flow, which may be nothing.
pub(crate) fn on_disk(sql: &dyn Sql, flow: FlowId) -> Result<FlowOnDisk, StoreError> {
    let statement = "SELECT stuck, journal.entries FROM flows LEFT JOIN journal ON journal.flow = flows.id WHERE flows.id = $1 ORDER BY first";
    let rows = lookup::read(sql, statement, flow).map_err(|error| error.of(flow))?;
    let Some(first) = rows.first() else {
        return Ok(FlowOnDisk {
            // Read last: the flow may have been pruned just now.
            kept: idempotency::kept_report(sql, flow)?,
            ..FlowOnDisk::default()
        });
    };
    let stuck = Columns(first).optional_text(0)?;
    // A flow without entries has one row, in which they are missing.
    let is_empty = matches!(first.get(1), None | Some(Cell::Null));
    let journal = match is_empty {
        true => Vec::new(),
        false => lookup::entries(&rows, 1).map_err(|error| error.of(flow))?,
    };
    Ok(FlowOnDisk {
        journal,
        stuck,
        kept: None,
    })
}
