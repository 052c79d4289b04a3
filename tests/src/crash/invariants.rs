//! Checks the invariants of a database whose flows have all been recovered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use cairn::event::{Entry, Event, FlowState, FlowSummary};
use cairn::history::History;
use cairn::id::Phase;
use cairn::store::view::{FlowFilter, Reader};
use cairn::{FlowId, Identity, Report, TaskId, Verdict};
use rusqlite::{Connection, OpenFlags};

use super::RECEIVED;

/// The flows of a database.
#[derive(Debug, Default)]
pub struct Found {
    /// The flows' states, with the verdicts of their rollbacks.
    pub flows: BTreeMap<FlowId, (FlowState, Option<Verdict>)>,
}

/// Checks the database at `path`. No process may own any of its flows.
///
/// # Errors
/// The first violated invariant.
pub fn check(path: &Path) -> Result<Found> {
    let clock = std::sync::Arc::new(cairn::clock::SystemClock);
    let reader = Reader::open(path, crate::any::config(Default::default()), clock)?;
    let problems = reader.check()?.problems;
    ensure!(problems.is_empty(), "the database is damaged: {problems:?}");
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let volumes = by_flow(
        &db,
        "SELECT flow, status FROM volumes WHERE flow IS NOT NULL AND deleted = 0",
    )?;
    let messages = by_flow(&db, "SELECT flow, state FROM outbox WHERE flow IS NOT NULL")?;
    let nobody = Identity::default();
    // A message that was delivered is gone.
    let left: &[&str] = match path.with_file_name(RECEIVED).exists() {
        true => &[],
        false => &["ready"],
    };
    let view = reader.view(&nobody);
    let flows = view.flows(FlowFilter::default(), usize::MAX)?;
    let mut found = Found::default();
    for flow in &flows {
        let journal = view.journal(flow.id)?;
        let of = |words: &ByFlow| words.get(flow.id.0.as_bytes()).cloned().unwrap_or_default();
        let report = check_flow(flow, &journal, &of(&volumes), &of(&messages), left)
            .with_context(|| format!("flow {} in {}", flow.id, flow.state))?;
        let verdict = report.rollback.map(|rollback| rollback.verdict);
        found.flows.insert(flow.id, (flow.state, verdict));
    }
    check_usages(&db)?;
    check_owners(&db)?;
    Ok(found)
}

/// Checks one flow. `statuses` are those of the volumes that it created and that still exist, `casts` the states of its messages.
fn check_flow(
    flow: &FlowSummary,
    journal: &[Entry],
    statuses: &[String],
    casts: &[String],
    left: &[&str],
) -> Result<Report> {
    let history = History::fold(journal, &crate::any::domains(Default::default()))
        .context("the journal has no beginning")?;
    ensure!(
        history.state == flow.state,
        "its row says {}, its journal {}",
        flow.state,
        history.state
    );
    ensure!(
        matches!(
            flow.state,
            FlowState::Success | FlowState::Failure | FlowState::Interrupted | FlowState::Pending
        ),
        "it is neither at an end nor resumable"
    );
    check_reverts(journal).with_context(|| format!("{journal:#?}"))?;
    check_effects(journal)?;
    let report = Report::new(flow.id, &history);
    let verdict = report.rollback.as_ref().map(|rollback| rollback.verdict);
    match (flow.state, verdict) {
        (FlowState::Success, _) => {
            ensure!(statuses == ["creating"], "its volumes are {statuses:?}")
        }
        (FlowState::Failure, Some(Verdict::Kept)) => {
            ensure!(statuses == ["error"], "its volumes are {statuses:?}");
        }
        // This includes a rollback that an operator accepted.
        (FlowState::Failure, Some(Verdict::Incomplete | Verdict::Residue)) => {
            let unreverted = history
                .started
                .iter()
                .filter_map(|task| history.task(*task));
            let mut unreverted = unreverted.map(|task| task.name.as_str());
            ensure!(
                unreverted.any(|task| task.starts_with("entry-create;"))
                    || statuses.iter().all(|status| status == "error"),
                "its volumes are {statuses:?}, and nothing goes on with them"
            );
        }
        (FlowState::Failure, _) => ensure!(statuses.is_empty(), "its volumes are {statuses:?}"),
        _ => {}
    }
    match flow.state {
        FlowState::Success => ensure!(casts == left, "its messages are {casts:?}"),
        FlowState::Failure => ensure!(casts.is_empty(), "its messages are {casts:?}"),
        _ => ensure!(
            casts.iter().all(|cast| cast == "held"),
            "its messages are {casts:?}"
        ),
    }
    Ok(report)
}

