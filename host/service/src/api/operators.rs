//! What operators read over HTTP, and how they handle messages.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Path, State};
use cairn::records::operator::{ReadRecords as _, RecordListing};
use cairn::store::admin::Admin;
use cairn::store::deployments::Deployment;
use cairn::store::hosts::HostInfo;
use cairn::store::view::{CAST, ExternalListing, Listing};
use cairn::volumes::operator::{Quota, ReadVolumes as _};
use cairn::{Object, StoreError, Value};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Query};
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::readers::blocking;

/// How many rows a list has at most.
const MOST: usize = 500;

/// Rows of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rows {
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Object>,
}

/// A page of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct After {
    /// After the row with this id or key.
    after: Option<String>,
}

/// The deployed flows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deployments {
    #[schema(value_type = Vec<Object>)]
    deployments: Vec<Deployment>,
}

/// Lists the versions of deployed flows, also those that were undeployed.
#[utoipa::path(
    get, path = "/v1/deployments", tag = "operators",
    responses((status = 200, description = "By name, the newest version first", body = Deployments)),
)]
pub(crate) async fn deployments(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Answer<Deployments>, ApiError> {
    caller.must(&app.policy, "api:deployment:read", None)?;
    let read = app.readers.read(caller.identity, |view| {
        Ok(view.deployments(None, None, MOST)?)
    });
    Ok(Answer(Deployments {
        deployments: read.await?,
    }))
}

/// The quotas of a project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Quotas {
    project: String,
    /// Resource -> its limit, -1 for none, and its usage.
    #[schema(value_type = Object)]
    quotas: BTreeMap<String, Quota>,
}

/// Returns the limits and usages of a project.
#[utoipa::path(
    get, path = "/v1/quotas/{project}", tag = "operators",
    params(("project" = String, Path, description = "The project")),
    responses((status = 200, description = "The quotas", body = Quotas)),
)]
pub(crate) async fn quotas(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(project): Path<String>,
) -> Result<Answer<Quotas>, ApiError> {
    caller.must(&app.policy, "api:quota:read", Some(&project))?;
    let read = app.readers.read(caller.identity, move |view| {
        let quotas = view.project_quotas(&project, None, true, true)?;
        Ok(Quotas { project, quotas })
    });
    Ok(Answer(read.await?))
}

/// Lists the records of a collection of the caller's project, by key.
#[utoipa::path(
    get, path = "/v1/records/{collection}", tag = "operators",
    params(("collection" = String, Path, description = "The collection"), After),
    responses(
        (status = 200, description = "The records", body = Rows),
        (status = 404, description = "There is no such collection", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn records(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(collection): Path<String>,
    Query(page): Query<After>,
) -> Result<Answer<Rows>, ApiError> {
    let project = caller.identity.project_id.clone();
    caller.must(&app.policy, "api:record:read", Some(&project))?;
    let read = app.readers.read(caller.identity, move |view| {
        let listing = RecordListing {
            collection: &collection,
            prefix: "",
            after: (page.after.as_deref()).map_or(Bound::Unbounded, Bound::Excluded),
            limit: MOST,
        };
        Ok(Rows {
            rows: view.records(listing)?,
        })
    });
    Ok(Answer(read.await?))
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
        Ok(Rows {
            rows: view.page(&CAST, listing)?,
        })
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

impl Handling {
    fn run(self, admin: &mut Admin<'_>, id: &str) -> Result<(), StoreError> {
        match self {
            Self::Retry => admin.retry_cast(id),
            Self::Discard => admin.discard_cast(id),
            Self::Ack => admin.ack_cast(id),
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
        (status = 409, description = "Another host owns the message's project", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Json(asked): Json<Handle>,
) -> Result<axum::http::StatusCode, ApiError> {
    caller.must(&app.policy, "api:outbox:change", None)?;
    let host = Arc::clone(app.host()?);
    blocking(move || {
        let store = host.store();
        store.admin(&caller.identity, |admin| {
            admin.because(asked.reason.as_deref());
            asked.action.run(admin, &id)
        })?;
        Ok(axum::http::StatusCode::NO_CONTENT)
    })
    .await
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

/// Lists objects outside the database that have a row, of all projects.
#[utoipa::path(
    get, path = "/v1/externals", tag = "operators",
    responses((status = 200, description = "The objects", body = Rows)),
)]
pub(crate) async fn externals(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Answer<Rows>, ApiError> {
    caller.must(&app.policy, "api:external:read", None)?;
    let read = app.readers.read(caller.identity, |view| {
        let listing = ExternalListing {
            all_projects: true,
            limit: MOST,
            ..ExternalListing::default()
        };
        Ok(Rows {
            rows: view.externals(listing)?,
        })
    });
    Ok(Answer(read.await?))
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
    Ok(Answer(Rows {
        rows: rows.collect(),
    }))
}
