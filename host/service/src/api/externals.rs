//! `/v1/externals…`: objects outside the database.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cairn::external::{ExternalKey, NoExternalKey};
use cairn::store::view::ExternalListing;
use cairn::{Value, externals};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{Json, Query};
use super::rows::{After, MOST, Rows};
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::operators::externals as operate;

/// The adoption of an object.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdoptExternal {
    /// Why, for the audit.
    reason: String,
}

/// The removal of an object.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoveExternal {
    /// Why, for the audit.
    reason: Option<String>,
}

/// An object that was adopted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Adopted {
    project: String,
    /// What there is of it: `partial` or `whole`.
    found: &'static str,
}

/// Lists objects outside the database that have a row, of all projects.
#[utoipa::path(
    get, operation_id = "externals", path = "/v1/externals", tag = "operators", params(After),
    responses((status = 200, description = "The objects, by provider, kind and id", body = Rows)),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(page): Query<After>,
) -> Result<Answer<Rows>, ApiError> {
    caller.must(&app.policy, operate::READ, None)?;
    let after: Option<ExternalKey> =
        page.after
            .map(|after| after.parse())
            .transpose()
            .map_err(|wrong: NoExternalKey| {
                ApiError::bad("InvalidInput", "`after` is not the key of an object")
                    .help(wrong.to_string())
            })?;
    let read = app.readers.read(caller.identity, move |view| {
        let listing = ExternalListing {
            all_projects: true,
            after: after.as_ref(),
            limit: MOST,
            ..ExternalListing::default()
        };
        Ok(Rows::new(view.externals(listing)?))
    });
    Ok(Answer(read.await?))
}

/// Compares the objects of a kind that a provider lists with their rows. Reads at most 100,000 ids, and ends after 500 differences.
#[utoipa::path(
    get, operation_id = "external_scan", path = "/v1/externals/{provider}/{kind}", tag = "operators",
    params(
        ("provider" = String, Path, description = "The provider, as stored plans name it"),
        ("kind" = String, Path, description = "The kind of the objects"),
    ),
    responses(
        (status = 200, description = "The differences: an object without a row is an `orphan`, a row without its object is `lost`", body = Object),
        (status = 409, description = "Stored plans have no such provider, or several", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The provider does not know its objects", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn scan(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((provider, kind)): Path<(String, String)>,
) -> Result<Answer<Value>, ApiError> {
    let compared = operate::scan(&app, &caller, provider.clone(), kind.clone()).await?;
    Ok(Answer(compared.document(&provider, &kind)))
}

/// Asks a provider what there is of an object.
#[utoipa::path(
    get, operation_id = "external_look", path = "/v1/externals/{provider}/{kind}/{id}", tag = "operators",
    params(
        ("provider" = String, Path, description = "The provider, as stored plans name it"),
        ("kind" = String, Path, description = "The kind of the object"),
        ("id" = String, Path, description = "The name of the object: a UUID"),
    ),
    responses(
        (status = 200, description = "What there is, `absent`, `partial` or `whole`, and its row", body = Object),
        (status = 409, description = "Stored plans have no such provider, or several", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The provider does not know", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn look(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((provider, kind, id)): Path<(String, String, String)>,
) -> Result<Answer<Value>, ApiError> {
    let key = operate::key(&provider, &kind, &id)?;
    let looked = operate::look(&app, &caller, key.clone()).await?;
    let document = externals::document(&key, &looked.found, looked.row.as_ref());
    Ok(Answer(document))
}

/// Makes a row in the caller's project for an object that has none. No flow removes the object.
#[utoipa::path(
    post, operation_id = "external_adopt", path = "/v1/externals/{provider}/{kind}/{id}/adopt", tag = "operators", request_body = AdoptExternal,
    params(
        ("provider" = String, Path, description = "The provider, as stored plans name it"),
        ("kind" = String, Path, description = "The kind of the object"),
        ("id" = String, Path, description = "The name of the object: a UUID"),
    ),
    responses(
        (status = 200, description = "It has a row", body = Adopted),
        (status = 404, description = "There is no such object", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has a row, or stored plans have no such provider, or several", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The provider does not know what there is of it", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn adopt(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((provider, kind, id)): Path<(String, String, String)>,
    Json(asked): Json<AdoptExternal>,
) -> Result<Answer<Adopted>, ApiError> {
    let key = operate::key(&provider, &kind, &id)?;
    let found = operate::adopt(&app, &caller, key, asked.reason).await?;
    Ok(Answer(Adopted {
        found: found.as_str(),
        project: caller.identity.project_id,
    }))
}

/// Removes an object whose flow is over, and its row: there is no way back. May be repeated when it has failed.
#[utoipa::path(
    post, operation_id = "external_remove", path = "/v1/externals/{provider}/{kind}/{id}/remove", tag = "operators", request_body = RemoveExternal,
    params(
        ("provider" = String, Path, description = "The provider, as stored plans name it"),
        ("kind" = String, Path, description = "The kind of the object"),
        ("id" = String, Path, description = "The name of the object: a UUID"),
    ),
    responses(
        (status = 204, description = "It is absent, and has no row"),
        (status = 409, description = "Its flow is not over, a process may be in an act on it, the provider refuses, or stored plans have no such provider, or several", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "It is not known what there is of it: repeat the removal", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((provider, kind, id)): Path<(String, String, String)>,
    Json(asked): Json<RemoveExternal>,
) -> Result<StatusCode, ApiError> {
    let key = operate::key(&provider, &kind, &id)?;
    operate::remove(&app, &caller, key, asked.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}