/// Checks that a rollback visits every started task, in exactly the reverse order of their starts, and that no task is called after the
/// rollback began.
fn check_reverts(journal: &[Entry]) -> Result<()> {
    let mut stack: Vec<TaskId> = Vec::new();
    // The tasks still to be reverted, and the current one.
    let mut ahead: Option<Vec<TaskId>> = None;
    let mut at = None;
    for entry in journal {
        match &entry.event {
            Event::Started { task, .. } => {
                ensure!(ahead.is_none(), "a task is called while the flow reverts");
                if !stack.contains(task) {
                    stack.push(*task);
                }
            }
            // The rollback begins, or restarts after a crash.
            Event::Failed(_) => (ahead, at) = (Some(stack.clone()), None),
            // A revert that fails before it starts counts as a visit: the effects of the call could not be undone.
            Event::Reverting { task, .. } | Event::RevertFailed { task, .. }
                if at != Some(*task) =>
            {
                let next = ahead.as_mut().and_then(Vec::pop);
                ensure!(next == Some(*task), "a revert out of order");
                at = next;
            }
            Event::Reverted { task, .. } => {
                ensure!(at == Some(*task), "a revert that did not begin");
                stack.retain(|started| started != task);
            }
            Event::Reset => {
                stack.clear();
                (ahead, at) = (None, None);
            }
            Event::State { to, .. } if *to == FlowState::Failure => {
                let left = ahead.as_ref().map_or(0, Vec::len);
                ensure!(left == 0, "the rollback did not come to {left} tasks");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks that effects have unique numbers, that each is undone at most once, and that the effects of a call that did not succeed are
/// undone, unless the report lists its task as not reverted.
fn check_effects(journal: &[Entry]) -> Result<()> {
    let mut standing = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut succeeded = BTreeMap::new();
    let mut attempts = BTreeMap::new();
    let mut unreverted = BTreeSet::new();
    for entry in journal {
        match &entry.event {
            Event::Applied(applied) => {
                ensure!(
                    seen.insert(applied.number),
                    "effect {} came twice",
                    applied.number
                );
                standing.insert(applied.number, applied.call);
            }
            Event::Undone { number } => {
                ensure!(
                    standing.remove(number).is_some(),
                    "effect {number} was undone twice"
                );
            }
            Event::Started { task, attempt, .. } => {
                attempts.insert(*task, *attempt);
            }
            Event::Succeeded { task, .. } => {
                succeeded.insert(*task, attempts.get(task).copied().unwrap_or(0));
            }
            Event::RevertFailed { task, .. } => {
                unreverted.insert(*task);
            }
            Event::Reverted { task, .. } => {
                unreverted.remove(task);
            }
            _ => {}
        }
    }
    for (number, call) in standing {
        if call.phase == Phase::Call && !unreverted.contains(&call.task) {
            ensure!(
                succeeded.get(&call.task) == Some(&call.attempt),
                "effect {number} of a call that did not succeed stands"
            );
        }
    }
    Ok(())
}

/// Checks that usages are the sums of booked volumes and of open reservations. There is only one volume type, so the resources of the type
/// have the same sums.
fn check_usages(db: &Connection) -> Result<()> {
    let mut statement = db.prepare(
        "SELECT resource, in_use, reserved,
             (SELECT CASE WHEN resource LIKE 'gigabytes%' THEN total(size) ELSE count(*) END FROM volumes
              WHERE volumes.project_id = quota_usages.project_id AND booked = 1 AND volumes.deleted = 0)
             + (SELECT CASE WHEN resource LIKE 'gigabytes%' THEN total(volume_size) ELSE 0 END FROM snapshots
                WHERE snapshots.project_id = quota_usages.project_id AND booked = 1 AND snapshots.deleted = 0),
             (SELECT total(max(delta, 0)) FROM reservations
              WHERE reservations.project_id = quota_usages.project_id AND reservations.resource = quota_usages.resource
                  AND state = 'open')
         FROM quota_usages WHERE deleted = 0 AND resource NOT LIKE 'snapshots%'",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let resource: String = row.get(0)?;
        let found: (i64, i64) = (row.get(1)?, row.get(2)?);
        let expected: (f64, f64) = (row.get(3)?, row.get(4)?);
        ensure!(
            (found.0 as f64, found.1 as f64) == expected,
            "usage of {resource}: in use and reserved are {found:?}, and booked and held {expected:?}"
        );
    }
    Ok(())
}

/// Checks that open reservations, held messages and keys belong to a flow that can continue.
fn check_owners(db: &Connection) -> Result<()> {
    let lost: i64 = db.query_row(
        "SELECT count(*) FROM reservations LEFT JOIN flows ON flows.id = reservations.flow
         WHERE reservations.state = 'open' AND (flows.id IS NULL OR flows.state IN ('SUCCESS', 'FAILURE'))",
        [],
        |row| row.get(0),
    )?;
    ensure!(
        lost == 0,
        "{lost} reservations are open without a live flow"
    );
    let lost: i64 = db.query_row(
        "SELECT count(*) FROM outbox LEFT JOIN flows ON flows.id = outbox.flow
         WHERE flows.id IS NULL OR flows.state = 'FAILURE' OR (flows.state <> 'SUCCESS' AND outbox.state <> 'held')",
        [],
        |row| row.get(0),
    )?;
    ensure!(lost == 0, "{lost} messages of flows that did not succeed");
    let lost: i64 = db.query_row(
        "SELECT count(*) FROM keys LEFT JOIN flows ON flows.id = keys.flow
         WHERE (flows.id IS NULL OR flows.state IN ('SUCCESS', 'FAILURE'))
             AND keys.id NOT IN (SELECT encryption_key_id FROM volumes WHERE encryption_key_id IS NOT NULL)",
        [],
        |row| row.get(0),
    )?;
    ensure!(lost == 0, "{lost} keys belong to no volume");
    Ok(())
}

/// One text per row, by the flow that created the row.
type ByFlow = HashMap<[u8; 16], Vec<String>>;

/// Reads a table once, because a long run has tens of thousands of flows. `statement` selects the flow and the text.
fn by_flow(db: &Connection, statement: &str) -> Result<ByFlow> {
    let mut words = ByFlow::new();
    let mut statement = db.prepare(statement)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        words.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    Ok(words)
}
