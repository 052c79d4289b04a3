use std::collections::{BTreeMap, BTreeSet};

use crate::quota::Drift;
use crate::rules::Settings;
use cairn_effects::rows::{Kind, Text};
use cairn_model::error::TaskError;
use cairn_model::value::{Object, Value};
use cairn_store::StoreError;
use cairn_store::view::View;

use super::quota::{self, Limits, Quota};
use super::record::query;

/// Queries of block storage. For rows of its tables, see [`kind`](super::kind).
pub trait ReadVolumes {
    /// Returns the encryption of a volume type; `None` when it has none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn encryption(&self, volume_type_id: &str) -> Result<Option<Object>, StoreError>;

    /// Returns a volume's metadata; null when the volume does not exist.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn metadata(&self, volume: &str) -> Result<Value, StoreError>;

    /// Returns the names of the zones that volumes may be placed in, sorted. While there are none, every zone is valid.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn zones(&self) -> Result<Vec<String>, StoreError>;

    /// Returns the name of the default volume type of the settings, if that type does not exist.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn missing_default_volume_type(&self) -> Result<Option<&str>, StoreError>;

    /// Returns the quotas of a project: its limits, and its usages if `with_usages`. Without `defaults`, returns only the resources for
    /// which the project has a limit of its own. `class` is the project's quota class; the caller's own project has the caller's class.
    ///
    /// # Errors
    /// `NotAuthorized` for another project, unless the caller is admin.
    fn project_quotas(
        &self,
        project: &str,
        class: Option<&str>,
        defaults: bool,
        with_usages: bool,
    ) -> Result<BTreeMap<String, Quota>, StoreError>;

    /// Returns the limits of a quota class. With `defaults`, also those of resources for which the class has no limit of its own.
    ///
    /// # Errors
    /// `NotAuthorized` for a class other than the caller's own, unless the caller is admin.
    fn class_quotas(
        &self,
        class: &str,
        defaults: bool,
    ) -> Result<BTreeMap<String, Option<i64>>, StoreError>;

    /// Returns the limits that apply when neither the project nor its class has a limit of its own.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn default_quotas(&self) -> Result<BTreeMap<String, Option<i64>>, StoreError>;

    /// Returns the names of all resources, sorted.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn quota_resources(&self) -> Result<Vec<String>, StoreError>;

    /// Returns the usages that differ from the booked and reserved amounts, of one project or of all. All reads see one state of the
    /// database. Includes the resources of deleted volume types.
    ///
    /// # Errors
    /// `NotAuthorized` for another project or for all, unless the caller is admin.
    fn quota_drift(&self, project: Option<&str>) -> Result<Vec<Drift>, StoreError>;

    /// Returns the projects that [`sync_project`](super::OperateVolumes::sync_project) would change.
    ///
    /// # Errors
    /// `NotAuthorized`, unless the caller is admin.
    fn drifting_projects(&self) -> Result<BTreeSet<String>, StoreError>;

    /// Returns the projects with open reservations that are past their expiry: see
    /// [`expire_project`](super::OperateVolumes::expire_project).
    ///
    /// # Errors
    /// `NotAuthorized`, unless the caller is admin.
    fn expiring_projects(&self) -> Result<BTreeSet<String>, StoreError>;
}

