use serde::Serialize;

use cairn_effects::rows::Text;
use cairn_store::StoreError;
use cairn_store::admin::Admin;

use super::super::record::query;

/// Numbers of expired reservations that were rolled back and that were kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Expired {
    /// Rolled back.
    pub rolled_back: usize,
    /// Kept, because their flows have not ended and may still use them.
    pub kept: usize,
}

/// Rolls back the open reservations past their expiry, except those of flows that have not ended.
///
/// # Errors
/// `AdminRequired`.
pub(in super::super) fn expire(admin: &mut Admin<'_>) -> Result<Expired, StoreError> {
    admin.require_admin("expire reservations")?;
    // A flow without a row was pruned, so it has ended.
    let statement = "SELECT id, project_id, resource, delta, EXISTS (
             SELECT 1 FROM flows
             WHERE flows.id = reservations.flow AND flows.state NOT IN ('SUCCESS', 'FAILURE'))
         FROM reservations WHERE state = 'open' AND expire < $1";
    let now = admin.now();
    let lapsed = |admin: &Admin<'_>| {
        query::<(Text, Text, Text, i64, bool)>(&admin.view(), statement, &[now.into()])
    };
    // A project that had no owner may have changed until it was claimed.
    for (_, project, ..) in lapsed(admin)? {
        admin.own(&project)?;
    }
    let lapsed = lapsed(admin)?;
    let mut expired = Expired::default();
    for (id, project, resource, delta, is_unfinished) in lapsed {
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
                (&*project).into(),
                (&*resource).into(),
            ];
            admin.execute(statement, &parameters)?;
        }
    }
    Ok(expired)
}
