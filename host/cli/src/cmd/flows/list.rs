//! `cairn flow list`.

use std::time::Duration;

use cairn::event::{FlowState, FlowSummary, NEVER};
use cairn::store::view::{FlowFilter, Reader};
use cairn::{Diagnostic, FlowId, Identity, Report, Verdict};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::forward::{self, Holders};
use crate::exit::Failure;
use crate::output;
use crate::page::Page;
use crate::session::Session;
use crate::since::{Since, since};

#[derive(Args, Debug)]
pub struct List {
    /// Only flows in this state, such as FAILURE
    #[arg(long, ignore_case = true, value_parser = state)]
    state: Option<FlowState>,
    /// Only flows whose rollback has this verdict
    #[arg(long, value_enum, value_name = "VERDICT")]
    verdict: Option<Ending>,
    /// Only flows of this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only flows of this project
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Only flows that this user requested
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only flows with an error of this kind, such as OverQuota
    #[arg(long, value_name = "KIND")]
    error: Option<String>,
    /// Only flows that have not ended
    #[arg(long)]
    unfinished: bool,
    /// Only flows that took longer, such as 10m, or that were created so long ago and have not ended
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    longer_than: Option<Duration>,
    /// Only flows created since this time, such as 2026-03-01T12:00:00Z, or within this period, such as 2h
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// Only the flow with this idempotency key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only flows whose rollback is incomplete: a revert failed, and no operator has accepted that
    #[arg(long)]
    incomplete: bool,
    /// Only flows that wait for a time or a signal, or for the next attempt of a task
    #[arg(long)]
    waiting: bool,
    /// Only flows that have passed their pivot and have not ended, with the flow that each waits for: they cannot be rolled back
    #[arg(long)]
    forward: bool,
    /// Only stuck flows, which could not be recovered, with the reason
    #[arg(long)]
    stuck: bool,
    #[command(flatten)]
    page: Page,
}

/// How many flows are listed by default.
const LISTED: Option<usize> = Some(100);

/// A flow in the list; times are in RFC 3339.
#[derive(Serialize)]
pub struct Row {
    id: FlowId,
    name: String,
    state: FlowState,
    error: Option<String>,
    incomplete: bool,
    stuck: Option<String>,
    /// Whether it sleeps: it waits, or a task is tried again later.
    waiting: bool,
    /// When it is woken; null if only a signal wakes it.
    wake_at: Option<String>,
    /// Whether it has passed its pivot: it only goes forward.
    forward: bool,
    /// The flow that holds the key for which it waits; only with `--forward`.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<FlowId>,
    /// Whether that flow waits for this one in turn; only with `--forward`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    circle: bool,
    project_id: String,
    user_id: String,
    created_at: String,
    updated_at: String,
}

impl List {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let reader = session.reader()?;
        let since = self.since.map(Since::time);
        let filter = FlowFilter {
            // Only a rollback that has ended has one of the other verdicts.
            state: self.state.or(self.verdict.map(|verdict| match verdict {
                Ending::Unknown => FlowState::Reverting,
                _ => FlowState::Failure,
            })),
            incomplete: self.incomplete,
            stuck: self.stuck,
            asleep: self.waiting,
            forward: self.forward,
            unfinished: self.unfinished,
            project: self.project.as_deref(),
            user: self.user.as_deref(),
            error: self.error.as_deref(),
            longer_than: self.longer_than,
            name: self.name.as_deref(),
            key: self.key.as_deref(),
            since,
            before: self.page.cursor().map(cursor).transpose()?,
            ..FlowFilter::default()
        };
        let limit = self.page.to_read(LISTED);
        let flows = match self.verdict {
            None => reader.view(&Identity::default()).flows(filter, limit)?,
            Some(verdict) => with_verdict(session, &reader, filter, limit, verdict)?,
        };
        let holders = match self.forward {
            true => forward::holders(session, &reader, &flows),
            false => Holders::new(),
        };
        let circles = forward::circles(&holders);
        let row = |flow: FlowSummary| Row {
            waits_for: holders.get(&flow.id).copied(),
            circle: circles.contains(&flow.id),
            ..Row::from(flow)
        };
        let flows: Vec<Row> = flows.into_iter().map(row).collect();
        let id = |flow: &Row| flow.id.to_string();
        self.page.show(session, flows, LISTED, id, table)
    }
}

