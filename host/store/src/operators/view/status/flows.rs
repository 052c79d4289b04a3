//! Flows that need a person, or take longer than expected.

use std::time::Duration;

use cairn_effects::event::{Event, NEVER};
use cairn_effects::rows::Cell;
use cairn_model::clock::Timestamp;
use cairn_model::id::FlowId;
use cairn_model::status::StatusLimits;

use super::finding::{Finding, FindingKind, NamedFlow, Severity, counted, rounded};
use crate::StoreError;
use crate::sql::{Columns, SqlError};
use crate::view::View;

/// How many flows a finding names.
const NAMED: usize = 5;

/// How many flows are looked at where no index knows how long each has run or waited, the oldest first.
const LOOKED_AT: i64 = 10_000;

/// Of how many flows that were asked for long ago the journal is read, for when they last slept.
const READ: usize = 50;

/// Allows for hosts whose clocks differ: the id of a flow is made by another clock than the time of its creation.
const CLOCKS: Duration = Duration::from_secs(60);

/// Flows, by a condition on the table `flows`.
struct Flows<'a> {
    /// A table or a query, called `flows`.
    from: &'a str,
    condition: &'a str,
    order: &'a str,
    parameters: &'a [Cell],
}

impl Flows<'_> {
    fn count(&self, view: &View<'_>) -> Result<u64, StoreError> {
        let statement = format!(
            "SELECT count(*) FROM {} WHERE {}",
            self.from, self.condition
        );
        let rows = view.query(&statement, self.parameters)?;
        let count = rows.first().map_or(Ok(0), |row| Columns(row).int(0))?;
        Ok(count.unsigned_abs())
    }

    fn first(&self, view: &View<'_>, most: usize) -> Result<Vec<NamedFlow>, StoreError> {
        let statement = format!(
            "SELECT id, name, project_id FROM {} WHERE {} ORDER BY {} LIMIT {most}",
            self.from, self.condition, self.order
        );
        let rows = view.query(&statement, self.parameters)?;
        let flows = rows.iter().map(|row| {
            let row = Columns(row);
            Ok(NamedFlow {
                id: row.flow(0)?,
                name: row.text(1)?,
                project_id: row.text(2)?,
            })
        });
        Ok(flows.collect::<Result<_, SqlError>>()?)
    }

    /// Returns the finding that there are such flows.
    fn finding(
        &self,
        view: &View<'_>,
        kind: FindingKind,
        severity: Severity,
        says: impl FnOnce(u64) -> String,
        command: &str,
    ) -> Result<Option<Finding>, StoreError> {
        let flows = self.first(view, NAMED)?;
        if flows.is_empty() {
            return Ok(None);
        }
        let count = match flows.len() < NAMED {
            true => flows.len() as u64,
            false => self.count(view)?,
        };
        Ok(Some(Finding {
            kind,
            severity,
            count,
            sentence: says(count),
            command: about(command, count, &flows),
            flows,
        }))
    }
}

/// Returns the command that shows the only flow, or else the command for all.
fn about(command: &str, count: u64, flows: &[NamedFlow]) -> String {
    match (count, flows) {
        (1, [only]) => format!("cairn flow show {}", only.id),
        _ => command.to_owned(),
    }
}

