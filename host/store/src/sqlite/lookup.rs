//! Reads flows and journals.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ToSql};

use cairn_effects::event::{Entry, FlowState, FlowSummary};
use cairn_model::clock::Timestamp;
use cairn_model::id::FlowId;

use super::tx::scalar;
use crate::journal;

/// Conditions on flows; all that are set must hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowFilter<'f> {
    /// In this state.
    pub state: Option<FlowState>,
    /// With a rollback that is incomplete and not accepted.
    pub incomplete: bool,
    /// That cannot be recovered.
    pub stuck: bool,
    /// With this name.
    pub name: Option<&'f str>,
    /// With this idempotency key, in any project.
    pub key: Option<&'f str>,
    /// Created at this time or later.
    pub since: Option<Timestamp>,
    /// Created before this flow.
    pub before: Option<FlowId>,
    /// With an id from the first to the second, both included.
    pub ids: Option<(FlowId, FlowId)>,
}

/// Returns why a flow cannot be recovered; `None` for a flow that can or does not exist.
pub(super) fn stuck(connection: &Connection, flow: FlowId) -> rusqlite::Result<Option<String>> {
    let statement = "SELECT stuck FROM flows WHERE id = ?";
    Ok(scalar::<Option<String>>(connection, statement, [flow.0.as_bytes()])?.flatten())
}

/// Reads a flow's journal from disk; it is empty for an unknown flow.
pub(super) fn journal(connection: &Connection, flow: FlowId) -> rusqlite::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut statement =
        connection.prepare_cached("SELECT entries FROM journal WHERE flow = ? ORDER BY first")?;
    let mut rows = statement.query([flow.0.as_bytes()])?;
    while let Some(row) = rows.next()? {
        entries.extend(read_entries(row.get_ref(0)?)?);
    }
    Ok(entries)
}

/// Reads the entries of a row of the journal, packed or as text.
pub(super) fn read_entries(cell: ValueRef<'_>) -> rusqlite::Result<Vec<Entry>> {
    let entries = match cell {
        ValueRef::Text(text) => journal::read(text),
        ValueRef::Blob(block) => journal::unpack(block),
        _ => {
            return Err(rusqlite::Error::InvalidColumnType(
                0,
                "entries".to_owned(),
                cell.data_type(),
            ));
        }
    };
    entries.map_err(|damage| rusqlite::Error::FromSqlConversionFailure(0, cell.data_type(), damage))
}

/// Returns flows, newest first.
pub(super) fn flows(
    connection: &Connection,
    filter: FlowFilter<'_>,
    limit: usize,
) -> rusqlite::Result<Vec<FlowSummary>> {
    let mut conditions = vec!["1"];
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    if let Some(state) = filter.state {
        conditions.push("state = ?");
        values.push(Box::new(state.as_str()));
    }
    if filter.incomplete {
        conditions.push("incomplete = 1");
    }
    if filter.stuck {
        conditions.push("stuck IS NOT NULL");
    }
    if let Some(name) = filter.name {
        conditions.push("name = ?");
        values.push(Box::new(name.to_owned()));
    }
    if let Some(key) = filter.key {
        conditions.push("id IN (SELECT flow FROM idempotency_keys WHERE key = ?)");
        values.push(Box::new(key.to_owned()));
    }
    if let Some(since) = filter.since {
        conditions.push("created_at >= ?");
        values.push(Box::new(since.0));
    }
    if let Some(before) = filter.before {
        conditions.push("id < ?");
        values.push(Box::new(before.0.into_bytes()));
    }
    if let Some((lowest, highest)) = filter.ids {
        conditions.push("id BETWEEN ? AND ?");
        values.push(Box::new(lowest.0.into_bytes()));
        values.push(Box::new(highest.0.into_bytes()));
    }
    values.push(Box::new(i64::try_from(limit).unwrap_or(i64::MAX)));
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, name, state, project_id, user_id, error, created_at, updated_at, incomplete, stuck FROM flows
         WHERE {} ORDER BY id DESC LIMIT ?",
        conditions.join(" AND ")
    ))?;
    let flows = statement.query_map(rusqlite::params_from_iter(values), |row| {
        let state: String = row.get(2)?;
        let state = FlowState::parse(&state).ok_or_else(|| {
            let problem = format!("`{state}` is no state of a flow");
            rusqlite::Error::FromSqlConversionFailure(
                2,
                rusqlite::types::Type::Text,
                problem.into(),
            )
        })?;
        Ok(FlowSummary {
            id: FlowId(uuid::Uuid::from_bytes(row.get(0)?)),
            name: row.get(1)?,
            state,
            project_id: row.get(3)?,
            user_id: row.get(4)?,
            error: row.get(5)?,
            created_at: Timestamp(row.get(6)?),
            updated_at: Timestamp(row.get(7)?),
            incomplete: row.get(8)?,
            stuck: row.get(9)?,
        })
    })?;
    flows.collect()
}