/// Lists flows whose rollback has a verdict. No table holds verdicts, so the journals are read, for some flows at a time. A flow whose
/// journal cannot be read is reported and left out.
fn with_verdict(
    session: &Session,
    reader: &Reader,
    mut filter: FlowFilter<'_>,
    limit: usize,
    verdict: Ending,
) -> Result<Vec<FlowSummary>, Failure> {
    const AT_ONCE: usize = 256;
    let mut found = Vec::new();
    loop {
        let flows = reader.view(&Identity::default()).flows(filter, AT_ONCE)?;
        let is_last = flows.len() < AT_ONCE;
        filter.before = flows.last().map(|flow| flow.id);
        for flow in flows {
            match super::journal(session, reader, flow.id) {
                Ok((_, history)) => {
                    let rollback = Report::new(flow.id, &history).rollback;
                    if rollback.is_some_and(|rollback| verdict.is(rollback.verdict)) {
                        found.push(flow);
                    }
                }
                Err(failure) => {
                    session.warn(&format!("flow {}: {}", flow.id, failure.diagnostic));
                }
            }
            if found.len() >= limit {
                return Ok(found);
            }
        }
        if is_last {
            return Ok(found);
        }
    }
}

/// The verdict of a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ending {
    /// Every change was undone
    Clean,
    /// Reverted tasks kept the changes that remain
    Kept,
    /// A task could not be reverted; the rollback can be repeated
    Incomplete,
    /// An operator accepted an incomplete rollback, or a message has left
    Residue,
    /// It is not known whether an object outside the database is there
    Unknown,
}

impl Ending {
    fn is(self, verdict: Verdict) -> bool {
        match self {
            Self::Clean => verdict == Verdict::Clean,
            Self::Kept => verdict == Verdict::Kept,
            Self::Incomplete => verdict == Verdict::Incomplete,
            Self::Residue => verdict == Verdict::Residue,
            Self::Unknown => verdict == Verdict::Unknown,
        }
    }
}

/// Parses a cursor: the last flow of the previous page.
fn cursor(text: &str) -> Result<FlowId, Diagnostic> {
    text.parse().map_err(|_| {
        Diagnostic::new(format!("`{text}` is not a cursor of a list of flows"))
            .help("write the full id of the last flow of the previous page")
    })
}

fn table(flows: &[Row]) -> String {
    let rows = flows.iter().map(|flow| {
        let error = flow.stuck.as_ref().or(flow.error.as_ref());
        let error = match (error, flow.waits_for) {
            (Some(error), _) => error.clone(),
            (None, Some(holder)) if flow.circle => {
                format!("waits for flow {holder}, which waits for it")
            }
            (None, Some(holder)) => format!("waits for flow {holder}"),
            (None, None) => "-".to_owned(),
        };
        let marks = [
            ("incomplete", flow.incomplete),
            ("forward", flow.forward),
            ("waiting", flow.waiting),
        ];
        let state = match marks.iter().find(|(_, is_set)| *is_set) {
            Some((mark, _)) => format!("{} ({mark})", flow.state),
            None => flow.state.to_string(),
        };
        vec![
            flow.id.to_string(),
            flow.name.clone(),
            state,
            error,
            flow.project_id.clone(),
            flow.created_at.clone(),
        ]
    });
    output::table(
        &["id", "name", "state", "error", "project", "created at"],
        rows,
    )
}

impl From<FlowSummary> for Row {
    fn from(flow: FlowSummary) -> Self {
        Self {
            id: flow.id,
            name: flow.name,
            state: flow.state,
            error: flow.error,
            incomplete: flow.incomplete,
            stuck: flow.stuck,
            waiting: flow.wake_at.is_some(),
            wake_at: flow
                .wake_at
                .filter(|at| *at != NEVER)
                .map(|at| at.to_string()),
            forward: flow.forward,
            waits_for: None,
            circle: false,
            project_id: flow.project_id,
            user_id: flow.user_id,
            created_at: flow.created_at.to_string(),
            updated_at: flow.updated_at.to_string(),
        }
    }
}

fn state(text: &str) -> Result<FlowState, String> {
    FlowState::parse(text).ok_or_else(|| {
        let known = FlowState::ALL.map(FlowState::as_str).join(", ");
        format!("the states are {known}")
    })
}
