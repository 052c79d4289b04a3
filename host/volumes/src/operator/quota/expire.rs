use std::collections::BTreeSet;
use std::ops::AddAssign;

use serde::Serialize;

use cairn_effects::rows::Text;
use cairn_store::StoreError;
use cairn_store::admin::Admin;
use cairn_store::audit::Change;
use cairn_store::view::View;
use serde_json::json;

use super::super::record::query;

/// Numbers of expired reservations that were rolled back and that were kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Expired {
    /// Rolled back.
    pub rolled_back: usize,
    /// Kept, because their flows have not ended and may still use them.
    pub kept: usize,
}

impl AddAssign for Expired {
    fn add_assign(&mut self, other: Self) {
        self.rolled_back += other.rolled_back;
        self.kept += other.kept;
    }
}

/// A condition on open reservations past their expiry at `$1`.
const LAPSED: &str = "state = 'open' AND expire < $1";

/// Returns the projects with open reservations that are past their expiry.
pub(in super::super) fn expiring(view: &View<'_>) -> Result<BTreeSet<String>, StoreError> {
    let statement = format!("SELECT DISTINCT project_id FROM reservations WHERE {LAPSED}");
    let found = query::<(Text,)>(view, &statement, &[view.now().into()])?;
    let projects = found.iter().map(|(project,)| project.to_string());
    Ok(projects.collect())
}

/// Rolls back a project's open reservations past their expiry, except those of flows that have not ended.
///
/// # Errors
/// `AdminRequired`; [`StoreError::Elsewhere`].
pub(in super::super) fn expire(
    admin: &mut Admin<'_>,
    project: &str,
) -> Result<Expired, StoreError> {
    admin.require_admin("expire reservations")?;
    admin.own(project)?;
    // A flow without a row was pruned, so it has ended.
    let statement = format!(
        "SELECT id, resource, delta, EXISTS (
             SELECT 1 FROM flows
             WHERE flows.id = reservations.flow AND flows.state NOT IN ('SUCCESS', 'FAILURE'))
         FROM reservations WHERE {LAPSED} AND project_id = $2"
    );
    let now = admin.now();
    let parameters = [now.into(), project.into()];
    let lapsed = query::<(Text, Text, i64, bool)>(&admin.view(), &statement, &parameters)?;
    let mut expired = Expired::default();
    for (id, resource, delta, is_unfinished) in lapsed {
        if is_unfinished {
            expired.kept += 1;
            continue;
        }
        expired.rolled_back += 1;
        let statement = "UPDATE reservations SET state = 'expired' WHERE id = $1";
        admin.execute(statement, &[(&*id).into()])?;
        if delta > 0 {
            let statement = "UPDATE quota_usages SET reserved = reserved - $1, updated_at = $2
                 WHERE project_id = $3 AND resource = $4 AND deleted = FALSE";
            let parameters = [
                delta.into(),
                now.into(),
                project.into(),
                (&*resource).into(),
            ];
            admin.execute(statement, &parameters)?;
        }
    }
    if expired.rolled_back > 0 {
        admin.record(Change {
            action: "quota.expire",
            subject: project,
            project_id: Some(project),
            after: json!(expired),
            ..Change::default()
        })?;
    }
    Ok(expired)
}
