//! `GET /v1/flows…`: lists, reports, events and logs of flows.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Path, State};
use cairn::clock::{self, Timestamp};
use cairn::event::{Entry, Event, FlowState, FlowSummary, LogLevel, NEVER};
use cairn::store::view::{FlowFilter, FlowPage, View};
use cairn::{FlowId, Report, TaskId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::Query;
use super::wait;
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, Problem};

/// How many rows a page has unless the request says so, and at most.
const PAGE: usize = 50;
const LONGEST_PAGE: usize = 500;

/// Which flows to list; all conditions must hold.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// In this state, such as `FAILURE`.
    pub(crate) state: Option<String>,
    /// Of this name.
    pub(crate) name: Option<String>,
    /// With this idempotency key.
    pub(crate) key: Option<String>,
    /// Of this project; for admins, who else see all.
    pub(crate) project: Option<String>,
    /// Created at this time or later, in RFC 3339.
    pub(crate) since: Option<String>,
    /// With an incomplete rollback that no operator has accepted.
    pub(crate) incomplete: bool,
    /// That cannot be recovered.
    pub(crate) stuck: bool,
    /// That sleep: for a time, a signal, or until a task is tried again.
    pub(crate) waiting: bool,
    /// That have passed their pivot and have not ended.
    pub(crate) forward: bool,
    /// Older than this flow: the `next` of the page before.
    #[param(value_type = Option<String>)]
    pub(crate) before: Option<FlowId>,
    /// The most rows, at most 500.
    #[param(minimum = 1, maximum = 500)]
    pub(crate) limit: Option<usize>,
}

/// A flow in a list.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Row {
    #[schema(value_type = String)]
    pub(crate) id: FlowId,
    pub(crate) name: String,
    #[schema(value_type = String)]
    pub(crate) state: FlowState,
    /// The kind of its error.
    pub(crate) error: Option<String>,
    /// Whether its rollback is incomplete and not accepted.
    pub(crate) incomplete: bool,
    /// Why it cannot be recovered; null if it can.
    pub(crate) stuck: Option<String>,
    /// Whether it sleeps.
    pub(crate) waiting: bool,
    /// When it is woken; null if only a signal wakes it.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "clock::as_optional_text")]
    pub(crate) wake_at: Option<Timestamp>,
    /// Whether it has passed its pivot and has not ended.
    pub(crate) forward: bool,
    pub(crate) project_id: String,
    pub(crate) user_id: String,
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "clock::as_text")]
    pub(crate) created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "clock::as_text")]
    pub(crate) updated_at: Timestamp,
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
            wake_at: flow.wake_at.filter(|at| *at != NEVER),
            forward: flow.forward,
            project_id: flow.project_id,
            user_id: flow.user_id,
            created_at: flow.created_at,
            updated_at: flow.updated_at,
        }
    }
}

/// A page of a list of flows, newest first. It may have fewer rows than the limit although more follow.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page {
    flows: Vec<Row>,
    /// The parameter `before` of the next page; null on the last one.
    #[schema(value_type = Option<String>)]
    next: Option<FlowId>,
}

impl Which {
    /// Reads a page of the flows that the caller may see, newest first, at most `limit`.
    pub(crate) fn read(
        &self,
        view: &View<'_>,
        scope: Option<&str>,
        limit: usize,
    ) -> Result<FlowPage, ApiError> {
        let invalid = |name: &str| ApiError::bad("InvalidInput", format!("`{name}` is wrong"));
        let state = match &self.state {
            Some(state) => Some(FlowState::parse(state).ok_or_else(|| invalid("state"))?),
            None => None,
        };
        let since = self.since.as_deref().map(str::parse).transpose();
        let filter = FlowFilter {
            state,
            incomplete: self.incomplete,
            stuck: self.stuck,
            asleep: self.waiting,
            forward: self.forward,
            name: self.name.as_deref(),
            key: self.key.as_deref(),
            project: scope.or(self.project.as_deref()),
            since: since.map_err(|_| invalid("since").help("write a time in RFC 3339"))?,
            before: self.before,
            ..FlowFilter::default()
        };
        Ok(view.flow_page(filter, limit)?)
    }

    fn limit(&self) -> Result<usize, ApiError> {
        match self.limit.unwrap_or(PAGE) {
            limit @ 1..=LONGEST_PAGE => Ok(limit),
            _ => Err(ApiError::bad(
                "InvalidInput",
                format!("`limit` must be from 1 to {LONGEST_PAGE}"),
            )),
        }
    }
}

/// Lists flows, newest first.
#[utoipa::path(
    get, path = "/v1/flows", tag = "flows", params(Which),
    responses(
        (status = 200, description = "A page of flows", body = Page),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(which): Query<Which>,
) -> Result<Answer<Page>, ApiError> {
    caller.must(
        &app.policy,
        "api:flow:read",
        Some(&caller.identity.project_id),
    )?;
    let limit = which.limit()?;
    let scope = caller.scope().map(str::to_owned);
    let read = app.readers.read(caller.identity, move |view| {
        which.read(view, scope.as_deref(), limit)
    });
    let FlowPage { flows, next } = read.await?;
    let flows = flows.into_iter().map(Row::from).collect();
    Ok(Answer(Page { flows, next }))
}

