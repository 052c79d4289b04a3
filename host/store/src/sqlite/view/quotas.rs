use std::collections::BTreeMap;

use serde::Serialize;

use cairn_effects::volumes::Settings;
use cairn_model::error::TaskError;
use cairn_model::quota::Usage;

use super::{View, failed, refused};
use crate::StoreError;
use crate::sqlite::quota::{self, Limits};

/// The quota of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// The limit; -1 and null are unlimited.
    pub limit: Option<i64>,
    /// Committed and reserved amounts; absent where they were not asked for.
    #[serde(flatten)]
    pub usage: Option<QuotaUsage>,
}

/// How much of a resource is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QuotaUsage {
    /// Committed.
    pub in_use: i64,
    /// Held by open reservations.
    pub reserved: i64,
}

impl From<Usage> for QuotaUsage {
    fn from(usage: Usage) -> Self {
        Self {
            in_use: usage.in_use,
            reserved: usage.reserved,
        }
    }
}

impl View<'_> {
    /// The quotas of a project: limits, and what is used. Without `defaults` only those that the project has rows for;
    /// `class` counts for another project than the caller's own.
    ///
    /// # Errors
    /// `NotAuthorized` for another project's, or another class's, without being admin.
    pub fn project_quotas(
        &self,
        project: &str,
        class: Option<&str>,
        defaults: bool,
        with_usages: bool,
    ) -> Result<BTreeMap<String, Quota>, StoreError> {
        let mut limits = quota::limits_for(&self.tx, project).map_err(refused)?;
        if project != self.tx.by.requester.project_id {
            limits.class = class;
        }
        let usages = if with_usages {
            quota::usages(self.connection(), project).map_err(failed)?
        } else {
            BTreeMap::new()
        };
        let mut quotas = BTreeMap::new();
        for (name, resource) in quota::resources(self.connection()).map_err(failed)? {
            if !defaults && limits.own(&name).map_err(failed)?.is_none() {
                continue;
            }
            let limit = limits.get(&resource).map_err(failed)?;
            let usage = with_usages.then(|| usages.get(&name).copied().unwrap_or_default().into());
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

    /// The limits of a class: its rows, and the defaults for the rest unless only rows are asked for.
    ///
    /// # Errors
    /// `NotAuthorized` for another class than the caller's own without being admin.
    pub fn class_quotas(
        &self,
        class: &str,
        defaults: bool,
    ) -> Result<BTreeMap<String, Option<i64>>, StoreError> {
        let caller = self.tx.by.requester;
        if !caller.is_admin && caller.quota_class.as_deref() != Some(class) {
            let message =
                format!("the limits of class `{class}` are shown to that class and to admins only");
            return Err(TaskError::new("NotAuthorized", message).into());
        }
        let limits = self.limits(&caller.project_id);
        let mut quotas = BTreeMap::new();
        for (name, resource) in quota::resources(self.connection()).map_err(failed)? {
            let limit = match limits.of_class(class, &name).map_err(failed)? {
                Some(limit) => limit,
                None if defaults => limits.of_everybody(&resource).map_err(failed)?,
                None => continue,
            };
            quotas.insert(name, limit.into());
        }
        Ok(quotas)
    }

    /// The limits of a project that has no rows of its own or of its class.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn default_quotas(&self) -> Result<BTreeMap<String, Option<i64>>, StoreError> {
        let limits = self.limits("");
        let resources = quota::resources(self.connection()).map_err(failed)?;
        let quotas = resources.into_iter().map(|(name, resource)| {
            let limit = limits.default(&resource).map_err(failed)?;
            Ok((name, limit.into()))
        });
        quotas.collect()
    }

    /// Names of all resources, sorted.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn quota_resources(&self) -> Result<Vec<String>, StoreError> {
        let resources = quota::resources(self.connection()).map_err(failed)?;
        Ok(resources.into_keys().collect())
    }

    fn limits<'b>(&'b self, project: &'b str) -> Limits<'b> {
        Limits {
            connection: self.connection(),
            config: &Settings::of(self.tx.env.domains().services()).quota,
            project,
            class: None,
        }
    }
}
