//! What operators read over HTTP, and how they handle messages.

use std::ops::Bound;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Path, State};
use cairn::store::admin;
use cairn::store::deployments::{Deployment, DeploymentName};
use cairn::store::hosts::HostInfo;
use cairn::store::view::{CAST, Listing};
use cairn::{Object, Value};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Query};
use super::rows::{After, MOST, Rows};
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::operators::messages;
use crate::readers::blocking;

/// A page of the deployed flows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deployments {
    #[schema(value_type = Vec<Object>)]
    deployments: Vec<Deployment>,
    /// The parameter `after` of the next page; null on the last one.
    next: Option<String>,
}

/// Lists the versions of deployed flows, also those that were undeployed.
#[utoipa::path(
    get, path = "/v1/deployments", tag = "operators", params(After),
    responses((status = 200, description = "By name, the newest version first", body = Deployments)),
)]
pub(crate) async fn deployments(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(page): Query<After>,
) -> Result<Answer<Deployments>, ApiError> {
    caller.must(&app.policy, "api:deployment:read", None)?;
    let after = page.after.as_deref().map(version).transpose()?;
    let read = app.readers.read(caller.identity, move |view| {
        let after = after.as_ref().map(|(name, version)| (&**name, *version));
        Ok(view.deployments(None, after, MOST + 1)?)
    });
    let mut deployments = read.await?;
    let has_more = deployments.len() > MOST;
    deployments.truncate(MOST);
    let last = deployments.last().filter(|_| has_more);
    Ok(Answer(Deployments {
        next: last.map(|last| last.title().to_string()),
        deployments,
    }))
}

/// Reads `NAME@VERSION`, where a page of deployments begins.
pub(crate) fn version(text: &str) -> Result<(String, i64), ApiError> {
    let named: Option<DeploymentName> = text.parse().ok();
    let version = named.and_then(|named| Some((named.name, named.version?)));
    version.ok_or_else(|| {
        ApiError::bad("InvalidInput", "`after` is not a version of a flow")
            .help("write NAME@VERSION, as `next` of the page before says")
    })
}

/// Lists messages, by id.
#[utoipa::path(
    get, path = "/v1/outbox", tag = "operators", params(After),
    responses((status = 200, description = "The messages", body = Rows)),
)]
pub(crate) async fn outbox(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(page): Query<After>,
) -> Result<Answer<Rows>, ApiError> {
    caller.must(&app.policy, "api:outbox:read", None)?;
    let read = app.readers.read(caller.identity, move |view| {
        let after = page.after.as_deref();
        let listing = Listing {
            ids: (
                after.map_or(Bound::Unbounded, Bound::Excluded),
                Bound::Unbounded,
            ),
            limit: MOST,
            ..Listing::default()
        };
        Ok(Rows::new(view.page(&CAST, listing)?))
    });
    Ok(Answer(read.await?))
}

/// A change of a message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Handle {
    /// What to do: `retry` publishes it at once, `discard` removes it, `ack` marks a ready one as taken.
    action: Handling,
    /// Why, for the audit.
    reason: Option<String>,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Handling {
    Retry,
    Discard,
    Ack,
}

impl From<Handling> for admin::Handling {
    fn from(asked: Handling) -> Self {
        match asked {
            Handling::Retry => Self::Retry,
            Handling::Discard => Self::Discard,
            Handling::Ack => Self::Ack,
        }
    }
}

/// Retries, discards or acknowledges a message.
#[utoipa::path(
    post, path = "/v1/outbox/{id}", tag = "operators", request_body = Handle,
    params(("id" = String, Path, description = "The message's id")),
    responses(
        (status = 204, description = "It is done"),
        (status = 400, description = "The request is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such message in a state that allows it", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "No transport is configured, or another host owns the message's project", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Json(asked): Json<Handle>,
) -> Result<axum::http::StatusCode, ApiError> {
    messages::handle(&app, &caller, id, asked.action.into(), asked.reason).await?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

/// A process that writes to the database.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Host {
    id: String,
    /// Its machine.
    name: Option<String>,
    pid: i64,
    version: Option<String>,
    #[schema(format = DateTime)]
    started_at: String,
    /// Milliseconds that are left of its lease; 0 once it has expired.
    lease_ms: i64,
    expired: bool,
    draining: bool,
    /// How many partitions it owns; null where each host writes to all.
    partitions: Option<i64>,
    flows: i64,
}

impl From<HostInfo> for Host {
    fn from(host: HostInfo) -> Self {
        Self {
            expired: host.has_expired(),
            lease_ms: host.lease.max(0),
            id: host.id.to_string(),
            name: host.name,
            pid: host.pid,
            version: host.version,
            started_at: host.started_at.to_string(),
            draining: host.is_draining,
            partitions: host.partitions,
            flows: host.flows,
        }
    }
}

/// The processes that write to the database.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Hosts {
    hosts: Vec<Host>,
}

/// Lists the processes that write to the database.
#[utoipa::path(
    get, path = "/v1/hosts", tag = "operators",
    responses((status = 200, description = "The hosts", body = Hosts)),
)]
pub(crate) async fn hosts(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Answer<Hosts>, ApiError> {
    caller.must(&app.policy, "api:host:read", None)?;
    let database = Arc::clone(&app.database);
    let hosts = blocking(move || Ok(database.hosts()?.list()?)).await?;
    Ok(Answer(Hosts {
        hosts: hosts.into_iter().map(Host::from).collect(),
    }))
}

/// Which changes to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Audited {
    /// Of this subject.
    subject: Option<String>,
    /// With this name, such as `flow.rollback`, or of this kind, such as `flow`.
    action: Option<String>,
    /// By this user.
    user: Option<String>,
    /// Older than the one with this id.
    before: Option<String>,
}

/// Lists what operators changed, newest first.
#[utoipa::path(
    get, path = "/v1/audit", tag = "operators", params(Audited),
    responses((status = 200, description = "The changes", body = Rows)),
)]
pub(crate) async fn audit(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(which): Query<Audited>,
) -> Result<Answer<Rows>, ApiError> {
    use cairn::store::audit::AuditFilter;
    caller.must(&app.policy, "api:audit:read", None)?;
    let read = app.readers.read(caller.identity, move |view| {
        let filter = AuditFilter {
            subject: which.subject.as_deref(),
            action: which.action.as_deref(),
            user_id: which.user.as_deref(),
            before: which.before.as_deref(),
            ..AuditFilter::default()
        };
        Ok(view.audit(filter, MOST)?)
    });
    let rows = read.await?.into_iter().map(|recorded| {
        // A struct becomes an object.
        match serde_json::to_value(recorded) {
            Ok(Value::Object(row)) => row,
            _ => Object::new(),
        }
    });
    Ok(Answer(Rows::new(rows.collect())))
}
