//! Which resources there are, and whose limit applies to them.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};

use cairn_effects::volumes::Settings;
use cairn_model::quota::{Limit, Measure, QuotaConfig, Resource};

use super::not_authorized;
use crate::sqlite::tx::{Fault, Tx, scalar};

/// The class whose limits apply to every project without its own.
const DEFAULT_CLASS: &str = "default";

/// The resource of this name: one of the three, or one confined to a volume type, which may be deleted.
pub(in super::super) fn resource(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<Option<Resource>> {
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
        let id: Option<String> = scalar(
            connection,
            "SELECT id FROM volume_types WHERE name = ? ORDER BY deleted LIMIT 1",
            [type_name],
        )?;
        return Ok(id.map(|id| Resource {
            measure,
            volume_type: Some((id, type_name.to_owned())),
        }));
    }
    Ok(None)
}

/// Every resource: the three, and those of each volume type, deleted or not.
pub(in super::super) fn resources(
    connection: &Connection,
) -> rusqlite::Result<BTreeMap<String, Resource>> {
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
    let mut types =
        connection.prepare_cached("SELECT id, name FROM volume_types ORDER BY deleted DESC")?;
    let types = types.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for volume_type in types {
        add(Some(volume_type?));
    }
    Ok(all)
}

/// Where limits come from, for one project and class.
pub(in super::super) struct Limits<'a> {
    pub(in super::super) connection: &'a Connection,
    pub(in super::super) config: &'a QuotaConfig,
    pub(in super::super) project: &'a str,
    pub(in super::super) class: Option<&'a str>,
}

impl Limits<'_> {
    /// The project's own row.
    pub(in super::super) fn own(&self, resource: &str) -> rusqlite::Result<Option<Limit>> {
        self.row(
            "SELECT hard_limit FROM quotas WHERE project_id = ? AND resource = ?",
            self.project,
            resource,
        )
    }

    /// The row of a class.
    pub(in super::super) fn of_class(
        &self,
        class: &str,
        resource: &str,
    ) -> rusqlite::Result<Option<Limit>> {
        self.row(
            "SELECT hard_limit FROM quota_classes WHERE class_name = ? AND resource = ?",
            class,
            resource,
        )
    }

    fn row(&self, statement: &str, owner: &str, resource: &str) -> rusqlite::Result<Option<Limit>> {
        let limit: Option<Option<i64>> = self
            .connection
            .prepare_cached(statement)?
            .query_row([owner, resource], |row| row.get(0))
            .optional()?;
        Ok(limit.map(Limit::from))
    }

    /// What the class `default` says, whether or not it counts, else what is configured: what stands in for the rows that
    /// another class lacks.
    pub(in super::super) fn of_everybody(&self, resource: &Resource) -> rusqlite::Result<Limit> {
        let class = self.of_class(DEFAULT_CLASS, &resource.name())?;
        Ok(class.unwrap_or_else(|| self.config.default_limit(resource)))
    }

    /// What applies to everybody: the default class's row, else what is configured.
    pub(in super::super) fn default(&self, resource: &Resource) -> rusqlite::Result<Limit> {
        let class = if self.config.use_default_class {
            self.of_class(DEFAULT_CLASS, &resource.name())?
        } else {
            None
        };
        Ok(class.unwrap_or_else(|| self.config.default_limit(resource)))
    }

    /// The limit that applies: the first of project, class, default.
    pub(in super::super) fn get(&self, resource: &Resource) -> rusqlite::Result<Limit> {
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

/// The limits that a caller may see of `project`. A class counts for the caller's own project only.
pub(in super::super) fn limits_for<'a>(
    tx: &'a Tx<'_>,
    project: &'a str,
) -> Result<Limits<'a>, Fault> {
    let caller = tx.by.requester;
    let own = project == caller.project_id;
    if !own && !caller.is_admin {
        return Err(not_authorized(format!(
            "the quotas of project `{project}` are shown to that project and to admins only"
        )));
    }
    Ok(Limits {
        connection: tx.connection,
        config: &Settings::of(tx.env.domains().services()).quota,
        project,
        class: caller.quota_class.as_deref().filter(|_| own),
    })
}