impl ReadVolumes for View<'_> {
    fn encryption(&self, volume_type_id: &str) -> Result<Option<Object>, StoreError> {
        const SHOWN: [&str; 4] = ["provider", "cipher", "key_size", "control_location"];
        let statement = format!(
            "SELECT {} FROM encryptions WHERE volume_type_id = $1 AND deleted = FALSE",
            SHOWN.join(", ")
        );
        let found = self.query(&statement, &[volume_type_id.into()])?.pop();
        Ok(found.map(|cells| {
            let columns = SHOWN.iter().zip(cells);
            columns
                .map(|(name, cell)| ((*name).to_owned(), cell.borrow().shown(Kind::Text)))
                .collect()
        }))
    }

    fn metadata(&self, volume: &str) -> Result<Value, StoreError> {
        let statement = "SELECT metadata FROM volumes WHERE id = $1";
        let found = query::<(Text,)>(self, statement, &[volume.into()])?.pop();
        Ok(found
            .and_then(|(metadata,)| serde_json::from_str(&metadata).ok())
            .unwrap_or(Value::Null))
    }

    fn zones(&self) -> Result<Vec<String>, StoreError> {
        let found = query::<(Text,)>(self, "SELECT name FROM zones ORDER BY name", &[])?;
        Ok(found.iter().map(|(name,)| name.to_string()).collect())
    }

    fn missing_default_volume_type(&self) -> Result<Option<&str>, StoreError> {
        let Some(name) = Settings::of(self.services()).default_volume_type.as_deref() else {
            return Ok(None);
        };
        let statement =
            "SELECT id FROM volume_types WHERE deleted = FALSE AND (id = $1 OR name = $1)";
        let found = self.query(statement, &[name.into()])?;
        Ok(found.is_empty().then_some(name))
    }

    fn project_quotas(
        &self,
        project: &str,
        class: Option<&str>,
        defaults: bool,
        with_usages: bool,
    ) -> Result<BTreeMap<String, Quota>, StoreError> {
        let mut limits = Limits::visible(self, project)?;
        if project != self.requester().project_id {
            limits.class = class;
        }
        let usages = if with_usages {
            quota::usages(self, project)?
        } else {
            BTreeMap::new()
        };
        let mut quotas = BTreeMap::new();
        for (name, resource) in quota::resources(self)? {
            if !defaults && limits.own(&name)?.is_none() {
                continue;
            }
            let limit = limits.get(&resource)?;
            let usage = with_usages.then(|| usages.get(&name).copied().unwrap_or_default());
            quotas.insert(
                name,
                Quota {
                    limit: limit.into(),
                    usage,
                },
            );
        }
        Ok(quotas)
    }

    fn class_quotas(
        &self,
        class: &str,
        defaults: bool,
    ) -> Result<BTreeMap<String, Option<i64>>, StoreError> {
        let caller = self.requester();
        if !caller.is_admin && caller.quota_class.as_deref() != Some(class) {
            let message =
                format!("the limits of class `{class}` are shown to that class and to admins only");
            return Err(TaskError::new("NotAuthorized", message).into());
        }
        let limits = Limits::of(self, &caller.project_id);
        let mut quotas = BTreeMap::new();
        for (name, resource) in quota::resources(self)? {
            let limit = match limits.of_class(class, &name)? {
                Some(limit) => limit,
                None if defaults => limits.of_everybody(&resource)?,
                None => continue,
            };
            quotas.insert(name, limit.into());
        }
        Ok(quotas)
    }

    fn default_quotas(&self) -> Result<BTreeMap<String, Option<i64>>, StoreError> {
        let limits = Limits::of(self, "");
        let quotas = quota::resources(self)?
            .into_iter()
            .map(|(name, resource)| Ok((name, limits.default(&resource)?.into())));
        quotas.collect()
    }

    fn quota_resources(&self) -> Result<Vec<String>, StoreError> {
        Ok(quota::resources(self)?.into_keys().collect())
    }

    fn quota_drift(&self, project: Option<&str>) -> Result<Vec<Drift>, StoreError> {
        if project != Some(&*self.requester().project_id) {
            require_admin(self)?;
        }
        self.consistently(|view| quota::current_drift(view, project))
    }

    fn drifting_projects(&self) -> Result<BTreeSet<String>, StoreError> {
        require_admin(self)?;
        self.consistently(quota::drifting)
    }

    fn expiring_projects(&self) -> Result<BTreeSet<String>, StoreError> {
        require_admin(self)?;
        quota::expiring(self)
    }
}

fn require_admin(view: &View<'_>) -> Result<(), StoreError> {
    if view.requester().is_admin {
        return Ok(());
    }
    let message = "the usages of other projects than the caller's own are checked for admins only";
    Err(TaskError::new("NotAuthorized", message).into())
}
