//! Idempotency keys: their flows, when they lapse, and the reports they keep of pruned flows.

use cairn_effects::domain::Domains;
use cairn_effects::history::History;
use cairn_effects::report::Report;
use cairn_model::clock::Timestamp;
use cairn_model::id::FlowId;
use cairn_model::idempotency::{self, Key};
use cairn_model::value::Digest;

use super::lookup::{self, JournalError};
use crate::StoreError;
use crate::backend::Holder;
use crate::config::Env;
use crate::sql::{Columns, Sql, SqlError};

/// SQL for the time when a key's flow ended; NULL while it has not, while its rollback is incomplete, and while it is stuck.
const ENDED: &str = "coalesce(ended_at, (
    SELECT updated_at FROM flows
    WHERE flows.id = idempotency_keys.flow AND state IN ('SUCCESS', 'FAILURE') AND incomplete = FALSE AND stuck IS NULL))";

/// Project and text of a key.
pub(crate) type KeyId = (String, String);

/// The data that a key keeps of a pruned flow.
pub(crate) struct Kept {
    asked: Digest,
    /// [`Report::short`], as JSON.
    report: String,
}

/// Returns the holder of a key. A key whose flow ended by `lapsed` has lapsed.
///
/// # Errors
/// [`StoreError::Database`].
pub(crate) fn holder(
    sql: &dyn Sql,
    project_id: &str,
    key: &str,
    lapsed: Timestamp,
) -> Result<Option<Holder>, StoreError> {
    let statement = format!(
        "SELECT flow, asked, coalesce({ENDED} > $3, TRUE) FROM idempotency_keys WHERE project_id = $1 AND key = $2"
    );
    let rows = sql.query(&statement, &[project_id.into(), key.into(), lapsed.into()])?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let row = Columns(row);
    Ok(Some(Holder {
        flow: row.flow(0)?,
        // NULL for a key of schema 3.
        asked: row.optional_text(1)?.and_then(|asked| asked.parse().ok()),
        stands: row.flag(2)?,
    }))
}

/// Returns the digest of the request of a key's flow.
///
/// # Errors
/// [`StoreError::Damaged`] when only the flow's journal has it and cannot be read; [`StoreError::Database`].
pub(crate) fn asked_under(
    sql: &dyn Sql,
    holder: &Holder,
    domains: &Domains,
) -> Result<Digest, StoreError> {
    match holder.asked {
        Some(asked) => Ok(asked),
        None => Ok(asked_for(&history(sql, holder.flow, domains)?)),
    }
}

fn history(sql: &dyn Sql, flow: FlowId, domains: &Domains) -> Result<History, StoreError> {
    let journal = lookup::journal(sql, flow).map_err(|error| error.of(flow))?;
    History::fold(&journal, domains).ok_or_else(|| {
        JournalError::Damaged("its first event is not `Created`".to_owned()).of(flow)
    })
}

fn asked_for(history: &History) -> Digest {
    history.key.as_ref().map_or_else(
        || idempotency::asked(&history.name, &history.request),
        Key::asked,
    )
}

/// Returns the data that the keys of a flow keep when it is pruned; `None` when it has no key.
///
/// # Errors
/// As [`asked_under`].
pub(crate) fn keep(
    sql: &dyn Sql,
    flow: FlowId,
    domains: &Domains,
) -> Result<Option<Kept>, StoreError> {
    let statement = "SELECT 1 FROM idempotency_keys WHERE flow = $1";
    if sql.scalar(statement, &[flow.into()])?.is_none() {
        return Ok(None);
    }
    let history = history(sql, flow, domains)?;
    let report = serde_json::to_string(&Report::new(flow, &history).short())
        .map_err(|error| StoreError::Database(error.to_string()))?;
    Ok(Some(Kept {
        asked: asked_for(&history),
        report,
    }))
}

/// Writes the data that the keys of a flow keep.
pub(crate) fn write_kept(
    sql: &dyn Sql,
    flow: FlowId,
    ended_at: Timestamp,
    kept: &Kept,
) -> Result<(), SqlError> {
    let statement = "UPDATE idempotency_keys SET asked = coalesce(asked, $1), ended_at = $2, report = $3 WHERE flow = $4";
    let parameters = [
        kept.asked.to_string().as_str().into(),
        ended_at.into(),
        kept.report.as_str().into(),
        flow.into(),
    ];
    sql.execute(statement, &parameters).map(drop)
}

/// Returns the report that a key keeps of a pruned flow; `None` for a flow that was not pruned.
///
/// # Errors
/// [`StoreError::Damaged`] when the report cannot be read, [`StoreError::Database`].
pub(crate) fn kept_report(sql: &dyn Sql, flow: FlowId) -> Result<Option<Report>, StoreError> {
    let statement =
        "SELECT report FROM idempotency_keys WHERE flow = $1 AND report IS NOT NULL LIMIT 1";
    let rows = sql.query(statement, &[flow.into()])?;
    let report = rows.first().map(|row| Columns(row).text(0)).transpose()?;
    let report = report.map(|report| serde_json::from_str(&report));
    report.transpose().map_err(|error| StoreError::Damaged {
        flow,
        reason: format!("the report that its idempotency key keeps cannot be read: {error}"),
    })
}

/// Returns the first `most` keys after `from`, and whether each has lapsed.
pub(crate) fn page(
    sql: &dyn Sql,
    env: &Env,
    from: Option<&KeyId>,
    most: usize,
) -> Result<Vec<(KeyId, bool)>, SqlError> {
    let after = if from.is_some() { ">" } else { ">=" };
    let (project, key) = from.map_or(("", ""), |(project, key)| (project, key));
    let statement = format!(
        "SELECT project_id, key, coalesce({ENDED} <= $3, FALSE) FROM idempotency_keys
         WHERE (project_id, key) {after} ($1, $2) ORDER BY project_id, key LIMIT $4"
    );
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let parameters = [
        project.into(),
        key.into(),
        env.keys_lapse_before().into(),
        most.into(),
    ];
    let rows = sql.query(&statement, &parameters)?;
    let keys = rows.iter().map(|row| {
        let row = Columns(row);
        Ok(((row.text(0)?, row.text(1)?), row.flag(2)?))
    });
    keys.collect()
}

/// Removes a key if it has lapsed; returns whether it was removed.
pub(crate) fn remove_lapsed(
    sql: &dyn Sql,
    env: &Env,
    (project, key): &KeyId,
) -> Result<bool, SqlError> {
    let statement = format!(
        "DELETE FROM idempotency_keys WHERE project_id = $1 AND key = $2 AND {ENDED} <= $3"
    );
    let parameters = [
        project.as_str().into(),
        key.as_str().into(),
        env.keys_lapse_before().into(),
    ];
    Ok(sql.execute(&statement, &parameters)? > 0)
}
