//! Idempotency keys: their flows, when they lapse, and the reports they keep of pruned flows.

use rusqlite::{Connection, OptionalExtension, params};

use cairn_effects::domain::Domains;
use cairn_effects::history::History;
use cairn_effects::report::Report;
use cairn_model::clock::Timestamp;
use cairn_model::id::FlowId;
use cairn_model::idempotency::{self, Key};
use cairn_model::value::Digest;

use super::lookup;
use super::tx::{describe, scalar};
use crate::StoreError;
use crate::backend::{GivenKey, Holder};
use crate::config::Env;

/// SQL for the time when a key's flow ended; NULL while it has not, while its rollback is incomplete, and while it is stuck.
const ENDED: &str = "coalesce(ended_at, (
    SELECT updated_at FROM flows
    WHERE flows.id = idempotency_keys.flow AND state IN ('SUCCESS', 'FAILURE') AND incomplete = 0 AND stuck IS NULL))";

/// Project and text of a key.
pub(super) type KeyId = (String, String);

/// The data that a key keeps of a pruned flow.
pub(super) struct Kept {
    asked: Digest,
    /// [`Report::short`], as JSON.
    report: String,
}

/// Returns the holder of a key. A key whose flow ended by `lapsed` has lapsed.
///
/// # Errors
/// [`StoreError::Database`].
pub(super) fn holder(
    connection: &Connection,
    project_id: &str,
    key: &str,
    lapsed: Timestamp,
) -> Result<Option<Holder>, StoreError> {
    let statement = format!(
        "SELECT flow, asked, coalesce({ENDED} > ?3, 1) FROM idempotency_keys WHERE project_id = ?1 AND key = ?2"
    );
    let found = connection
        .prepare_cached(&statement)
        .and_then(|mut statement| {
            statement
                .query_row(params![project_id, key, lapsed.0], |row| {
                    let asked: Option<String> = row.get(1)?;
                    Ok(Holder {
                        flow: FlowId(uuid::Uuid::from_bytes(row.get(0)?)),
                        // NULL for a key of schema 3.
                        asked: asked.and_then(|asked| asked.parse().ok()),
                        stands: row.get(2)?,
                    })
                })
                .optional()
        });
    found.map_err(|error| StoreError::Database(describe(&error)))
}

/// Returns the digest of the request of a key's flow.
///
/// # Errors
/// [`StoreError::Damaged`] when only the flow's journal has it and cannot be read; [`StoreError::Database`].
pub(super) fn asked_under(
    connection: &Connection,
    holder: &Holder,
    domains: &Domains,
) -> Result<Digest, StoreError> {
    match holder.asked {
        Some(asked) => Ok(asked),
        None => Ok(asked_for(&history(connection, holder.flow, domains)?)),
    }
}

/// Gives a key to a flow. The key must be free or have lapsed.
pub(super) fn give(connection: &Connection, given: &GivenKey) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO idempotency_keys (project_id, key, flow, asked) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![
            given.project_id,
            given.key,
            given.flow.0.as_bytes(),
            given.asked.to_string()
        ])?;
    Ok(())
}

fn history(
    connection: &Connection,
    flow: FlowId,
    domains: &Domains,
) -> Result<History, StoreError> {
    let damaged = |reason: String| StoreError::Damaged { flow, reason };
    let journal =
        lookup::journal(connection, flow).map_err(|error| match error.sqlite_error() {
            Some(_) => StoreError::Database(describe(&error)),
            None => damaged(describe(&error)),
        })?;
    History::fold(&journal, domains)
        .ok_or_else(|| damaged("its first event is not `Created`".to_owned()))
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
pub(super) fn keep(
    connection: &Connection,
    flow: FlowId,
    domains: &Domains,
) -> Result<Option<Kept>, StoreError> {
    let statement = "SELECT 1 FROM idempotency_keys WHERE flow = ?";
    let keyed: Option<i64> = scalar(connection, statement, [flow.0.as_bytes()])
        .map_err(|error| StoreError::Database(describe(&error)))?;
    if keyed.is_none() {
        return Ok(None);
    }
    let history = history(connection, flow, domains)?;
    let report = serde_json::to_string(&Report::new(flow, &history).short())
        .map_err(|error| StoreError::Database(error.to_string()))?;
    Ok(Some(Kept {
        asked: asked_for(&history),
        report,
    }))
}

/// Writes the data that the keys of a flow keep.
pub(super) fn write_kept(
    connection: &Connection,
    flow: FlowId,
    ended_at: Timestamp,
    kept: &Kept,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE idempotency_keys SET asked = coalesce(asked, ?), ended_at = ?, report = ? WHERE flow = ?",
        )?
        .execute(params![
            kept.asked.to_string(),
            ended_at.0,
            kept.report,
            flow.0.as_bytes()
        ])?;
    Ok(())
}

/// Returns the report that a key keeps of a pruned flow; `None` for a flow that was not pruned.
///
/// # Errors
/// [`StoreError::Damaged`] when the report cannot be read, [`StoreError::Database`].
pub(super) fn kept_report(
    connection: &Connection,
    flow: FlowId,
) -> Result<Option<Report>, StoreError> {
    let statement =
        "SELECT report FROM idempotency_keys WHERE flow = ? AND report IS NOT NULL LIMIT 1";
    let report: Option<String> = scalar(connection, statement, [flow.0.as_bytes()])
        .map_err(|error| StoreError::Database(describe(&error)))?;
    let report = report.map(|report| serde_json::from_str(&report));
    report.transpose().map_err(|error| StoreError::Damaged {
        flow,
        reason: format!("the report that its idempotency key keeps cannot be read: {error}"),
    })
}

/// Returns the first `most` keys after `from`, and whether each has lapsed.
pub(super) fn page(
    connection: &Connection,
    env: &Env,
    from: Option<&KeyId>,
    most: usize,
) -> rusqlite::Result<Vec<(KeyId, bool)>> {
    let after = if from.is_some() { ">" } else { ">=" };
    let (project, key) = from.map_or(("", ""), |(project, key)| (project, key));
    let statement = format!(
        "SELECT project_id, key, coalesce({ENDED} <= ?3, 0) FROM idempotency_keys
         WHERE (project_id, key) {after} (?1, ?2) ORDER BY project_id, key LIMIT ?4"
    );
    connection
        .prepare_cached(&statement)?
        .query_map(
            params![project, key, env.keys_lapse_before().0, most as i64],
            |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)),
        )?
        .collect()
}

/// Removes a key if it has lapsed; returns whether it was removed.
pub(super) fn remove_lapsed(
    connection: &Connection,
    env: &Env,
    (project, key): &KeyId,
) -> rusqlite::Result<bool> {
    let statement =
        format!("DELETE FROM idempotency_keys WHERE project_id = ? AND key = ? AND {ENDED} <= ?");
    let removed = connection.prepare_cached(&statement)?.execute(params![
        project,
        key,
        env.keys_lapse_before().0
    ])?;
    Ok(removed > 0)
}
