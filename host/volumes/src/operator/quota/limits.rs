//! Finds quota resources and the limits that apply to them, in SQL.

use std::collections::BTreeMap;

use crate::quota::{Limit, Measure, QuotaConfig, Resource};
use crate::rules::Settings;
use cairn_effects::rows::Text;
use cairn_model::error::TaskError;
use cairn_model::value::Value;
use cairn_store::StoreError;
use cairn_store::admin::Admin;
use cairn_store::audit::Change;
use cairn_store::view::View;
use serde_json::json;

use super::super::record::query;

/// The class whose limits apply to projects without limits of their own.
const DEFAULT_CLASS: &str = "default";

/// The limit that is none.
const UNLIMITED: i64 = -1;

/// Returns whether a resource of this name exists: one of the three, or one of a volume type, which may be deleted.
fn is_resource(view: &View<'_>, name: &str) -> Result<bool, StoreError> {
    for measure in Measure::ALL {
        let Some(rest) = name.strip_prefix(measure.as_str()) else {
            continue;
        };
        if rest.is_empty() {
            return Ok(true);
        }
        let Some(type_name) = rest.strip_prefix('_') else {
            continue;
        };
        let statement = "SELECT id FROM volume_types WHERE name = $1";
        return Ok(!view.query(statement, &[type_name.into()])?.is_empty());
    }
    Ok(false)
}

/// Refuses a resource that does not exist.
///
/// # Errors
/// `QuotaResourceUnknown`.
fn require_resource(view: &View<'_>, name: &str) -> Result<(), StoreError> {
    if is_resource(view, name)? {
        return Ok(());
    }
    let message = format!("there is no quota of {name}");
    let error = TaskError::new("QuotaResourceUnknown", message);
    Err(error.with("unknown", vec![name.to_owned()]).into())
}

/// Returns all resources by name: the three, and those of each volume type, deleted or not.
pub(in super::super) fn resources(
    view: &View<'_>,
) -> Result<BTreeMap<String, Resource>, StoreError> {
    let mut all = BTreeMap::new();
    let mut add = |volume_type: Option<(String, String)>| {
        for measure in Measure::ALL {
            let resource = Resource {
                measure,
                volume_type: volume_type.clone(),
            };
            all.insert(resource.name(), resource);
        }
    };
    add(None);
    let statement = "SELECT id, name FROM volume_types ORDER BY deleted DESC";
    for (id, name) in query::<(Text, Text)>(view, statement, &[])? {
        add(Some((id.to_string(), name.to_string())));
    }
    Ok(all)
}

/// The owner of a limit.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Whose<'a> {
    /// A project.
    Project(&'a str),
    /// A quota class.
    Class(&'a str),
}

impl<'a> Whose<'a> {
    /// Returns the limit of the owner's own row.
    fn limit(self, view: &View<'_>, resource: &str) -> Result<Option<Limit>, StoreError> {
        match self {
            Self::Project(project) => Limits::of(view, project).own(resource),
            Self::Class(class) => Limits::of(view, "").of_class(class, resource),
        }
    }

    /// Makes this process the owner of the project until the limit is changed.
    fn own(self, admin: &mut Admin<'_>) -> Result<(), StoreError> {
        match self {
            Self::Project(project) => admin.own(project).map(drop),
            Self::Class(_) => Ok(()),
        }
    }

    /// Returns the subject and the project of a change, for the audit.
    fn audited(self) -> (String, Option<&'a str>) {
        match self {
            Self::Project(project) => (project.to_owned(), Some(project)),
            Self::Class(class) => (format!("class {class}"), None),
        }
    }
}

/// Sets a limit; `None` and -1 are unlimited.
///
/// # Errors
/// `QuotaResourceUnknown`; `InvalidInput` for a limit below -1.
pub(in super::super) fn set_limit(
    admin: &mut Admin<'_>,
    whose: Whose<'_>,
    resource: &str,
    limit: Option<i64>,
) -> Result<(), StoreError> {
    require_resource(&admin.view(), resource)?;
    if let Some(limit) = limit.filter(|limit| *limit < UNLIMITED) {
        let message = format!(
            "{limit} is not a limit of {resource}: write a whole number, or -1 for unlimited"
        );
        return Err(TaskError::new("InvalidInput", message).into());
    }
    whose.own(admin)?;
    let before = whose.limit(&admin.view(), resource)?;
    let (statement, owner) = match whose {
        Whose::Project(project) => (
            "INSERT INTO quotas (project_id, resource, hard_limit) VALUES ($1, $2, $3)
             ON CONFLICT (project_id, resource) DO UPDATE SET hard_limit = excluded.hard_limit",
            project,
        ),
        Whose::Class(class) => (
            "INSERT INTO quota_classes (class_name, resource, hard_limit) VALUES ($1, $2, $3)
             ON CONFLICT (class_name, resource) DO UPDATE SET hard_limit = excluded.hard_limit",
            class,
        ),
    };
    admin.execute(statement, &[owner.into(), resource.into(), limit.into()])?;
    let (subject, project_id) = whose.audited();
    let before = before.map(Option::<i64>::from);
    admin.record(Change {
        action: "quota.set",
        subject: &subject,
        project_id,
        before: before.map_or(Value::Null, |limit| json!({resource: limit})),
        after: json!({resource: limit}),
        ..Change::default()
    })
}

/// Removes a limit, so that the one behind it applies: that of the class, or the default.
///
/// # Errors
/// `QuotaResourceUnknown`; `LimitNotFound` when there is none.
pub(in super::super) fn unset_limit(
    admin: &mut Admin<'_>,
    whose: Whose<'_>,
    resource: &str,
) -> Result<(), StoreError> {
    require_resource(&admin.view(), resource)?;
    whose.own(admin)?;
    let Some(before) = whose.limit(&admin.view(), resource)? else {
        let owner = match whose {
            Whose::Project(project) => format!("the project `{project}`"),
            Whose::Class(class) => format!("the class `{class}`"),
        };
        let message = format!("{owner} has no limit of its own of {resource}");
        return Err(TaskError::new("LimitNotFound", message).into());
    };
    let (statement, owner) = match whose {
        Whose::Project(project) => (
            "DELETE FROM quotas WHERE project_id = $1 AND resource = $2",
            project,
        ),
        Whose::Class(class) => (
            "DELETE FROM quota_classes WHERE class_name = $1 AND resource = $2",
            class,
        ),
    };
    admin.execute(statement, &[owner.into(), resource.into()])?;
    let (subject, project_id) = whose.audited();
    admin.record(Change {
        action: "quota.unset",
        subject: &subject,
        project_id,
        before: json!({resource: Option::<i64>::from(before)}),
        ..Change::default()
    })
}

/// The limits of one project and class.
pub(in super::super) struct Limits<'a> {
    view: &'a View<'a>,
    config: &'a QuotaConfig,
    project: &'a str,
    pub(in super::super) class: Option<&'a str>,
}

