//! `GET /v1/status` and `GET /v1/find`: does anything need a person, and which flows have to do with an id.

use std::sync::Arc;
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use cairn::FlowId;
use cairn::store::view::{Match, Searched, Within};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::Query;
use super::flows::Row;
use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiError;

/// How long journals are searched, and how many flows are found, at most.
pub(crate) const WITHIN: Within = Within {
    time: Some(Duration::from_secs(2)),
    flows: 100,
};

/// Tells whether anything needs a person: the document that `cairn status --json` prints.
#[utoipa::path(
    get, path = "/v1/status", tag = "operators",
    responses((status = 200, description = "What needs a person: `findings` is empty when nothing does", body = Object)),
)]
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Response, ApiError> {
    caller.must(&app.policy, "api:status:read", None)?;
    let status = app.oversight.status().await?;
    Ok(Answer(&*status).into_response())
}

/// What to look for.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Sought {
    /// The id of a flow or its beginning, an idempotency key, a request id, or any id that an effect touched.
    #[param(min_length = 1)]
    q: String,
}

/// The flows that were found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Found {
    flows: Vec<Hit>,
    /// How far journals were searched; null if none were.
    #[schema(value_type = Option<Object>)]
    searched: Option<Searched>,
}

/// A flow that was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Hit {
    #[schema(value_type = String)]
    id: FlowId,
    /// Null of a flow that was pruned.
    flow: Option<Row>,
    /// What it has to do with the text.
    why: Vec<String>,
}

impl From<Match> for Hit {
    fn from(found: Match) -> Self {
        Self {
            id: found.id,
            flow: found.flow.map(Row::from),
            why: found.why,
        }
    }
}

/// Finds the flows of the caller's project, or of all projects for an admin, that have to do with an id or a key.
#[utoipa::path(
    get, path = "/v1/find", tag = "flows", params(Sought),
    responses((status = 200, description = "The flows", body = Found)),
)]
pub(crate) async fn find(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(sought): Query<Sought>,
) -> Result<Answer<Found>, ApiError> {
    let project = caller.identity.project_id.clone();
    caller.must(&app.policy, "api:flow:read", Some(&project))?;
    if sought.q.is_empty() {
        return Err(ApiError::bad("InvalidInput", "`q` is empty"));
    }
    let read = app.readers.read(caller.identity, move |view| {
        Ok(view.search(&sought.q, WITHIN)?)
    });
    let found = read.await?;
    Ok(Answer(Found {
        flows: found.flows.into_iter().map(Hit::from).collect(),
        searched: found.searched,
    }))
}
