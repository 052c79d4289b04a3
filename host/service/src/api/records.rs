//! `/v1/records/…`: records of the caller's project.

use std::ops::Bound;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cairn::records::Expect;
use cairn::records::operator::{ReadRecords as _, RecordListing};
use cairn::{Object, Value};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{Json, Query};
use super::flows::flow_id;
use super::rows::{After, MOST, Rows};
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::operators::records::{self as operate, Place};

/// A value to put.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutRecord {
    /// The value.
    value: Value,
    /// Only if the record has this version.
    version: Option<u64>,
    /// Only if there is no record.
    #[serde(default)]
    absent: bool,
    /// Why, for the audit.
    reason: Option<String>,
}

/// A record to remove.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoveRecord {
    /// Only if the record has this version.
    version: Option<u64>,
    /// Why, for the audit.
    reason: Option<String>,
}

/// A key to free.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseRecord {
    /// The id of the flow that holds it.
    flow: String,
    /// Why, for the audit.
    reason: String,
}

/// A record that was put.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Written {
    collection: String,
    key: String,
    version: u64,
}

fn expect(version: Option<u64>, absent: bool) -> Result<Expect, ApiError> {
    match (version, absent) {
        (None, false) => Ok(Expect::Any),
        (None, true) => Ok(Expect::Absent),
        (Some(version), false) => Ok(Expect::Version(version)),
        (Some(_), true) => Err(ApiError::bad(
            "InvalidInput",
            "a record that has a version is not absent",
        )
        .help("give `version` or `absent`")),
    }
}

/// Lists the records of a collection of the caller's project, by key.
#[utoipa::path(
    get, operation_id = "records", path = "/v1/records/{collection}", tag = "operators",
    params(("collection" = String, Path, description = "The collection"), After),
    responses(
        (status = 200, description = "The records", body = Rows),
        (status = 404, description = "There is no such collection", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(collection): Path<String>,
    Query(page): Query<After>,
) -> Result<Answer<Rows>, ApiError> {
    let project = caller.identity.project_id.clone();
    caller.must(&app.policy, operate::READ, Some(&project))?;
    let read = app.readers.read(caller.identity, move |view| {
        let listing = RecordListing {
            collection: &collection,
            prefix: "",
            after: (page.after.as_deref()).map_or(Bound::Unbounded, Bound::Excluded),
            limit: MOST,
        };
        Ok(Rows::new(view.records(listing)?))
    });
    Ok(Answer(read.await?))
}

/// Shows a record of the caller's project, and the flow that holds its key.
#[utoipa::path(
    get, operation_id = "record", path = "/v1/records/{collection}/{key}", tag = "operators",
    params(
        ("collection" = String, Path, description = "The collection"),
        ("key" = String, Path, description = "The key"),
    ),
    responses(
        (status = 200, description = "The record", body = Object),
        (status = 404, description = "There is no such collection or record", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((collection, key)): Path<(String, String)>,
) -> Result<Answer<Object>, ApiError> {
    let place = Place { collection, key };
    place.must(&app, &caller, operate::READ)?;
    let read = app.readers.read(caller.identity, move |view| {
        Ok(view.record(&place.collection, &place.key)?)
    });
    Ok(Answer(read.await?))
}

/// Puts a value under a key of the caller's project. It is published at once.
#[utoipa::path(
    post, operation_id = "record_put", path = "/v1/records/{collection}/{key}", tag = "operators", request_body = PutRecord,
    params(
        ("collection" = String, Path, description = "The collection"),
        ("key" = String, Path, description = "The key"),
    ),
    responses(
        (status = 200, description = "It is put: its version", body = Written),
        (status = 404, description = "There is no such collection, or no record of this version", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A flow holds the key, the record has another version, or a limit or the schema of the collection does not allow it", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((collection, key)): Path<(String, String)>,
    Json(asked): Json<PutRecord>,
) -> Result<Answer<Written>, ApiError> {
    let place = Place { collection, key };
    let expect = expect(asked.version, asked.absent)?;
    let (value, reason) = (asked.value, asked.reason);
    let put = operate::put(&app, &caller, place.clone(), value, expect, reason);
    let version = put.await?;
    let Place { collection, key } = place;
    Ok(Answer(Written {
        collection,
        key,
        version,
    }))
}

/// Removes a record of the caller's project.
#[utoipa::path(
    post, operation_id = "record_remove", path = "/v1/records/{collection}/{key}/remove", tag = "operators", request_body = RemoveRecord,
    params(
        ("collection" = String, Path, description = "The collection"),
        ("key" = String, Path, description = "The key"),
    ),
    responses(
        (status = 204, description = "It is removed"),
        (status = 404, description = "There is no such collection or record", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A flow holds the key, or the record has another version", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((collection, key)): Path<(String, String)>,
    Json(asked): Json<RemoveRecord>,
) -> Result<StatusCode, ApiError> {
    let place = Place { collection, key };
    let expect = expect(asked.version, false)?;
    operate::remove(&app, &caller, place, expect, asked.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Frees a key that is held by a flow that cannot continue. Discards the flow's pending value.
#[utoipa::path(
    post, operation_id = "record_release", path = "/v1/records/{collection}/{key}/release", tag = "operators", request_body = ReleaseRecord,
    params(
        ("collection" = String, Path, description = "The collection"),
        ("key" = String, Path, description = "The key"),
    ),
    responses(
        (status = 204, description = "It is free"),
        (status = 404, description = "There is no such collection", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The flow does not hold the key, or can continue", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn release(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((collection, key)): Path<(String, String)>,
    Json(asked): Json<ReleaseRecord>,
) -> Result<StatusCode, ApiError> {
    let place = Place { collection, key };
    let flow = flow_id(&asked.flow)?;
    operate::release(&app, &caller, place, flow, asked.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}
