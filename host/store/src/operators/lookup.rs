//! Reads journals of flows.

use cairn_effects::event::Entry;
use cairn_effects::rows::Cell;
use cairn_model::id::FlowId;

use crate::StoreError;
use crate::sql::{Columns, Impact, Sql, SqlError};

/// Why a journal was not read.
#[derive(Debug)]
pub(crate) enum JournalError {
    Sql(SqlError),
    /// What was read is not a journal.
    Damaged(String),
}

impl std::fmt::Display for JournalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sql(error) => error.fmt(f),
            Self::Damaged(reason) => f.write_str(reason),
        }
    }
}

impl JournalError {
    pub(crate) fn of(self, flow: FlowId) -> StoreError {
        match self {
            Self::Sql(error) => error.into(),
            Self::Damaged(reason) => StoreError::Damaged { flow, reason },
        }
    }
}

/// Returns why a flow cannot be recovered; `None` when it can, or does not exist.
pub(crate) fn stuck(sql: &dyn Sql, flow: FlowId) -> Result<Option<String>, SqlError> {
    let rows = sql.query("SELECT stuck FROM flows WHERE id = $1", &[flow.into()])?;
    rows.first()
        .map_or(Ok(None), |row| Columns(row).optional_text(0))
}

/// Returns the durable journal of a flow; empty for an unknown flow.
pub(crate) fn journal(sql: &dyn Sql, flow: FlowId) -> Result<Vec<Entry>, JournalError> {
    let rows = read(
        sql,
        "SELECT entries FROM journal WHERE flow = $1 ORDER BY first",
        flow,
    )?;
    entries(&rows, 0)
}

/// Runs a statement whose one parameter is the flow.
pub(super) fn read(
    sql: &dyn Sql,
    statement: &str,
    flow: FlowId,
) -> Result<Vec<Vec<Cell>>, JournalError> {
    let rows = sql.query(statement, &[flow.into()]);
    rows.map_err(|error| match error.impact {
        // The statement is right, so a cell is wrong.
        Impact::None => JournalError::Damaged(error.message),
        Impact::Lost | Impact::Suspect => JournalError::Sql(error),
    })
}

/// Returns the entries in a column of these rows.
pub(super) fn entries(rows: &[Vec<Cell>], column: usize) -> Result<Vec<Entry>, JournalError> {
    let mut entries = Vec::new();
    for row in rows {
        let found = Columns(row).entries(column);
        entries.extend(found.map_err(JournalError::Damaged)?);
    }
    Ok(entries)
}
