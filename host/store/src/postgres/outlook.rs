//! What other processes write, read on a connection beside the writer's.

use super::session::Session;
use crate::sql::{Columns, Outlook, Sql, SqlError};

/// Reads what other processes write.
pub(super) struct Beside(pub(super) Session);

impl Outlook for Beside {
    fn sql(&self) -> &dyn Sql {
        &self.0
    }

    fn version(&self) -> Result<i64, SqlError> {
        // Grows with each request; answers do not matter here.
        let rows = self
            .0
            .query("SELECT coalesce(max(id), 0) FROM requests", &[])?;
        rows.first().map_or(Ok(0), |row| Columns(row).int(0))
    }
}
