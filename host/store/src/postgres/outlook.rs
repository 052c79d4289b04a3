//! What other processes write, read on a connection beside the writer's.

use super::session::Session;
use crate::sql::{Outlook, Sql, SqlError};

/// Reads what other processes write.
pub(super) struct Beside(pub(super) Session);

impl Outlook for Beside {
    fn sql(&self) -> &dyn Sql {
        &self.0
    }

    /// Numbers of rows are given before their transactions end, so the highest one does not show whether there are new rows.
    fn version(&self) -> Result<Option<i64>, SqlError> {
        Ok(None)
    }
}