/// Returns what is to be said of flows.
pub(super) fn findings(view: &View<'_>, limits: &StatusLimits) -> Result<Vec<Finding>, StoreError> {
    let now = view.now();
    let stuck = Flows {
        from: "flows",
        condition: "stuck IS NOT NULL",
        order: "id",
        parameters: &[],
    };
    let stuck = stuck.finding(
        view,
        FindingKind::Stuck,
        Severity::Error,
        |count| format!("{} cannot be recovered", counted(count, "flow")),
        "cairn flow list --stuck",
    )?;
    let incomplete = Flows {
        from: "flows",
        condition: "incomplete",
        order: "id",
        parameters: &[],
    };
    let incomplete = incomplete.finding(
        view,
        FindingKind::Incomplete,
        Severity::Error,
        |count| format!("the rollback of {} is incomplete", counted(count, "flow")),
        "cairn flow list --incomplete",
    )?;
    let unknown = Flows {
        from: "flows",
        // A flow that sleeps with an act that has no outcome is in doubt: the host looks again when it wakes.
        condition: "wake_at IS NOT NULL AND stuck IS NULL
             AND id IN (SELECT flow FROM externals WHERE state <> 'made' AND flow IS NOT NULL)",
        order: "id",
        parameters: &[],
    };
    let unknown = unknown.finding(
        view,
        FindingKind::Unknown,
        Severity::Error,
        |count| {
            format!(
                "it is not known whether an object of {} is there",
                counted(count, "flow")
            )
        },
        "cairn external list --state making --state removing --admin",
    )?;
    let interrupted = Flows {
        from: "flows",
        condition: "state = 'INTERRUPTED' AND stuck IS NULL AND updated_at < $1",
        order: "id",
        parameters: &[now.before(limits.run).into()],
    };
    let interrupted = interrupted.finding(
        view,
        FindingKind::Interrupted,
        Severity::Warning,
        |count| {
            format!(
                "{} rested for more than {} since an interruption",
                has(count),
                rounded(limits.run)
            )
        },
        "cairn flow list --state interrupted",
    )?;
    let overdue = Flows {
        from: "flows",
        condition: "wake_at < $1 AND stuck IS NULL",
        order: "wake_at, id",
        parameters: &[now.before(limits.overdue).into()],
    };
    let overdue = overdue.finding(
        view,
        FindingKind::Overdue,
        Severity::Error,
        |count| {
            format!(
                "{} should have been woken more than {} ago",
                counted(count, "flow"),
                rounded(limits.overdue)
            )
        },
        "cairn recover",
    )?;
    let created = FlowId::least_at(now.before(limits.wait).after(CLOCKS));
    let waiting = Flows {
        from: &format!(
            "(SELECT id, name, project_id, updated_at FROM flows WHERE wake_at = $1 AND id < $2
                 ORDER BY id LIMIT {LOOKED_AT}) AS flows"
        ),
        condition: "updated_at < $3",
        order: "id",
        parameters: &[NEVER.into(), created.into(), now.before(limits.wait).into()],
    };
    let waiting = waiting.finding(
        view,
        FindingKind::Waiting,
        Severity::Warning,
        |count| {
            format!(
                "{} waited for more than {} for a signal",
                has(count),
                rounded(limits.wait)
            )
        },
        "cairn flow list --waiting",
    )?;
    let all = [
        stuck,
        incomplete,
        unknown,
        overdue,
        running(view, limits)?,
        interrupted,
        waiting,
    ];
    Ok(all.into_iter().flatten().collect())
}

fn has(count: u64) -> String {
    match count {
        1 => "1 flow has".to_owned(),
        _ => format!("{count} flows have"),
    }
}

/// Finds flows that run for longer than expected, since they were created or last woke.
fn running(view: &View<'_>, limits: &StatusLimits) -> Result<Option<Finding>, StoreError> {
    let begun = view.now().before(limits.run);
    let owned = Flows {
        from: "flows",
        condition: "host IS NOT NULL AND created_at < $1 AND stuck IS NULL AND wake_at IS NULL",
        // Not by id: few flows are owned, and their index is that of hosts.
        order: "created_at",
        parameters: &[begun.into()],
    };
    let mut flows = owned.first(view, READ)?;
    let more = match flows.len() < READ {
        true => 0,
        // Those whose journal is not read count by their age.
        false => owned.count(view)?.saturating_sub(READ as u64),
    };
    let mut error = None;
    flows.retain(|flow| match runs_since(view, flow.id) {
        Ok(since) => since < begun,
        Err(failed) => {
            error.get_or_insert(failed);
            true
        }
    });
    if let Some(error) = error {
        return Err(error);
    }
    let count = flows.len() as u64 + more;
    if count == 0 {
        return Ok(None);
    }
    let command = about("cairn flow list --unfinished", count, &flows);
    flows.truncate(NAMED);
    Ok(Some(Finding {
        kind: FindingKind::Running,
        severity: Severity::Warning,
        count,
        sentence: format!("{} run for more than {}", has(count), rounded(limits.run)),
        command,
        flows,
    }))
}

/// Returns since when a flow runs: since it last woke, else since it was created. A journal that cannot be read says the earliest time.
fn runs_since(view: &View<'_>, flow: FlowId) -> Result<Timestamp, StoreError> {
    let journal = match view.journal(flow) {
        Err(StoreError::Damaged { .. }) => return Ok(Timestamp::EARLIEST),
        journal => journal?,
    };
    let mut woken = journal.iter().rev();
    let woken = woken.find(|entry| entry.event == Event::Woke);
    let since = woken.or(journal.first()).map(|entry| entry.at);
    Ok(since.unwrap_or(Timestamp::EARLIEST))
}

/// Returns when the first flow was created.
pub(super) fn first_created(view: &View<'_>) -> Result<Option<Timestamp>, StoreError> {
    let statement = "SELECT created_at FROM flows ORDER BY id LIMIT 1";
    let rows = view.query(statement, &[])?;
    let first = rows.first().map(|row| Columns(row).int(0)).transpose()?;
    Ok(first.map(Timestamp))
}
