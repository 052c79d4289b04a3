//! Finds quota resources and the limits that apply to them, over rows.

use std::sync::Arc;

use crate::quota::{Limit, Measure, Resource};
use cairn_model::error::TaskError;

use super::settings::settings;
use super::tables::{ClassLimit, ProjectLimit, VolumeType};
use cairn_effects::rows::{Cell, Rows, Stop, Text};

/// The class whose limits apply to projects without limits of their own.
const DEFAULT_CLASS: &str = "default";

/// Returns the resource of this name: one of the three, or one of a volume type, which may be deleted.
pub(super) fn resource(rows: &mut Rows<'_>, name: &str) -> Result<Option<Resource>, Stop> {
    for measure in Measure::ALL {
        let Some(rest) = name.strip_prefix(measure.as_str()) else {
            continue;
        };
        if rest.is_empty() {
            return Ok(Some(Resource {
                measure,
                volume_type: None,
            }));
        }
        let Some(type_name) = rest.strip_prefix('_') else {
            continue;
        };
        return Ok(type_named(rows, type_name)?.map(|found| Resource {
            measure,
            volume_type: Some((found.id.to_string(), type_name.to_owned())),
        }));
    }
    Ok(None)
}

/// Returns the volume type of this name, preferring one that is not deleted.
fn type_named(rows: &mut Rows<'_>, name: &str) -> Result<Option<Arc<VolumeType>>, Stop> {
    if let Some(found) = rows.find::<VolumeType>(|row| !row.deleted && &*row.name == name)? {
        return Ok(Some(found));
    }
    rows.find::<VolumeType>(|row| &*row.name == name)
}

/// Returns the limit that applies to a project's resource: the first of the project, the caller's class, the class `default` if the
/// settings apply it, and the configured default. The caller's class applies to the caller's own project only.
///
/// # Errors
/// `NotAuthorized` when the caller may not see it.
pub(super) fn limit(
    rows: &mut Rows<'_>,
    project: &Text,
    name: &str,
    resource: &Resource,
) -> Result<Limit, Stop> {
    let own = own_project(rows, project)?;
    let key = [Arc::clone(project), Text::from(name)];
    if let Some(limit) = rows.get::<ProjectLimit>(key)? {
        return Ok(limit.hard_limit.into());
    }
    let class = rows.by().requester.quota_class.as_deref();
    if let Some(class) = class.filter(|_| own)
        && let Some(limit) = of_class(rows, class, name)?
    {
        return Ok(limit);
    }
    if settings(rows).quota.use_default_class
        && let Some(limit) = of_class(rows, DEFAULT_CLASS, name)?
    {
        return Ok(limit);
    }
    Ok(settings(rows).quota.default_limit(resource))
}

fn of_class(rows: &mut Rows<'_>, class: &str, name: &str) -> Result<Option<Limit>, Stop> {
    let found =
        rows.find::<ClassLimit>(|row| &*row.class_name == class && &*row.resource == name)?;
    Ok(found.map(|row| row.hard_limit.into()))
}

/// Returns whether a project is the caller's own.
///
/// # Errors
/// `NotAuthorized` when the caller may not see its limits.
pub(super) fn own_project(rows: &Rows<'_>, project: &str) -> Result<bool, Stop> {
    let caller = rows.by().requester;
    let own = project == caller.project_id;
    if !own && !caller.is_admin {
        return Err(not_authorized(format!(
            "the quotas of project `{project}` are shown to that project and to admins only"
        )));
    }
    Ok(own)
}

pub(super) fn not_authorized(message: impl Into<String>) -> Stop {
    TaskError::new("NotAuthorized", message).into()
}

/// Returns the name of a volume type, deleted or not.
pub(super) fn type_name(rows: &mut Rows<'_>, id: &Cell) -> Result<Option<Text>, Stop> {
    let Cell::Text(id) = id else { return Ok(None) };
    let found = rows.find::<VolumeType>(|row| row.id == *id)?;
    Ok(found.map(|found| Arc::clone(&found.name)))
}
