//! Changes limits, compares usages, repairs them, and expires reservations.

use std::collections::BTreeMap;

use cairn::store::admin::Admin;
use cairn::text::Text;
use cairn::volumes::operator::{
    Expired, OperateVolumes as _, check_usages, expire_reservations, sync_usages,
};
use cairn::volumes::quota::Drift;

use super::{LeftProjects, change, fit, given, with_store};
use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiError;

/// The rules that let a caller read quotas, and change them.
pub(crate) const READ: &str = "api:quota:read";
pub(crate) const CHANGE: &str = "api:quota:change";

/// Who has a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Project(String),
    /// A quota class.
    Class(String),
}

impl Owner {
    /// Checks the name, and that the caller may do what `rule` is asked for.
    ///
    /// # Errors
    /// `InvalidInput`; 403.
    pub(crate) fn must(&self, app: &App, caller: &Caller, rule: &str) -> Result<(), ApiError> {
        match self {
            Self::Project(project) => {
                fit(Text::Name, "the project", project)?;
                caller.must(&app.policy, rule, Some(project))
            }
            Self::Class(class) => {
                fit(Text::Word, "the class", class)?;
                caller.must(&app.policy, rule, None)
            }
        }
    }
}

/// Sets limits: all of them, or none if one is refused. -1 is unlimited.
///
/// # Errors
/// `QuotaResourceUnknown`, `InvalidInput`, `Elsewhere`; those of [`change`].
pub(crate) async fn set(
    app: &App,
    caller: &Caller,
    owner: Owner,
    limits: BTreeMap<String, i64>,
    reason: Option<String>,
) -> Result<(), ApiError> {
    owner.must(app, caller, CHANGE)?;
    if limits.is_empty() {
        return Err(ApiError::bad("InvalidInput", "`limits` names no resource"));
    }
    let work = move |admin: &mut Admin<'_>| {
        let mut limits = limits.iter();
        limits.try_for_each(|(resource, limit)| match &owner {
            Owner::Project(project) => admin.set_project_limit(project, resource, Some(*limit)),
            Owner::Class(class) => admin.set_class_limit(class, resource, Some(*limit)),
        })
    };
    change(app, caller, reason, work).await
}

/// Removes limits, so that those behind them apply: all of them, or none if one is refused.
///
/// # Errors
/// `QuotaResourceUnknown`, `LimitNotFound`, `Elsewhere`; those of [`change`].
pub(crate) async fn unset(
    app: &App,
    caller: &Caller,
    owner: Owner,
    resources: Vec<String>,
    reason: Option<String>,
) -> Result<(), ApiError> {
    owner.must(app, caller, CHANGE)?;
    if resources.is_empty() {
        return Err(ApiError::bad(
            "InvalidInput",
            "`resources` names no resource",
        ));
    }
    let work = move |admin: &mut Admin<'_>| {
        let mut resources = resources.iter();
        resources.try_for_each(|resource| match &owner {
            Owner::Project(project) => admin.unset_project_limit(project, resource),
            Owner::Class(class) => admin.unset_class_limit(class, resource),
        })
    };
    change(app, caller, reason, work).await
}

/// Compares the usages of a project, or of all, with what is booked and reserved. The result of all is noted for the status of the database.
///
/// # Errors
/// 403; those of the database.
pub(crate) async fn check(
    app: &App,
    caller: &Caller,
    project: Option<String>,
) -> Result<Vec<Drift>, ApiError> {
    must(app, caller, READ, project.as_deref())?;
    let read = app.readers.read(caller.identity.clone(), move |view| {
        Ok(check_usages(view, project.as_deref())?)
    });
    let checked = read.await?;
    if let Some(result) = checked.result {
        let noted = change(app, caller, None, move |admin| admin.note_checks(&[result]));
        if let Err(error) = noted.await {
            let detail = error.problem.detail;
            tracing::debug!(detail, "the result of a check was not noted");
        }
    }
    Ok(checked.drift)
}

/// Sets the usages of a project, or of all that differ, to what is booked and reserved; returns those that differed.
///
/// # Errors
/// `AdminRequired`, `Elsewhere`; those of [`change`].
pub(crate) async fn sync(
    app: &App,
    caller: &Caller,
    project: Option<String>,
    reason: Option<String>,
) -> Result<(Vec<Drift>, LeftProjects), ApiError> {
    must(app, caller, CHANGE, project.as_deref())?;
    let reason = given(reason)?;
    let by = caller.identity.clone();
    let synced = with_store(app, move |store| {
        sync_usages(store, &by, project.as_deref(), reason.as_deref())
    });
    let synced = synced.await?;
    app.oversight.forget();
    Ok((synced.mended, synced.left.into()))
}

/// Rolls back the reservations of a project, or of all, that are past their expiry and whose flows have ended.
///
/// # Errors
/// `AdminRequired`, `Elsewhere`; those of [`change`].
pub(crate) async fn expire(
    app: &App,
    caller: &Caller,
    project: Option<String>,
    reason: Option<String>,
) -> Result<(Expired, LeftProjects), ApiError> {
    must(app, caller, CHANGE, project.as_deref())?;
    let reason = given(reason)?;
    let by = caller.identity.clone();
    let done = with_store(app, move |store| {
        expire_reservations(store, &by, project.as_deref(), reason.as_deref())
    });
    let done = done.await?;
    Ok((done.expired, done.left.into()))
}

fn must(app: &App, caller: &Caller, rule: &str, project: Option<&str>) -> Result<(), ApiError> {
    if let Some(project) = project {
        fit(Text::Name, "the project", project)?;
    }
    caller.must(&app.policy, rule, project)
}