/// Returns the report of a flow: the document that `cairn run --json` prints.
#[utoipa::path(
    get, path = "/v1/flows/{id}", tag = "flows",
    params(("id" = String, Path, description = "The flow's id")),
    responses(
        (status = 200, description = "The report", body = Object),
        (status = 404, description = "There is no such flow in the caller's projects", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Answer<Report>, ApiError> {
    let id = flow_id(&id)?;
    let scope = caller.scope().map(str::to_owned);
    let read = app.readers.read(caller.identity.clone(), move |view| {
        let found = wait::report(view, id)?;
        let sees = |project: &Option<String>| scope.is_none() || *project == scope;
        found
            .filter(|(_, project)| sees(project))
            .ok_or_else(|| unknown(id))
    });
    let (report, project) = read.await?;
    caller.must(&app.policy, "api:flow:read", project.as_deref())?;
    Ok(Answer(report))
}

/// Parses the id of a flow.
///
/// # Errors
/// `NotFound`: nothing has such an id.
pub(crate) fn flow_id(text: &str) -> Result<FlowId, ApiError> {
    text.parse().map_err(|_| {
        let shown = cairn::printable::line(text);
        ApiError::not_found(format!("there is no flow `{shown}`"))
    })
}

pub(crate) fn unknown(id: FlowId) -> ApiError {
    ApiError::not_found(format!("there is no flow {id}"))
}

/// Returns the row of a flow that the caller may see.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn visible(
    app: &App,
    caller: &Caller,
    id: FlowId,
) -> Result<FlowSummary, ApiError> {
    let scope = caller.scope().map(str::to_owned);
    let read = app.readers.read(caller.identity.clone(), move |view| {
        let is_visible = |flow: &FlowSummary| {
            scope
                .as_ref()
                .is_none_or(|project| *project == flow.project_id)
        };
        view.flow(id)?.filter(is_visible).ok_or_else(|| unknown(id))
    });
    read.await
}

/// Which entries of a journal to return.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Part {
    /// After the entry with this number; from the first one on without it.
    after: Option<u64>,
    /// The most entries, at most 500.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// An entry of a flow's journal.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Happened {
    /// Its number, counted from 1: the same on every host.
    pub(crate) number: i64,
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "clock::as_text")]
    pub(crate) at: Timestamp,
    /// What happened: an object with one key, the kind of event, or the kind alone.
    #[schema(value_type = Value)]
    pub(crate) event: Event,
}

impl Happened {
    /// Numbers entries of which the first one has this index, counted from 0.
    pub(crate) fn of(first: i64, entries: &[Entry]) -> impl Iterator<Item = Self> + '_ {
        (first + 1..).zip(entries).map(|(number, entry)| Self {
            number,
            at: entry.at,
            event: entry.event.clone(),
        })
    }
}

/// Entries of a flow's journal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Events {
    events: Vec<Happened>,
    /// The parameter `after` of the next page; null when there are no more entries now.
    next: Option<i64>,
}

/// A message of a plugin.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Said {
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "clock::as_text")]
    at: Timestamp,
    /// The task, or the policy or validator.
    by: String,
    #[schema(value_type = String)]
    level: LogLevel,
    message: String,
}

/// Messages of a flow's plugins.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Logs {
    logs: Vec<Said>,
}

/// Reads the journal of a flow that the caller may see.
async fn journal(app: &App, caller: Caller, id: FlowId) -> Result<Vec<Entry>, ApiError> {
    let flow = visible(app, &caller, id).await?;
    caller.must(&app.policy, "api:flow:read", Some(&flow.project_id))?;
    let read = app
        .readers
        .read(caller.identity, move |view| Ok(view.journal(id)?));
    read.await
}

/// Returns entries of a flow's journal, oldest first.
#[utoipa::path(
    get, path = "/v1/flows/{id}/events", tag = "flows",
    params(("id" = String, Path, description = "The flow's id"), Part),
    responses(
        (status = 200, description = "Entries of the journal", body = Events),
        (status = 404, description = "There is no such flow in the caller's projects", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(part): Query<Part>,
) -> Result<Answer<Events>, ApiError> {
    let limit = Which {
        limit: part.limit,
        ..Which::default()
    };
    let limit = limit.limit()?;
    let journal = journal(&app, caller, flow_id(&id)?).await?;
    let after = usize::try_from(part.after.unwrap_or(0)).unwrap_or(usize::MAX);
    let rest = journal.get(after..).unwrap_or_default();
    let page = &rest[..rest.len().min(limit)];
    let first = i64::try_from(after).unwrap_or(i64::MAX);
    let events: Vec<Happened> = Happened::of(first, page).collect();
    let next = events.last().filter(|_| rest.len() > limit);
    Ok(Answer(Events {
        next: next.map(|event| event.number),
        events,
    }))
}

/// Returns the messages of a flow's plugins, oldest first.
#[utoipa::path(
    get, path = "/v1/flows/{id}/logs", tag = "flows",
    params(("id" = String, Path, description = "The flow's id")),
    responses(
        (status = 200, description = "The messages", body = Logs),
        (status = 404, description = "There is no such flow in the caller's projects", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn logs(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Answer<Logs>, ApiError> {
    let journal = journal(&app, caller, flow_id(&id)?).await?;
    let names: HashMap<TaskId, String> = journal
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Started { task, name, .. } => Some((*task, name.clone())),
            _ => None,
        })
        .collect();
    let name = |task| names.get(&task).cloned().unwrap_or_default();
    let said = journal.into_iter().filter_map(|entry| {
        let (by, level, message) = match entry.event {
            Event::Log {
                task,
                level,
                message,
            } => (name(task), level, message),
            Event::CheckLog {
                plugin,
                level,
                message,
            } => (plugin, level, message),
            Event::WouldDeny { policy, error } => (
                policy,
                LogLevel::Warn,
                format!("would have denied: {error}"),
            ),
            _ => return None,
        };
        Some(Said {
            at: entry.at,
            by,
            level,
            message,
        })
    });
    Ok(Answer(Logs {
        logs: said.collect(),
    }))
}
