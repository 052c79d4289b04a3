//! Reads flows and their journals.

use std::time::Duration;

use cairn_effects::event::{Entry, FlowState, FlowSummary};
use cairn_effects::rows::Cell;
use cairn_model::clock::Timestamp;
use cairn_model::id::FlowId;

use crate::StoreError;
use crate::sql::{Columns, Impact, Sql, SqlError};

/// Conditions on flows; all that are set must hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowFilter<'f> {
    /// In this state.
    pub state: Option<FlowState>,
    /// With a rollback that is incomplete and not accepted.
    pub incomplete: bool,
    /// That cannot be recovered.
    pub stuck: bool,
    /// That sleeps: it waits, or tries again later.
    pub asleep: bool,
    /// That has passed its pivot, and has not ended.
    pub forward: bool,
    /// That have not ended.
    pub unfinished: bool,
    /// Of this project.
    pub project: Option<&'f str>,
    /// Requested by this user.
    pub user: Option<&'f str>,
    /// With an error of this kind.
    pub error: Option<&'f str>,
    /// That took longer, sleeps included; of a flow that has not ended, the time until now counts.
    pub longer_than: Option<Duration>,
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

/// The columns of a flow in a list.
const SUMMARY: &str = "id, name, state, project_id, user_id, error, created_at, updated_at, incomplete, stuck, wake_at, forward";

/// A condition on flows that have not ended.
const UNFINISHED: &str =
    "state IN ('PENDING', 'STARTED', 'RESUMING', 'RUNNING', 'INTERRUPTED', 'REVERTING')";

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
    let statement = "SELECT entries FROM journal WHERE flow = $1 ORDER BY first";
    let rows = sql
        .query(statement, &[flow.into()])
        .map_err(|error| match error.impact {
            // The statement is right, so a cell is wrong.
            Impact::None => JournalError::Damaged(error.message),
            Impact::Lost | Impact::Suspect => JournalError::Sql(error),
        })?;
    let mut entries = Vec::new();
    for row in &rows {
        entries.extend(Columns(row).entries(0).map_err(JournalError::Damaged)?);
    }
    Ok(entries)
}

/// Returns flows, newest first.
pub(crate) fn flows(
    sql: &dyn Sql,
    now: Timestamp,
    filter: FlowFilter<'_>,
    limit: usize,
) -> Result<Vec<FlowSummary>, SqlError> {
    let mut conditions = vec!["TRUE".to_owned()];
    let mut parameters: Vec<Cell> = Vec::new();
    let mut parameter = |cell: Cell| {
        parameters.push(cell);
        parameters.len()
    };
    if let Some(state) = filter.state {
        conditions.push(format!("state = ${}", parameter(state.as_str().into())));
    }
    if filter.unfinished {
        conditions.push(UNFINISHED.to_owned());
    }
    for (column, value) in [
        ("project_id", filter.project),
        ("user_id", filter.user),
        ("error", filter.error),
    ] {
        if let Some(value) = value {
            conditions.push(format!("{column} = ${}", parameter(value.into())));
        }
    }
    if let Some(longer) = filter.longer_than {
        let least = parameter(micros(longer).into());
        let begun = parameter(now.before(longer).into());
        conditions.push(format!(
            "CASE WHEN {UNFINISHED} THEN created_at < ${begun} ELSE updated_at - created_at > ${least} END"
        ));
    }
    if filter.incomplete {
        conditions.push("incomplete".to_owned());
    }
    if filter.asleep {
        conditions.push("wake_at IS NOT NULL".to_owned());
    }
    if filter.forward {
        conditions.push("forward".to_owned());
    }
    if filter.stuck {
        conditions.push("stuck IS NOT NULL".to_owned());
    }
    if let Some(name) = filter.name {
        conditions.push(format!("name = ${}", parameter(name.into())));
    }
    if let Some(key) = filter.key {
        let key = parameter(key.into());
        conditions.push(format!(
            "id IN (SELECT flow FROM idempotency_keys WHERE key = ${key})"
        ));
    }
    if let Some(since) = filter.since {
        conditions.push(format!("created_at >= ${}", parameter(since.into())));
    }
    if let Some(before) = filter.before {
        conditions.push(format!("id < ${}", parameter(before.into())));
    }
    if let Some((lowest, highest)) = filter.ids {
        let (lowest, highest) = (parameter(lowest.into()), parameter(highest.into()));
        conditions.push(format!("id BETWEEN ${lowest} AND ${highest}"));
    }
    let limit = parameter(i64::try_from(limit).unwrap_or(i64::MAX).into());
    let statement = format!(
        "SELECT {SUMMARY} FROM flows WHERE {} ORDER BY id DESC LIMIT ${limit}",
        conditions.join(" AND ")
    );
    let rows = sql.query(&statement, &parameters)?;
    rows.iter().map(|row| summary(Columns(row))).collect()
}

/// Returns a flow as lists show it; `None` if there is none.
pub(crate) fn flow(sql: &dyn Sql, id: FlowId) -> Result<Option<FlowSummary>, SqlError> {
    let statement = format!("SELECT {SUMMARY} FROM flows WHERE id = $1");
    let rows = sql.query(&statement, &[id.into()])?;
    rows.first().map(|row| summary(Columns(row))).transpose()
}

/// Returns a duration as the database holds it; the longest one if it is longer.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn summary(row: Columns<'_>) -> Result<FlowSummary, SqlError> {
    let state = row.text(2)?;
    let state = FlowState::parse(&state)
        .ok_or_else(|| SqlError::harmless(format!("`{state}` is no state of a flow")))?;
    Ok(FlowSummary {
        id: row.flow(0)?,
        name: row.text(1)?,
        state,
        project_id: row.text(3)?,
        user_id: row.text(4)?,
        error: row.optional_text(5)?,
        created_at: Timestamp(row.int(6)?),
        updated_at: Timestamp(row.int(7)?),
        incomplete: row.flag(8)?,
        stuck: row.optional_text(9)?,
        wake_at: row.optional_int(10)?.map(Timestamp),
        forward: row.flag(11)?,
    })
}
