//! `/v1/quotas…`: limits, usages, their repair, and expired reservations.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cairn::volumes::operator::{Quota, ReadVolumes as _};
use cairn::volumes::quota::Drift;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Query};
use super::rows::MOST;
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::operators::LeftProjects;
use crate::operators::quotas::{self as operate, Owner};

/// The quotas of a project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Quotas {
    project: String,
    /// Resource -> its limit, -1 or null for none, and its usage.
    #[schema(value_type = Object)]
    quotas: BTreeMap<String, Quota>,
}

/// The limits of a quota class.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClassLimits {
    class: String,
    /// Resource -> its limit; -1 or null for none.
    #[schema(value_type = Object)]
    limits: BTreeMap<String, Option<i64>>,
}

/// Limits to set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetLimits {
    /// Resource -> its limit; -1 for unlimited. A resource is `volumes`, `snapshots` or `gigabytes`, or one of them of a type, such as
    /// `gigabytes_gold`.
    #[schema(value_type = Object)]
    limits: BTreeMap<String, i64>,
    /// Why, for the audit.
    reason: Option<String>,
}

/// Limits to remove.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnsetLimits {
    /// The resources.
    resources: Vec<String>,
    /// Why, for the audit.
    reason: Option<String>,
}

/// Whose usages are meant.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Whose {
    /// Those of this project; those of all without it.
    project: Option<String>,
}

/// Repairs or expiries of one project, or of all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Maintain {
    /// The project; all without it.
    project: Option<String>,
    /// Why, for the audit.
    reason: Option<String>,
}

/// Usages that differ from what is booked and reserved.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Checked {
    /// How many differ.
    differences: usize,
    /// The first 500 of them, by project and resource.
    #[schema(value_type = Vec<Object>)]
    drift: Vec<Drift>,
}

/// Usages that were repaired.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Synced {
    /// How many.
    repaired: usize,
    /// The first 500 of them, as they were found and as they should be.
    #[schema(value_type = Vec<Object>)]
    mended: Vec<Drift>,
    /// How many projects were left, as their hosts did not hand them over in time: ask again.
    left: usize,
    /// Why the first of them was.
    why: Option<String>,
}

/// Reservations that were past their expiry.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExpiredReservations {
    /// How many were rolled back.
    rolled_back: usize,
    /// How many were kept, as their flows have not ended.
    kept: usize,
    /// How many projects were left, as their hosts did not hand them over in time: ask again.
    left: usize,
    /// Why the first of them was.
    why: Option<String>,
}

/// Returns the limits and usages of a project.
#[utoipa::path(
    get, operation_id = "quotas", path = "/v1/quotas/{project}", tag = "operators",
    params(("project" = String, Path, description = "The project")),
    responses((status = 200, description = "The quotas", body = Quotas)),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(project): Path<String>,
) -> Result<Answer<Quotas>, ApiError> {
    Owner::Project(project.clone()).must(&app, &caller, operate::READ)?;
    let read = app.readers.read(caller.identity, move |view| {
        let quotas = view.project_quotas(&project, None, true, true)?;
        Ok(Quotas { project, quotas })
    });
    Ok(Answer(read.await?))
}

/// Returns the limits of a quota class.
#[utoipa::path(
    get, operation_id = "quota_class", path = "/v1/quota-classes/{class}", tag = "operators",
    params(("class" = String, Path, description = "The class; `default` is that of projects without their own")),
    responses((status = 200, description = "The limits", body = ClassLimits)),
)]
pub(crate) async fn class(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(class): Path<String>,
) -> Result<Answer<ClassLimits>, ApiError> {
    Owner::Class(class.clone()).must(&app, &caller, operate::READ)?;
    let read = app.readers.read(caller.identity, move |view| {
        let limits = view.class_quotas(&class, true)?;
        Ok(ClassLimits { class, limits })
    });
    Ok(Answer(read.await?))
}

