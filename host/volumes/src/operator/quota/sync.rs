use serde_json::json;

use crate::quota::{Counters, Drift};
use crate::rules::Settings;
use cairn_model::value::Object;
use cairn_store::StoreError;
use cairn_store::admin::Admin;
use cairn_store::audit::Change;

use super::booked::{current_drift, settle};

/// Sets every usage of a project to the booked and reserved amounts; returns those that differed.
///
/// # Errors
/// `AdminRequired`; [`StoreError::Elsewhere`].
pub(in super::super) fn sync(
    admin: &mut Admin<'_>,
    project: &str,
) -> Result<Vec<Drift>, StoreError> {
    admin.require_admin("mend usages")?;
    admin.own(project)?;
    settle(admin, project)?;
    let view = admin.view();
    let drift = current_drift(&view, Some(project))?;
    let countdown = Settings::of(view.services()).quota.countdown();
    for Drift {
        project,
        resource,
        found,
        expected,
    } in &drift
    {
        let mut parameters = vec![
            project.as_str().into(),
            resource.as_str().into(),
            expected.in_use.into(),
            expected.reserved.into(),
            admin.now().into(),
        ];
        let statement = if found.is_some() {
            "UPDATE quota_usages SET in_use = $3, reserved = $4, updated_at = $5
             WHERE project_id = $1 AND resource = $2 AND deleted = FALSE"
        } else {
            parameters.push(countdown.into());
            "INSERT INTO quota_usages (project_id, resource, in_use, reserved, updated_at, until_refresh)
             VALUES ($1, $2, $3, $4, $5, $6)"
        };
        admin.execute(statement, &parameters)?;
    }
    if !drift.is_empty() {
        let usages = |of: fn(&Drift) -> Option<Counters>| -> Object {
            let usages = drift.iter();
            let usages = usages.map(|one| (one.resource.clone(), json!(of(one))));
            usages.collect()
        };
        admin.record(Change {
            action: "quota.sync",
            subject: project,
            project_id: Some(project),
            before: usages(|one| one.found).into(),
            after: usages(|one| Some(one.expected)).into(),
            ..Change::default()
        })?;
    }
    Ok(drift)
}
