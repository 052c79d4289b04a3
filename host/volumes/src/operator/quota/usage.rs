use std::collections::BTreeMap;

use serde::Serialize;

use cairn_effects::rows::Text;
use cairn_store::StoreError;
use cairn_store::admin::Admin;
use cairn_store::audit::Change;
use cairn_store::view::View;
use serde_json::json;

use super::super::record::query;

/// The quota of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// The limit; -1 and null are unlimited.
    pub limit: Option<i64>,
    /// Committed and reserved amounts; absent if not requested.
    #[serde(flatten)]
    pub usage: Option<QuotaUsage>,
}

/// The usage of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QuotaUsage {
    /// Committed.
    pub in_use: i64,
    /// Held by open reservations.
    pub reserved: i64,
}

/// Reads all usages of a project, by resource.
pub(in super::super) fn usages(
    view: &View<'_>,
    project: &str,
) -> Result<BTreeMap<String, QuotaUsage>, StoreError> {
    // SQLite uses the index of usages only for exactly this condition.
    let statement = "SELECT resource, in_use, reserved FROM quota_usages
         WHERE project_id = $1 AND deleted = FALSE";
    let found = query::<(Text, i64, i64)>(view, statement, &[project.into()])?;
    let usages = found.into_iter().map(|(resource, in_use, reserved)| {
        (resource.to_string(), QuotaUsage { in_use, reserved })
    });
    Ok(usages.collect())
}

/// Removes a project's limits, usages and open reservations.
///
/// # Errors
/// `AdminRequired`.
pub(in super::super) fn destroy(admin: &mut Admin<'_>, project: &str) -> Result<(), StoreError> {
    admin.require_admin("destroy a project's quotas")?;
    admin.own(project)?;
    let before = usages(&admin.view(), project)?;
    for statement in [
        "DELETE FROM quotas WHERE project_id = $1",
        "UPDATE quota_usages SET deleted = TRUE WHERE project_id = $1 AND deleted = FALSE",
        "UPDATE reservations SET state = 'destroyed' WHERE project_id = $1 AND state = 'open'",
    ] {
        admin.execute(statement, &[project.into()])?;
    }
    admin.record(Change {
        action: "quota.destroy",
        subject: project,
        project_id: Some(project),
        before: json!(before),
        ..Change::default()
    })
}