macro_rules! of_limits {
    ($(#[$about:meta])* $name:ident, $id:literal, $path:literal, $owner:literal, $body:ident, |$app:ident, $caller:ident, $given:ident, $asked:ident| $run:expr) => {
        $(#[$about])*
        #[utoipa::path(
            post, operation_id = $id, path = $path, tag = "operators", request_body = $body,
            params(($owner = String, Path, description = "Whose limits")),
            responses(
                (status = 204, description = "It is done: all limits, or none if one is refused"),
                (status = 404, description = "There is no such limit", body = Problem, content_type = "application/problem+json"),
                (status = 409, description = "Another host owns the project", body = Problem, content_type = "application/problem+json"),
            ),
        )]
        pub(crate) async fn $name(
            State($app): State<Arc<App>>,
            $caller: Caller,
            Path($given): Path<String>,
            Json($asked): Json<$body>,
        ) -> Result<StatusCode, ApiError> {
            $run.await?;
            Ok(StatusCode::NO_CONTENT)
        }
    };
}

of_limits! {
    /// Sets limits of a project.
    set, "quota_set", "/v1/quotas/{project}", "project", SetLimits, |app, caller, project, asked|
        operate::set(&app, &caller, Owner::Project(project), asked.limits, asked.reason)
}

of_limits! {
    /// Removes limits of a project: those of the class, or the defaults, apply then.
    unset, "quota_unset", "/v1/quotas/{project}/unset", "project", UnsetLimits, |app, caller, project, asked|
        operate::unset(&app, &caller, Owner::Project(project), asked.resources, asked.reason)
}

of_limits! {
    /// Sets limits of a quota class.
    set_class, "quota_class_set", "/v1/quota-classes/{class}", "class", SetLimits, |app, caller, class, asked|
        operate::set(&app, &caller, Owner::Class(class), asked.limits, asked.reason)
}

of_limits! {
    /// Removes limits of a quota class.
    unset_class, "quota_class_unset", "/v1/quota-classes/{class}/unset", "class", UnsetLimits, |app, caller, class, asked|
        operate::unset(&app, &caller, Owner::Class(class), asked.resources, asked.reason)
}

/// Compares usages with what is booked and reserved. Running flows are no differences.
#[utoipa::path(
    get, operation_id = "quota_check", path = "/v1/quota-check", tag = "operators", params(Whose),
    responses((status = 200, description = "The differences", body = Checked)),
)]
pub(crate) async fn check(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(whose): Query<Whose>,
) -> Result<Answer<Checked>, ApiError> {
    let mut drift = operate::check(&app, &caller, whose.project).await?;
    let differences = drift.len();
    drift.truncate(MOST);
    Ok(Answer(Checked { differences, drift }))
}

/// Sets usages to what is booked and reserved, each project in a transaction of its own.
#[utoipa::path(
    post, operation_id = "quota_sync", path = "/v1/quota-sync", tag = "operators", request_body = Maintain,
    responses(
        (status = 200, description = "What was repaired", body = Synced),
        (status = 409, description = "Another host owns the project", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn sync(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(asked): Json<Maintain>,
) -> Result<Answer<Synced>, ApiError> {
    let (mut mended, left) = operate::sync(&app, &caller, asked.project, asked.reason).await?;
    let repaired = mended.len();
    mended.truncate(MOST);
    let LeftProjects { projects, why } = left;
    Ok(Answer(Synced {
        repaired,
        mended,
        left: projects,
        why,
    }))
}

/// Rolls back reservations that are past their expiry, except those of flows that have not ended.
#[utoipa::path(
    post, operation_id = "quota_expire", path = "/v1/quota-expire", tag = "operators", request_body = Maintain,
    responses(
        (status = 200, description = "How many", body = ExpiredReservations),
        (status = 409, description = "Another host owns the project", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn expire(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(asked): Json<Maintain>,
) -> Result<Answer<ExpiredReservations>, ApiError> {
    let (expired, left) = operate::expire(&app, &caller, asked.project, asked.reason).await?;
    Ok(Answer(ExpiredReservations {
        rolled_back: expired.rolled_back,
        kept: expired.kept,
        left: left.projects,
        why: left.why,
    }))
}
