//! Checks the invariants of a database whose flows have all been recovered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use cairn::clock::SystemClock;
use cairn::event::{Entry, Event, FlowState, FlowSummary};
use cairn::history::History;
use cairn::id::Phase;
use cairn::rows::Cell;
use cairn::store::view::{FlowFilter, Reader, View};
use cairn::{FlowId, Identity, Report, TaskId, Verdict};

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
    let clock = Arc::new(SystemClock);
    let reader = Reader::open(path, crate::any::config(Default::default()), clock)?;
    check_in(&reader, path.with_file_name(RECEIVED).exists())
}

/// Checks the database at this URL like [`check`]. `delivers`: its processes have a transport.
///
/// # Errors
/// The first violated invariant.
pub fn check_on_a_server(url: &str, delivers: bool) -> Result<Found> {
    let config = crate::server::config(url, crate::any::config(Default::default()))?;
    check_in(&Reader::connect(&config, Arc::new(SystemClock))?, delivers)
}

fn check_in(reader: &Reader, delivers: bool) -> Result<Found> {
    let problems = reader.check()?.problems;
    ensure!(problems.is_empty(), "the database is damaged: {problems:?}");
    let nobody = Identity::default();
    let view = reader.view(&nobody);
    let volumes = by_flow(
        &view,
        "SELECT flow, status FROM volumes WHERE flow IS NOT NULL AND deleted = FALSE",
    )?;
    let messages = by_flow(
        &view,
        "SELECT flow, state FROM outbox WHERE flow IS NOT NULL",
    )?;
    // A message that was delivered is gone.
    let left: &[&str] = if delivers { &[] } else { &["ready"] };
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
    check_usages(&view)?;
    check_owners(&view)?;
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
fn check_usages(view: &View<'_>) -> Result<()> {
    let statement = "SELECT resource, in_use, reserved,
             CAST((SELECT CASE WHEN quota_usages.resource LIKE 'gigabytes%' THEN coalesce(sum(size), 0) ELSE count(*) END FROM volumes
              WHERE volumes.project_id = quota_usages.project_id AND booked = TRUE AND volumes.deleted = FALSE)
             + (SELECT CASE WHEN quota_usages.resource LIKE 'gigabytes%' THEN coalesce(sum(volume_size), 0) ELSE 0 END FROM snapshots
                WHERE snapshots.project_id = quota_usages.project_id AND booked = TRUE AND snapshots.deleted = FALSE) AS bigint),
             CAST((SELECT coalesce(sum(CASE WHEN delta > 0 THEN delta ELSE 0 END), 0) FROM reservations
              WHERE reservations.project_id = quota_usages.project_id AND reservations.resource = quota_usages.resource
                  AND state = 'open') AS bigint)
         FROM quota_usages WHERE deleted = FALSE AND resource NOT LIKE 'snapshots%'";
    for row in view.query(statement, &[])? {
        let [
            Cell::Text(resource),
            Cell::Int(in_use),
            Cell::Int(reserved),
            Cell::Int(booked),
            Cell::Int(held),
        ] = row.as_slice()
        else {
            bail!("a usage is {row:?}");
        };
        ensure!(
            (in_use, reserved) == (booked, held),
            "usage of {resource}: {in_use} in use, {reserved} reserved, {booked} booked and {held} held"
        );
    }
    Ok(())
}

/// Checks that open reservations, held messages and keys belong to a flow that can continue.
fn check_owners(view: &View<'_>) -> Result<()> {
    let lost = count(
        view,
        "SELECT count(*) FROM reservations LEFT JOIN flows ON flows.id = reservations.flow
         WHERE reservations.state = 'open' AND (flows.id IS NULL OR flows.state IN ('SUCCESS', 'FAILURE'))",
    )?;
    ensure!(
        lost == 0,
        "{lost} reservations are open without a live flow"
    );
    let lost = count(
        view,
        "SELECT count(*) FROM outbox LEFT JOIN flows ON flows.id = outbox.flow
         WHERE flows.id IS NULL OR flows.state = 'FAILURE' OR (flows.state <> 'SUCCESS' AND outbox.state <> 'held')",
    )?;
    ensure!(lost == 0, "{lost} messages of flows that did not succeed");
    let lost = count(
        view,
        "SELECT count(*) FROM keys LEFT JOIN flows ON flows.id = keys.flow
         WHERE (flows.id IS NULL OR flows.state IN ('SUCCESS', 'FAILURE'))
             AND keys.id NOT IN (SELECT encryption_key_id FROM volumes WHERE encryption_key_id IS NOT NULL)",
    )?;
    ensure!(lost == 0, "{lost} keys belong to no volume");
    Ok(())
}

fn count(view: &View<'_>, statement: &str) -> Result<i64> {
    match view.query(statement, &[])?.first().map(Vec::as_slice) {
        Some([Cell::Int(count)]) => Ok(*count),
        other => bail!("a count is {other:?}"),
    }
}

/// One text per row, by the flow that created the row.
type ByFlow = HashMap<[u8; 16], Vec<String>>;

/// Reads a table once, because a long run has tens of thousands of flows. `statement` selects the flow and the text.
fn by_flow(view: &View<'_>, statement: &str) -> Result<ByFlow> {
    let mut words = ByFlow::new();
    for row in view.query(statement, &[])? {
        let [Cell::Blob(flow), Cell::Text(text)] = row.as_slice() else {
            bail!("a row is {row:?}");
        };
        let flow: [u8; 16] = (**flow).try_into().context("the id of a flow")?;
        words.entry(flow).or_default().push(text.to_string());
    }
    Ok(words)
}
