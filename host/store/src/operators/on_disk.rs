//! Reads what is on disk of a flow that another process may work on, in one statement.

use cairn_effects::rows::Cell;
use cairn_model::id::FlowId;

use super::{idempotency, lookup};
use crate::StoreError;
use crate::host::FlowOnDisk;
use crate::sql::{Columns, Sql};

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
