use std::collections::BTreeMap;

use rusqlite::Connection;

use cairn_model::clock::Timestamp;
use cairn_model::quota::Usage;

/// Every usage of a project.
pub(in super::super) fn usages(
    connection: &Connection,
    project: &str,
) -> rusqlite::Result<BTreeMap<String, Usage>> {
    connection
        .prepare_cached(
            "SELECT resource, in_use, reserved, until_refresh, updated_at FROM quota_usages
             WHERE project_id = ? AND deleted = 0",
        )?
        .query_map([project], |row| {
            let usage = Usage {
                in_use: row.get(1)?,
                reserved: row.get(2)?,
                until_refresh: row.get(3)?,
                updated_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
            };
            Ok((row.get(0)?, usage))
        })?
        .collect()
}
