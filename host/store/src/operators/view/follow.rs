//! Reads what happened to many flows since a caller last looked.

use cairn_effects::event::{Entry, FlowState};
use cairn_effects::rows::Cell;
use cairn_model::id::FlowId;

use super::View;
use crate::StoreError;
use crate::sql::Columns;

/// How many flows one statement asks for.
const TOGETHER: usize = 200;

/// How far the journal of a flow goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The flow.
    pub flow: FlowId,
    /// The number of entries in its journal.
    pub entries: i64,
    /// Its state after them.
    pub state: FlowState,
}

/// Entries of a flow's journal that follow each other.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// The flow.
    pub flow: FlowId,
    /// The number of the first entry, counted from 0.
    pub first: i64,
    /// The entries.
    pub entries: Vec<Entry>,
}

impl View<'_> {
    /// Returns how far the journals of these flows go, in no order. Flows that do not exist, or were pruned, are left out.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn reaches(&self, flows: &[FlowId]) -> Result<Vec<Reach>, StoreError> {
        let mut found = Vec::with_capacity(flows.len());
        for page in flows.chunks(TOGETHER) {
            let marks: Vec<String> = (1..=page.len()).map(|at| format!("${at}")).collect();
            let statement = format!(
                "SELECT id, entries, state FROM flows WHERE id IN ({})",
                marks.join(", ")
            );
            let flows: Vec<Cell> = page.iter().map(|flow| (*flow).into()).collect();
            for row in self.sql().query(&statement, &flows)? {
                let row = Columns(&row);
                let state = row.text(2)?;
                let state = FlowState::parse(&state).ok_or_else(|| {
                    StoreError::Database(format!("`{state}` is no state of a flow"))
                })?;
                found.push(Reach {
                    flow: row.flow(0)?,
                    entries: row.int(1)?,
                    state,
                });
            }
        }
        Ok(found)
    }

    /// Returns the entries of journals from these numbers on, in the order of each journal. A number must be the length of its journal at
    /// some commit, or 0.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Database`].
    pub fn entries_from(&self, from: &[(FlowId, i64)]) -> Result<Vec<Stretch>, StoreError> {
        let mut found = Vec::new();
        for page in from.chunks(TOGETHER) {
            let conditions = (0..page.len())
                .map(|at| format!("(flow = ${} AND first >= ${})", 2 * at + 1, 2 * at + 2));
            let conditions: Vec<String> = conditions.collect();
            let statement = format!(
                "SELECT flow, first, entries FROM journal WHERE {} ORDER BY flow, first",
                conditions.join(" OR ")
            );
            let parameters: Vec<Cell> = page
                .iter()
                .flat_map(|(flow, first)| [Cell::from(*flow), (*first).into()])
                .collect();
            for row in self.sql().query(&statement, &parameters)? {
                let row = Columns(&row);
                let flow = row.flow(0)?;
                let entries = row.entries(2);
                found.push(Stretch {
                    flow,
                    first: row.int(1)?,
                    entries: entries.map_err(|reason| StoreError::Damaged { flow, reason })?,
                });
            }
        }
        Ok(found)
    }
}
