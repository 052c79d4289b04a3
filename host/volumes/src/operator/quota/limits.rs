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

/// Sets a limit; `None` and -1 are unlimited.
///
/// # Errors
/// `QuotaResourceUnknown`.
pub(in super::super) fn set_limit(
    admin: &mut Admin<'_>,
    whose: Whose<'_>,
    resource: &str,
    limit: Option<i64>,
) -> Result<(), StoreError> {
    require_resource(&admin.view(), resource)?;
    if let Whose::Project(project) = whose {
        admin.own(project)?;
    }
    let view = admin.view();
    let limits = Limits::of(&view, "");
    let before = match whose {
        Whose::Project(project) => Limits::of(&view, project).own(resource)?,
        Whose::Class(class) => limits.of_class(class, resource)?,
    };
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
    let (subject, project_id) = match whose {
        Whose::Project(project) => (project.to_owned(), Some(project)),
        Whose::Class(class) => (format!("class {class}"), None),
    };
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