impl<'a> Limits<'a> {
    /// Returns the limits of a project without a class, without an access check.
    pub(in super::super) fn of(view: &'a View<'_>, project: &'a str) -> Self {
        Self {
            view,
            config: &Settings::of(view.services()).quota,
            project,
            class: None,
        }
    }

    /// Returns the limits of a project, if the caller may see them. The caller's class applies to the caller's own project only.
    ///
    /// # Errors
    /// `NotAuthorized`.
    pub(in super::super) fn visible(
        view: &'a View<'_>,
        project: &'a str,
    ) -> Result<Self, StoreError> {
        let caller = view.requester();
        let own = project == caller.project_id;
        if !own && !caller.is_admin {
            let message = format!(
                "the quotas of project `{project}` are shown to that project and to admins only"
            );
            return Err(TaskError::new("NotAuthorized", message).into());
        }
        Ok(Self {
            class: caller.quota_class.as_deref().filter(|_| own),
            ..Self::of(view, project)
        })
    }

    /// Returns the limit of the project's own row.
    pub(in super::super) fn own(&self, resource: &str) -> Result<Option<Limit>, StoreError> {
        self.row(
            "SELECT hard_limit FROM quotas WHERE project_id = $1 AND resource = $2",
            self.project,
            resource,
        )
    }

    /// Returns the limit of a class's row.
    pub(in super::super) fn of_class(
        &self,
        class: &str,
        resource: &str,
    ) -> Result<Option<Limit>, StoreError> {
        self.row(
            "SELECT hard_limit FROM quota_classes WHERE class_name = $1 AND resource = $2",
            class,
            resource,
        )
    }

    fn row(
        &self,
        statement: &str,
        owner: &str,
        resource: &str,
    ) -> Result<Option<Limit>, StoreError> {
        let parameters = [owner.into(), resource.into()];
        let found = query::<(Option<i64>,)>(self.view, statement, &parameters)?.pop();
        Ok(found.map(|(limit,)| limit.into()))
    }

    /// Returns the limit of a class that has no row for the resource: that of the class `default`, whether or not the settings apply
    /// it, else the configured one.
    pub(in super::super) fn of_everybody(&self, resource: &Resource) -> Result<Limit, StoreError> {
        let class = self.of_class(DEFAULT_CLASS, &resource.name())?;
        Ok(class.unwrap_or_else(|| self.config.default_limit(resource)))
    }

    /// Returns the limit of a project without a row of its own or of its class: that of the class `default`, if the settings apply it,
    /// else the configured one.
    pub(in super::super) fn default(&self, resource: &Resource) -> Result<Limit, StoreError> {
        if self.config.use_default_class {
            return self.of_everybody(resource);
        }
        Ok(self.config.default_limit(resource))
    }

    /// Returns the limit that applies: the first of project, class, default.
    pub(in super::super) fn get(&self, resource: &Resource) -> Result<Limit, StoreError> {
        let name = resource.name();
        if let Some(limit) = self.own(&name)? {
            return Ok(limit);
        }
        if let Some(class) = self.class
            && let Some(limit) = self.of_class(class, &name)?
        {
            return Ok(limit);
        }
        self.default(resource)
    }
}
